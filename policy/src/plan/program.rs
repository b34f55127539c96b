//! Structures of programs: from a pointer that a program's function or probe is called with to a member behind it.

use super::facts::{NodeFacts, Parameter, TypeClass, UserProblem};
use super::fields::{Place, Reader};
use super::reach::{Steps, no_way};
use super::refusal::Problem;
use crate::btf::Btf;
use crate::model::{Arg, FunctionName, Hook, HookTarget, MEMBERS_MAX, UserPlace};
use lictor_node_worker_ebpf as wire;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// The types of a program, as a file of the node describes them.
#[derive(Clone)]
pub struct ProgramTypes(Arc<Btf<Vec<u8>>>);

impl ProgramTypes {
    /// What was read from a file.
    pub fn new(types: Arc<Btf<Vec<u8>>>) -> Self {
        Self(types)
    }

    /// What was read, for whoever else keeps it.
    pub fn share(&self) -> &Arc<Btf<Vec<u8>>> {
        &self.0
    }
}

/// The same reading of a file: one that is read again is another one.
impl PartialEq for ProgramTypes {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for ProgramTypes {}

impl fmt::Debug for ProgramTypes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProgramTypes")
    }
}

/// Files with types that were read, by path, with what came of it.
pub(super) type AskedTypes = BTreeMap<String, Result<ProgramTypes, UserProblem>>;

/// Where the structures of a hook's program are described.
#[derive(Debug, Clone, Copy)]
pub(super) struct ProgramGround<'a> {
    /// Path of the file.
    file: &'a str,
    types: &'a ProgramTypes,
    /// The function that is hooked, where it is known by its name.
    function: Option<&'a str>,
}

/// The file that a hook names for its program's types, and the function that is hooked, where it is known by its name.
fn named(hook: &Hook) -> Option<(&str, Option<&str>)> {
    let HookTarget::User { types, place, .. } = &hook.target else { return None };
    let function = match place {
        UserPlace::Function { name: FunctionName::Symbol { name, plus: 0 }, .. } => Some(name.as_str()),
        UserPlace::Function { .. } | UserPlace::Probe { .. } => None,
    };
    Some((types.as_deref()?, function))
}

/// Reads the file that a hook names, unless it was read before.
pub(super) fn ask(hook: &Hook, facts: &NodeFacts, asked: &mut AskedTypes) -> Result<(), Problem> {
    let Some((path, _)) = named(hook) else { return Ok(()) };
    let answer = asked.entry(path.to_owned()).or_insert_with(|| facts.symbols.program_types(path));
    answer.as_ref().map(|_| ()).map_err(|problem| no_types(path, problem))
}

/// What a hook knows of its program's structures; `None` = it names no file.
pub(super) fn ground<'a>(hook: &'a Hook, asked: &'a AskedTypes) -> Option<ProgramGround<'a>> {
    let (file, function) = named(hook)?;
    let types = asked.get(file)?.as_ref().ok()?;
    Some(ProgramGround { file, types, function })
}

/// Why a file tells no types.
fn no_types(path: &str, problem: &UserProblem) -> Problem {
    const ALLOWED: &str = "BTF, in a file of its own or in the section .BTF of an ELF file";
    const HINT: &str =
        "`pahole -J --btf_encode_detached=FILE PROGRAM` makes it of a program with debugging information";
    match problem {
        UserProblem::Untold => Problem::new(
            format!("the types in the file `{path}`"),
            "hooks of the kernel, where no files of the node can be read",
        ),
        UserProblem::NoFile => Problem::missing(format!("the file `{path}`"), "files of the node")
            .hint("paths are those of the node, not of a container"),
        UserProblem::Unreadable(why) => {
            Problem::new(format!("the file `{path}`, which {why}"), ALLOWED).hint(HINT)
        }
        UserProblem::NoPlace(_) | UserProblem::MovesStack => {
            Problem::new(format!("the file `{path}` without types"), ALLOWED).hint(HINT)
        }
    }
}

impl ProgramGround<'_> {
    /// Where the member stands that `arg` asks for, which begins with the pointer at `place`.
    pub(super) fn reach<'b>(
        self,
        mut place: Place<'b>,
        arg: &Arg,
        reader: &Reader,
    ) -> Result<Place<'b>, Problem> {
        check_pointer(&place, arg, reader)?;
        let structure = match &arg.cast {
            Some(cast) => cast.structure.clone(),
            None => self.told(&place, arg)?,
        };
        let path = arg.path.clone().unwrap_or_default();
        let way = self.types.0.member(&structure, &path);
        let way = way.map_err(|none| no_way(none, arg, Some(self.file)))?;
        let too_long = || {
            let found = format!("a way over more pointers than programs follow, `{path}`");
            Problem::new(
                found,
                format!("at most {MEMBERS_MAX}, with what a probe needs to find its argument"),
            )
        };
        place.steps = place.steps.then(&Steps::of(&way)).ok_or_else(too_long)?;
        place.parameter = Some(Cow::Owned(way.value));
        Ok(place)
    }

    /// The structure that the file tells an argument, or what is returned, to point to.
    fn told(self, place: &Place<'_>, arg: &Arg) -> Result<String, Problem> {
        let what = if u32::from(place.source) == wire::LICTOR_SOURCE_RETURN {
            "the return value".to_owned()
        } else {
            format!("index {}", arg.index)
        };
        let parameter = self.function.and_then(|function| {
            let mut signature = self.types.0.signature(function)?;
            if u32::from(place.source) == wire::LICTOR_SOURCE_RETURN {
                return signature.returns;
            }
            let at = usize::from(arg.index);
            (at < signature.parameters.len()).then(|| signature.parameters.swap_remove(at))
        });
        match parameter {
            Some(Parameter { class: TypeClass::StructPointer(name), .. }) => Ok(name),
            Some(parameter) => Err(Problem::new(
                format!("resolve on {what}, of type {}", parameter.type_name),
                "pointers to structures",
            )
            .hint("name the structure that it points to in `btfType`")),
            None => Err(Problem::new(
                format!("resolve on {what}, whose type `{}` does not tell", self.file),
                "arguments of functions that it describes by the name that is hooked",
            )
            .hint("name the structure that it points to in `btfType`")),
        }
    }
}

/// Whether what stands at `place` can be an address: a function's registers can, a probe says how wide its arguments are.
fn check_pointer(place: &Place<'_>, arg: &Arg, reader: &Reader) -> Result<(), Problem> {
    let Reader::Probe { function, .. } = reader else { return Ok(()) };
    let found = if u32::from(place.source) == wire::LICTOR_SOURCE_CONSTANT {
        "a constant"
    } else {
        match place.parameter.as_deref() {
            Some(Parameter { class: TypeClass::Integer { width: 8, .. }, .. }) | None => return Ok(()),
            Some(parameter) => &parameter.type_name,
        }
    };
    let found = format!("resolve on index {} of {function}, {found}", arg.index);
    Err(Problem::new(found, "arguments with an address, which have eight bytes"))
}

/// What programs have to be asked for a way through structures.
pub(super) fn no_file(field: &str, function: &str) -> Problem {
    Problem::new(
        format!("{field} on an argument of {function}"),
        "arguments of programs whose structures a file describes",
    )
    .hint("name the file in `btfPath`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_reading_is_like_itself_alone() {
        let types = || ProgramTypes::new(Arc::new(Btf::parse(crate::plan::testing::program_btf()).unwrap()));
        let (one, other) = (types(), types());
        assert_eq!(one, one.clone());
        assert_ne!(one, other);
    }
}
