//! Allow lists from recorded events: a policy that lets a program do what it was seen doing, and nothing else.

use super::line::{Line, Recorded, RecordedValue, denies};
use crate::model::{ABI_32, Arg, ArgKind, FunctionName, HookTarget, Origin, Policy, UserPlace};
use crate::oracle::same_place;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// Most different values of one argument that are kept: a policy with more would not fit its size limit.
pub const VALUES_MAX: usize = 20_000;

/// Most different numbers of one argument that make a list: beyond it they are sizes or counters, not choices.
const NUMBERS_MAX: usize = 16;

/// What to make a policy of.
#[derive(Debug, Clone)]
pub struct Wish {
    /// Name of the policy.
    pub name: String,
    /// Path of the program whose events count.
    pub binary: String,
    /// A directory with more different paths than this is allowed as a whole.
    pub fold: usize,
}

/// Why no policy came of the events.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AllowListError {
    /// Nothing is known of the program.
    #[error(
        "no event of {0} that tells what it may do; events of hooks need the policies that reported them"
    )]
    Nothing(String),
    /// Too much is known.
    #[error(
        "more than {VALUES_MAX} different values of argument {index} at {place}; fold directories earlier"
    )]
    Many {
        /// Where.
        place: String,
        /// Which argument.
        index: u8,
    },
}

/// How often each value came.
#[derive(Debug, Default)]
struct Seen {
    paths: BTreeMap<String, u64>,
    numbers: BTreeMap<i128, u64>,
    /// Files without a path: pipes, sockets.
    nameless: u64,
    unresolved: u64,
}

/// Collects events.
#[derive(Debug)]
pub struct AllowList<'a> {
    wish: Wish,
    recorded_with: &'a [Policy],
    /// By place, and by number of the argument.
    places: BTreeMap<HookTarget, BTreeMap<u8, (ArgKind, Seen)>>,
    /// Programs that it ran.
    programs: BTreeMap<String, u64>,
    events: u64,
    unknown: BTreeSet<HookTarget>,
}

impl<'a> AllowList<'a> {
    /// Nothing yet. `recorded_with` are the policies that reported the events.
    pub fn new(wish: Wish, recorded_with: &'a [Policy]) -> Self {
        let (places, programs, unknown) = Default::default();
        Self { wish, recorded_with, places, programs, events: 0, unknown }
    }

    /// Looks at the next line.
    pub fn take(&mut self, line: &Line) {
        match line {
            Line::Hook(event) if event.process.binary.as_ref() == Some(&self.wish.binary) => self.hook(event),
            Line::Exec { process, parent_binary } if parent_binary.as_ref() == Some(&self.wish.binary) => {
                if let Some(binary) = process.binary.as_ref().filter(|binary| binary.starts_with('/')) {
                    self.events += 1;
                    *self.programs.entry(binary.clone()).or_default() += 1;
                }
            }
            Line::Hook(_) | Line::Exec { .. } | Line::Other => {}
        }
    }

    fn hook(&mut self, event: &Recorded) {
        // Who is told of what was mapped does not ask to have it listed.
        if event.place == HookTarget::Mapping {
            return;
        }
        let hooks = self
            .recorded_with
            .iter()
            .filter(|policy| event.policy.as_ref().is_none_or(|name| *name == policy.key().to_string()))
            .flat_map(Policy::hooks)
            .filter(|hook| same_place(&hook.target, &event.place));
        let layout = hooks.map(|hook| &hook.args).find_map(|layout| {
            let shown: Vec<&Arg> = layout.iter().filter(|arg| arg.kind != ArgKind::Nop).collect();
            let fits = shown.len() == event.args.len()
                && shown.iter().zip(&event.args).all(|(arg, value)| value.fits(arg.kind));
            fits.then_some(shown)
        });
        let Some(layout) = layout else {
            self.unknown.insert(event.place.clone());
            return;
        };
        self.events += 1;
        let place = self.places.entry(place_to_deny(&event.place)).or_default();
        for (arg, value) in layout.iter().zip(&event.args) {
            // The list is about what is done, not about what lies behind it.
            if arg.origin() != Origin::from(arg.index) {
                continue;
            }
            let (_, seen) = place.entry(arg.index).or_insert_with(|| (arg.kind, Seen::default()));
            match value {
                RecordedValue::File(Some(path), _) if path.starts_with('/') => {
                    *seen.paths.entry(path.clone()).or_default() += 1;
                }
                RecordedValue::File(..) => seen.nameless += 1,
                RecordedValue::Number(number) => *seen.numbers.entry(*number).or_default() += 1,
                RecordedValue::Unresolved => seen.unresolved += 1,
                RecordedValue::Text(_)
                | RecordedValue::Endpoints(..)
                | RecordedValue::UnixAddress(..)
                | RecordedValue::Other => {}
            }
        }
    }

    /// Places whose events could not be used, since nothing tells what their values are.
    pub fn unknown(&self) -> impl Iterator<Item = &HookTarget> {
        self.unknown.iter()
    }

