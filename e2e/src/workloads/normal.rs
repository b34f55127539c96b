//! Events without what differs from run to run.

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

/// Bytes of a buffer that are shown whole.
const BYTES_SHOWN: usize = 64;
/// Names of a list that are shown one by one: all capabilities together are counted.
const NAMES_SHOWN: usize = 16;
/// First port that the kernel gives to a socket which asks for none, by default.
const EPHEMERAL: u64 = 32_768;
/// First number of a namespace that is not the node's own from the beginning.
const NEW_NAMESPACE: u64 = 0xf000_0000;

/// Of stacks those functions are shown that are on the way on every kernel; what is between them differs.
const FUNCTIONS_SHOWN: [&str; 4] = ["security_path_unlink", "do_syscall_64", "lab_unlink", "main"];
/// Members with stacks.
const STACKS: [&str; 2] = ["kernel_stack_trace", "user_stack_trace"];

/// An event as it is compared.
#[derive(Debug)]
pub(crate) struct Normal {
    event: Value,
    policy: Option<String>,
    parts: Parts,
    text: String,
}

/// What is told of an event, in this order.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    /// `kprobe` of `process_kprobe`.
    pub(crate) kind: String,
    /// The function, or the tracepoint.
    pub(crate) place: String,
    /// The program with its arguments.
    pub(crate) program: String,
    /// `POST` of `KPROBE_ACTION_POST`; empty = the event has none.
    pub(crate) action: String,
    /// Every other member that a policy decides about, as JSON.
    pub(crate) members: String,
}

