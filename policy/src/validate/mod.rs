//! From what users write to what Lictor accepts: every check that needs no kernel.

mod action;
mod advice;
mod argument;
mod contradiction;
mod endpoints;
mod enforcer;
mod expression;
mod hook;
mod letters;
mod lists;
mod loader;
mod names;
mod number;
mod process;
mod registers;
mod report;
mod scope;
mod selector;
mod syscalls;
mod text;
mod user;
mod value;

use crate::model::{FieldPath, Hook, Mode, OnUnresolved, Policy, PolicyKey};
use crate::spec::{Kind, ModeName, OnUnresolvedName, OptionSpec, PolicySpec, TracingPolicy};
use crate::violation::{Violations, Warning, did_you_mean};
use lists::Shared;
use report::{Report, quoted};

pub use advice::ADVICE;
#[cfg(any(test, feature = "testing"))]
pub(crate) use enforcer::call_hooks;
pub(crate) use loader::PROT_EXEC;
pub use names::{BPF_COMMANDS, CAPABILITIES};
pub(crate) use number::{low_bits, parse as parse_number};
pub use syscalls::syscall_function;
pub(crate) use value::{FILE_TYPES, file_type};

/// Longest name of a policy, bytes: that of a DNS name, which Kubernetes demands.
const NAME_BYTES_MAX: usize = 253;

/// Longest name of a namespace, bytes: that of a DNS label.
const NAMESPACE_BYTES_MAX: usize = 63;

/// Checks a policy and gives it its meaning.
///
/// # Errors
/// Everything in it that does not fit together.
pub fn validate(document: &TracingPolicy) -> Result<(Policy, Vec<Warning>), Violations> {
    let mut report = Report::default();
    let policy = policy(document, &mut report);
    match policy {
        Some(policy) if report.violations.is_empty() => {
            advice::advise(&policy, &mut report);
            Ok((policy, report.warnings))
        }
        _ => Err(report.violations),
    }
}

fn policy(document: &TracingPolicy, report: &mut Report) -> Option<Policy> {
    let key = key(document, report);
    let nodes = scope::nodes(document, report);
    let scope = scope::scope(document, report);
    let spec = &document.spec;
    let at = FieldPath::new("spec");
    let mode = mode(spec, &at, report);
    let on_unresolved = spec.on_unresolved.map(|name| match name {
        OnUnresolvedName::Match => OnUnresolved::Match,
        OnUnresolvedName::Skip => OnUnresolved::Skip,
    });
    let mut hooks: Vec<Option<Hook>> = Vec::new();
    let shared = Shared::new(document, scope.as_ref(), &at, report);
    for (name, specs, watches) in [("kprobes", &spec.kprobes, false), ("fentries", &spec.fentries, true)] {
        for (place, kprobe) in specs.iter().enumerate() {
            let at = at.member(name).index(place);
            let Some(each) = shared.hooks(kprobe, &at, report) else {
                hooks.push(None);
                continue;
            };
            for kprobe in each {
                hooks.push(hook::kprobe(&kprobe, watches, &shared, &at, report));
            }
        }
    }
    for (place, spec) in spec.tracepoints.iter().enumerate() {
        hooks.push(hook::tracepoint(spec, &shared, &at.member("tracepoints").index(place), report));
    }
    for (place, spec) in spec.lsmhooks.iter().enumerate() {
        hooks.push(hook::lsm(spec, &shared, &at.member("lsmhooks").index(place), report));
    }
    for (place, uprobe) in spec.uprobes.iter().enumerate() {
        let at = at.member("uprobes").index(place);
        user::only_cluster_wide(document.kind, &at, report);
        hooks.extend(hook::uprobe(uprobe, &shared, &at, report));
    }
    for (place, usdt) in spec.usdts.iter().enumerate() {
        let at = at.member("usdts").index(place);
        user::only_cluster_wide(document.kind, &at, report);
        hooks.push(hook::usdt(usdt, &shared, &at, report));
    }
    if spec.loader {
        hooks.push(Some(loader::hook(&at.member("loader"))));
    }
    let none = spec.kprobes.is_empty() && spec.fentries.is_empty() && spec.tracepoints.is_empty();
    let none = none && spec.lsmhooks.is_empty() && spec.uprobes.is_empty() && spec.usdts.is_empty();
    if none && !spec.loader {
        let allowed = "at least one of kprobes, fentries, tracepoints, lsmhooks, uprobes, usdts, loader";
        report.refuse(&at, "a policy without hooks", allowed);
    }
    let calls = enforcer::calls(spec, &shared, &at, report);
    shared.warn_about_unused(&at, report);
    let mut hooks = hooks.into_iter().collect::<Option<Vec<Hook>>>()?;
    hooks.extend(enforcer::hooks(calls, &hooks, &at, report));
    Some(Policy { key: key?, mode, on_unresolved, nodes, scope, hooks })
}