    /// The policy, as text.
    ///
    /// # Errors
    /// See [`AllowListError`].
    pub fn policy(&self) -> Result<String, AllowListError> {
        let mut kinds: BTreeMap<&str, String> = BTreeMap::new();
        for (place, args) in &self.places {
            if let Some((kind, text)) = self.hook_text(place, args)? {
                kinds.entry(kind).or_default().push_str(&text);
            }
        }
        if !self.programs.is_empty() {
            let place = HookTarget::Lsm("bprm_check_security".to_owned());
            let seen = Seen { paths: self.programs.clone(), ..Seen::default() };
            // The hook is asked while the old program still runs: its path is that of the one that executes.
            let args = BTreeMap::from([(0, (ArgKind::LinuxBinprm, seen))]);
            if !self.places.contains_key(&place)
                && let Some((kind, text)) = self.hook_text(&place, &args)?
            {
                kinds.entry(kind).or_default().push_str(&text);
            }
        }
        if kinds.is_empty() {
            return Err(AllowListError::Nothing(self.wish.binary.clone()));
        }
        let mut text = format!(
            "# What {} was seen doing in {} events; anything else is denied, where the kernel asks, or reported.\n\
             # It begins in monitor mode: watch it, add what was not seen, then change the mode to enforce.\n\
             apiVersion: lictor.io/v1alpha1\nkind: TracingPolicy\nmetadata:\n  name: {}\nspec:\n  mode: monitor\n",
            self.wish.binary.escape_debug(),
            self.events,
            scalar(&self.wish.name)
        );
        for (kind, hooks) in kinds {
            let _ = write!(text, "  {kind}:\n{hooks}");
        }
        Ok(text)
    }

    /// The kind of hook and its text; `None` = nothing there can be listed.
    fn hook_text(
        &self,
        place: &HookTarget,
        args: &BTreeMap<u8, (ArgKind, Seen)>,
    ) -> Result<Option<(&'static str, String)>, AllowListError> {
        let (kind, mut text) = match place {
            HookTarget::Lsm(name) => ("lsmhooks", format!("  - hook: {name}\n")),
            HookTarget::Function(name) => ("kprobes", format!("  - call: {name}\n    syscall: false\n")),
            HookTarget::Syscall(name) => ("kprobes", format!("  - call: sys_{name}\n")),
            HookTarget::Syscall32(name) => ("kprobes", format!("  - call: {ABI_32}/sys_{name}\n")),
            HookTarget::Tracepoint { subsystem, event, .. } => {
                ("tracepoints", format!("  - subsystem: {subsystem}\n    event: {event}\n"))
            }
            HookTarget::User { path, place, .. } => user_text(path, place),
            // Events happen at one function. What was mapped is told, and not asked.
            HookTarget::Functions(_) | HookTarget::Syscalls | HookTarget::Mapping => return Ok(None),
        };
        text.push_str("    args:\n");
        let mut selectors = String::new();
        for (index, (arg_kind, seen)) in args {
            if seen.paths.len() > VALUES_MAX {
                return Err(AllowListError::Many { place: format!("{place:?}"), index: *index });
            }
            let Some(name) = type_name(*arg_kind) else { continue };
            let filters = self.filters(*index, seen);
            if filters.is_empty() {
                continue;
            }
            let _ = write!(text, "    - index: {index}\n      type: {name}\n");
            let _ = write!(
                selectors,
                "    - matchBinaries:\n      - operator: In\n        values:\n        - {}\n      matchArgs:\n{filters}",
                scalar(&self.wish.binary)
            );
            if denies(place) {
                selectors.push_str("      matchActions:\n      - action: Override\n        argError: -1\n");
            }
        }
        Ok((!selectors.is_empty()).then(|| (kind, format!("{text}    selectors:\n{selectors}"))))
    }

    fn filters(&self, index: u8, seen: &Seen) -> String {
        let mut text = String::new();
        if seen.paths.is_empty() {
            if !seen.numbers.is_empty() && seen.numbers.len() <= NUMBERS_MAX {
                let values =
                    seen.numbers.iter().map(|(number, count)| (format!("\"{number}\""), times(*count)));
                filter(&mut text, index, "NotEqual", values);
            }
            return text;
        }
        let (single, folded) = fold(&seen.paths, self.wish.fold);
        if seen.nameless > 0 {
            let note = format!("pipes and sockets have no path: seen {}", times(seen.nameless));
            filter(&mut text, index, "Prefix", [("/".to_owned(), note)].into_iter());
        }
        if seen.unresolved > 0 {
            let _ = writeln!(text, "      # a path that could not be read: seen {}", times(seen.unresolved));
        }
        if !single.is_empty() {
            let values = single.iter().map(|(path, count)| (scalar(path), times(*count)));
            filter(&mut text, index, "NotEqual", values);
        }
        if !folded.is_empty() {
            let values = folded.iter().map(|(directory, (count, paths))| {
                (scalar(directory), format!("{}, {paths} paths", times(*count)))
            });
            filter(&mut text, index, "NotPrefix", values);
        }
        text
    }
}

