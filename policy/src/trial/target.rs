//! Where the event of a case happens.

use super::cases::EventSpec;
use crate::model::{HookTarget, UserPlace};

/// The fields of which a case has one.
pub(super) const FIELDS: &str = "lsmhook, kprobe, syscall, tracepoint, uprobe, usdt, loader, line";

/// A field, what was found in it, what is allowed.
type Wrong = (&'static str, String, &'static str);

/// How many of [`FIELDS`] a case has.
pub(super) fn count(spec: &EventSpec) -> usize {
    let fields = [
        &spec.lsmhook,
        &spec.kprobe,
        &spec.syscall,
        &spec.tracepoint,
        &spec.uprobe,
        &spec.usdt,
        &spec.loader,
        &spec.line,
    ];
    fields.iter().filter(|field| field.is_some()).count()
}

/// The place that a case names; it has one and no `line`.
pub(super) fn of(spec: &EventSpec) -> Result<HookTarget, Wrong> {
    if let Some(name) = &spec.lsmhook {
        return Ok(HookTarget::Lsm(name.clone()));
    }
    if let Some(name) = &spec.kprobe {
        return Ok(HookTarget::Function(name.clone()));
    }
    if let Some(name) = &spec.syscall {
        return Ok(HookTarget::of_syscall(name));
    }
    if let Some(text) = &spec.uprobe {
        let allowed = "a path and a symbol, as /bin/bash:readline";
        let (path, symbol) = in_file(text).ok_or_else(|| wrong("uprobe", text, allowed))?;
        return Ok(UserPlace::function(symbol).of(path));
    }
    if let Some(text) = &spec.usdt {
        let allowed = "a path, a provider and a name, as /usr/bin/python3:python:line";
        let probe = || {
            let (path, name) = in_file(text)?;
            let (path, provider) = in_file(path)?;
            let place = UserPlace::Probe { provider: provider.to_owned(), name: name.to_owned() };
            Some(place.of(path))
        };
        return probe().ok_or_else(|| wrong("usdt", text, allowed));
    }
    if spec.loader.is_some() {
        return Ok(HookTarget::Mapping);
    }
    let text = spec.tracepoint.as_deref().unwrap_or_default();
    let allowed = "a group and a name, as sched/sched_process_exec";
    let (subsystem, event) = text.split_once('/').ok_or_else(|| wrong("tracepoint", text, allowed))?;
    Ok(HookTarget::Tracepoint { subsystem: subsystem.to_owned(), event: event.to_owned(), raw: false })
}

/// A path and what is behind its last colon, which the names of functions and probes have none of.
fn in_file(text: &str) -> Option<(&str, &str)> {
    text.rsplit_once(':').filter(|(path, _)| path.starts_with('/'))
}

fn wrong(field: &'static str, text: &str, allowed: &'static str) -> Wrong {
    (field, format!("`{text}`"), allowed)
}