fn key(document: &TracingPolicy, report: &mut Report) -> Option<PolicyKey> {
    let metadata = &document.metadata;
    let at = FieldPath::new("metadata");
    let namespace = metadata.namespace.as_deref().filter(|namespace| !namespace.is_empty());
    let namespace = match (document.kind, namespace) {
        (Kind::TracingPolicy, Some(namespace)) => {
            let hint = "a TracingPolicy has no namespace; it is ignored";
            report.warn(&at.member("namespace"), quoted(namespace), hint);
            Some(None)
        }
        (Kind::TracingPolicy, None) => Some(None),
        (Kind::TracingPolicyNamespaced, Some(namespace)) if is_namespace(namespace) => {
            Some(Some(namespace.to_owned()))
        }
        (Kind::TracingPolicyNamespaced, found) => {
            let found = found.map_or_else(|| "no namespace".to_owned(), quoted);
            let allowed = format!(
                "the namespace of the policy and of its pods: lower-case letters, digits and `-`, beginning and ending with a letter or digit, at most {NAMESPACE_BYTES_MAX} characters"
            );
            report.refuse(&at.member("namespace"), found, allowed);
            None
        }
    };
    let name = &metadata.name;
    let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let part = |part: &str| {
        let bytes = part.as_bytes();
        let ends = bytes.first().copied().is_some_and(letter) && bytes.last().copied().is_some_and(letter);
        ends && bytes.iter().all(|byte| letter(*byte) || *byte == b'-')
    };
    if name.len() > NAME_BYTES_MAX || !name.split('.').all(part) {
        let found = if name.is_empty() { "an empty name".to_owned() } else { quoted(name) };
        let allowed = format!(
            "lower-case letters, digits, `-` and `.`, beginning and ending with a letter or digit, at most {NAME_BYTES_MAX} characters"
        );
        report.refuse(&at.member("name"), found, allowed);
        return None;
    }
    Some(PolicyKey { namespace: namespace?, name: name.clone() })
}

fn is_namespace(name: &str) -> bool {
    let letter = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = name.as_bytes();
    name.len() <= NAMESPACE_BYTES_MAX
        && bytes.first().is_some_and(letter)
        && bytes.last().is_some_and(letter)
        && bytes.iter().all(|byte| letter(byte) || *byte == b'-')
}

fn mode(spec: &PolicySpec, at: &FieldPath, report: &mut Report) -> Mode {
    let mut mode = spec.mode.map(|name| match name {
        ModeName::Enforce => Mode::Enforce,
        ModeName::Monitor => Mode::Monitor,
    });
    for (place, option) in spec.options.iter().enumerate() {
        let at = at.member("options").index(place);
        let Some(asked) = option_mode(option, &at, report) else { continue };
        if mode.is_some_and(|mode| mode != asked) {
            report.refuse(&at.member("value"), quoted(&option.value), "the mode that is asked for elsewhere");
        }
        mode = mode.or(Some(asked));
    }
    mode.unwrap_or(Mode::Enforce)
}

/// The mode that an option sets; says what is wrong with other options.
fn option_mode(option: &OptionSpec, at: &FieldPath, report: &mut Report) -> Option<Mode> {
    let value = option.value.as_str();
    let boolean = "a truth value: true, false, 1, 0";
    let allowed = match option.name.as_str() {
        "policy-mode" => match value {
            "enforce" => return Some(Mode::Enforce),
            "monitor" => return Some(Mode::Monitor),
            _ => "enforce, monitor",
        },
        "disable-kprobe-multi" | "disable-uprobe-multi" if is_boolean(value) => return None,
        "disable-kprobe-multi" | "disable-uprobe-multi" => boolean,
        "override-method" if ["fmod-ret", "override-return"].contains(&value) => return None,
        "override-method" => "fmod-ret, override-return",
        "sleepable-preload-size" if value.parse::<u32>().is_ok() => return None,
        "sleepable-preload-size" => "a number",
        name => {
            const NAMES: [&str; 5] = [
                "policy-mode",
                "disable-kprobe-multi",
                "disable-uprobe-multi",
                "override-method",
                "sleepable-preload-size",
            ];
            let allowed = NAMES.join(", ");
            match did_you_mean(name, NAMES) {
                Some(hint) => report.refuse_with(&at.member("name"), quoted(name), allowed, hint),
                None => report.refuse(&at.member("name"), quoted(name), allowed),
            }
            return None;
        }
    };
    report.refuse(&at.member("value"), quoted(value), allowed);
    None
}

/// As the established implementation reads them.
fn is_boolean(text: &str) -> bool {
    ["1", "t", "true", "0", "f", "false"].contains(&text.to_ascii_lowercase().as_str())
}
