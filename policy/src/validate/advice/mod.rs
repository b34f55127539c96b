//! Advice: what is legal and probably not what was wanted. Never a reason to refuse a policy.

mod hooks;
mod shadow;

use super::report::Report;
use crate::model::{
    ArgKind, ArgSource, FieldPath, Hook, HookTarget, MAPPING_HOOK, Mode, OnUnresolved, Origin, Policy,
    Predicate, Rule, TextTest, ValueTest,
};

/// `SIGKILL`
const SIGKILL: u8 = 9;

/// Names of the advice that is given, and what each is about in one sentence.
pub const ADVICE: [(&str, &str); 11] = [
    ("user-memory", "A signal is decided by memory that the process can change after the check."),
    ("kill-without-verdict", "Sigkill at a place where the operation may be done before the process ends."),
    ("signal-without-verdict", "A signal at a place that could deny, where the operation goes on."),
    ("other-calls", "Other system calls do the same and are not guarded."),
    ("io-uring", "io_uring does the same without the system call."),
    ("flood", "Every call is reported, at a place that every program passes all the time."),
    ("truncate-hooks", "Newer kernels ask about some truncations at another hook."),
    ("shadowed", "An earlier selector of the same hook holds whenever this one does."),
    ("hash-of-denied", "The hash of a file is shown where the operation goes on, and the rule denies it."),
    (
        "hash-at-open",
        "Where a file is being opened it cannot be read yet: only hashes that IMA has already are shown.",
    ),
    ("hard-link", "A rule denies by path, and a hard link is another path."),
];

/// Says what is unwise about a policy.
pub(super) fn advise(policy: &Policy, report: &mut Report) {
    // What is to be said of what an enforcer does is said of those that notify it.
    for hook in policy.hooks.iter().filter(|hook| !hook.is_enforcer()) {
        user_memory(hook, report);
        without_verdict(hook, report);
        ways_around(policy, hook, report);
        flood(hook, report);
        truncation(policy, hook, report);
        shadow::shadowed(policy, hook, report);
        missing_hashes(policy, hook, report);
    }
    hard_links(policy, report);
}

/// The system call that a hook watches at its beginning, be it by its function or by its tracepoint.
fn system_call(hook: &Hook) -> Option<&str> {
    match &hook.target {
        HookTarget::Syscall(name) | HookTarget::Syscall32(name) => Some(name),
        HookTarget::Tracepoint { subsystem, event, .. } if subsystem == "syscalls" => {
            event.strip_prefix("sys_enter_")
        }
        HookTarget::Function(_)
        | HookTarget::Functions(_)
        | HookTarget::Syscalls
        | HookTarget::Tracepoint { .. }
        | HookTarget::Lsm(_)
        | HookTarget::User { .. }
        | HookTarget::Mapping => None,
    }
}

/// The LSM hook that a hook is, whichever way it is written.
fn security_hook(hook: &Hook) -> Option<&str> {
    match &hook.target {
        HookTarget::Lsm(name) => Some(name),
        HookTarget::Mapping => Some(MAPPING_HOOK),
        HookTarget::Function(name) => name.strip_prefix("security_"),
        HookTarget::Functions(_)
        | HookTarget::Syscalls
        | HookTarget::Syscall(_)
        | HookTarget::Syscall32(_)
        | HookTarget::Tracepoint { .. }
        | HookTarget::User { .. } => None,
    }
}

/// "the LSM hook `file_open`", where the operation of a hook passes one.
fn better_place(hook: &Hook) -> Option<String> {
    let name = match &hook.target {
        HookTarget::Function(name) => name.as_str(),
        HookTarget::Functions(_)
        | HookTarget::Syscalls
        | HookTarget::Syscall(_)
        | HookTarget::Syscall32(_)
        | HookTarget::Tracepoint { .. }
        | HookTarget::Lsm(_)
        | HookTarget::User { .. }
        | HookTarget::Mapping => system_call(hook)?,
    };
    let known = hooks::ASKED.iter().find(|(_, operations)| operations.contains(&name))?;
    Some(format!("the LSM hook `{}`", known.0))
}

fn enforcing(hook: &Hook) -> impl Iterator<Item = &Rule> {
    hook.rules.iter().filter(|rule| rule.actions.enforces())
}

/// Hashes that are not there: those of what is denied, since the kernel computes a hash behind the verdict and not at all
/// behind one that denies, and those of files that are not open yet.
fn missing_hashes(policy: &Policy, hook: &Hook, report: &mut Report) {
    let hashing = hook.rules.iter().find(|rule| rule.actions.hash);
    if let Some(rule) =
        hashing.filter(|_| matches!(&hook.target, HookTarget::Lsm(name) if name == "file_open"))
    {
        report.advise(
            "hash-at-open",
            &rule.at.member("matchActions"),
            "imaHash at file_open, where the file cannot be read yet",
            "events have hashes that IMA has by its own policy, and no others; `file_post_open` (kernel 6.9 and newer) has them all",
        );
    }
    if policy.mode == Mode::Monitor {
        return;
    }
    let denies = |rule: &&Rule| rule.actions.deny.is_some() || rule.actions.signal == Some(SIGKILL);
    if let Some(rule) = hook.rules.iter().filter(denies).find(|rule| rule.actions.hash) {
        report.advise(
            "hash-of-denied",
            &rule.at.member("matchActions"),
            "imaHash of a rule that denies",
            "what is denied is not read: these events have no hash; a policy of its own that only reports shows it for what is allowed",
        );
    }
}

