use super::*;
use crate::enrich::image::{Credentials, SecurityIds};
use crate::enrich::process::{ProcessFacts, ProcessReader, ProcessTable};
use crate::events::decode::{Record, decode};
use crate::events::testing::{self, HOST_NAMESPACES, Hook, Task};
use crate::symbols::{Frame, Stack};
use lictor_policy::model::ShownAction;
use lictor_policy::model::{CapabilitiesField, Mode};
use lictor_policy::plan::HookPlan;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use wire::{
    lictor_bpf_attr, lictor_bpf_map, lictor_credentials, lictor_endpoints, lictor_field_kind,
    lictor_field_status, lictor_module, lictor_perf_event, lictor_unix_address, lictor_user_namespace,
};

/// 2026-11-23T19:18:04.522041952Z
const BOOT: BootOffset = BootOffset(1_795_461_484_522_041_952);
const NODE: &str = "(none)";
const CHILD: Task = Task { pid: 291, start_boot_ns: 117_820_000_000, exec_id: 4 };
const SHELL: Task = Task { pid: 150, start_boot_ns: 4_846_000_000, exec_id: 3 };
const ALL_CAPABILITIES: u64 = (1 << 41) - 1;

struct NoProc;

impl ProcessReader for NoProc {
    fn read(&mut self, _: u32) -> Option<ProcessFacts> {
        None
    }
}

fn facts(pid: u32, parent_pid: u32, start_ticks: u64, argv: &[u8]) -> ProcessFacts {
    let capabilities = SecurityIds {
        permitted: ALL_CAPABILITIES,
        effective: ALL_CAPABILITIES,
        inheritable: 0,
        namespaces: HOST_NAMESPACES,
    };
    ProcessFacts {
        pid,
        parent_pid,
        start_ticks,
        executable: b"/bin/busybox".to_vec(),
        cwd: b"/lab".to_vec(),
        argv: argv.to_vec(),
        credentials: Credentials::default(),
        login_uid: u32::MAX,
        security: capabilities,
        namespace_pid: pid,
        cgroup: 0,
        ..Default::default()
    }
}

fn table() -> ProcessTable {
    let mut table = ProcessTable::new(NODE, BOOT, HOST_NAMESPACES);
    table.scanned(&[facts(1, 0, 108, b"sh\0/init\0nokaslr\0"), facts(150, 1, 484, b"sh\0/lab/guest.sh\0")]);
    table
}

/// The table after a shell began `cat /etc/passwd`, and the actor of that.
fn child() -> (ProcessTable, Actor) {
    let mut table = table();
    let bytes = testing::fork(CHILD, 117_829_000_000, SHELL);
    let Ok(Record::Fork(record)) = decode(&bytes) else { panic!("not a fork record") };
    table.fork(&record, &mut NoProc);
    let bytes = testing::exec_with(
        CHILD,
        117_830_535_270,
        SHELL,
        "/usr/bin/cat",
        &["cat", "/etc/passwd"],
        "/lab",
        |fixed| {
            fixed.cap_permitted = ALL_CAPABILITIES;
            fixed.cap_effective = ALL_CAPABILITIES;
        },
    );
    let Ok(Record::Exec(record)) = decode(&bytes) else { panic!("not an exec record") };
    let actor = table.exec(&record, &mut NoProc);
    (table, actor)
}

/// The line of the first group of `hook` for a record that `build` completes.
fn line(plan: HookPlan, mode: Mode, flags: u32, build: impl FnOnce(Hook) -> Hook) -> String {
    line_with(&Stacks::default(), plan, mode, flags, build)
}

fn line_with(
    stacks: &Stacks,
    plan: HookPlan,
    mode: Mode,
    flags: u32,
    build: impl FnOnce(Hook) -> Hook,
) -> String {
    let decoder = RevisionDecoder::new(3, &testing::plan(&[("a-policy", mode)], vec![plan]), &[(5, 11)]);
    let bytes = build(Hook::new(CHILD, 117_835_323_793, 3, 5, 11)).fired(0, flags).bytes();
    let Ok(Record::Hook(record)) = decode(&bytes) else { panic!("not a hook record") };
    let hook = decoder.hook(5).unwrap();
    let event = FiredGroup {
        record: &record,
        decoder: &decoder,
        group: &hook.groups[0],
        rule: &hook.rules[0],
        fired: record.fired().next().unwrap(),
        stacks,
        build_id: b"\x01\x02\xfe",
        hash: (hook.rules[0].flags & wire::LICTOR_RULE_HASH != 0).then_some("sha256:00ff"),
    };
    let mut out = Vec::new();
    EventWriter::new(NODE, BOOT).hook(&mut out, &(&child().1).into(), &event);
    let text = String::from_utf8(out).unwrap();
    assert!(text.ends_with("}\n"), "{text}");
    text
}

