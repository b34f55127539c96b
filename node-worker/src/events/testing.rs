//! Builders of raw records for tests: what the kernel would write.

use lictor_node_worker_ebpf as wire;
use lictor_policy::model::{ArgKind, FieldPath, Mode, PolicyKey, ShownAction};
use lictor_policy::plan::{
    ArgPlan, Attach, EventKind, GroupPlan, HookPlan, HookPoint, PathDictionary, Plan, PlanPolicy, RulePlan,
    ShapePlan,
};
use wire::{
    bytes_of, lictor_data, lictor_data_record, lictor_endpoints, lictor_exec_record, lictor_exit_record,
    lictor_field, lictor_field_kind, lictor_field_status, lictor_file, lictor_fired, lictor_fork_record,
    lictor_hash_record, lictor_hook_record, lictor_record, lictor_record_kind,
};

/// Identity of a process in records.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Task {
    pub(crate) pid: u32,
    pub(crate) start_boot_ns: u64,
    pub(crate) exec_id: u32,
}

impl Task {
    pub(crate) fn new(pid: u32, start_boot_ns: u64) -> Self {
        Self { pid, start_boot_ns, exec_id: 1 }
    }

    pub(crate) fn head(self, boot_ns: u64) -> lictor_record {
        lictor_record {
            boot_ns,
            tgid: self.pid,
            tid: self.pid,
            start_boot_ns: self.start_boot_ns,
            exec_id: self.exec_id,
            ..Default::default()
        }
    }
}

/// Sets kind and length, and gives the bytes.
fn finish(mut fixed: Vec<u8>, kind: u32) -> Vec<u8> {
    let length = fixed.len() as u32;
    fixed[0..2].copy_from_slice(&(kind as u16).to_ne_bytes());
    fixed[4..8].copy_from_slice(&length.to_ne_bytes());
    fixed
}

/// An exec of `filename` with `arguments` (argv[0] included) in `cwd`.
pub(crate) fn exec(
    task: Task,
    boot_ns: u64,
    parent: Task,
    filename: &str,
    arguments: &[&str],
    cwd: &str,
) -> Vec<u8> {
    exec_with(task, boot_ns, parent, filename, arguments, cwd, |_| {})
}

/// Like [`exec`], with changes to the fixed part.
pub(crate) fn exec_with(
    task: Task,
    boot_ns: u64,
    parent: Task,
    filename: &str,
    arguments: &[&str],
    cwd: &str,
    change: impl FnOnce(&mut lictor_exec_record),
) -> Vec<u8> {
    let mut text = Vec::new();
    // As the kernel does it: argv[0] is left out.
    for argument in arguments.iter().skip(1) {
        text.extend_from_slice(argument.as_bytes());
        text.push(0);
    }
    let executable = "/usr/bin/busybox";
    let mut fixed = lictor_exec_record {
        head: task.head(boot_ns),
        parent_tgid: parent.pid,
        parent_start_boot_ns: parent.start_boot_ns,
        login_uid: u32::MAX,
        links: 1,
        namespaces: HOST_NAMESPACES,
        filename_length: filename.len() as u16,
        cwd_length: cwd.len() as u16,
        args_length: text.len() as u16,
        exe_length: executable.len() as u16,
        namespace_pid: task.pid,
        ..Default::default()
    };
    change(&mut fixed);
    let mut bytes = bytes_of(&fixed).to_vec();
    bytes.extend_from_slice(filename.as_bytes());
    bytes.extend_from_slice(cwd.as_bytes());
    bytes.extend_from_slice(&text);
    bytes.extend_from_slice(executable.as_bytes());
    finish(bytes, lictor_record_kind::LICTOR_RECORD_EXEC)
}

/// Namespaces of process 1 in tests.
pub(crate) const HOST_NAMESPACES: [u32; 10] = [
    4_026_531_838,
    4_026_531_839,
    4_026_531_841,
    4_026_531_836,
    4_026_531_836,
    4_026_531_840,
    4_026_531_834,
    4_026_531_834,
    4_026_531_835,
    4_026_531_837,
];

pub(crate) fn exit(task: Task, boot_ns: u64, status: u32) -> Vec<u8> {
    let fixed = lictor_exit_record { head: task.head(boot_ns), status, pad: 0 };
    finish(bytes_of(&fixed).to_vec(), lictor_record_kind::LICTOR_RECORD_EXIT)
}

