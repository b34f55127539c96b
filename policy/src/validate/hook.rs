//! Hooks: where they attach, what they read.

use super::action::{Abilities, HASHED_HOOKS, Notifies, Within};
use super::argument::{self, Origin, Structures};
use super::lists::Shared;
use super::report::{Report, quoted};
use super::selector::{self, Surroundings};
use super::user;
use crate::model::{Arg, FieldPath, Hook, HookTarget, ShownAction, SocketAction};
use crate::spec::{
    ARGS_MAX, ArgSpec, KprobeSpec, LsmHookSpec, MESSAGE_CHARS_MIN, SYMBOL_BYTES_MAX, SelectorSpec,
    SocketActionName, TAGS_MAX, TracepointSpec, TypeName, UprobeSpec, UsdtSpec,
};

const MESSAGE_CHARS: std::ops::RangeInclusive<usize> = MESSAGE_CHARS_MIN..=256;
const TAG_CHARS: std::ops::RangeInclusive<usize> = MESSAGE_CHARS_MIN..=128;

/// A hook on a function; one that only `watches` can do nothing about it.
pub(super) fn kprobe(
    spec: &KprobeSpec,
    watches: bool,
    shared: &Shared,
    at: &FieldPath,
    report: &mut Report,
) -> Option<Hook> {
    let target = match shared.pattern(&spec.call) {
        Some(pattern) => Some(HookTarget::Functions(pattern)),
        None if shared.is_generated(&spec.call) => None,
        None if shared.is_every_syscall(&spec.call) => {
            every_syscall(spec, at, report);
            Some(HookTarget::Syscalls)
        }
        None => call(spec, &at.member("call"), report),
    };
    let return_arg = return_arg(spec.return_arg.as_ref(), spec.on_return, Origin::Function, at, report);
    // A list of functions has no system calls, whatever `syscall` says, which is `true` by itself.
    let listed = shared.is_generated(&spec.call);
    let origin = if spec.syscall && !listed { Origin::Syscall } else { Origin::Function };
    let every = shared.is_every_syscall(&spec.call);
    let deny =
        !watches && !every && (origin == Origin::Syscall || listed || spec.call.starts_with("security_"));
    let reason = if watches {
        "hooks under `fentries` only watch; write it under `kprobes`"
    } else if every {
        "every system call can only be watched; `Sigkill` ends the process"
    } else {
        "the kernel offers no way to make this function fail"
    };
    let parts = Parts {
        target,
        args: &spec.args,
        data: &spec.data,
        return_arg,
        on_return: spec.on_return,
        origin,
        abilities: Abilities {
            deny,
            signal: !watches,
            registers: false,
            notifies: notifies(shared),
            within: Within::Kernel,
            reason,
        },
        shared,
        selectors: &spec.selectors,
        message: spec.message.as_deref(),
        tags: &spec.tags,
        ignore_missing: spec.ignore.is_some_and(|ignore| ignore.call_not_found),
    };
    let mut hook = parts.build(at, report);
    returned_socket(spec, hook.as_mut(), at, report);
    hook
}

/// Whether rules in the kernel can notify the policy's enforcer.
fn notifies(shared: &Shared) -> Notifies {
    if shared.has_enforcer() { Notifies::Yes } else { Notifies::NoEnforcer }
}

/// Says what a hook at every system call cannot have.
fn every_syscall(spec: &KprobeSpec, at: &FieldPath, report: &mut Report) {
    if !spec.args.is_empty() {
        let hint = "give the system calls that are meant a list of type syscalls, or hooks of their own";
        let found = "arguments of every system call";
        report.refuse_with(&at.member("args"), found, "none: in each they mean something else", hint);
    }
    if spec.on_return {
        let hint = "the tracepoint raw_syscalls/sys_exit tells what system calls return";
        report.refuse_with(&at.member("return"), "the end of every system call", "their beginning", hint);
    }
}