fn value(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// Compares a line with the one of this name in `testdata/event-lines.tsv` (`LICTOR_UPDATE=1` writes it).
fn golden(name: &str, line: &str) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/event-lines.tsv");
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let mut lines: BTreeMap<&str, &str> = text.lines().filter_map(|line| line.split_once('\t')).collect();
    if std::env::var_os("LICTOR_UPDATE").is_some() {
        lines.insert(name, line.trim_end());
        let text: Vec<String> = lines.iter().map(|(name, line)| format!("{name}\t{line}\n")).collect();
        std::fs::write(path, text.concat()).unwrap();
        return;
    }
    assert_eq!(lines.get(name).copied(), Some(line.trim_end()), "{name}");
}

fn int(width: u8, signed: bool, shown_as: IntField) -> ArgKind {
    ArgKind::Int(IntKind { width, signed, shown_as })
}

fn kill_passwd() -> HookPlan {
    let args = vec![testing::arg(0, int(4, true, IntField::Int)), testing::arg(1, ArgKind::File)];
    let mut group = testing::group("fd_install", EventKind::Kprobe, args);
    group.message = Some("someone opened it".into());
    group.tags = vec!["file.read".into()];
    let mut rule = testing::rule(wire::LICTOR_RULE_SIGNAL, ShownAction::Sigkill);
    rule.signal = 9;
    testing::hook_plan(Attach::Fentry, "fd_install", vec![group], vec![rule])
}

#[test]
fn kprobe_line() {
    let text = line(kill_passwd(), Mode::Enforce, wire::LICTOR_FIRED_POST, |hook| {
        hook.verdict(0, 9).number(3).file(lictor_field_kind::LICTOR_FIELD_FILE, 0o100_644, "/etc/passwd")
    });
    golden("kprobe", &text);
}

#[test]
fn data_stand_beside_the_arguments() {
    let mut plan = kill_passwd();
    plan.groups[0].args.remove(0);
    let uid = ArgPlan { label: Some("uid".into()), ..testing::arg(0, int(4, false, IntField::Uint)) };
    plan.groups[0].data = vec![uid, testing::arg(2, ArgKind::String)];
    let text = line(plan, Mode::Enforce, wire::LICTOR_FIRED_POST, |hook| {
        hook.number(1000).file(lictor_field_kind::LICTOR_FIELD_FILE, 0o100_644, "/etc/passwd").field(
            lictor_field_kind::LICTOR_FIELD_STRING,
            lictor_field_status::LICTOR_FIELD_UNRESOLVED,
            0,
            b"",
        )
    });
    let event = &value(&text)["process_kprobe"];
    assert_eq!(event["args"], json!([{"file_arg": {"path": "/etc/passwd", "permission": "-rw-r--r--"}}]));
    assert_eq!(
        event["data"],
        json!([{"uint_arg": 1000, "label": "uid"}, {"error_arg": {"Message": "the value could not be read"}}])
    );
}

#[test]
fn exec_and_exit_lines() {
    let (mut table, actor) = child();
    let writer = EventWriter::new(NODE, BOOT);
    let mut out = Vec::new();
    writer.exec(&mut out, &(&actor).into(), &CHILD.head(117_830_535_270));
    golden("exec", std::str::from_utf8(&out).unwrap());
    for (name, status) in [("exit-signal", 9 | 0x80), ("exit-status", 3 << 8)] {
        let bytes = testing::exit(CHILD, 117_840_000_000, status);
        let Ok(Record::Exit(record)) = decode(&bytes) else { panic!("not an exit record") };
        let actor = table.exit(&record, &mut NoProc);
        let mut out = Vec::new();
        writer.exit(&mut out, &(&actor).into(), &record);
        golden(name, std::str::from_utf8(&out).unwrap());
    }
}

#[test]
fn first_process_line() {
    let mut table = table();
    let init = Task { pid: 1, start_boot_ns: 1_080_000_000, exec_id: 1 };
    let actor = table.find(&init.head(2_000_000_000), &mut NoProc);
    let mut out = Vec::new();
    EventWriter::new(NODE, BOOT).exec(&mut out, &(&actor).into(), &init.head(1_080_000_000));
    golden("exec-init", std::str::from_utf8(&out).unwrap());
}

