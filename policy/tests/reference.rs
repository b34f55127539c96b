//! `docs/policy-reference.md` is made from the types and from examples that load.
//!
//! `UPDATE_EXPECT=1 cargo test -p lictor-policy --test reference` writes it anew; read the difference.

#![allow(clippy::unwrap_used, reason = "a test that fails to set up has to fail")]

use lictor_policy::spec::TEXT_OR_INTEGER;
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

const HEAD: &str = "apiVersion: lictor.io/v1alpha1\nkind: TracingPolicy\nmetadata:\n  name: example\n";

/// An object of the language, its heading, and an example that uses each of its fields.
struct Section {
    path: &'static str,
    title: &'static str,
    example: &'static str,
}

const SECTIONS: [Section; 33] = [
    Section {
        path: "",
        title: "The document",
        example: "apiVersion: lictor.io/v1alpha1\nkind: TracingPolicy\nmetadata:\n  name: example\nspec:\n  lsmhooks:\n  - hook: file_open\n",
    },
    Section {
        path: "metadata",
        title: "metadata",
        example: "apiVersion: lictor.io/v1alpha1\nkind: TracingPolicy\nmetadata:\n  name: example\n  namespace: ''\n  labels: {team: storage}\n  annotations: {owner: a@example.org}\nspec:\n  lsmhooks:\n  - hook: file_open\n",
    },
    Section {
        path: "spec",
        title: "spec",
        example: "spec:\n  mode: monitor\n  onUnresolved: match\n  nodeSelector: {}\n  podSelector: {}\n  containerSelector: {matchExpressions: [{key: name, operator: NotIn, values: [proxy]}]}\n  hostSelector: {}\n  options:\n  - {name: policy-mode, value: monitor}\n  kprobes:\n  - {call: sys_setuid}\n  fentries:\n  - {call: \"list:mounts\"}\n  lists:\n  - {name: mounts, type: syscalls, values: [sys_mount, sys_umount]}\n  selectorsMacros:\n    shells: {matchBinaries: [{operator: In, values: [/bin/sh]}]}\n  tracepoints:\n  - {subsystem: sched, event: sched_process_exec}\n  lsmhooks:\n  - {hook: sb_mount, selectors: [{macros: [shells]}]}\n  uprobes:\n  - {path: /bin/bash, symbols: [readline]}\n  usdts:\n  - {path: /usr/bin/python3, provider: python, name: line}\n  enforcers:\n  - {calls: [security_file_open]}\n  loader: true\n",
    },
    Section {
        path: "spec.kprobes[]",
        title: "spec.kprobes",
        example: "spec:\n  kprobes:\n  - call: security_inode_follow_link\n    syscall: false\n    return: true\n    returnArg: {index: 0, type: int}\n    args:\n    - {index: 0, type: dentry}\n    data:\n    - {index: 0, type: string, source: current_task, resolve: comm}\n    selectors:\n    - matchArgs:\n      - {index: 0, operator: Prefix, values: [/tmp/]}\n    message: a link in /tmp is followed\n    tags: [file.link]\n    ignore: {callNotFound: true}\n  - call: sk_alloc\n    syscall: false\n    return: true\n    returnArg: {index: 0, type: sock}\n    returnArgAction: TrackSock\n",
    },
    Section {
        path: "spec.fentries[]",
        title: "spec.fentries",
        example: "spec:\n  fentries:\n  - call: tcp_connect\n    syscall: false\n    return: true\n    returnArg: {index: 0, type: int}\n    args:\n    - {index: 0, type: nop}\n    data:\n    - {index: 0, type: uint32, source: current_task, resolve: cred.uid.val}\n    selectors:\n    - matchReturnArgs:\n      - {index: 0, operator: InMap, values: ['-111', '-113:-110']}\n    message: a connection that fails\n    tags: [net.fail]\n    ignore: {callNotFound: true}\n  - call: sk_alloc\n    syscall: false\n    return: true\n    returnArg: {index: 0, type: sock}\n    returnArgAction: TrackSock\n",
    },
    Section {
        path: "spec.lists[]",
        title: "spec.lists",
        example: "spec:\n  lists:\n  - name: mounts\n    type: syscalls\n    values: [sys_mount, sys_umount]\n  - name: inner\n    type: generated_ftrace\n    pattern: ^ksys_\n  kprobes:\n  - call: list:mounts\n  - call: list:inner\n",
    },
    Section {
        path: "spec.enforcers[]",
        title: "spec.enforcers",
        example: "spec:\n  enforcers:\n  - calls: [security_path_mkdir, security_path_rmdir]\n  kprobes:\n  - call: sys_ptrace\n    selectors:\n    - matchActions:\n      - {action: NotifyEnforcer, argError: -1}\n",
    },
    Section {
        path: "spec.selectorsMacros",
        title: "spec.selectorsMacros",
        example: "spec:\n  selectorsMacros:\n    not-by-root-tools:\n      matchBinaries:\n      - {operator: NotIn, values: [/usr/bin/mount, /usr/bin/umount]}\n  lsmhooks:\n  - hook: sb_mount\n    selectors:\n    - macros: [not-by-root-tools]\n      matchActions:\n      - {action: Override, argError: -1}\n",
    },
    Section {
        path: "spec.kprobes[].ignore",
        title: "spec.kprobes.ignore",
        example: "spec:\n  kprobes:\n  - call: only_in_some_kernels\n    syscall: false\n    ignore: {callNotFound: true}\n",
    },
    Section {
        path: "spec.tracepoints[]",
        title: "spec.tracepoints",
        example: "spec:\n  tracepoints:\n  - subsystem: syscalls\n    event: sys_enter_openat\n    args:\n    - {index: 7, type: int}\n    data:\n    - {index: 0, type: string, source: current_task, resolve: comm}\n    selectors:\n    - matchArgs:\n      - {index: 7, operator: Mask, values: ['0x40']}\n    message: a file is made\n    tags: [file.new]\n  - subsystem: sched\n    event: sched_process_exec\n    raw: true\n    args:\n    - {index: 2, type: linux_binprm}\n",
    },
    Section {
        path: "spec.lsmhooks[]",
        title: "spec.lsmhooks",
        example: "spec:\n  lsmhooks:\n  - hook: file_open\n    args:\n    - {index: 0, type: file}\n    selectors:\n    - matchArgs:\n      - {index: 0, operator: Equal, values: [/etc/shadow]}\n      matchActions:\n      - {action: Override, argError: -13}\n    message: password hashes\n    tags: [file.read]\n",
    },
    Section {
        path: "spec.uprobes[]",
        title: "spec.uprobes",
        example: "spec:\n  uprobes:\n  - path: /bin/bash\n    symbols: [readline]\n    return: true\n    returnArg: {index: 0, type: string}\n    selectors:\n    - matchReturnArgs:\n      - {index: 0, operator: Prefix, values: ['curl ']}\n    message: somebody types curl\n    tags: [shell]\n    ignore: {callNotFound: true}\n  - path: /usr/lib/x86_64-linux-gnu/libc.so.6\n    symbols: [setenv]\n    binaryDigests: [\"build-id:0f1e2d3c4b5a69788796a5b4c3d2e1f000112233\"]\n    args:\n    - {index: 0, type: string, label: name}\n  - path: /opt/app/server\n    btfPath: /opt/app/server.btf\n    symbols: [handle]\n    args:\n    - {index: 0, type: uint16, btfType: request, resolve: peer.port}\n  - path: /opt/app/server\n    offsets: [0x4c0]\n    refCtrOffsets: [0x4020]\n  - path: /opt/app/server\n    addrs: [0x401000]\n    data:\n    - {index: 0, type: uint32, source: pt_regs, resolve: eax}\n",
    },
    Section {
        path: "spec.uprobes[].ignore",
        title: "spec.uprobes.ignore",
        example: "spec:\n  uprobes:\n  - path: /opt/only-on-some-nodes\n    symbols: [main]\n    binaryDigests:\n    - sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\n    ignore: {callNotFound: true, digestVerificationFailure: true}\n",
    },
    Section {
        path: "spec.usdts[]",
        title: "spec.usdts",
        example: "spec:\n  usdts:\n  - path: /usr/bin/python3\n    provider: python\n    name: function__entry\n    args:\n    - {index: 0, type: string, label: file}\n    - {index: 2, type: int, label: line}\n    selectors:\n    - matchArgs:\n      - {index: 0, operator: Postfix, values: [/setup.py]}\n    message: a setup script runs\n    tags: [python]\n  - path: /opt/app/server\n    btfPath: /opt/app/server.btf\n    provider: server\n    name: request\n    args:\n    - {index: 0, type: string, btfType: request, resolve: peer.host}\n",
    },
    Section {
        path: "spec.options[]",
        title: "spec.options",
        example: "spec:\n  options:\n  - name: policy-mode\n    value: monitor\n  lsmhooks:\n  - hook: file_open\n",
    },
    Section {
        path: "spec.lsmhooks[].args[]",
        title: "args, data, returnArg",
        example: "spec:\n  kprobes:\n  - call: sys_read\n    return: true\n    returnArg: {index: 0, type: long}\n    args:\n    - index: 1\n      type: char_buf\n      sizeArgIndex: 3\n      returnCopy: true\n      maxData: true\n      label: what was read\n    selectors:\n    - matchBinaries:\n      - {operator: In, values: [/usr/sbin/sshd]}\n  - call: tcp_connect\n    syscall: false\n    args:\n    - {index: 0, type: uint16, btfType: inet_sock, resolve: inet_sport}\n    data:\n    - {index: 0, type: string, source: current_task, resolve: real_parent.comm}\n  - call: netdev_rx_handler_register\n    syscall: false\n    args:\n    - {index: 2, type: string, btfType: net_bridge_port, btfTypeModule: bridge, resolve: br.dev.name}\n",
    },
    Section {
        path: "spec.lsmhooks[].selectors[]",
        title: "selectors",
        example: "spec:\n  selectorsMacros:\n    unprivileged:\n      matchCapabilities:\n      - {operator: NotIn, values: [CAP_SYS_ADMIN]}\n  kprobes:\n  - call: fd_install\n    syscall: false\n    return: true\n    returnArg: {index: 0, type: int}\n    args:\n    - {index: 0, type: uint32}\n    data:\n    - {index: 0, type: string, source: current_task, resolve: comm}\n    selectors:\n    - label: high descriptors\n      macros: [unprivileged]\n      matchArgs:\n      - {index: 0, operator: GT, values: ['100']}\n      matchData:\n      - {index: 0, operator: NotEqual, values: [worker]}\n      matchCEL: {expr: 'arg0 < 4096u'}\n      matchReturnArgs:\n      - {index: 0, operator: Equal, values: ['0']}\n      matchWorkloads: {podSelector: {}}\n      matchBinaries:\n      - {operator: NotIn, values: [/usr/bin/postgres], followChildren: true}\n      matchPIDs:\n      - {operator: NotIn, values: [1]}\n      matchNamespaces:\n      - {namespace: Pid, operator: NotIn, values: [host_ns]}\n      matchParentBinaries:\n      - {operator: In, values: [/usr/sbin/cron]}\n      matchNamespaceChanges:\n      - {operator: In, values: [Mnt]}\n      matchCapabilityChanges:\n      - {operator: In, values: [CAP_SYS_ADMIN]}\n      matchActions:\n      - {action: Post}\n      matchReturnActions:\n      - {action: Signal, argSig: 10}\n",
    },
    Section {
        path: "spec.lsmhooks[].selectors[].matchArgs[]",
        title: "matchArgs, matchData, matchReturnArgs",
        example: "spec:\n  lsmhooks:\n  - hook: file_permission\n    args:\n    - {index: 0, type: file}\n    - {index: 1, type: int}\n    selectors:\n    - matchArgs:\n      - index: 0\n        operator: Postfix\n        values: [.key, .pem]\n      - args: [1]\n        operator: Mask\n        values: ['2']\n",
    },
    Section {
        path: "spec.lsmhooks[].selectors[].matchCEL",
        title: "matchCEL",
        example: "spec:\n  kprobes:\n  - call: commit_creds\n    syscall: false\n    args:\n    - {index: 0, type: uint32, resolve: uid.val}\n    data:\n    - {index: 0, type: uint32, source: current_task, resolve: cred.uid.val}\n    selectors:\n    - matchCEL:\n        expr: arg0 != data0\n",
    },
    Section {
        path: "spec.lsmhooks[].selectors[].matchWorkloads",
        title: "matchWorkloads",
        example: "spec:\n  lsmhooks:\n  - hook: file_open\n    selectors:\n    - label: the node itself and system pods\n      matchWorkloads:\n        hostSelector: {}\n        podSelector:\n          matchExpressions:\n          - {key: \"k8s:io.kubernetes.pod.namespace\", operator: In, values: [kube-system]}\n      matchActions:\n      - {action: NoPost}\n    - label: main containers\n      matchWorkloads:\n        podSelector: {matchLabels: {app: web}}\n        containerSelector: {matchLabels: {name: main}}\n",
    },
    Section {
        path: "spec.lsmhooks[].selectors[].matchBinaries[]",
        title: "matchBinaries, matchParentBinaries",
        example: "spec:\n  lsmhooks:\n  - hook: file_open\n    selectors:\n    - matchBinaries:\n      - operator: NotIn\n        values: [/usr/sbin/sshd]\n        followChildren: true\n",
    },
    Section {
        path: "spec.lsmhooks[].selectors[].matchPIDs[]",
        title: "matchPIDs",
        example: "spec:\n  lsmhooks:\n  - hook: file_open\n    selectors:\n    - matchPIDs:\n      - operator: NotIn\n        values: [1]\n        isNamespacePID: true\n        followForks: true\n",
    },
    Section {
        path: "spec.lsmhooks[].selectors[].matchNamespaces[]",
        title: "matchNamespaces",
        example: "spec:\n  lsmhooks:\n  - hook: sb_mount\n    selectors:\n    - matchNamespaces:\n      - namespace: Mnt\n        operator: NotIn\n        values: [host_ns, '4026531841']\n",
    },
    Section {
        path: "spec.lsmhooks[].selectors[].matchCapabilities[]",
        title: "matchCapabilities, matchCapabilityChanges",
        example: "spec:\n  lsmhooks:\n  - hook: sb_mount\n    selectors:\n    - matchCapabilities:\n      - type: Effective\n        operator: In\n        isNamespaceCapability: true\n        values: [CAP_SYS_ADMIN]\n",
    },
    Section {
        path: "spec.lsmhooks[].selectors[].matchNamespaceChanges[]",
        title: "matchNamespaceChanges",
        example: "spec:\n  lsmhooks:\n  - hook: file_open\n    selectors:\n    - matchNamespaceChanges:\n      - operator: In\n        values: [Mnt, User]\n",
    },
    Section {
        path: "spec.lsmhooks[].selectors[].matchActions[]",
        title: "matchActions, matchReturnActions",
        example: "spec:\n  lsmhooks:\n  - hook: mmap_file\n    args:\n    - {index: 0, type: file}\n    selectors:\n    - matchArgs:\n      - {index: 0, operator: Prefix, values: [/usr/local/]}\n      matchActions:\n      - {action: Post, imaHash: true}\n  - hook: sb_mount\n    selectors:\n    - matchPIDs:\n      - {operator: In, values: [1]}\n      matchActions:\n      - {action: Override, argError: -1}\n      - {action: Signal, argSig: 15}\n      - {action: GetUrl, argUrl: 'http://127.0.0.1/alarm'}\n      - {action: DnsLookup, argFqdn: canary.example.org}\n      - {action: Post, rateLimit: 1m, rateLimitScope: global, kernelStackTrace: true, userStackTrace: true}\n  kprobes:\n  - call: sk_free\n    syscall: false\n    args:\n    - {index: 0, type: sock}\n    selectors:\n    - matchActions:\n      - {action: UntrackSock, argSock: 0}\n      - {action: NoPost}\n  usdts:\n  - path: /usr/bin/server\n    provider: server\n    name: answer\n    args:\n    - {index: 0, type: int32}\n    selectors:\n    - matchActions:\n      - {action: Set, argIndex: 0, argValue: 403}\n  uprobes:\n  - path: /usr/bin/server\n    symbols: [is_allowed]\n    args:\n    - {index: 0, type: int}\n    selectors:\n    - matchArgs: [{index: 0, operator: Equal, values: [1]}]\n      matchActions:\n      - {action: Override, argNewSymbol: is_allowed_slowly, argRegs: [rsi=0]}\n    - matchArgs: [{index: 0, operator: Equal, values: [2]}]\n      matchActions:\n      - {action: Override, argNewAddr: 0x401180}\n    - matchActions:\n      - {action: Override, argNewOffset: 0x1180}\n",
    },
    Section {
        path: "spec.nodeSelector",
        title: "spec.nodeSelector",
        example: "spec:\n  nodeSelector:\n    matchLabels: {pool: payments}\n    matchExpressions:\n    - {key: example.com/canary, operator: DoesNotExist}\n  lsmhooks:\n  - hook: file_open\n",
    },
    Section {
        path: "spec.nodeSelector.matchExpressions[]",
        title: "spec.nodeSelector.matchExpressions",
        example: "spec:\n  nodeSelector:\n    matchExpressions:\n    - key: kubernetes.io/arch\n      operator: In\n      values: [amd64, arm64]\n  lsmhooks:\n  - hook: file_open\n",
    },
    Section {
        path: "spec.podSelector",
        title: "spec.podSelector",
        example: "spec:\n  podSelector:\n    matchLabels: {app: web}\n    matchExpressions:\n    - {key: tier, operator: In, values: [front]}\n  lsmhooks:\n  - hook: file_open\n",
    },
    Section {
        path: "spec.podSelector.matchExpressions[]",
        title: "spec.podSelector.matchExpressions",
        example: "spec:\n  podSelector:\n    matchExpressions:\n    - key: k8s:io.kubernetes.pod.namespace\n      operator: NotIn\n      values: [kube-system]\n  lsmhooks:\n  - hook: file_open\n",
    },
    Section {
        path: "spec.containerSelector",
        title: "spec.containerSelector",
        example: "spec:\n  podSelector: {}\n  containerSelector:\n    matchLabels: {name: main}\n    matchExpressions:\n    - {key: repo, operator: NotIn, values: [docker.io/library/nginx]}\n  lsmhooks:\n  - hook: file_open\n",
    },
    Section {
        path: "spec.hostSelector",
        title: "spec.hostSelector",
        example: "spec:\n  hostSelector: {}\n  lsmhooks:\n  - hook: file_open\n",
    },
    Section {
        path: "status",
        title: "status",
        example: "spec:\n  lsmhooks:\n  - hook: file_open\nstatus: {}\n",
    },
];