/// What becomes of the socket that the function returned, whichever selector matches.
fn returned_socket(spec: &KprobeSpec, hook: Option<&mut Hook>, at: &FieldPath, report: &mut Report) {
    let Some(name) = spec.return_arg_action else { return };
    let place = at.member("returnArgAction");
    let is_sock = spec.return_arg.as_ref().is_some_and(|arg| arg.kind == TypeName::Sock);
    if !spec.on_return || !is_sock {
        let found = format!("`{name:?}`, and no socket that is returned");
        report.refuse(&place, found, "hooks with `return: true` and a `returnArg` of type sock");
        return;
    }
    let (track, shown) = match name {
        SocketActionName::TrackSock => (true, ShownAction::TrackSock),
        SocketActionName::UntrackSock => (false, ShownAction::UntrackSock),
    };
    for rule in hook.into_iter().flat_map(|hook| &mut hook.rules) {
        if rule.actions.socket.is_some() {
            let found = "`TrackSock` or `UntrackSock` beside `returnArgAction`";
            report.refuse(&rule.at, found, "one of the two: write two hooks");
        }
        rule.actions.socket = Some(SocketAction { arg: None, track });
        rule.actions.shown_return = shown;
    }
}

pub(super) fn tracepoint(
    spec: &TracepointSpec,
    shared: &Shared,
    at: &FieldPath,
    report: &mut Report,
) -> Option<Hook> {
    let subsystem = name(&spec.subsystem, "a tracepoint group", &at.member("subsystem"), report);
    let event = name(&spec.event, "a tracepoint", &at.member("event"), report);
    let target = subsystem.zip(event).map(|(subsystem, event)| HookTarget::Tracepoint {
        subsystem,
        event,
        raw: spec.raw,
    });
    let parts = Parts {
        target,
        args: &spec.args,
        data: &spec.data,
        return_arg: None,
        on_return: false,
        origin: if spec.raw { Origin::RawTracepoint } else { Origin::Tracepoint },
        abilities: Abilities {
            deny: false,
            signal: true,
            registers: false,
            notifies: notifies(shared),
            within: Within::Kernel,
            reason: "a tracepoint only watches: it cannot make the operation fail",
        },
        shared,
        selectors: &spec.selectors,
        message: spec.message.as_deref(),
        tags: &spec.tags,
        ignore_missing: false,
    };
    parts.build(at, report)
}

pub(super) fn lsm(spec: &LsmHookSpec, shared: &Shared, at: &FieldPath, report: &mut Report) -> Option<Hook> {
    let has_file = HASHED_HOOKS.contains(&spec.hook.as_str());
    let within = if has_file { Within::KernelWithFile } else { Within::Kernel };
    let parts = Parts {
        target: lsm_target(&spec.hook, &at.member("hook"), report),
        args: &spec.args,
        data: &[],
        return_arg: None,
        on_return: false,
        origin: Origin::Lsm,
        abilities: Abilities {
            deny: true,
            signal: true,
            registers: false,
            notifies: Notifies::ActsItself,
            within,
            reason: "",
        },
        shared,
        selectors: &spec.selectors,
        message: spec.message.as_deref(),
        tags: &spec.tags,
        ignore_missing: false,
    };
    parts.build(at, report)
}

/// Hooks on functions of a program: one for each place.
pub(super) fn uprobe(
    spec: &UprobeSpec,
    shared: &Shared,
    at: &FieldPath,
    report: &mut Report,
) -> Vec<Option<Hook>> {
    let versions = user::versions(spec, at, report);
    let targets = user::functions(spec, &versions, at, report);
    let at_end = user::at_end(spec);
    let origin = Origin::Program(Structures::of(spec.btf_path.as_deref()));
    let ways = spec.args.iter().chain(&spec.return_arg).any(|arg| arg.resolve.is_some());
    without_ways(spec.btf_path.as_deref(), ways, at, report);
    let parts = Parts {
        target: targets.first().cloned(),
        args: &spec.args,
        data: &spec.data,
        return_arg: return_arg(spec.return_arg.as_ref(), spec.on_return, origin, at, report),
        on_return: spec.on_return,
        origin,
        abilities: Abilities { registers: !at_end, ..IN_PROGRAMS },
        shared,
        selectors: &spec.selectors,
        message: spec.message.as_deref(),
        tags: &spec.tags,
        ignore_missing: spec.ignore.is_some_and(|ignore| ignore.call_not_found),
    };
    // Built once, so that what is wrong with it is told once.
    let Some(hook) = parts.build(at, report) else { return vec![None] };
    targets.into_iter().map(|target| Some(Hook { target, ..hook.clone() })).collect()
}