impl Normal {
    /// Reads a line of the event file.
    pub(crate) fn read(line: &str) -> Result<Self> {
        let event: Value = serde_json::from_str(line).with_context(|| format!("the line {line}"))?;
        let kind = event.as_object().and_then(|event| event.keys().find(|name| name.starts_with("process_")));
        let Some(kind) = kind else {
            let (policy, parts, text) = Default::default();
            return Ok(Self { event: Value::Null, policy, parts, text });
        };
        let parts = parts(kind, &event[kind], &event["lictor"]);
        let Parts { kind: of, place, program, action, members } = &parts;
        let action = if action.is_empty() { String::new() } else { format!(" {action}") };
        let text = format!("{of} {place} [{program}]{action} {members}");
        // Of a loaded file it stands beside the event.
        let policy = event[kind]["policy_name"].as_str().or(event["lictor"]["policy_name"].as_str());
        Ok(Self { event: event[kind].clone(), policy: policy.map(str::to_owned), parts, text })
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn parts(&self) -> &Parts {
        &self.parts
    }

    pub(crate) fn policy(&self) -> Option<&str> {
        self.policy.as_deref()
    }

    pub(crate) fn exec_id(&self) -> &str {
        self.event["process"]["exec_id"].as_str().unwrap_or_default()
    }

    pub(crate) fn program(&self) -> &str {
        self.event["process"]["binary"].as_str().unwrap_or_default()
    }

    pub(crate) fn pid(&self) -> i64 {
        self.event["process"]["pid"].as_i64().unwrap_or_default()
    }

    /// The signal that ended the process, when this is its end.
    pub(crate) fn signal(&self) -> Option<&str> {
        self.event["signal"].as_str()
    }
}

fn parts(kind: &str, inside: &Value, lictor: &Value) -> Parts {
    let place = if let Some(subsystem) = inside["subsys"].as_str() {
        format!("{subsystem}/{}", inside["event"].as_str().unwrap_or_default())
    } else {
        let members = ["function_name", "path", "provider", "name", "symbol"];
        // Where a place is that has no name, the compiler decides.
        let named = |text| if str::starts_with(text, "0x") { "OFFSET" } else { text };
        let parts = members.iter().filter_map(|member| inside[*member].as_str().map(named));
        let parts: Vec<&str> = parts.collect();
        parts.join(":")
    };
    let process = &inside["process"];
    let mut program = process["binary"].as_str().unwrap_or_default().to_owned();
    if let Some(arguments) = process["arguments"].as_str() {
        program = format!("{program} {arguments}");
    }
    let mut rest = Map::new();
    for member in ["args", "data", "return", "message", "tags"] {
        if let Some(value) = inside.get(member) {
            rest.insert(member.to_owned(), shortened(value));
        }
    }
    for member in STACKS {
        if let Some(stack) = inside.get(member) {
            rest.insert(member.to_owned(), functions(stack));
        }
    }
    // Which one it is, the machine's packages decide.
    if let Some(Ok(id)) = inside["buildid"].as_str().map(|id| STANDARD.decode(id)) {
        rest.insert("buildid".to_owned(), format!("{} bytes", id.len()).into());
    }
    let at_end = inside["return_action"].as_str().unwrap_or("KPROBE_ACTION_POST");
    if at_end != "KPROBE_ACTION_POST" {
        rest.insert("return_action".to_owned(), at_end.into());
    }
    if process["uid"] != json!(0) {
        rest.insert("uid".to_owned(), process["uid"].clone());
    }
    let elsewhere = elsewhere(&process["ns"]);
    if !elsewhere.is_empty() {
        rest.insert("ns".to_owned(), elsewhere.into());
    }
    let action = inside["action"].as_str().unwrap_or_default().trim_start_matches("KPROBE_ACTION_");
    let mut did = lictor.as_object().cloned().unwrap_or_default();
    did.remove("revision");
    did.remove("policy_name");
    for member in STACKS {
        if let Some(stack) = did.get_mut(member) {
            *stack = functions(stack);
        }
    }
    if !did.is_empty() {
        rest.insert("lictor".to_owned(), did.into());
    }
    Parts {
        kind: kind.trim_start_matches("process_").to_owned(),
        place,
        program,
        action: action.to_owned(),
        members: Value::from(rest).to_string(),
    }
}

/// The namespaces of the process that are not the node's own.
fn elsewhere(namespaces: &Value) -> Vec<Value> {
    let all = namespaces.as_object().into_iter().flatten();
    all.filter(|(_, of)| of["is_host"] != json!(true)).map(|(name, _)| json!(name)).collect()
}

/// The functions of a stack that are shown.
fn functions(stack: &Value) -> Value {
    let frames = stack.as_array().into_iter().flatten();
    let names = frames.filter_map(|frame| frame["symbol"].as_str());
    names.filter(|name| FUNCTIONS_SHOWN.contains(name)).collect()
}

/// What the kernel picks: of a socket or a packet port of the caller, hash of the flow, number of the socket; the number
/// of a new namespace; of a source of perf events its number.
fn is_picked(name: &str, value: &Value) -> bool {
    let from = |first| value.as_u64().is_some_and(|number| number >= first);
    name == "hash"
        || name == "cookie"
        || name == "sport" && from(EPHEMERAL)
        || name == "inum" && from(NEW_NAMESPACE)
        || name == "Type" && value.as_str().is_some_and(|kind| kind.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The value with its buffers as text, long ones and long lists by their length, and without what the kernel picks.
fn shortened(value: &Value) -> Value {
    match value {
        Value::Array(all) if all.len() > NAMES_SHOWN && all.iter().all(Value::is_string) => {
            json!(format!("{} names", all.len()))
        }
        Value::Array(all) => all.iter().map(shortened).collect(),
        Value::Object(all) => all
            .iter()
            .filter(|(name, value)| !is_picked(name, value))
            .map(|(name, value)| {
                let value = match value.as_str().filter(|_| name == "bytes_arg") {
                    Some(base64) => bytes(base64),
                    None => shortened(value),
                };
                (name.clone(), value)
            })
            .collect(),
        other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => other.clone(),
    }
}

fn bytes(base64: &str) -> Value {
    match STANDARD.decode(base64) {
        Ok(bytes) if bytes.len() > BYTES_SHOWN && is_counted(&bytes) => {
            json!(format!("{} bytes, each in its place", bytes.len()))
        }
        Ok(bytes) if bytes.len() > BYTES_SHOWN => {
            json!(format!("{} bytes, {} kinds", bytes.len(), kinds(&bytes)))
        }
        Ok(bytes) => json!(String::from_utf8_lossy(&bytes)),
        Err(error) => json!(format!("{base64} is not base64: {error}")),
    }
}

/// Whether each four bytes tell their own place, as those that `long.pl` writes.
fn is_counted(bytes: &[u8]) -> bool {
    (0_u32..).flat_map(u32::to_be_bytes).zip(bytes).all(|(wanted, found)| wanted == *found)
}

fn kinds(bytes: &[u8]) -> usize {
    bytes.iter().collect::<std::collections::BTreeSet<_>>().len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_from_run_to_run_is_left_out() {
        let line = |pid: u32, uid: u32| {
            json!({"process_kprobe": {
                "process": {"pid": pid, "uid": uid, "binary": "/bin/x", "arguments": "y",
                    "ns": {"mnt": {"inum": pid}, "pid": {"inum": 7, "is_host": true}}},
                "function_name": "f", "policy_name": "p", "action": "KPROBE_ACTION_POST",
                "args": [{"bytes_arg": "YWJj"}]},
                "lictor": {"revision": pid, "rule": "r"}})
            .to_string()
        };
        let one = Normal::read(&line(1, 0)).unwrap();
        assert_eq!(
            one.text(),
            r#"kprobe f [/bin/x y] POST {"args":[{"bytes_arg":"abc"}],"lictor":{"rule":"r"},"ns":["mnt"]}"#
        );
        assert_eq!((one.policy(), one.pid()), (Some("p"), 1));
        assert_eq!(one.text(), Normal::read(&line(2, 0)).unwrap().text());
        assert_ne!(one.text(), Normal::read(&line(1, 9)).unwrap().text());
        assert!(Normal::read("{").is_err());
    }

    #[test]
    fn a_loaded_file_is_told_with_its_policy() {
        let line = r#"{"process_loader":{"process":{"uid":0,"binary":"/x"},"path":"/lib/a.so","buildid":"AAECAw=="},
            "lictor":{"policy_name":"p","revision":1,"rule":"spec.loader"}}"#;
        let event = Normal::read(line).unwrap();
        assert_eq!(event.policy(), Some("p"));
        assert_eq!(
            event.text(),
            r#"loader /lib/a.so [/x] {"buildid":"4 bytes","lictor":{"rule":"spec.loader"}}"#
        );
    }

    #[test]
    fn what_the_kernel_picks_is_left_out() {
        let names = |count: usize| json!(vec!["CAP"; count]);
        let value =
            json!({"inum": 4_026_532_000_u32, "sport": 40_000, "cookie": "1", "hash": 9, "caps": names(17)});
        assert_eq!(shortened(&value), json!({"caps": "17 names"}));
        let value = json!({"inum": 4_026_531_837_u32, "sport": 80, "caps": names(16)});
        assert_eq!(shortened(&value), value);
    }
}