#[test]
fn gap_line() {
    let gap = Gap { lost: BTreeMap::from([("lsm/file_open".into(), 5), ("process/exec".into(), 2)]) };
    let mut out = Vec::new();
    EventWriter::new(NODE, BOOT).gap(&mut out, &gap, 117_840_000_000);
    golden("gap", std::str::from_utf8(&out).unwrap());
}

#[test]
fn tracepoint_line() {
    let args = vec![
        testing::arg(0, int(8, true, IntField::Long)),
        testing::arg(1, int(8, false, IntField::Size)),
        testing::arg(2, int(4, false, IntField::Uint)),
    ];
    let group = testing::group("syscalls/sys_enter_lseek", EventKind::Tracepoint, args);
    let plan = testing::hook_plan(
        Attach::Tracepoint,
        "syscalls/sys_enter_lseek",
        vec![group],
        vec![testing::rule(0, ShownAction::Post)],
    );
    let text = line(plan, Mode::Enforce, wire::LICTOR_FIRED_POST, |hook| {
        hook.number(u64::MAX).number(4096).number(u64::from(u32::MAX)).thread(777)
    });
    golden("tracepoint", &text);
    assert_eq!(value(&text)["process_tracepoint"]["process"]["tid"], 777);
}

fn deny_shadow(mode_flags: u32) -> HookPlan {
    let mut group = testing::group("file_open", EventKind::Lsm, vec![testing::arg(0, ArgKind::File)]);
    group.at = lictor_policy::model::FieldPath::new("spec.lsmhooks[0]");
    group.message = Some("no".into());
    group.tags = vec!["a".into(), "b".into()];
    let mut rule = testing::rule(wire::LICTOR_RULE_DENY | mode_flags, ShownAction::Override);
    rule.verdict = -1;
    rule.selector = 1;
    rule.label = Some("shadow".into());
    testing::hook_plan(Attach::Lsm, "file_open", vec![group], vec![rule])
}

fn both_stacks() -> Stacks {
    let frame = |address, offset, symbol: &str, module: &str| Frame {
        address,
        offset,
        symbol: symbol.to_owned(),
        module: module.to_owned(),
    };
    let kernel = vec![frame(u64::MAX, 0, "fd_install", ""), frame(0, 9, "inner", "tun"), Frame::default()];
    let user = vec![frame(0, 77, "", "/lib/libc.so.6"), frame(0, 4, "ma\"in", "/bin/a")];
    Stacks { kernel: Stack::Taken(kernel), user: Stack::Taken(user) }
}

const BOTH: u32 = wire::LICTOR_RULE_KERNEL_STACK | wire::LICTOR_RULE_USER_STACK;

/// One hook at which a rule wants these stacks.
fn with_stacks(event: EventKind, flags: u32) -> HookPlan {
    let group = testing::group("fd_install", event, Vec::new());
    testing::hook_plan(
        Attach::Fentry,
        "fd_install",
        vec![group],
        vec![testing::rule(flags, ShownAction::Post)],
    )
}

#[test]
fn kprobe_line_with_stacks() {
    let told = |stacks: &Stacks, kind, flags| {
        line_with(stacks, with_stacks(kind, flags), Mode::Enforce, wire::LICTOR_FIRED_POST, |hook| hook)
    };
    let text = told(&both_stacks(), EventKind::Kprobe, BOTH);
    golden("kprobe-stacks", &text);
    let text = told(&both_stacks(), EventKind::Kprobe, wire::LICTOR_RULE_USER_STACK);
    let members = &value(&text)["process_kprobe"];
    assert_eq!(members["kernel_stack_trace"], Value::Null, "of another policy");
    assert_eq!(members["user_stack_trace"][1]["symbol"], "ma\"in");
    assert_eq!(value(&text)["lictor"], Value::Null);
    let text = told(&both_stacks(), EventKind::Lsm, BOTH);
    golden("lsm-stacks", &text);
    let empty = Stacks { kernel: Stack::Taken(Vec::new()), user: Stack::Failed };
    let text = told(&empty, EventKind::Kprobe, BOTH);
    assert_eq!(value(&text)["process_kprobe"]["kernel_stack_trace"], Value::Null);
    assert_eq!(value(&text)["lictor"]["failed_stacks"], json!(["user_stack_trace"]));
    let failed = Stacks { kernel: Stack::Failed, user: Stack::Failed };
    let text = told(&failed, EventKind::Tracepoint, BOTH);
    let names = json!(["kernel_stack_trace", "user_stack_trace"]);
    assert_eq!(value(&text)["lictor"]["failed_stacks"], names);
}