/// What a field needs beyond what every supported kernel (Linux 6.1 with BTF) has.
const NEEDS: [(&str, &str); 6] = [
    ("spec.lsmhooks", "BPF LSM (`lsm=…,bpf`), or a `security_` function that `fmod_ret` attaches to"),
    ("spec.tracepoints", "tracefs"),
    ("spec.uprobes", "CONFIG_UPROBE_EVENTS"),
    ("spec.usdts", "CONFIG_UPROBE_EVENTS"),
    ("spec.kprobes[].return", "a function in BTF"),
    ("spec.lsmhooks[].args[].returnCopy", "a function in BTF"),
];

fn whole(section: &Section) -> String {
    if section.example.starts_with("apiVersion") {
        section.example.to_owned()
    } else {
        format!("{HEAD}{}", section.example)
    }
}

/// The schema of an `Option`, without its null.
fn some(schema: &Json) -> &Json {
    let choices = schema.get("anyOf").and_then(Json::as_array);
    choices.and_then(|all| all.iter().find(|one| one["type"] != "null")).unwrap_or(schema)
}

fn lookup<'a>(schema: &'a Json, path: &str) -> Option<&'a Json> {
    let mut found = some(schema);
    for part in path.split('.').filter(|part| !part.is_empty()) {
        let name = part.trim_end_matches("[]");
        found = some(found.get("properties")?.get(name)?);
        if part.ends_with("[]") {
            found = some(found.get("items")?);
        }
    }
    Some(found)
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

