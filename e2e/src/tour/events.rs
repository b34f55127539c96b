//! Events, and questions about them.

use std::collections::{BTreeSet, HashSet};
use std::fmt::Write as _;

use serde_json::{Map, Value};

/// The events of a step, in order.
#[derive(Debug, Default)]
pub(super) struct Events(Vec<Value>);

/// Members of a process that a person is shown.
const PROCESS_MEMBERS: [&str; 4] = ["pid", "uid", "binary", "arguments"];

/// Members of an event that a person is shown, beside its process.
const EVENT_MEMBERS: [&str; 7] =
    ["function_name", "args", "return", "action", "policy_name", "signal", "status"];

impl Events {
    pub(super) fn push(&mut self, event: Value) {
        self.0.push(event);
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The insides of the events of one kind, `process_lsm`.
    pub(super) fn of<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Value> {
        self.0.iter().filter_map(move |event| event.get(kind))
    }

    /// The events that a policy made, whole.
    pub(super) fn of_policy<'a>(&'a self, policy: &'a str) -> impl Iterator<Item = &'a Value> {
        self.0
            .iter()
            .filter(move |event| inside(event).is_some_and(|inside| text(inside, "/policy_name") == policy))
    }

    /// The end of the process that has this exec id.
    pub(super) fn end_of(&self, exec_id: &str) -> Option<&Value> {
        self.of("process_exit").find(|exit| text(exit, "/process/exec_id") == exec_id)
    }

    /// The begin of the program that has this exec id.
    pub(super) fn begin_of(&self, exec_id: &str) -> Option<&Value> {
        self.of("process_exec").find(|exec| text(exec, "/process/exec_id") == exec_id)
    }

    /// Events worth telling a person about: of these policies or kinds, by these programs, holding this text; one of
    /// each sort.
    pub(super) fn told(&self, shown: &[[String; 3]]) -> Vec<&Value> {
        let mut seen = HashSet::new();
        let mut told = Vec::new();
        for event in &self.0 {
            let (Some(kind), Some(inside)) = (kind(event), inside(event)) else { continue };
            let of = [kind, text(inside, "/policy_name")];
            let program = program(&inside["process"]);
            let sort =
                ["/function_name", "/process/arguments", "/args/0/file_arg/path", "/args/1/file_arg/path"]
                    .map(|member| text(inside, member));
            let wanted = shown.iter().any(|[what, by, holding]| {
                of.contains(&what.as_str()) && program == by && event.to_string().contains(holding)
            });
            if wanted && seen.insert((of, sort)) {
                told.push(event);
            }
        }
        told
    }
}

/// The file name of a process's program.
pub(super) fn program(process: &Value) -> &str {
    text(process, "/binary").rsplit('/').next().unwrap_or_default()
}

fn kind(event: &Value) -> Option<&str> {
    event.as_object()?.keys().find(|name| name.starts_with("process_")).map(String::as_str)
}

/// What is within `process_lsm` or its like.
pub(super) fn inside(event: &Value) -> Option<&Value> {
    event.as_object()?.iter().find(|(name, _)| name.starts_with("process_")).map(|(_, inside)| inside)
}

/// A text member, or nothing.
pub(super) fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// A number member.
pub(super) fn number(value: &Value, pointer: &str) -> Option<i64> {
    value.pointer(pointer).and_then(Value::as_i64)
}

/// The paths of the first argument of each event that is a file.
pub(super) fn paths<'a>(events: impl Iterator<Item = &'a Value>) -> BTreeSet<&'a str> {
    events
        .filter_map(|event| inside(event)?.get("args")?.as_array())
        .filter_map(|arguments| {
            arguments.iter().map(|argument| text(argument, "/file_arg/path")).find(|path| !path.is_empty())
        })
        .collect()
}

/// Seconds of the day in `2026-01-31T12:00:00.5Z`.
pub(super) fn seconds_of_day(time: &str) -> Option<f64> {
    let clock = time.split_once('T')?.1.strip_suffix('Z')?;
    let mut seconds = 0.0;
    for part in clock.split(':') {
        seconds = seconds * 60.0 + part.parse::<f64>().ok()?;
    }
    Some(seconds)
}

/// The event with only what fits on a line or two.
pub(super) fn shortened(event: &Value) -> String {
    let pick = |from: &Value, members: &[&str]| -> Map<String, Value> {
        members.iter().filter_map(|&name| Some((name.to_owned(), from.get(name)?.clone()))).collect()
    };
    let Some(kind) = kind(event) else { return event.to_string() };
    let inside = &event[kind];
    let mut short = pick(inside, &EVENT_MEMBERS);
    short.insert("process".into(), pick(&inside["process"], &PROCESS_MEMBERS).into());
    short.insert("parent".into(), pick(&inside["parent"], &["pid", "binary"]).into());
    let mut line = format!("{{\"{kind}\":{}", Value::from(short));
    for member in ["lictor", "time"] {
        if let Some(value) = event.get(member) {
            let _ = write!(line, ",\"{member}\":{value}");
        }
    }
    line + "}"
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn times_are_read() {
        assert_eq!(seconds_of_day("2026-01-31T01:00:02.5Z"), Some(3602.5));
        assert_eq!(seconds_of_day("now"), None);
    }

    #[test]
    fn a_person_is_told_of_each_sort_once() {
        let mut events = Events::default();
        let event = |policy: &str| json!({"process_lsm": {"process": {"pid": 1, "binary": "/bin/cat", "cap": {}}, "policy_name": policy}});
        for policy in ["a", "a", "b"] {
            events.push(event(policy));
        }
        events.push(json!({"process_exec": {"process": {}}}));
        let shown = ["a", "c"].map(|policy| [policy, "cat", "\"pid\":1"].map(str::to_owned));
        assert_eq!(events.told(&shown).len(), 1);
        let short = shortened(&event("a"));
        assert!(short.contains("\"pid\":1") && !short.contains("cap"), "{short}");
    }
}