fn loads() -> HookPlan {
    let args = vec![testing::arg(1, ArgKind::File), testing::arg(0, int(8, false, IntField::Size))];
    let mut group = testing::group("mmap_file", EventKind::Loader, args);
    group.at = lictor_policy::model::FieldPath::new("spec.loader");
    testing::hook_plan(Attach::Lsm, "mmap_file", vec![group], vec![testing::rule(0, ShownAction::Post)])
}

#[test]
fn loader_line() {
    let libc = "/usr/lib/x86_64-linux-gnu/libc.so.6";
    let text = line(loads(), Mode::Enforce, wire::LICTOR_FIRED_POST, |hook| {
        hook.number(5).file(lictor_field_kind::LICTOR_FIELD_FILE, 0o100_755, libc)
    });
    golden("loader", &text);
    let event = &value(&text)["process_loader"];
    let members: Vec<&String> = event.as_object().unwrap().keys().collect();
    assert_eq!(members, ["buildid", "parent", "path", "process"]);
    assert_eq!((event["path"].as_str(), event["buildid"].as_str()), (Some(libc), Some("AQL+")));
    assert_eq!(
        value(&text)["lictor"],
        json!({"policy_name": "a-policy", "revision": 3, "rule": "spec.loader"})
    );
}

#[test]
fn a_file_that_another_rule_denies_is_told_as_such() {
    let text = line(loads(), Mode::Enforce, wire::LICTOR_FIRED_POST, |hook| {
        hook.verdict(-13, 0).number(5).file(lictor_field_kind::LICTOR_FIELD_FILE, 0o100_755, "/tmp/a.so")
    });
    let told = &value(&text)["lictor"];
    assert_eq!((told["verdict"].as_str(), told["errno"].as_i64()), (Some("deny"), Some(-13)));
}

#[test]
fn a_file_whose_path_is_cut_is_told_as_such() {
    let cut = |status, path: &str| {
        let text = line(loads(), Mode::Enforce, wire::LICTOR_FIRED_POST, |hook| {
            let mut data = wire::bytes_of(&wire::lictor_file::default()).to_vec();
            data.extend_from_slice(path.as_bytes());
            hook.number(5).field(lictor_field_kind::LICTOR_FIELD_FILE, status, path.len() as u32, &data)
        });
        (value(&text)["process_loader"]["path"].clone(), value(&text)["lictor"]["unresolved"].clone())
    };
    assert_eq!(cut(lictor_field_status::LICTOR_FIELD_TRUNCATED, "/end"), (json!("/end"), json!(true)));
    assert_eq!(cut(lictor_field_status::LICTOR_FIELD_ABSENT, ""), (Value::Null, Value::Null));
}

#[test]
fn lsm_line_of_a_denied_open() {
    let text = line(deny_shadow(0), Mode::Enforce, wire::LICTOR_FIRED_POST, |hook| {
        hook.verdict(-1, 0).file(lictor_field_kind::LICTOR_FIELD_FILE, 0o100_640, "/etc/shadow")
    });
    golden("lsm", &text);
}

#[test]
fn monitor_says_what_would_have_been_done() {
    let text = line(deny_shadow(wire::LICTOR_RULE_MONITOR), Mode::Monitor, wire::LICTOR_FIRED_POST, |hook| {
        hook.file(lictor_field_kind::LICTOR_FIELD_FILE, 0o100_640, "/etc/shadow")
    });
    assert_eq!(
        value(&text)["lictor"],
        json!({"mode": "monitor", "verdict": "deny", "errno": -1, "revision": 3,
               "rule": "spec.lsmhooks[0].selectors[1]", "rule_label": "shadow"})
    );
}

#[test]
fn a_signal_that_was_not_sent_is_not_claimed() {
    let text = line(kill_passwd(), Mode::Enforce, wire::LICTOR_FIRED_POST, |hook| {
        hook.number(3).file(lictor_field_kind::LICTOR_FIELD_FILE, 0o100_644, "/etc/passwd")
    });
    assert_eq!(
        value(&text)["lictor"],
        json!({"failed": "signal", "revision": 3, "rule": "spec.kprobes[0].selectors[0]"})
    );
}

#[test]
fn a_report_alone_says_nothing_more() {
    let group = testing::group("fd_install", EventKind::Kprobe, Vec::new());
    let rules = vec![testing::rule(0, ShownAction::Post)];
    let plan = testing::hook_plan(Attach::Fentry, "fd_install", vec![group], rules);
    let text = line(plan.clone(), Mode::Monitor, wire::LICTOR_FIRED_POST, |hook| hook);
    assert_eq!(value(&text).get("lictor"), None);
    assert_eq!(value(&text)["process_kprobe"].get("args"), None);
    let flags = wire::LICTOR_FIRED_POST | wire::LICTOR_FIRED_UNRESOLVED;
    let text = line(plan, Mode::Monitor, flags, |hook| hook);
    assert_eq!(value(&text)["lictor"]["unresolved"], true);
}