/// Says that nothing is looked up in a file with types.
fn without_ways(btf_path: Option<&str>, ways: bool, at: &FieldPath, report: &mut Report) {
    if btf_path.is_some() && !ways {
        let effect = "it has no effect: it is for `resolve` on arguments and returned values";
        report.warn(&at.member("btfPath"), "`btfPath` and no `resolve`", effect);
    }
}

/// A hook on a probe of a program.
pub(super) fn usdt(spec: &UsdtSpec, shared: &Shared, at: &FieldPath, report: &mut Report) -> Option<Hook> {
    let ways = spec.args.iter().any(|arg| arg.resolve.is_some());
    without_ways(spec.btf_path.as_deref(), ways, at, report);
    let parts = Parts {
        target: user::probe(spec, at, report),
        args: &spec.args,
        data: &[],
        return_arg: None,
        on_return: false,
        origin: Origin::Probe(Structures::of(spec.btf_path.as_deref())),
        abilities: Abilities { within: Within::Probe, ..IN_PROGRAMS },
        shared,
        selectors: &spec.selectors,
        message: spec.message.as_deref(),
        tags: &spec.tags,
        ignore_missing: false,
    };
    parts.build(at, report)
}

/// What hooks in programs can do.
const IN_PROGRAMS: Abilities = Abilities {
    deny: false,
    signal: true,
    registers: false,
    notifies: Notifies::InProgram,
    within: Within::Program,
    reason: "this place of a program cannot be made to fail; `Sigkill` ends the program before it goes on",
};

/// What all kinds of hooks have.
struct Parts<'a> {
    target: Option<HookTarget>,
    args: &'a [ArgSpec],
    data: &'a [ArgSpec],
    return_arg: Option<Arg>,
    on_return: bool,
    origin: Origin,
    abilities: Abilities,
    shared: &'a Shared<'a>,
    selectors: &'a [SelectorSpec],
    message: Option<&'a str>,
    tags: &'a [String],
    ignore_missing: bool,
}

impl Parts<'_> {
    fn build(self, at: &FieldPath, report: &mut Report) -> Option<Hook> {
        if self.args.len() > ARGS_MAX {
            report.refuse(
                &at.member("args"),
                format!("{} arguments", self.args.len()),
                format!("at most {ARGS_MAX}"),
            );
        } else if self.args.len() + self.data.len() > ARGS_MAX {
            report.refuse(
                &at.member("data"),
                format!("{} arguments and {} data", self.args.len(), self.data.len()),
                format!("at most {ARGS_MAX} together"),
            );
        }
        let each = self.args.iter().enumerate();
        let mut args: Vec<Option<Arg>> = each
            .map(|(place, spec)| {
                argument::argument(spec, self.origin, &at.member("args").index(place), report)
            })
            .collect();
        let each = self.data.iter().enumerate();
        args.extend(
            each.map(|(place, spec)| argument::data(spec, place, &at.member("data").index(place), report)),
        );
        let around = Surroundings {
            args: &args[..self.args.len()],
            data: &args[self.args.len()..],
            return_arg: self.return_arg.as_ref(),
            on_return: self.on_return,
            abilities: self.abilities,
            by_place: matches!(self.origin, Origin::Tracepoint | Origin::RawTracepoint),
            shared: self.shared,
        };
        let rules = selector::rules(self.selectors, &around, at, report);
        let message = message(self.message, at, report);
        let tags = tags(self.tags, at, report);
        Some(Hook {
            at: at.clone(),
            target: self.target?,
            args: args.into_iter().collect::<Option<Vec<Arg>>>()?,
            return_arg: self.return_arg,
            on_return: self.on_return,
            rules,
            message,
            tags,
            ignore_missing: self.ignore_missing,
        })
    }
}