/// A verdict or a signal that depends on memory of the process, which another of its threads can change afterwards.
fn user_memory(hook: &Hook, report: &mut Report) {
    if system_call(hook).is_none() {
        return;
    }
    let found =
        enforcing(hook).flat_map(|rule| &rule.predicates).find_map(|predicate| in_memory(hook, predicate));
    let Some((at, origin)) = found else { return };
    let place = better_place(hook).unwrap_or_else(|| "an LSM hook".to_owned());
    report.advise(
        "user-memory",
        at,
        format!("enforcement decided by {origin}, which lies in the memory of the process"),
        format!("the process can change it after the check; {place} sees the kernel's own copy"),
    );
}

/// The place of a filter on a value that lies in the memory of the process, and which value that is.
fn in_memory<'a>(hook: &Hook, predicate: &'a Predicate) -> Option<(&'a FieldPath, Origin)> {
    let Predicate::Arg { at, arg, test } = predicate else { return None };
    let described = hook.args.get(*arg)?;
    let text = match described.kind {
        ArgKind::String
        | ArgKind::CharBuf
        | ArgKind::CharIovec
        | ArgKind::Filename
        | ArgKind::Sockaddr
        | ArgKind::SockaddrUn => true,
        ArgKind::Auto => matches!(test, ValueTest::Text(_)),
        ArgKind::Int(_)
        | ArgKind::File
        | ArgKind::Fd
        | ArgKind::Path
        | ArgKind::Dentry
        | ArgKind::LinuxBinprm
        | ArgKind::Capability
        | ArgKind::Syscall
        | ArgKind::Sock
        | ArgKind::Socket
        | ArgKind::Skb
        | ArgKind::Cred
        | ArgKind::UserNamespace
        | ArgKind::Module
        | ArgKind::BpfAttr
        | ArgKind::BpfMap
        | ArgKind::PerfEvent
        | ArgKind::NetDevice
        | ArgKind::Capabilities(_)
        | ArgKind::BpfCmd
        | ArgKind::BpfProg
        | ArgKind::LoadInfo
        | ArgKind::Kiocb
        | ArgKind::IovIter
        | ArgKind::DataLoc
        | ArgKind::ConstBuf
        | ArgKind::Nop => false,
    };
    let of_process = text && described.source != ArgSource::CurrentTask && !described.return_copy;
    of_process.then(|| (at, described.origin()))
}

/// Signals where the operation goes on.
fn without_verdict(hook: &Hook, report: &mut Report) {
    let signal = |wanted: fn(u8) -> bool| {
        // What is asked for at the end is meant to come then.
        enforcing(hook)
            .filter(|rule| !rule.actions.late)
            .find(|rule| rule.actions.deny.is_none() && rule.actions.signal.is_some_and(wanted))
    };
    if security_hook(hook).is_none() {
        let (Some(rule), Some(place)) = (signal(|signal| signal == SIGKILL), better_place(hook)) else {
            return;
        };
        report.advise(
            "kill-without-verdict",
            &rule.at.member("matchActions"),
            "`Sigkill` where the kernel asks nobody",
            format!(
                "the operation may be done before the process ends; on {place} it would be denied as well"
            ),
        );
        return;
    }
    if let Some(rule) = signal(|signal| signal != SIGKILL) {
        report.advise(
            "signal-without-verdict",
            &rule.at.member("matchActions"),
            "`Signal` alone on a hook that can deny",
            "the operation goes on, whatever the signal does; add `Override` to prevent it",
        );
    }
    let late = hook.args.iter().any(|arg| arg.return_copy)
        || hook
            .rules
            .iter()
            .flat_map(|rule| &rule.predicates)
            .any(|one| matches!(one, Predicate::Return { .. }))
        || hook.rules.iter().any(|rule| rule.actions.late);
    if let (true, Some(rule)) = (late, signal(|signal| signal == SIGKILL)) {
        report.advise(
            "kill-without-verdict",
            &rule.at.member("matchActions"),
            "`Sigkill` at the end of a function that could have been denied",
            "the operation is done by then; without `matchReturnArgs` and `returnCopy`, it would be denied as well",
        );
    }
}

