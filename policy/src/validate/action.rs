//! Actions: from a list to what is done.

use super::registers;
use super::report::{Report, quoted};
use crate::model::{
    Actions, Call, Enforcement, FieldPath, NotifyAction, ProgramWrite, RateLimit, RateLimitScope, SetAction,
    ShownAction, SocketAction, Stacks,
};
use crate::spec::{
    ActionName, ActionSpec, DNS_LABEL_BYTES_MAX, DNS_NAME_BYTES_MAX, RateLimitScopeName, URL_BYTES_MAX,
};

/// Longest rate limit: a year. Longer ones are slips, and nanoseconds of up to 584 years fit the kernel's tables.
const RATE_LIMIT_SECONDS_MAX: u64 = 365 * 24 * 3600;

/// What the kernel takes for an error.
const ERRNOS: std::ops::RangeInclusive<i64> = -4095..=-1;

/// `SIGKILL`
const SIGKILL: u8 = 9;

/// LSM hooks that are asked about a file, or about a program to be run, as their first argument, and at which programs may
/// sleep, on every supported kernel that has them (`sleepable_lsm_hooks` in `kernel/bpf/bpf_lsm.c`); those that return nothing are left
/// out.
pub(crate) const HASHED_HOOKS: [&str; 9] = [
    "bprm_check_security",
    "bprm_creds_for_exec",
    "bprm_creds_from_file",
    "file_ioctl",
    "file_lock",
    "file_open",
    "file_post_open",
    "file_receive",
    "mmap_file",
];

/// What the hook lets actions do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Abilities {
    /// The operation can be replaced by an error.
    pub(super) deny: bool,
    /// The process can be sent a signal.
    pub(super) signal: bool,
    /// The program's registers can be written.
    pub(super) registers: bool,
    /// Whether the policy's enforcer can be notified.
    pub(super) notifies: Notifies,
    /// What is being executed there.
    pub(super) within: Within,
    /// Why it cannot fail or be signalled, if so.
    pub(super) reason: &'static str,
}

/// Whether rules of a hook can notify the policy's enforcer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Notifies {
    /// They can.
    Yes,
    /// The policy has none.
    NoEnforcer,
    /// The hook can deny by itself.
    ActsItself,
    /// It is in a program.
    InProgram,
}

/// What is being executed where a hook is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Within {
    /// Functions of the kernel.
    Kernel,
    /// The same, asked about a file whose hash the kernel can compute.
    KernelWithFile,
    /// A function of a program.
    Program,
    /// A program's own probe, which tells where its arguments are.
    Probe,
}

/// Folds the actions of a selector; says what is wrong.
pub(super) fn fold(
    specs: &[ActionSpec],
    abilities: Abilities,
    at: &FieldPath,
    report: &mut Report,
) -> Actions {
    let mut actions = Actions { post: true, ..Actions::default() };
    let mut seen: Vec<ActionName> = Vec::new();
    for (place, spec) in specs.iter().enumerate() {
        let at = at.index(place);
        arguments(spec, &at, report);
        // Several calls are made; anything else twice is a slip.
        let calls = matches!(spec.action, ActionName::GetUrl | ActionName::DnsLookup);
        if !calls && seen.contains(&spec.action) {
            report.refuse(
                &at.member("action"),
                format!("`{:?}` a second time", spec.action),
                "each action once",
            );
            continue;
        }
        seen.push(spec.action);
        match spec.action {
            ActionName::Post => {
                actions.rate_limit = rate_limit(spec, &at, report);
                actions.stacks = stacks(spec, abilities, &at, report);
                actions.hash = hash(spec, abilities, &at, report);
            }
            ActionName::NoPost => actions.post = false,
            ActionName::Sigkill | ActionName::Signal if !abilities.signal => {
                let found = format!("`{:?}` at a hook that only watches", spec.action);
                report.refuse_with(
                    &at.member("action"),
                    found,
                    "Post, NoPost, GetUrl, DnsLookup, TrackSock, UntrackSock, NotifyEnforcer, \
                     CleanupEnforcerNotification",
                    abilities.reason,
                );
            }
            ActionName::Sigkill => actions.signal = Some(SIGKILL),
            ActionName::Signal => actions.signal = signal(spec, &at, report).or(actions.signal),
            ActionName::Override if abilities.registers => {
                actions.set = registers::action(spec, &at, report).map(ProgramWrite::Registers);
            }
            ActionName::Override => actions.deny = error(spec, abilities, &at, report),
            ActionName::GetUrl => actions.calls.extend(url(spec, &at, report).map(Call::Url)),
            ActionName::DnsLookup => actions.calls.extend(name(spec, &at, report).map(Call::Name)),
            ActionName::TrackSock | ActionName::UntrackSock => {
                let arg = usize::try_from(spec.arg_sock.unwrap_or(0)).ok();
                actions.socket = Some(SocketAction { arg, track: spec.action == ActionName::TrackSock });
            }
            ActionName::NotifyEnforcer | ActionName::CleanupEnforcerNotification => {
                actions.notify = notify(spec, abilities, &at, report);
            }
            ActionName::Set => actions.set = set(spec, abilities, &at, report).map(ProgramWrite::Argument),
        }
        actions.shown = shown(spec.action);
    }
    contradictions(&seen, at, report);
    actions
}