fn return_arg(
    spec: Option<&ArgSpec>,
    on_return: bool,
    origin: Origin,
    at: &FieldPath,
    report: &mut Report,
) -> Option<Arg> {
    let place = at.member("returnArg");
    match spec {
        None if on_return => {
            report.refuse_with(
                &place,
                "nothing",
                "the type of the returned value",
                "`return: true` reports it",
            );
            None
        }
        None => None,
        Some(arg) if on_return => argument::returned(arg, origin, &place, report),
        Some(_) => {
            report.warn(&place, "`returnArg` without `return: true`", "it has no effect");
            None
        }
    }
}

fn call(spec: &KprobeSpec, at: &FieldPath, report: &mut Report) -> Option<HookTarget> {
    if !spec.syscall {
        return name(&spec.call, "a kernel function", at, report).map(HookTarget::Function);
    }
    if spec.call.starts_with("__arm64_compat_") {
        report.refuse(at, quoted(&spec.call), "system calls of x86-64 and of 32-bit programs there");
        return None;
    }
    let (bare, target) = HookTarget::bare_syscall(&spec.call);
    name(bare, "a system call", at, report).map(target)
}

fn lsm_target(hook: &str, at: &FieldPath, report: &mut Report) -> Option<HookTarget> {
    for prefix in ["security_", "bpf_lsm_"] {
        if let Some(bare) = hook.strip_prefix(prefix) {
            let hint = format!("did you mean `{bare}`?");
            report.refuse_with(at, quoted(hook), "the name of an LSM hook without prefix", hint);
            return None;
        }
    }
    name(hook, "an LSM hook", at, report).map(HookTarget::Lsm)
}

/// A name of something in the kernel or in a program.
pub(super) fn name(name: &str, what: &str, at: &FieldPath, report: &mut Report) -> Option<String> {
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'$' | b'-');
    if name.is_empty() || name.len() > SYMBOL_BYTES_MAX || !name.bytes().all(letter) {
        let found = if name.is_empty() { "nothing".to_owned() } else { quoted(name) };
        report.refuse(at, found, format!("the name of {what}: letters, digits and `_`"));
        return None;
    }
    Some(name.to_owned())
}

fn message(message: Option<&str>, at: &FieldPath, report: &mut Report) -> Option<String> {
    bounded(message?, MESSAGE_CHARS, &at.member("message"), report)
}

fn tags(tags: &[String], at: &FieldPath, report: &mut Report) -> Vec<String> {
    let at = at.member("tags");
    if tags.len() > TAGS_MAX {
        report.refuse(&at, format!("{} tags", tags.len()), format!("at most {TAGS_MAX}"));
    }
    let each = tags.iter().enumerate();
    each.filter_map(|(place, tag)| bounded(tag, TAG_CHARS, &at.index(place), report)).collect()
}

/// A text shown in events: too short is refused, too long is cut.
fn bounded(
    text: &str,
    chars: std::ops::RangeInclusive<usize>,
    at: &FieldPath,
    report: &mut Report,
) -> Option<String> {
    let count = text.chars().count();
    if count < *chars.start() {
        report.refuse(at, quoted(text), format!("{} to {} characters", chars.start(), chars.end()));
        return None;
    }
    if count > *chars.end() {
        report.warn(at, format!("{count} characters"), format!("events show the first {}", chars.end()));
    }
    Some(text.chars().take(*chars.end()).collect())
}