/// The argument that a field is shown as.
fn shown(kind: ArgKind, field: impl FnOnce(Hook) -> Hook) -> Value {
    let group = testing::group("f", EventKind::Kprobe, vec![testing::arg(0, kind)]);
    let rules = vec![testing::rule(0, ShownAction::Post)];
    let plan = testing::hook_plan(Attach::Fentry, "f", vec![group], rules);
    value(&line(plan, Mode::Enforce, wire::LICTOR_FIRED_POST, field))["process_kprobe"]["args"][0].clone()
}

#[test]
fn integers_are_cut_to_their_width() {
    let number = |value: u64| move |hook: Hook| hook.number(value);
    assert_eq!(shown(int(4, true, IntField::Int), number(0xffff_ffff)), json!({"int_arg": -1}));
    assert_eq!(shown(int(1, true, IntField::Int), number(0x180)), json!({"int_arg": -128}));
    assert_eq!(shown(int(2, false, IntField::Uint), number(u64::MAX)), json!({"uint_arg": 65535}));
    assert_eq!(shown(int(8, true, IntField::Long), number(u64::MAX)), json!({"long_arg": "-1"}));
    assert_eq!(
        shown(int(8, false, IntField::Size), number(u64::MAX)),
        json!({"size_arg": "18446744073709551615"})
    );
    assert_eq!(shown(int(4, true, IntField::Int), number(0)), json!({"int_arg": 0}));
}

#[test]
fn texts_and_buffers() {
    let kinds = (lictor_field_kind::LICTOR_FIELD_STRING, lictor_field_kind::LICTOR_FIELD_CHAR_BUF);
    assert_eq!(shown(ArgKind::String, |hook| hook.text(kinds.0, b"a b")), json!({"string_arg": "a b"}));
    assert_eq!(shown(ArgKind::CharBuf, |hook| hook.text(kinds.1, b"abc")), json!({"bytes_arg": "YWJj"}));
    let truncated =
        |hook: Hook| hook.field(kinds.1, lictor_field_status::LICTOR_FIELD_TRUNCATED, 5000, b"abc");
    assert_eq!(
        shown(ArgKind::CharBuf, truncated),
        json!({"truncated_bytes_arg": {"bytes_arg": "YWJj", "orig_size": "5000"}})
    );
    let null = |hook: Hook| hook.field(kinds.0, lictor_field_status::LICTOR_FIELD_ABSENT, 0, b"");
    assert_eq!(shown(ArgKind::String, null), json!({"string_arg": ""}));
}

#[test]
fn files_paths_and_programs() {
    let file = lictor_field_kind::LICTOR_FIELD_FILE;
    let path = lictor_field_kind::LICTOR_FIELD_PATH;
    let binprm = lictor_field_kind::LICTOR_FIELD_BINPRM;
    assert_eq!(
        shown(ArgKind::File, |hook| hook.file(file, 0o010_600, "")),
        json!({"file_arg": {"permission": "prw-------"}})
    );
    assert_eq!(
        shown(ArgKind::Path, |hook| hook.file(path, 0o041_777, "/tmp")),
        json!({"path_arg": {"path": "/tmp", "permission": "drwxrwxrwt"}})
    );
    assert_eq!(
        shown(ArgKind::LinuxBinprm, |hook| hook.file(binprm, 0o100_755, "/bin/sh")),
        json!({"linux_binprm_arg": {"path": "/bin/sh", "permission": "-rwxr-xr-x"}})
    );
    let null = |hook: Hook| hook.field(file, lictor_field_status::LICTOR_FIELD_ABSENT, 0, b"");
    assert_eq!(shown(ArgKind::File, null), json!({"file_arg": {}}));
}