/// Actions of one list that contradict each other.
fn contradictions(seen: &[ActionName], at: &FieldPath, report: &mut Report) {
    for (one, other) in [
        (ActionName::Post, ActionName::NoPost),
        (ActionName::Sigkill, ActionName::Signal),
        (ActionName::TrackSock, ActionName::UntrackSock),
        (ActionName::NotifyEnforcer, ActionName::CleanupEnforcerNotification),
    ] {
        if seen.contains(&one) && seen.contains(&other) {
            report.refuse(
                at,
                format!("`{one:?}` and `{other:?}`, which contradict each other"),
                "one of the two",
            );
        }
    }
}

/// Adds what is done at the function's end to what `actions` (those of `matchActions`) say.
pub(super) fn at_the_end(
    mut actions: Actions,
    specs: &[ActionSpec],
    abilities: Abilities,
    at: &FieldPath,
    report: &mut Report,
) -> Actions {
    if actions.enforces() || !actions.calls.is_empty() {
        let hint = "with `return: true` all is done at the function's end: write it here, or give it a hook of its own";
        report.refuse_with(
            at,
            "`matchReturnActions` besides `matchActions` that act",
            "one of the two",
            hint,
        );
    }
    let reason =
        if abilities.signal { "the operation is done when the function has ended" } else { abilities.reason };
    let late = fold(specs, Abilities { deny: false, registers: false, reason, ..abilities }, at, report);
    actions.post &= late.post;
    actions.rate_limit = late.rate_limit.or(actions.rate_limit);
    actions.stacks.kernel |= late.stacks.kernel;
    actions.stacks.user |= late.stacks.user;
    actions.hash |= late.hash;
    actions.late = late.signal.is_some() || late.notify.is_some();
    actions.notify = late.notify.or(actions.notify);
    actions.signal = late.signal;
    actions.calls = late.calls;
    actions.socket = late.socket.or(actions.socket);
    actions.shown_return = late.shown;
    actions
}

fn shown(action: ActionName) -> ShownAction {
    match action {
        ActionName::Post => ShownAction::Post,
        ActionName::NoPost => ShownAction::NoPost,
        ActionName::Sigkill => ShownAction::Sigkill,
        ActionName::Signal => ShownAction::Signal,
        ActionName::Override => ShownAction::Override,
        ActionName::GetUrl => ShownAction::GetUrl,
        ActionName::DnsLookup => ShownAction::DnsLookup,
        ActionName::TrackSock => ShownAction::TrackSock,
        ActionName::UntrackSock => ShownAction::UntrackSock,
        ActionName::NotifyEnforcer => ShownAction::NotifyEnforcer,
        ActionName::CleanupEnforcerNotification => ShownAction::CleanupEnforcerNotification,
        ActionName::Set => ShownAction::Set,
    }
}

