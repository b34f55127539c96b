//! What the events of each step must say.

use std::collections::{BTreeSet, HashSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::events::{inside, number, paths, program, seconds_of_day, text};
use super::player::Step;
use crate::lab::CaseResult;

/// Cases of one step.
struct Checks<'a> {
    step: &'a Step,
    cases: Vec<CaseResult>,
}

/// Judges the events of a step.
pub(super) fn of_step(step: &Step) -> Vec<CaseResult> {
    let mut checks = Checks { step, cases: Vec::new() };
    match step.number {
        1 => checks.write(),
        2 => checks.selectors(),
        3 => checks.sigkill(),
        4 => checks.deny(),
        5 => checks.get_url(),
        6 => checks.life_cycle(),
        7 => checks.privileges(),
        8 => checks.monitor(),
        9 => checks.restart(),
        10 => checks.change(),
        11 => checks.streamed(),
        _ => {}
    }
    checks.cases
}

/// Whether a program's file name is this.
fn is_program(process: &Value, name: &str) -> bool {
    program(process) == name
}

impl Checks<'_> {
    fn case(&mut self, name: &str, passed: bool, detail: impl FnOnce() -> String) {
        self.cases.push(CaseResult::new(name, passed, detail));
    }

    fn equal<T: PartialEq + std::fmt::Debug>(&mut self, name: &str, found: &T, expected: &T) {
        self.cases.push(CaseResult::equal(name, found, expected));
    }

    /// The first of a policy's events that is as wanted; a failed case when there is none.
    fn one(&mut self, name: &str, policy: &str, wanted: impl Fn(&Value) -> bool) -> Option<Value> {
        let events: Vec<&Value> = self.step.events.of_policy(policy).collect();
        let found =
            events.iter().find(|event| inside(event).is_some_and(&wanted)).map(|event| (*event).clone());
        let all = || events.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        self.cases.push(CaseResult::new(name, found.is_some(), || {
            format!("not among {} events of policy {policy}:\n{}", events.len(), all())
        }));
        found
    }

    /// A member of a value must be this.
    fn member(&mut self, name: &str, value: &Value, pointer: &str, expected: &Value) {
        let found = value.pointer(pointer);
        self.case(name, found == Some(expected), || {
            format!("{pointer} is {}, expected {expected}, in\n{value}", found.unwrap_or(&Value::Null))
        });
    }

    fn write(&mut self) {
        let said = |text: &str| STANDARD.encode(text);
        let written = |what: String| move |event: &Value| text(event, "/args/1/bytes_arg") == what;
        let wanted = written(said("hello from the tour\n"));
        if let Some(event) = self.one("write-is-reported", "shell-writes", wanted) {
            let event = &event["process_kprobe"];
            self.member("function", event, "/function_name", &json!("__x64_sys_write"));
            self.member("count", event, "/args/2", &json!({"size_arg": "20"}));
            self.case("path", text(event, "/args/0/file_arg/path").ends_with("/note"), || event.to_string());
            self.member("message", event, "/message", &json!("A shell writes"));
            self.member("tags", event, "/tags", &json!(["tour", "files"]));
            self.member("action", event, "/action", &json!("KPROBE_ACTION_POST"));
            self.process(&event["process"], &event["parent"]);
        }
        let wanted = written(said("from a user\n"));
        if let Some(event) = self.one("write-of-a-user-is-reported", "shell-writes", wanted) {
            let process = &event["process_kprobe"]["process"];
            self.member("user-id", process, "/uid", &json!(1000));
            self.member("effective-user-id", process, "/process_credentials/euid", &json!(1000));
            self.case("user-has-no-capabilities", process.pointer("/cap/effective").is_none(), || {
                process.to_string()
            });
            self.case("working-directory", text(process, "/cwd").ends_with("tour"), || process.to_string());
        }
    }

    /// A shell of root that the script started.
    fn process(&mut self, process: &Value, parent: &Value) {
        self.member("root", process, "/uid", &json!(0));
        self.case("binary", is_program(process, "sh"), || process.to_string());
        self.case("arguments", text(process, "/arguments").starts_with("-c \"echo "), || process.to_string());
        self.case("cwd", text(process, "/cwd").starts_with('/'), || process.to_string());
        let effective = process.pointer("/cap/effective").and_then(Value::as_array);
        let has = |name: &str| effective.is_some_and(|list| list.contains(&json!(name)));
        self.case("capabilities", has("CAP_SYS_ADMIN") && has("CAP_CHOWN"), || process.to_string());
        for namespace in ["mnt", "pid", "net", "user", "uts", "ipc", "cgroup"] {
            let of = process.pointer(&format!("/ns/{namespace}")).cloned().unwrap_or_default();
            let own = number(&of, "/inum").is_some_and(|inode| inode > 0) && of["is_host"] == json!(true);
            self.case(&format!("namespace-{namespace}"), own, || process.to_string());
        }
        let exec_id = text(process, "/exec_id");
        let decoded = STANDARD.decode(exec_id).unwrap_or_default();
        let decoded = String::from_utf8_lossy(&decoded).into_owned();
        let pid = number(process, "/pid").unwrap_or(-1);
        self.case(
            "exec-id",
            decoded.ends_with(&format!(":{pid}")) && decoded.matches(':').count() == 2,
            || format!("{decoded} of process {pid}"),
        );
        let begin = self.step.events.begin_of(exec_id).cloned().unwrap_or_default();
        self.member("exec-event", &begin, "/process/pid", &json!(pid));
        self.equal("parent", &number(parent, "/pid"), &self.step.fact("shell").parse().ok());
        self.equal("parent-exec-id", &text(process, "/parent_exec_id"), &text(parent, "/exec_id"));
    }

    fn selectors(&mut self) {
        let by_cat = |event: &Value| is_program(&event["process"], "cat");
        let is = |function: &'static str| {
            move |event: &Value| by_cat(event) && text(event, "/function_name") == function
        };
        if let Some(event) = self.one("open-is-reported", "passwd-access", is("fd_install")) {
            self.member("descriptor", &event["process_kprobe"], "/args/0", &json!({"int_arg": 3}));
            self.member(
                "permission",
                &event["process_kprobe"],
                "/args/1",
                &json!({"file_arg": {
                "path": "/etc/passwd", "permission": "-rw-r--r--"}}),
            );
            self.member("arguments", &event["process_kprobe"], "/process/arguments", &json!("/etc/passwd"));
        }
        if let Some(event) = self.one("read-is-reported", "passwd-access", is("security_file_permission")) {
            self.member("read", &event["process_kprobe"], "/args/1", &json!({"int_arg": 4}));
            self.member("return-value", &event["process_kprobe"], "/return", &json!({"int_arg": 0}));
        }
        let only = paths(self.step.events.of_policy("passwd-access"));
        self.equal("nothing-else-is-reported", &only, &BTreeSet::from(["/etc/passwd"]));
        for function in ["fd_install", "security_file_permission"] {
            let wanted = |event: &Value| {
                is(function)(event) && event["args"].to_string().contains("\"/etc/lsb-release\"")
            };
            drop(self.one(&format!("prefix-{function}"), "etc-access", wanted));
        }
        let all = paths(self.step.events.of_policy("etc-access"));
        let below = all.iter().all(|path| path.starts_with("/etc/"));
        self.case("prefix-reports-nothing-else", below, || format!("{all:?}"));
    }

    /// The event of the kill, and the exit of the same process.
    fn killed(&mut self, policy: &str, wanted: impl Fn(&Value) -> bool) -> Option<Value> {
        let event = self.one("kill-is-reported", policy, wanted)?;
        self.member("action", &event["process_kprobe"], "/action", &json!("KPROBE_ACTION_SIGKILL"));
        self.member("signal-sent", &event, "/lictor/signal", &json!(9));
        let exec_id = text(&event, "/process_kprobe/process/exec_id");
        let end = self.step.events.end_of(exec_id).cloned().unwrap_or_default();
        self.member("exit-says-signal", &end, "/signal", &json!("SIGKILL"));
        Some(event)
    }

    fn sigkill(&mut self) {
        let event = self.killed("kill-cat-passwd", |event| is_program(&event["process"], "cat"));
        if let Some(event) = event {
            self.member("path", &event, "/process_kprobe/args/1/file_arg/path", &json!("/etc/passwd"));
        }
        self.equal("killed-once", &self.step.events.of_policy("kill-cat-passwd").count(), &1);
    }

    fn deny(&mut self) {
        let by_cat = |event: &Value| is_program(&event["process"], "cat");
        if let Some(event) = self.one("denial-is-reported", "deny-shadow", by_cat) {
            let lsm = &event["process_lsm"];
            self.member("hook", lsm, "/function_name", &json!("file_open"));
            self.member("action", lsm, "/action", &json!("KPROBE_ACTION_OVERRIDE"));
            self.member("path", lsm, "/args/0/file_arg/path", &json!("/etc/shadow"));
            self.member("root", lsm, "/process/uid", &json!(0));
            self.member("verdict", &event, "/lictor/verdict", &json!("deny"));
            self.member("error", &event, "/lictor/errno", &json!(-1));
            self.member("rule", &event, "/lictor/rule", &json!("spec.lsmhooks[0].selectors[0]"));
        }
        // `cat`, the shell that wants to write, and `cat` through the link.
        self.equal("one-event-for-each", &self.step.events.of_policy("deny-shadow").count(), &3);
    }

    fn get_url(&mut self) {
        let opened = |path: &'static str| move |event: &Value| text(event, "/args/0/file_arg/path") == path;
        for (name, path) in [("wallet", "/srv/decoy/wallet"), ("diary", "/srv/decoy/diary")] {
            if let Some(event) = self.one(&format!("{name}-is-reported"), "decoy-opened", opened(path)) {
                self.member(name, &event, "/process_lsm/action", &json!("KPROBE_ACTION_GETURL"));
            }
        }
        let diary = self
            .step
            .events
            .of_policy("decoy-opened")
            .filter(|event| inside(event).is_some_and(opened("/srv/decoy/diary")));
        self.equal("every-access-is-reported", &diary.count(), &10);
        // One call is tried for half a second, a second and two: ten accesses that waited would take half a minute.
        let milliseconds = self.step.fact("milliseconds").parse::<u64>().unwrap_or(u64::MAX);
        self.case("accesses-do-not-wait", milliseconds < 15_000, || {
            format!("10 accesses took {milliseconds} ms")
        });
    }

    /// The exec of a program with these arguments.
    fn exec(&mut self, program: &str, arguments: &str) -> Value {
        let found = self.step.events.of("process_exec").find(|exec| {
            is_program(&exec["process"], program) && text(exec, "/process/arguments").starts_with(arguments)
        });
        let found = found.cloned();
        self.case(&format!("exec-{program}"), found.is_some(), || {
            format!("no exec of {program} {arguments}")
        });
        found.unwrap_or_default()
    }

    fn life_cycle(&mut self) {
        let shell = self.exec("sh", "-c \"cat /etc/group | sort");
        for (program, arguments) in
            [("cat", "/etc/group"), ("sort", "-r"), ("head", "-n 1"), ("sleep", "0.5")]
        {
            let exec = self.exec(program, arguments);
            self.equal(
                &format!("parent-of-{program}"),
                &text(&exec, "/process/parent_exec_id"),
                &text(&shell, "/process/exec_id"),
            );
            self.member(&format!("parent-pid-of-{program}"), &exec, "/parent/pid", &shell["process"]["pid"]);
            let end = self.step.events.end_of(text(&exec, "/process/exec_id")).cloned().unwrap_or_default();
            let well = end.is_object() && end.get("status").is_none() && end.get("signal").is_none();
            self.case(&format!("end-of-{program}"), well, || end.to_string());
            if program == "sleep" {
                self.duration(&end);
            }
        }
        let end = self.step.events.end_of(text(&shell, "/process/exec_id")).cloned().unwrap_or_default();
        self.member("status-of-the-shell", &end, "/status", &json!(3));
        let ended = self.exec("sh", "-c \"kill -TERM");
        let end = self.step.events.end_of(text(&ended, "/process/exec_id")).cloned().unwrap_or_default();
        self.member("signal-of-the-ended", &end, "/signal", &json!("SIGTERM"));
        drop(self.killed("kill-cat-passwd", |event| is_program(&event["process"], "cat")));
    }

    fn duration(&mut self, end: &Value) {
        let at = |pointer: &str| seconds_of_day(text(end, pointer));
        let duration =
            at("/time").zip(at("/process/start_time")).map(|(end, begin)| (end - begin).rem_euclid(86_400.0));
        self.case(
            "duration-of-sleep",
            duration.is_some_and(|seconds| (0.5..60.0).contains(&seconds)),
            || format!("{duration:?} s in {end}"),
        );
    }

    fn privileges(&mut self) {
        let by_user = |event: &Value| number(event, "/process/uid") == Some(1000);
        if let Some(event) = self.killed("no-user-namespaces", by_user) {
            self.member("selector", &event, "/lictor/rule_label", &json!("unprivileged"));
            self.case("program", is_program(&event["process_kprobe"]["process"], "unshare"), || {
                event.to_string()
            });
        }
        let by_root = |event: &Value| number(event, "/process/uid") == Some(0);
        if let Some(event) = self.killed("no-user-namespaces", by_root) {
            self.member("selector-of-namespace", &event, "/lictor/rule_label", &json!("in a container"));
            let mount = &event["process_kprobe"]["process"]["ns"]["mnt"];
            self.case("mount-namespace", mount["is_host"] != json!(true), || event.to_string());
        }
        self.equal("two-are-killed", &self.step.events.of_policy("no-user-namespaces").count(), &2);
    }

    fn monitor(&mut self) {
        let any = |_: &Value| true;
        if let Some(event) = self.one("denial-is-reported", "deny-shadow", any) {
            self.member("mode", &event, "/lictor/mode", &json!("monitor"));
            self.member("would-deny", &event, "/lictor/verdict", &json!("deny"));
            self.member("would-answer", &event, "/lictor/errno", &json!(-1));
        }
        if let Some(event) = self.one("kill-is-reported", "kill-cat-passwd", any) {
            self.member("mode-of-kill", &event, "/lictor/mode", &json!("monitor"));
            self.member("would-kill", &event, "/lictor/signal", &json!(9));
            let exec_id = text(&event, "/process_kprobe/process/exec_id");
            let end = self.step.events.end_of(exec_id).cloned().unwrap_or_default();
            self.case("lives-on", end.is_object() && end.get("signal").is_none(), || end.to_string());
        }
    }

    fn restart(&mut self) {
        let pid: Option<i64> = self.step.fact("loop").parse().ok();
        let of_loop = |event: &&Value| {
            inside(event).is_some_and(|inside| pid.is_some() && number(inside, "/process/pid") == pid)
        };
        let events: Vec<&Value> = self.step.events.of_policy("deny-shadow").filter(of_loop).collect();
        let tried: usize = self.step.fact("tried").parse().unwrap_or_default();
        self.case("loop-is-busy", tried > 50, || format!("{tried} attempts"));
        // Not by exec id: a process that ran before the node worker has another one than it had in its first life.
        let times: HashSet<&str> = events.iter().map(|event| text(event, "/time")).collect();
        self.equal("no-duplicate-events", &events.len(), &times.len());
        self.equal("one-event-for-each-attempt", &times.len(), &tried);
        let expected = json!(self.step.fact("revision").parse::<u64>().ok());
        let other = events.iter().find(|event| event.pointer("/lictor/revision") != Some(&expected));
        self.case("one-revision-through-restarts", other.is_none(), || {
            format!("{expected} is not in {other:?}")
        });
    }

    fn change(&mut self) {
        let tried: u64 = self.step.fact("tried").parse().unwrap_or_default();
        self.case("loop-is-busy", tried > 1000, || format!("{tried} attempts"));
        self.equal("nothing-is-reported", &self.step.events.of_policy("deny-shadow-quietly").count(), &0);
        self.case("processes-are", self.step.events.len() > 0, || "no process event came".to_owned());
    }

    fn streamed(&mut self) {
        let event: Value = serde_json::from_str(self.step.fact("streamed")).unwrap_or_default();
        self.member("streamed-policy", &event, "/process_lsm/policy_name", &json!("deny-shadow"));
        self.member("streamed-verdict", &event, "/lictor/verdict", &json!("deny"));
        let in_file = self.step.events.of_policy("deny-shadow").any(|other| *other == event);
        self.case("same-in-the-file", in_file, || event.to_string());
    }
}