#[test]
fn sockets_packets_and_socket_addresses() {
    let mut ends = lictor_endpoints {
        source_port: 40_000,
        destination_port: 443,
        family: 2,
        protocol: 6,
        flags: 31,
        type_: 1,
        state: 2,
        length: 60,
        cookie: 1 << 40,
        ..Default::default()
    };
    ends.source[..4].copy_from_slice(&[10, 0, 0, 1]);
    ends.destination[..4].copy_from_slice(&[127, 0, 0, 1]);
    assert_eq!(
        shown(ArgKind::Sock, |hook| hook.endpoints(lictor_field_kind::LICTOR_FIELD_SOCK, &ends)),
        json!({"sock_arg": {
            "family": "AF_INET", "type": "SOCK_STREAM", "protocol": "IPPROTO_TCP", "saddr": "10.0.0.1",
            "daddr": "127.0.0.1", "sport": 40000, "dport": 443, "cookie": "1099511627776", "state": "TCP_SYN_SENT",
        }})
    );
    assert_eq!(
        shown(ArgKind::Skb, |hook| hook.endpoints(lictor_field_kind::LICTOR_FIELD_SKB, &ends)),
        json!({"skb_arg": {
            "len": 60, "saddr": "10.0.0.1", "daddr": "127.0.0.1", "sport": 40000, "dport": 443, "proto": 6,
            "protocol": "IPPROTO_TCP", "family": "AF_INET",
        }})
    );
    let mut named = lictor_endpoints { source_port: 53, family: 10, flags: 7, ..Default::default() };
    named.source[15] = 1;
    assert_eq!(
        shown(ArgKind::Sockaddr, |hook| hook.endpoints(lictor_field_kind::LICTOR_FIELD_SOCKADDR, &named)),
        json!({"sockaddr_arg": {"family": "AF_INET6", "addr": "::1", "port": 53}})
    );
    let unix = |family, path| {
        let found = lictor_unix_address { family, pad: 0 };
        shown_with_name(ArgKind::SockaddrUn, lictor_field_kind::LICTOR_FIELD_SOCKADDR_UN, &found, path)
    };
    assert_eq!(
        unix(1, "/run/a.sock"),
        json!({"sockaddrun_arg": {"family": "AF_UNIX", "path": "/run/a.sock"}})
    );
    assert_eq!(unix(1, "@hidden"), json!({"sockaddrun_arg": {"family": "AF_UNIX", "path": "@hidden"}}));
    assert_eq!(unix(2, ""), json!({"sockaddrun_arg": {"family": "AF_INET"}}));
    let local = lictor_endpoints { family: 1, flags: 1, ..Default::default() };
    assert_eq!(
        shown(ArgKind::Socket, |hook| hook.endpoints(lictor_field_kind::LICTOR_FIELD_SOCKET, &local)),
        json!({"sock_arg": {"family": "AF_UNIX"}})
    );
    let null = |hook: Hook| {
        let kind = lictor_field_kind::LICTOR_FIELD_SKB;
        hook.field(kind, lictor_field_status::LICTOR_FIELD_ABSENT, 0, b"")
    };
    assert_eq!(shown(ArgKind::Skb, null), json!({"skb_arg": {}}));
}

#[test]
fn credentials_and_user_namespaces() {
    let namespace = lictor_user_namespace { inode: 4_026_531_837, level: 0, owner: 0, group: 0 };
    let found = lictor_credentials {
        uid: 1000,
        euid: 0,
        gid: 1000,
        secure_bits: 1,
        cap_effective: 1 << 21,
        user_namespace: namespace,
        ..Default::default()
    };
    let show = |kind: u32, data: &[u8]| {
        let data = data.to_vec();
        move |hook: Hook| hook.field(kind, lictor_field_status::LICTOR_FIELD_OK, data.len() as u32, &data)
    };
    let read = show(lictor_field_kind::LICTOR_FIELD_CRED, wire::bytes_of(&found));
    assert_eq!(
        shown(ArgKind::Cred, read),
        json!({"process_credentials_arg": {
            "uid": 1000, "gid": 1000, "euid": 0, "egid": 0, "suid": 0, "sgid": 0, "fsuid": 0, "fsgid": 0,
            "securebits": ["SecBitNoRoot"], "caps": {"effective": ["CAP_SYS_ADMIN"]},
            "user_ns": {"level": 0, "uid": 0, "gid": 0, "ns": {"inum": 4_026_531_837_u32, "is_host": true}},
        }})
    );
    let inner = lictor_user_namespace { inode: 7, level: 1, owner: 1000, group: 100 };
    let read = show(lictor_field_kind::LICTOR_FIELD_USER_NAMESPACE, wire::bytes_of(&inner));
    assert_eq!(
        shown(ArgKind::UserNamespace, read),
        json!({"user_ns_arg": {"level": 1, "uid": 1000, "gid": 100, "ns": {"inum": 7}}})
    );
}

/// How a structure with a name behind it is shown.
fn shown_with_name<T: wire::Wire>(kind: ArgKind, code: u32, found: &T, name: &str) -> Value {
    let data = [wire::bytes_of(found), name.as_bytes()].concat();
    shown(kind, move |hook| hook.field(code, lictor_field_status::LICTOR_FIELD_OK, data.len() as u32, &data))
}