/// Arguments that belong to other actions.
fn arguments(spec: &ActionSpec, at: &FieldPath, report: &mut Report) {
    if let Some(name) = registers::given(spec)
        && spec.action != ActionName::Override
    {
        let hint = "it has no effect here: it belongs to `Override`";
        report.warn(&at.member(name), format!("`{name}` of `{:?}`", spec.action), hint);
    }
    let given: [(&str, bool, &[ActionName]); 7] = [
        ("argError", spec.arg_error.is_some(), &[ActionName::Override, ActionName::NotifyEnforcer]),
        ("argSig", spec.arg_sig.is_some(), &[ActionName::Signal, ActionName::NotifyEnforcer]),
        ("argUrl", spec.arg_url.is_some(), &[ActionName::GetUrl]),
        ("argFqdn", spec.arg_fqdn.is_some(), &[ActionName::DnsLookup]),
        ("argIndex", spec.arg_index.is_some(), &[ActionName::Set]),
        ("argValue", spec.arg_value.is_some(), &[ActionName::Set]),
        ("argSock", spec.arg_sock.is_some(), &[ActionName::TrackSock, ActionName::UntrackSock]),
    ];
    for (name, given, owners) in given {
        if given && !owners.contains(&spec.action) {
            let owners: Vec<String> = owners.iter().map(|owner| format!("`{owner:?}`")).collect();
            let hint = format!("it has no effect here: it belongs to {}", owners.join(" and "));
            report.warn(&at.member(name), format!("`{name}` of `{:?}`", spec.action), hint);
        }
    }
    // No schema knows whose they are.
    if spec.arg_url.is_some() && spec.action != ActionName::GetUrl {
        url(spec, at, report);
    }
    if spec.arg_fqdn.is_some() && spec.action != ActionName::DnsLookup {
        name(spec, at, report);
    }
    // A limit that is not kept would be worse than a refusal: whoever wrote it counts on it.
    let limit = "add an action `Post` with the limit; only reports are limited";
    let stack = "add an action `Post` with it; only reports show stacks";
    let hash = "add an action `Post` with it; only reports show hashes";
    let of_reports = [
        ("rateLimit", spec.rate_limit.is_some(), limit),
        ("rateLimitScope", spec.rate_limit_scope.is_some(), limit),
        ("kernelStackTrace", spec.kernel_stack_trace, stack),
        ("userStackTrace", spec.user_stack_trace, stack),
        ("imaHash", spec.ima_hash, hash),
    ];
    for (name, given, hint) in of_reports {
        if given && spec.action != ActionName::Post {
            report.refuse_with(
                &at.member(name),
                format!("`{name}` of `{:?}`", spec.action),
                "`Post` only",
                hint,
            );
        }
    }
    if spec.rate_limit_scope.is_some() && spec.rate_limit.is_none() && spec.action == ActionName::Post {
        report.warn(
            &at.member("rateLimitScope"),
            "`rateLimitScope` without `rateLimit`",
            "it has no effect alone",
        );
    }
}

fn rate_limit(spec: &ActionSpec, at: &FieldPath, report: &mut Report) -> Option<RateLimit> {
    let text = spec.rate_limit.as_deref()?;
    let (digits, unit_seconds) = match text.as_bytes().last() {
        Some(b's' | b'S') => (&text[..text.len() - 1], 1),
        Some(b'm' | b'M') => (&text[..text.len() - 1], 60),
        Some(b'h' | b'H') => (&text[..text.len() - 1], 3600),
        _ => (text, 1),
    };
    let number =
        if digits.bytes().all(|digit| digit.is_ascii_digit()) { digits.parse::<u64>().ok() } else { None };
    let seconds = number.and_then(|number| number.checked_mul(unit_seconds));
    let Some(seconds @ 1..=RATE_LIMIT_SECONDS_MAX) = seconds else {
        let allowed = "seconds, or a number with s, m or h: 10, 10s, 5m, 1h; not 0, at most a year";
        report.refuse(&at.member("rateLimit"), quoted(text), allowed);
        return None;
    };
    let scope = match spec.rate_limit_scope {
        None | Some(RateLimitScopeName::Thread) => RateLimitScope::Thread,
        Some(RateLimitScopeName::Process) => RateLimitScope::Process,
        Some(RateLimitScopeName::Global) => RateLimitScope::Global,
    };
    Some(RateLimit { interval_ns: seconds * 1_000_000_000, scope })
}