/// Names of an enumeration with what each means.
fn names(schema: &Json) -> Vec<(String, String)> {
    let variants = some(schema).get("oneOf").and_then(Json::as_array);
    let mut found = Vec::new();
    for variant in variants.into_iter().flatten() {
        let about = one_line(variant["description"].as_str().unwrap_or_default());
        let all = variant["enum"].as_array().into_iter().flatten().chain(variant.get("const"));
        found.extend(all.filter_map(Json::as_str).map(|name| (name.to_owned(), about.clone())));
    }
    let plain = some(schema).get("enum").and_then(Json::as_array).into_iter().flatten();
    found.extend(plain.filter_map(Json::as_str).map(|name| (name.to_owned(), String::new())));
    found
}

fn kind(schema: &Json) -> String {
    if !names(schema).is_empty() {
        return "name".into();
    }
    let schema = some(schema);
    if schema.get(TEXT_OR_INTEGER).is_some() {
        return "text or integer".into();
    }
    let word = match &schema["type"] {
        Json::Array(types) => {
            types.iter().filter_map(Json::as_str).find(|name| *name != "null").unwrap_or("any")
        }
        Json::String(name) => name.as_str(),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::Object(_) => "any",
    };
    match word {
        "array" => format!("list of {}", plural(&kind(&schema["items"]))),
        "object" if schema.get("additionalProperties").is_some_and(Json::is_object) => {
            format!("mapping of {}", plural(&kind(&schema["additionalProperties"])))
        }
        "string" => "text".into(),
        "boolean" => "true or false".into(),
        other => other.into(),
    }
}