#[test]
fn modules_and_interfaces() {
    let module = |taints, signature| {
        let found = lictor_module { taints, signature, ..Default::default() };
        shown_with_name(ArgKind::Module, lictor_field_kind::LICTOR_FIELD_MODULE, &found, "dummy")
    };
    assert_eq!(
        module(1 << 12 | 1 << 13, wire::LICTOR_SIGNATURE_BAD),
        json!({"module_arg": {"name": "dummy", "signature_ok": false,
            "tainted": ["TAINT_OUT_OF_TREE_MODULE", "TAINT_UNSIGNED_MODULE"]}})
    );
    assert_eq!(
        module(0, wire::LICTOR_SIGNATURE_GOOD),
        json!({"module_arg": {"name": "dummy", "signature_ok": true}})
    );
    assert_eq!(module(1 << 9, wire::LICTOR_SIGNATURE_UNKNOWN), json!({"module_arg": {"name": "dummy"}}));
    let name = |hook: Hook| hook.text(lictor_field_kind::LICTOR_FIELD_NET_DEVICE, b"lo");
    assert_eq!(shown(ArgKind::NetDevice, name), json!({"net_dev_arg": {"name": "lo"}}));
    let null = |hook: Hook| {
        hook.field(lictor_field_kind::LICTOR_FIELD_MODULE, lictor_field_status::LICTOR_FIELD_ABSENT, 0, &[])
    };
    assert_eq!(shown(ArgKind::Module, null), json!({"module_arg": {}}));
}

#[test]
fn bpf_programs_maps_and_perf_events() {
    let attr = |program_type| {
        let found = lictor_bpf_attr { program_type, instructions: 2 };
        shown_with_name(ArgKind::BpfAttr, lictor_field_kind::LICTOR_FIELD_BPF_ATTR, &found, "prog")
    };
    assert_eq!(
        attr(32),
        json!({"bpf_attr_arg": {"ProgType": "BPF_PROG_TYPE_NETFILTER", "InsnCnt": 2, "ProgName": "prog"}})
    );
    assert_eq!(attr(99), json!({"bpf_attr_arg": {"ProgType": "99", "InsnCnt": 2, "ProgName": "prog"}}));
    let map = lictor_bpf_map { map_type: 33, key_size: 4, value_size: 8, max_entries: 3 };
    assert_eq!(
        shown_with_name(ArgKind::BpfMap, lictor_field_kind::LICTOR_FIELD_BPF_MAP, &map, "m"),
        json!({"bpf_map_arg": {"MapType": "BPF_MAP_TYPE_ARENA", "KeySize": 4, "ValueSize": 8, "MaxEntries": 3,
            "MapName": "m"}})
    );
    let event = |type_, config, probe_offset, name| {
        let found = lictor_perf_event { type_, config, probe_offset, ..Default::default() };
        shown_with_name(ArgKind::PerfEvent, lictor_field_kind::LICTOR_FIELD_PERF_EVENT, &found, name)
    };
    assert_eq!(event(1, 3, 0, ""), json!({"perf_event_arg": {"Type": "PERF_TYPE_SOFTWARE", "Config": "3"}}));
    assert_eq!(
        event(8, 0, 16, "vfs_read"),
        json!({"perf_event_arg": {"KprobeFunc": "vfs_read", "Type": "8", "ProbeOffset": "16"}})
    );
}

#[test]
fn system_calls_tell_whose_they_are() {
    let shown = |number: u64| shown(ArgKind::Syscall, move |hook| hook.number(number));
    assert_eq!(shown(257), json!({"syscall_id": {"id": 257, "abi": "x64"}}));
    assert_eq!(shown(0), json!({"syscall_id": {"abi": "x64"}}));
    assert_eq!(shown(0x8000_0005), json!({"syscall_id": {"id": 5, "abi": "i386"}}));
    assert_eq!(shown(0x4000_0001), json!({"syscall_id": {"id": 1, "abi": "x32"}}));
}

#[test]
fn capabilities_have_names() {
    let shown = |number: u64| shown(ArgKind::Capability, move |hook| hook.number(number));
    assert_eq!(shown(21), json!({"capability_arg": {"value": 21, "name": "CAP_SYS_ADMIN"}}));
    assert_eq!(shown(99), json!({"capability_arg": {"value": 99}}));
}

#[test]
fn sets_of_capabilities_are_hexadecimal() {
    let shown = |field| shown(ArgKind::Capabilities(field), |hook| hook.number(0x2020));
    assert_eq!(shown(CapabilitiesField::Any), json!({"kernel_cap_t_arg": "0000000000002020"}));
    assert_eq!(shown(CapabilitiesField::Effective), json!({"cap_effective_arg": "0000000000002020"}));
}