fn stacks(spec: &ActionSpec, abilities: Abilities, at: &FieldPath, report: &mut Report) -> Stacks {
    if spec.kernel_stack_trace && matches!(abilities.within, Within::Program | Within::Probe) {
        report.refuse_with(
            &at.member("kernelStackTrace"),
            "`kernelStackTrace` at a place in a program",
            "`kernelStackTrace` under kprobes, fentries, tracepoints and lsmhooks",
            "the kernel executes nothing there; `userStackTrace` shows the program's functions",
        );
    }
    Stacks { kernel: spec.kernel_stack_trace, user: spec.user_stack_trace }
}

fn hash(spec: &ActionSpec, abilities: Abilities, at: &FieldPath, report: &mut Report) -> bool {
    let possible = abilities.within == Within::KernelWithFile;
    if spec.ima_hash && !possible {
        report.refuse_with(
            &at.member("imaHash"),
            "`imaHash` at a hook without a file that can be read there",
            format!("`imaHash` at the lsmhooks {}", HASHED_HOOKS.join(", ")),
            "the kernel computes a hash where it may wait for the file",
        );
    }
    spec.ima_hash && possible
}

fn signal(spec: &ActionSpec, at: &FieldPath, report: &mut Report) -> Option<u8> {
    if spec.arg_sig.is_none() {
        report.refuse(&at.member("argSig"), "nothing", "the number of a signal, 1 to 64");
    }
    u8::try_from(spec.arg_sig?).ok()
}

fn error(spec: &ActionSpec, abilities: Abilities, at: &FieldPath, report: &mut Report) -> Option<i16> {
    if !abilities.deny {
        report.refuse_with(
            &at.member("action"),
            "`Override`",
            "`Override` on lsmhooks, on functions whose name begins with `security_`, on system calls, and at the \
             beginning of functions of programs",
            abilities.reason,
        );
        return None;
    }
    if let Some(name) = registers::given(spec) {
        report.refuse_with(
            &at.member(name),
            format!("`{name}` where no program's registers are"),
            "`argError`",
            "registers are written under `uprobes`, at the beginning of a function",
        );
    }
    if spec.arg_error.is_none() {
        report.refuse_with(
            &at.member("argError"),
            "nothing",
            "a negative errno, -4095 to -1",
            "without an error to return nothing would be denied; -1 is EPERM",
        );
    }
    let number = spec.arg_error?;
    if !ERRNOS.contains(&number) {
        report.refuse(&at.member("argError"), format!("`{number}`"), "a negative errno, -4095 to -1");
    }
    i16::try_from(number).ok()
}

/// What becomes of the notification for the policy's enforcer; says so when it cannot be notified.
fn notify(
    spec: &ActionSpec,
    abilities: Abilities,
    at: &FieldPath,
    report: &mut Report,
) -> Option<NotifyAction> {
    let (found, hint) = match abilities.notifies {
        Notifies::Yes if spec.action == ActionName::CleanupEnforcerNotification => {
            return Some(NotifyAction::Cleanup);
        }
        Notifies::Yes => return enforcement(spec, at, report).map(NotifyAction::Leave),
        Notifies::NoEnforcer => (
            "in a policy without `enforcers`",
            "add `spec.enforcers` with the calls that are to return an error or to be signalled at",
        ),
        Notifies::ActsItself => ("under `lsmhooks`", "at an LSM hook the rule itself can deny: `Override`"),
        Notifies::InProgram => (
            "at a place in a program",
            "`Sigkill` ends the program before it goes on; the kernel's functions that it calls can be hooked",
        ),
    };
    report.refuse_with(
        &at.member("action"),
        format!("`{:?}` {found}", spec.action),
        format!("`{:?}` under kprobes, fentries and tracepoints of a policy with `enforcers`", spec.action),
        hint,
    );
    None
}

