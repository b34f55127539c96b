//! Paths through the kernel's structures, and what the values of a hook are taken from.

use super::{Arg, ArgKind, FieldPath};
use std::fmt;

/// Most members of a path: as many pointers as programs follow.
pub const MEMBERS_MAX: usize = lictor_node_worker_ebpf::LICTOR_MAX_STEPS as usize;

/// What a value is taken from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ArgSource {
    /// What the function is called with, or what it returned.
    #[default]
    Argument,
    /// The kernel's description of the thread that runs, a `struct task_struct`.
    CurrentTask,
    /// The processor's registers, a `struct pt_regs`.
    Registers,
}

/// A path from a structure to one of its members, as `mm.owner.real_parent.comm` or `numbers[0].nr`.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberPath(Vec<Member>);

/// A step of a [`MemberPath`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Member {
    /// Name of the member.
    pub name: String,
    /// Elements of arrays, outer ones first.
    pub elements: Vec<u32>,
}

impl MemberPath {
    /// Reads a path. An empty text is none.
    ///
    /// # Errors
    /// What is wrong, as it continues "found ...".
    pub fn parse(text: &str) -> Result<Self, String> {
        let members: Vec<Member> = text.split('.').map(member).collect::<Result<_, _>>()?;
        if members.len() > MEMBERS_MAX {
            return Err(format!("{} members", members.len()));
        }
        Ok(Self(members))
    }

    /// Its members in order; none for the structure itself.
    pub fn members(&self) -> &[Member] {
        &self.0
    }

    /// Its first members, for messages.
    #[must_use]
    pub fn first(&self, count: usize) -> Self {
        Self(self.0.iter().take(count).cloned().collect())
    }
}

fn member(text: &str) -> Result<Member, String> {
    let (name, mut rest) = text.split_at(text.find('[').unwrap_or(text.len()));
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    if name.is_empty() || !name.bytes().all(letter) || name.as_bytes()[0].is_ascii_digit() {
        return Err(if text.is_empty() { "a member without name".to_owned() } else { format!("`{text}`") });
    }
    let mut elements = Vec::new();
    while !rest.is_empty() {
        let element = rest.strip_prefix('[').and_then(|rest| rest.split_once(']'));
        let Some((number, behind)) = element else { return Err(format!("`{text}`")) };
        let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        match number.parse() {
            Ok(number) if digits => elements.push(number),
            Ok(_) | Err(_) => return Err(format!("`{text}`")),
        }
        rest = behind;
    }
    Ok(Member { name: name.to_owned(), elements })
}

impl fmt::Display for MemberPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, member) in self.0.iter().enumerate() {
            write!(f, "{}{}", if place == 0 { "" } else { "." }, member.name)?;
            for element in &member.elements {
                write!(f, "[{element}]")?;
            }
        }
        Ok(())
    }
}

/// A structure that a pointer is taken to lead to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cast {
    /// Its name, without `struct`.
    pub structure: String,
    /// The module of the kernel that has it, as the kernel spells it; `None` = the kernel itself.
    pub module: Option<String>,
}

impl Cast {
    /// A structure of the kernel itself.
    pub fn of_kernel(structure: &str) -> Self {
        Self { structure: structure.to_owned(), module: None }
    }
}

/// `struct file`, `struct net_bridge of the module bridge`.
impl fmt::Display for Cast {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "struct {}", self.structure)?;
        match &self.module {
            Some(module) => write!(f, " of the module {module}"),
            None => Ok(()),
        }
    }
}

/// Which value an [`Arg`] means, however it is read: what tells the values of one event apart.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin {
    /// Where it begins.
    pub source: ArgSource,
    /// Argument number; 0 where there are no arguments.
    pub index: u8,
    /// The structure that a pointer is taken to lead to.
    pub cast: Option<Cast>,
    /// The way from there.
    pub path: MemberPath,
}

impl From<u8> for Origin {
    /// An argument itself.
    fn from(index: u8) -> Self {
        Self { source: ArgSource::Argument, index, cast: None, path: MemberPath::default() }
    }
}

impl Arg {
    /// An argument as it is passed: read as `kind`, with nothing else asked of it.
    pub(crate) fn passed(at: FieldPath, index: u8, kind: ArgKind) -> Self {
        Self {
            at,
            source: ArgSource::Argument,
            index,
            cast: None,
            path: None,
            kind,
            label: None,
            size_arg: None,
            return_copy: false,
            max_data: false,
        }
    }

    /// Which value it means.
    pub fn origin(&self) -> Origin {
        Origin {
            source: self.source,
            index: self.index,
            cast: self.cast.clone(),
            path: self.path.clone().unwrap_or_default(),
        }
    }

    /// Whether it is shown in the event's `data`.
    pub fn is_data(&self) -> bool {
        self.source != ArgSource::Argument
    }
}

/// In words: `argument 0`, `mm.owner.comm of argument 0`, `comm of the current task`, `register ax`.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.source == ArgSource::Registers {
            return write!(f, "register {}", self.path);
        }
        if !self.path.members().is_empty() {
            write!(f, "{} of ", self.path)?;
        }
        match (self.source, &self.cast) {
            (ArgSource::Argument, None) => write!(f, "argument {}", self.index),
            (ArgSource::Argument, Some(cast)) => write!(f, "argument {} as {cast}", self.index),
            (ArgSource::CurrentTask | ArgSource::Registers, _) => f.write_str("the current task"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read_as_they_are_written() {
        for text in ["comm", "mm.owner.real_parent.comm", "numbers[0].nr", "a[1][23].b[4]"] {
            assert_eq!(MemberPath::parse(text).unwrap().to_string(), text);
        }
        for text in [
            "", ".", "a.", ".a", "a..b", "a[", "a[]", "a[x]", "a[1", "a[1]b", "a[-1]", "a[+1]", "1a", "a b",
            "a->b",
        ] {
            assert!(MemberPath::parse(text).is_err(), "{text}");
        }
        assert!(MemberPath::parse(&["a"; 10].join(".")).is_ok());
        assert_eq!(MemberPath::parse(&["a"; 11].join(".")), Err("11 members".to_owned()));
    }

    #[test]
    fn an_origin_is_named_in_words() {
        let path = MemberPath::parse("comm").unwrap();
        let of = |source, cast: Option<&str>, path: &MemberPath| {
            Origin { source, index: 1, cast: cast.map(Cast::of_kernel), path: path.clone() }.to_string()
        };
        assert_eq!(of(ArgSource::Argument, None, &MemberPath::default()), "argument 1");
        assert_eq!(of(ArgSource::Argument, None, &path), "comm of argument 1");
        assert_eq!(of(ArgSource::Argument, Some("x"), &path), "comm of argument 1 as struct x");
        assert_eq!(of(ArgSource::CurrentTask, None, &path), "comm of the current task");
        assert_eq!(of(ArgSource::Registers, None, &MemberPath::parse("ax").unwrap()), "register ax");
    }
}