#[test]
fn commands_of_bpf_have_names() {
    let shown = |number: u64| shown(ArgKind::BpfCmd, move |hook| hook.number(number));
    assert_eq!(shown(0), json!({"bpf_cmd_arg": "BPF_MAP_CREATE"}));
    assert_eq!(shown(99), json!({"bpf_cmd_arg": 99}));
    assert_eq!(shown(u64::MAX), json!({"bpf_cmd_arg": -1}));
}

#[test]
fn values_that_could_not_be_read_are_errors() {
    let file = lictor_field_kind::LICTOR_FIELD_FILE;
    let unread = |hook: Hook| hook.field(file, lictor_field_status::LICTOR_FIELD_UNRESOLVED, 0, b"");
    assert_eq!(
        shown(ArgKind::File, unread),
        json!({"error_arg": {"Message": "the value could not be read"}})
    );
    assert_eq!(
        shown(ArgKind::File, |hook| hook),
        json!({"error_arg": {"Message": "the value is not in the record"}})
    );
}

#[test]
fn labels_and_the_verdict_as_return_value() {
    let mut group = testing::group("security_file_permission", EventKind::Kprobe, Vec::new());
    group.args.push(ArgPlan { label: Some("what".into()), ..testing::arg(0, int(4, true, IntField::Int)) });
    group.args.push(ArgPlan { field: None, kind: ArgKind::Nop, label: None });
    group.return_arg = Some(ArgPlan { field: None, kind: int(4, true, IntField::Int), label: None });
    let rules = vec![testing::rule(0, ShownAction::Post)];
    let plan = testing::hook_plan(Attach::Lsm, "file_permission", vec![group], rules);
    let text = line(plan, Mode::Enforce, wire::LICTOR_FIRED_POST, |hook| hook.verdict(-13, 0).number(4));
    let event = &value(&text)["process_kprobe"];
    assert_eq!(event["args"], json!([{"int_arg": 4, "label": "what"}]));
    assert_eq!(event["return"], json!({"int_arg": -13}));
}

#[test]
fn a_record_of_an_unknown_revision_is_still_told() {
    let bytes = Hook::new(CHILD, 117_835_323_793, 2, 5, 99)
        .verdict(-1, 0)
        .number(3)
        .file(lictor_field_kind::LICTOR_FIELD_FILE, 0o100_644, "/etc/passwd")
        .bytes();
    let Ok(Record::Hook(record)) = decode(&bytes) else { panic!("not a hook record") };
    let plan = testing::plan(&[("p", Mode::Enforce)], vec![deny_shadow(0)]);
    let decoder = RevisionDecoder::new(3, &plan, &[(5, 11)]);
    let writer = EventWriter::new(NODE, BOOT);
    let mut out = Vec::new();
    assert_eq!(writer.unknown_hook(&mut out, &(&child().1).into(), &record, decoder.hook(5)), EventType::Lsm);
    let text = String::from_utf8(out).unwrap();
    let event = &value(&text)["process_lsm"];
    assert_eq!(event["function_name"], "file_open");
    assert_eq!(event["args"][1]["file_arg"]["path"], "/etc/passwd");
    assert_eq!(
        value(&text)["lictor"],
        json!({"verdict": "deny", "errno": -1, "revision": 2, "unknown_revision": true, "hook_slot": 5})
    );
    let mut out = Vec::new();
    assert_eq!(writer.unknown_hook(&mut out, &(&child().1).into(), &record, None), EventType::Kprobe);
    assert_eq!(value(std::str::from_utf8(&out).unwrap())["process_kprobe"].get("function_name"), None);
}

#[test]
fn hostile_names_stay_one_line_of_json() {
    let text = line(deny_shadow(0), Mode::Enforce, wire::LICTOR_FIRED_POST, |hook| {
        let file = wire::lictor_file { mode: 0o100_644, ..Default::default() };
        let mut data = wire::bytes_of(&file).to_vec();
        data.extend_from_slice(b"/tmp/\x1b[31m\n\"},{\xff\xfe");
        hook.field(lictor_field_kind::LICTOR_FIELD_FILE, lictor_field_status::LICTOR_FIELD_OK, 20, &data)
    });
    assert_eq!(text.matches('\n').count(), 1);
    assert_eq!(
        value(&text)["process_lsm"]["args"][0]["file_arg"]["path"],
        "/tmp/\u{1b}[31m\n\"},{\u{fffd}\u{fffd}"
    );
}