pub(crate) fn fork(child: Task, boot_ns: u64, parent: Task) -> Vec<u8> {
    let fixed = lictor_fork_record {
        head: child.head(boot_ns),
        parent_start_boot_ns: parent.start_boot_ns,
        parent_tgid: parent.pid,
        namespace_pid: child.pid,
    };
    finish(bytes_of(&fixed).to_vec(), lictor_record_kind::LICTOR_RECORD_FORK)
}

/// A piece of a value.
pub(crate) fn data(task: Task, id: u64, field: u32, bytes: &[u8]) -> Vec<u8> {
    let fixed = lictor_data_record { head: task.head(1), id, field, pad: 0 };
    finish([bytes_of(&fixed), bytes].concat(), lictor_record_kind::LICTOR_RECORD_DATA)
}

/// A hook record, field by field.
pub(crate) struct Hook {
    fixed: lictor_hook_record,
    fired: Vec<lictor_fired>,
    stacks: Vec<u8>,
    fields: Vec<u8>,
}

impl Hook {
    pub(crate) fn new(task: Task, boot_ns: u64, revision: u32, slot: u16, shape_id: u32) -> Self {
        let mut head = task.head(boot_ns);
        head.revision = revision;
        let fixed = lictor_hook_record { head, hook_slot: slot, shape_id, ..Default::default() };
        Self { fixed, fired: Vec::new(), stacks: Vec::new(), fields: Vec::new() }
    }

    pub(crate) fn thread(mut self, tid: u32) -> Self {
        self.fixed.head.tid = tid;
        self
    }

    pub(crate) fn verdict(mut self, errno: i16, signal: u32) -> Self {
        self.fixed.verdict = errno;
        self.fixed.signal = signal;
        self
    }

    pub(crate) fn fired(mut self, rule: u16, flags: u32) -> Self {
        self.fired.push(lictor_fired { rule, flags: flags as u16 });
        self
    }

    pub(crate) fn kernel_stack(mut self, addresses: &[u64]) -> Self {
        self.stacks.extend(addresses.iter().flat_map(|address| address.to_ne_bytes()));
        self.fixed.kernel_stack = i16::try_from(self.stacks.len()).unwrap_or(i16::MAX);
        self
    }

    /// After the kernel's.
    pub(crate) fn user_stack(mut self, process: u32, addresses: &[u64]) -> Self {
        let before = self.stacks.len();
        let words = std::iter::once(u64::from(process)).chain(addresses.iter().copied());
        self.stacks.extend(words.flat_map(u64::to_ne_bytes));
        self.fixed.user_stack = i16::try_from(self.stacks.len() - before).unwrap_or(i16::MAX);
        self
    }

    /// Stacks that could not be taken: errnos, 0 = none.
    pub(crate) fn no_stacks(mut self, kernel: i16, user: i16) -> Self {
        (self.fixed.kernel_stack, self.fixed.user_stack) = (kernel, user);
        self
    }

    pub(crate) fn field(mut self, kind: u32, status: u32, original_length: u32, data: &[u8]) -> Self {
        let head = lictor_field {
            kind: kind as u8,
            status: status as u8,
            length: data.len() as u16,
            original_length,
        };
        self.fields.extend_from_slice(bytes_of(&head));
        self.fields.extend_from_slice(data);
        self.fields.resize(self.fields.len().next_multiple_of(8), 0);
        self.fixed.field_count += 1;
        self
    }

    pub(crate) fn number(self, value: u64) -> Self {
        let kind = lictor_field_kind::LICTOR_FIELD_NUMBER;
        self.field(kind, lictor_field_status::LICTOR_FIELD_OK, 8, &value.to_ne_bytes())
    }

    pub(crate) fn text(self, kind: u32, text: &[u8]) -> Self {
        self.field(kind, lictor_field_status::LICTOR_FIELD_OK, text.len() as u32, text)
    }

    pub(crate) fn file(self, kind: u32, mode: u32, path: &str) -> Self {
        let file = lictor_file { inode: 12, mode, links: 1, ..Default::default() };
        let mut data = bytes_of(&file).to_vec();
        data.extend_from_slice(path.as_bytes());
        let status = if path.is_empty() {
            lictor_field_status::LICTOR_FIELD_ABSENT
        } else {
            lictor_field_status::LICTOR_FIELD_OK
        };
        self.field(kind, status, path.len() as u32, &data)
    }