/// Enforcement on one system call of several that do the same.
fn ways_around(policy: &Policy, hook: &Hook, report: &mut Report) {
    let (Some(call), Some(rule)) = (system_call(hook), enforcing(hook).next()) else { return };
    let place = better_place(hook).map_or_else(String::new, |place| format!("; {place} sees them all"));
    if let Some(group) = hooks::SAME.iter().find(|group| group.contains(&call)) {
        let guarded = |name: &str| {
            policy
                .hooks
                .iter()
                .any(|hook| system_call(hook) == Some(name) && enforcing(hook).next().is_some())
        };
        let open: Vec<String> =
            group.iter().filter(|name| !guarded(name)).map(|name| format!("`{name}`")).collect();
        if !open.is_empty() {
            report.advise(
                "other-calls",
                &rule.at,
                format!("a rule for `{call}` that no rule for {} goes with", open.join(", ")),
                format!("a program can use one of them instead{place}"),
            );
        }
    }
    if hooks::io_uring_does(call) {
        report.advise(
            "io-uring",
            &rule.at,
            format!("a rule for `{call}`"),
            format!("programs can ask for the same through io_uring, without the system call{place}"),
        );
    }
}

/// Reports without limit from where a machine is at thousands of times a second.
fn flood(hook: &Hook, report: &mut Report) {
    let busy = match &hook.target {
        HookTarget::Syscall(name) | HookTarget::Syscall32(name) => hooks::BUSY_CALLS.contains(&name.as_str()),
        HookTarget::Function(name) => hooks::BUSY_FUNCTIONS.contains(&name.as_str()),
        HookTarget::Functions(pattern) => hooks::BUSY_FUNCTIONS.iter().any(|name| pattern.fits(name)),
        HookTarget::Syscalls => true,
        HookTarget::Lsm(name) => hooks::BUSY_HOOKS.contains(&name.as_str()),
        HookTarget::Tracepoint { subsystem, .. } if subsystem == "raw_syscalls" => true,
        HookTarget::Tracepoint { .. } => {
            system_call(hook).is_some_and(|name| hooks::BUSY_CALLS.contains(&name))
        }
        HookTarget::User { .. } | HookTarget::Mapping => false,
    };
    let loud =
        |rule: &&Rule| rule.actions.post && rule.actions.rate_limit.is_none() && rule.predicates.is_empty();
    let Some(rule) = hook.rules.iter().find(loud).filter(|_| busy) else { return };
    report.advise(
        "flood",
        &rule.at,
        "a report of every call, at a place that every program passes all the time",
        "filter by matchBinaries or matchArgs, or give `Post` a rateLimit",
    );
}

/// Kernels ask about `ftruncate` elsewhere since 6.2 (commit 3350607dc563, "security: Create `file_truncate` hook
/// from `path_truncate` hook").
fn truncation(policy: &Policy, hook: &Hook, report: &mut Report) {
    let others = policy.hooks.iter().any(|hook| security_hook(hook) == Some("file_truncate"));
    if security_hook(hook) == Some("path_truncate") && !others {
        report.advise(
            "truncate-hooks",
            &hook.at,
            "a hook on `path_truncate` without one on `file_truncate`",
            "since Linux 6.2, ftruncate and O_TRUNC ask `file_truncate` instead",
        );
    }
}

/// A rule that names a path and denies: the file can have another name.
fn hard_links(policy: &Policy, report: &mut Report) {
    let links = ["path_link", "inode_link"];
    let watched = policy.hooks.iter().filter_map(security_hook).any(|name| links.contains(&name));
    if watched {
        return;
    }
    let named = |hook: &Hook, predicate: &Predicate| match predicate {
        Predicate::Arg { arg, test: ValueTest::Text(test), .. } => {
            let kind = hook.args.get(*arg).map(|arg| arg.kind);
            let file = matches!(kind, Some(ArgKind::File | ArgKind::Fd | ArgKind::Path | ArgKind::Dentry));
            file && evaded(test)
        }
        Predicate::Arg { .. }
        | Predicate::Return { .. }
        | Predicate::Expression(_)
        | Predicate::Workload(_)
        | Predicate::Binary(_)
        | Predicate::Pid(_)
        | Predicate::Namespace(_)
        | Predicate::Capability(_)
        | Predicate::NamespaceChange(_)
        | Predicate::CapabilityChange(_)
        | Predicate::Notified(_) => false,
    };
    for hook in &policy.hooks {
        let rule =
            enforcing(hook).find(|rule| rule.predicates.iter().any(|predicate| named(hook, predicate)));
        if let Some(rule) = rule {
            report.advise(
                "hard-link",
                &rule.at.member("matchArgs"),
                "a rule that knows the file by its path alone",
                "a hard link is another path; watch `path_link` too, and keep fs.protected_hardlinks at 1",
            );
            return;
        }
    }
}

/// Whether another name of a file escapes a test.
fn evaded(test: &TextTest) -> bool {
    !test.negated
}

/// What a rule does when it cannot read a value, as the oracle decides it.
fn matches_unresolved(policy: &Policy, rule: &Rule) -> bool {
    policy.on_unresolved.map_or(rule.actions.enforces(), |name| name == OnUnresolved::Match)
}