fn plural(word: &str) -> String {
    match word {
        "any" => "values".into(),
        "text or integer" => "texts or integers".into(),
        _ => format!("{word}s"),
    }
}

/// Fields that users write: what the cluster writes has no schema of its own.
fn fields(object: &Json) -> BTreeMap<&String, &Json> {
    let all = object.get("properties").and_then(Json::as_object).into_iter().flatten();
    all.filter(|(_, schema)| kind(schema) != "any").collect()
}

fn section(text: &mut String, section: &Section, schema: &Json) {
    let object = lookup(schema, section.path).unwrap();
    let fields = fields(object);
    writeln!(text, "\n## {}\n", section.title).unwrap();
    if let Some(about) = object["description"].as_str() {
        writeln!(text, "{}\n", one_line(about)).unwrap();
    }
    if !fields.is_empty() {
        text.push_str("| field | type | required | meaning | needs |\n|---|---|---|---|---|\n");
    }
    let required = object["required"].as_array().cloned().unwrap_or_default();
    for (name, field) in &fields {
        let path = if section.path.is_empty() { (*name).clone() } else { format!("{}.{name}", section.path) };
        let needs = NEEDS.iter().find(|(known, _)| *known == path).map_or("", |(_, needs)| needs);
        let must = if required.iter().any(|known| known == *name) { "yes" } else { "" };
        let about = one_line(field["description"].as_str().unwrap_or_default());
        let default = match &field["default"] {
            Json::Null | Json::Array(_) | Json::Object(_) => String::new(),
            value @ (Json::Bool(_) | Json::Number(_) | Json::String(_)) => {
                format!(" Default: `{}`.", value.to_string().trim_matches('"'))
            }
        };
        writeln!(text, "| `{name}` | {} | {must} | {about}{default} | {needs} |", kind(field)).unwrap();
    }
    for (name, field) in &fields {
        let names = names(field);
        if !names.is_empty() {
            writeln!(text, "\nValues of `{name}`:\n").unwrap();
            for (value, about) in names {
                let about = if about.is_empty() { String::new() } else { format!(": {about}") };
                writeln!(text, "- `{value}`{about}").unwrap();
            }
        }
    }
    if !section.example.is_empty() {
        writeln!(text, "\n```yaml\n{}```", whole(section)).unwrap();
    }
}