/// What is left for the policy's enforcer.
fn enforcement(spec: &ActionSpec, at: &FieldPath, report: &mut Report) -> Option<Enforcement> {
    let error = spec.arg_error.filter(|error| *error != 0);
    if let Some(error) = error.filter(|error| !ERRNOS.contains(error)) {
        report.refuse(&at.member("argError"), format!("`{error}`"), "a negative errno, -4095 to -1");
        return None;
    }
    if error.is_none() && spec.arg_sig.is_none() {
        let hint = "-1 as `argError` is EPERM; 9 as `argSig` ends the process";
        report.refuse_with(at, "nothing to carry out", "`argError`, `argSig` or both", hint);
        return None;
    }
    let deny = error.and_then(|error| i16::try_from(error).ok());
    Some(Enforcement { deny, signal: spec.arg_sig.and_then(|signal| u8::try_from(signal).ok()) })
}

fn set(spec: &ActionSpec, abilities: Abilities, at: &FieldPath, report: &mut Report) -> Option<SetAction> {
    if abilities.within != Within::Probe {
        report.refuse_with(
            &at.member("action"),
            "`Set`",
            "`Set` under usdts",
            "only arguments of a program's own probes can be set; `Override` and `Sigkill` stop an operation",
        );
        return None;
    }
    let value = spec.arg_value.unwrap_or(0);
    // A number with a sign and one without it are written as the same bits.
    let value = u32::try_from(value).or_else(|_| i32::try_from(value).map(i32::cast_unsigned)).ok()?;
    Some(SetAction { arg: usize::try_from(spec.arg_index.unwrap_or(0)).ok()?, value })
}

fn url(spec: &ActionSpec, at: &FieldPath, report: &mut Report) -> Option<String> {
    let at = at.member("argUrl");
    let allowed = format!("a URL that begins with http:// or https://, of at most {URL_BYTES_MAX} bytes");
    let Some(url) = spec.arg_url.as_deref() else {
        report.refuse(&at, "nothing", allowed);
        return None;
    };
    let lower = url.to_ascii_lowercase();
    let rest = lower.strip_prefix("http://").or_else(|| lower.strip_prefix("https://"));
    let host = rest.and_then(|rest| rest.split(['/', '?', '#']).next()).unwrap_or_default();
    let clean = url.bytes().all(|byte| byte.is_ascii_graphic());
    if host.is_empty() || host.starts_with(':') || !clean || url.len() > URL_BYTES_MAX {
        report.refuse(&at, quoted(url), allowed);
        return None;
    }
    Some(url.to_owned())
}

fn name(spec: &ActionSpec, at: &FieldPath, report: &mut Report) -> Option<String> {
    let at = at.member("argFqdn");
    let allowed = format!(
        "a name of at most {DNS_NAME_BYTES_MAX} bytes: labels of letters, digits, `-` and `_`, with dots between: \
         canary.example.org"
    );
    let Some(name) = spec.arg_fqdn.as_deref() else {
        report.refuse(&at, "nothing", allowed);
        return None;
    };
    let labels = name.strip_suffix('.').unwrap_or(name);
    if labels.len() > DNS_NAME_BYTES_MAX || !labels.split('.').all(is_label) {
        report.refuse(&at, quoted(name), allowed);
        return None;
    }
    Some(name.to_owned())
}

fn is_label(label: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=DNS_LABEL_BYTES_MAX).contains(&label.len())
        && label.bytes().all(known)
        && !label.starts_with('-')
        && !label.ends_with('-')
}