    pub(crate) fn endpoints(self, kind: u32, ends: &lictor_endpoints) -> Self {
        let data = bytes_of(ends);
        self.field(kind, lictor_field_status::LICTOR_FIELD_OK, data.len() as u32, data)
    }

    /// A buffer that is in data records.
    pub(crate) fn elsewhere(self, id: u64, length: u32) -> Self {
        let (kind, data) =
            (lictor_field_kind::LICTOR_FIELD_CHAR_BUF, lictor_data { id, sent: length, pad: 0 });
        self.field(kind, lictor_field_status::LICTOR_FIELD_ELSEWHERE, length, bytes_of(&data))
    }

    pub(crate) fn bytes(mut self) -> Vec<u8> {
        self.fixed.fired_count = self.fired.len() as u16;
        let mut bytes = bytes_of(&self.fixed).to_vec();
        for fired in &self.fired {
            bytes.extend_from_slice(bytes_of(fired));
        }
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        bytes.extend_from_slice(&self.stacks);
        bytes.extend_from_slice(&self.fields);
        finish(bytes, lictor_record_kind::LICTOR_RECORD_HOOK)
    }
}

/// A plan with these hooks and empty tables.
pub(crate) fn plan(policies: &[(&str, Mode)], hooks: Vec<HookPlan>) -> Plan {
    let policies = policies
        .iter()
        .map(|(name, mode)| PlanPolicy {
            key: PolicyKey { namespace: None, name: (*name).to_owned() },
            mode: *mode,
            scope: None,
            enforces: true,
        })
        .collect();
    Plan { policies, scopes: Vec::new(), hooks, paths: PathDictionary::default(), digest: [7; 32] }
}

/// A hook with these groups and rules and empty tables.
pub(crate) fn hook_plan(
    attach: Attach,
    symbol: &str,
    groups: Vec<GroupPlan>,
    rules: Vec<RulePlan>,
) -> HookPlan {
    HookPlan {
        point: HookPoint { attach, symbol: symbol.to_owned() },
        reason: String::new(),
        shape: ShapePlan {
            flags: 0,
            argument_count: 2,
            fields: Vec::new(),
            columns: Vec::new(),
            path_field: None,
            memo_field: None,
        },
        rules,
        groups,
        vectors: Vec::new(),
        columns: Vec::new(),
    }
}

/// A group of policy 0 that shows these arguments.
pub(crate) fn group(function_name: &str, event: EventKind, args: Vec<ArgPlan>) -> GroupPlan {
    GroupPlan {
        policy: 0,
        at: FieldPath::new("spec.kprobes[0]"),
        function_name: function_name.to_owned(),
        called: None,
        event,
        user: None,
        args,
        data: Vec::new(),
        return_arg: None,
        message: None,
        tags: Vec::new(),
    }
}

/// A rule of group 0 that is reported.
/// The hash of the file that the last event of a process's first thread is about.
pub(crate) fn hash(task: Task, algorithm: i32, digest: &[u8]) -> Vec<u8> {
    let mut fixed = lictor_hash_record { head: task.head(0), algorithm, ..lictor_hash_record::default() };
    fixed.digest[..digest.len()].copy_from_slice(digest);
    finish(bytes_of(&fixed).to_vec(), lictor_record_kind::LICTOR_RECORD_HASH)
}

pub(crate) fn rule(flags: u32, shown: ShownAction) -> RulePlan {
    RulePlan {
        scope: None,
        group: 0,
        selector: 0,
        label: None,
        flags: flags | wire::LICTOR_RULE_RECORD,
        verdict: 0,
        signal: 0,
        limit_interval_ns: 0,
        limit_scope: 0,
        limit_id: 0,
        set_value: 0,
        notification: 0,
        assignments: Vec::new(),
        post: true,
        calls: Vec::new(),
        shown,
        shown_return: ShownAction::Post,
    }
}

/// An argument that shows a field.
pub(crate) fn arg(field: u8, kind: ArgKind) -> ArgPlan {
    ArgPlan { field: Some(field), kind, label: None }
}