fn reference() -> String {
    let schema = lictor_policy::spec::schema();
    let mut text = String::from(
        "# Policy reference\n\nEvery field of the language, made from the types in `policy/src/spec` by a test. What it all means \
         together is in\n[the policy language](policy-language.md). Every example loads as it stands.\n\nWhat is here works on every \
         supported kernel: Linux 6.1 and newer with BTF. What a field needs beyond that stands beside it;\nwhat a kernel \
         lacks is refused by name, and `lictor policy explain` shows what was chosen. `args` and `selectors` are\nthe same in \
         all hooks.\n",
    );
    for one in &SECTIONS {
        if one.path != "status" {
            section(&mut text, one, &schema);
        }
    }
    format!("{}\n", text.trim_end())
}

#[test]
fn the_reference_is_what_the_types_say() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/policy-reference.md");
    let text = reference();
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(expected == text, "docs/policy-reference.md is old: UPDATE_EXPECT=1 writes it anew");
}

#[test]
fn every_example_loads_and_uses_every_field_of_its_section() {
    let schema = lictor_policy::spec::schema();
    for section in &SECTIONS {
        let text = whole(section);
        lictor_policy::load(&text, None).unwrap_or_else(|wrong| panic!("{}: {wrong}\n{text}", section.title));
        for name in fields(lookup(&schema, section.path).unwrap()).keys() {
            // A word of its own, before a colon.
            let word = format!("{name}:");
            let used = text.match_indices(&word).any(|(at, _)| {
                !text[..at].ends_with(|before: char| before.is_ascii_alphanumeric() || before == '_')
            });
            assert!(used, "the example of {} does not show `{name}`", section.title);
        }
    }
}