/// A hook in a program, and its kind.
fn user_text(path: &str, place: &UserPlace) -> (&'static str, String) {
    let path = scalar(path);
    match place {
        UserPlace::Function { name, .. } => {
            let (field, value) = match name {
                FunctionName::Symbol { .. } => ("symbols", scalar(&place.to_string())),
                FunctionName::Offset(number) => ("offsets", number.to_string()),
                FunctionName::Address(number) => ("addrs", number.to_string()),
            };
            ("uprobes", format!("  - path: {path}\n    {field}:\n    - {value}\n"))
        }
        UserPlace::Probe { provider, name } => {
            ("usdts", format!("  - path: {path}\n    provider: {provider}\n    name: {name}\n"))
        }
    }
}

/// Where an operation can be denied: the LSM hook of a `security_*` function.
fn place_to_deny(place: &HookTarget) -> HookTarget {
    match place {
        HookTarget::Function(name) => match name.strip_prefix("security_") {
            Some(hook) => {
                HookTarget::Lsm(if hook == "bprm_check" { "bprm_check_security" } else { hook }.to_owned())
            }
            None => place.clone(),
        },
        HookTarget::Lsm(_)
        | HookTarget::Functions(_)
        | HookTarget::Syscalls
        | HookTarget::Syscall(_)
        | HookTarget::Syscall32(_)
        | HookTarget::Tracepoint { .. }
        | HookTarget::User { .. }
        | HookTarget::Mapping => place.clone(),
    }
}

fn times(count: u64) -> String {
    if count == 1 { "once".to_owned() } else { format!("{count} times") }
}

fn filter(text: &mut String, index: u8, operator: &str, values: impl Iterator<Item = (String, String)>) {
    let _ = write!(text, "      - index: {index}\n        operator: {operator}\n        values:\n");
    for (value, note) in values {
        let _ = writeln!(text, "        - {value}  # {note}");
    }
}

/// Paths, and the directories that have more than `most` of them: how often they were met, and how many they are.
#[allow(clippy::type_complexity, reason = "two maps of the same keys")]
fn fold(paths: &BTreeMap<String, u64>, most: usize) -> (BTreeMap<&str, u64>, BTreeMap<&str, (u64, usize)>) {
    let directory = |path: &str| path.rfind('/').map_or(0, |end| end + 1);
    let mut folded: BTreeMap<&str, (u64, usize)> = BTreeMap::new();
    for (path, count) in paths {
        let entry = folded.entry(&path[..directory(path)]).or_default();
        *entry = (entry.0 + count, entry.1 + 1);
    }
    // Everything below the root would be allowed by it.
    folded.retain(|directory, (_, paths)| *paths > most && *directory != "/");
    let single = paths.iter().filter(|(path, _)| !folded.contains_key(&path[..directory(path)]));
    (single.map(|(path, count)| (path.as_str(), *count)).collect(), folded)
}

/// The name of a type that is compared as a path or a number.
fn type_name(kind: ArgKind) -> Option<&'static str> {
    Some(match kind {
        ArgKind::File => "file",
        ArgKind::Fd => "fd",
        ArgKind::Path => "path",
        ArgKind::Dentry => "dentry",
        ArgKind::LinuxBinprm => "linux_binprm",
        ArgKind::Kiocb => "kiocb",
        ArgKind::BpfCmd => "bpf_cmd",
        ArgKind::Capability => "capability",
        ArgKind::Syscall => "syscall64",
        ArgKind::Auto => "auto",
        ArgKind::Int(kind) => match (kind.width, kind.signed) {
            (1, true) => "int8",
            (1, false) => "uint8",
            (2, true) => "int16",
            (2, false) => "uint16",
            (4, true) => "int32",
            (4, false) => "uint32",
            (_, true) => "int64",
            (_, false) => "uint64",
        },
        ArgKind::String
        | ArgKind::CharBuf
        | ArgKind::CharIovec
        | ArgKind::Filename
        | ArgKind::Sock
        | ArgKind::Socket
        | ArgKind::Skb
        | ArgKind::Sockaddr
        | ArgKind::SockaddrUn
        | ArgKind::Cred
        | ArgKind::UserNamespace
        | ArgKind::Module
        | ArgKind::BpfAttr
        | ArgKind::BpfMap
        | ArgKind::PerfEvent
        | ArgKind::NetDevice
        | ArgKind::Capabilities(_)
        | ArgKind::BpfProg
        | ArgKind::LoadInfo
        | ArgKind::IovIter
        | ArgKind::DataLoc
        | ArgKind::ConstBuf
        | ArgKind::Nop => return None,
    })
}

/// A text as YAML reads it back.
fn scalar(text: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "_/.-+@,=".contains(letter);
    let begins = text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '/');
    if begins
        && text.chars().all(plain)
        && !["true", "false", "null", "yes", "no", "on", "off"].contains(&text)
    {
        return text.to_owned();
    }
    // JSON's strings are YAML's, too.
    serde_json::to_string(text).unwrap_or_default()
}