/// No object of the schema without a section.
#[test]
fn every_object_has_a_section() {
    fn walk(schema: &Json, path: &str, missing: &mut Vec<String>) {
        let schema = some(schema);
        if let Some(items) = schema.get("items") {
            return walk(items, &format!("{path}[]"), missing);
        }
        let Some(members) = schema.get("properties").and_then(Json::as_object) else { return };
        // Arguments and selectors are the same in all hooks.
        let common = path
            .replace("fentries[]", "kprobes[]")
            .replace("kprobes[].args", "lsmhooks[].args")
            .replace("uprobes[].args", "lsmhooks[].args")
            .replace("usdts[].args", "lsmhooks[].args")
            .replace("tracepoints[].args", "lsmhooks[].args")
            .replace("kprobes[].data", "lsmhooks[].args")
            .replace("uprobes[].data", "lsmhooks[].args")
            .replace("tracepoints[].data", "lsmhooks[].args");
        let common = common
            .replace("kprobes[].selectors", "lsmhooks[].selectors")
            .replace("uprobes[].selectors", "lsmhooks[].selectors")
            .replace("usdts[].selectors", "lsmhooks[].selectors")
            .replace("tracepoints[].selectors", "lsmhooks[].selectors");
        let common = common
            .replace("spec.kprobes[].returnArg", "spec.lsmhooks[].args[]")
            .replace("spec.uprobes[].returnArg", "spec.lsmhooks[].args[]")
            .replace("matchReturnArgs", "matchArgs")
            .replace("matchData", "matchArgs")
            .replace("matchReturnActions", "matchActions")
            .replace("matchParentBinaries", "matchBinaries")
            .replace("matchCapabilityChanges", "matchCapabilities")
            .replace("lsmhooks[].selectors[].matchWorkloads.podSelector", "podSelector")
            .replace("lsmhooks[].selectors[].matchWorkloads.containerSelector", "containerSelector")
            .replace("spec.containerSelector.matchExpressions", "spec.podSelector.matchExpressions");
        if !SECTIONS.iter().any(|section| section.path == common) {
            missing.push(path.to_owned());
        }
        for (name, member) in members {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            walk(member, &path, missing);
        }
    }
    let mut missing = Vec::new();
    walk(&lictor_policy::spec::schema(), "", &mut missing);
    assert!(missing.is_empty(), "{missing:?}");
}
