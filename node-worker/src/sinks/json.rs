//! Events as JSON lines, in the shapes that consumers of this language's events know.
//!
//! Members come in the order of the interface definition, 64-bit integers are strings, bytes are base64, members with
//! their default are left out (but for wrapped ones such as `pid`). What has no place in those shapes stands in one
//! more top-level object, `lictor`, which is there only when it says something.
//!
//! Lines are written straight from the record and the prepared pieces of a process ([`crate::enrich::image`]) into the
//! batch's buffer; no event is built in between.

use super::action::push_action;
use super::{credentials, endpoints, loader, objects, stacks, text};
use crate::enrich::clock::BootOffset;
use crate::enrich::names;
use crate::enrich::pods::PodText;
use crate::enrich::process::Actor;
use crate::events::decode::{Field, FieldStatus, FieldValue, HookRecord};
use crate::events::loss::Gap;
use crate::port::{HookDecoder, RevisionDecoder};
use crate::symbols::Stacks;
use lictor_node_worker_ebpf as wire;
use lictor_policy::model::{ArgKind, IntField, IntKind};
use lictor_policy::plan::{ArgPlan, Attach, EventKind, GroupPlan, HookPoint, RulePlan, UserSite};
use lictor_policy::syscall_function;
use std::borrow::Cow;
use wire::{lictor_exit_record, lictor_fired, lictor_record};

pub use super::kind::EventType;

/// Writes event lines of one node.
#[derive(Debug)]
pub struct EventWriter {
    /// `,"node_name":"...","time":`
    envelope: Box<[u8]>,
    offset: BootOffset,
}

/// The processes of an event, with their pods.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    /// The process and its parent.
    pub actor: &'a Actor,
    /// The pod of each; `None` = of no pod that is known.
    pub pods: [Option<&'a PodText>; 2],
}

impl<'a> From<&'a Actor> for Seen<'a> {
    fn from(actor: &'a Actor) -> Self {
        Self { actor, pods: [None; 2] }
    }
}

/// One group of a hook record that fired, with what its revision says about it.
#[derive(Debug, Clone, Copy)]
pub struct FiredGroup<'a> {
    /// The record.
    pub record: &'a HookRecord<'a>,
    /// The revision that judged.
    pub decoder: &'a RevisionDecoder,
    /// The hook point's group.
    pub group: &'a GroupPlan,
    /// The rule that fired.
    pub rule: &'a RulePlan,
    /// The rule in the record.
    pub fired: lictor_fired,
    /// The stacks in the record.
    pub stacks: &'a Stacks,
    /// The build id of the file that was mapped; empty = none, or not known, or nothing was mapped.
    pub build_id: &'a [u8],
    /// The hash of the file in question, as events show it; `None` = not asked for, or not there.
    pub hash: Option<&'a str>,
}

impl FiredGroup<'_> {
    /// What the event names: the function, or that of the system call whose number the record has.
    fn function_name(&self) -> Cow<'_, str> {
        let field = self.group.called.and_then(|field| self.record.fields().get(usize::from(field)));
        match field.map(|field| field.value) {
            Some(FieldValue::Number(number)) => Cow::Owned(syscall_function(number as u32)),
            Some(_) | None => Cow::Borrowed(&self.group.function_name),
        }
    }
}

impl EventWriter {
    /// A writer for the node called `node`.
    pub fn new(node: &str, offset: BootOffset) -> Self {
        let mut envelope = b",\"node_name\":".to_vec();
        text::push_string(&mut envelope, node.as_bytes());
        envelope.extend_from_slice(b",\"time\":");
        Self { envelope: envelope.into(), offset }
    }

    /// The time of day was set.
    pub fn set_offset(&mut self, offset: BootOffset) {
        self.offset = offset;
    }

    /// Appends the line of an execve.
    pub fn exec(&self, out: &mut Vec<u8>, seen: &Seen<'_>, head: &lictor_record) {
        out.extend_from_slice(b"{\"process_exec\":{");
        push_actor(out, seen, head.tid);
        out.push(b'}');
        self.end(out, head.boot_ns);
    }

    /// Appends the line of a process's end.
    pub fn exit(&self, out: &mut Vec<u8>, seen: &Seen<'_>, record: &lictor_exit_record) {
        out.extend_from_slice(b"{\"process_exit\":{");
        push_actor(out, seen, record.head.tid);
        // As wait(2) tells it: a signal in the low seven bits (the eighth: memory was dumped), or an exit status.
        let signal = record.status & 0x7f;
        if signal != 0 {
            out.extend_from_slice(b",\"signal\":");
            match names::signal(signal) {
                Some(name) => text::push_string(out, name.as_bytes()),
                None => text::push_quoted_unsigned(out, u64::from(signal)),
            }
        }
        let status = record.status >> 8 & 0xff;
        if status != 0 {
            out.extend_from_slice(b",\"status\":");
            text::push_unsigned(out, u64::from(status));
        }
        out.extend_from_slice(b",\"time\":");
        text::push_time(out, self.offset.epoch_ns(record.head.boot_ns));
        out.push(b'}');
        self.end(out, record.head.boot_ns);
    }

    /// Appends the line of a gap in the stream.
    pub fn gap(&self, out: &mut Vec<u8>, gap: &Gap, boot_ns: u64) {
        out.extend_from_slice(b"{\"rate_limit_info\":{\"number_of_dropped_process_events\":");
        text::push_quoted_unsigned(out, gap.total());
        out.push(b'}');
        self.envelope(out, boot_ns);
        for (position, (name, lost)) in gap.lost.iter().enumerate() {
            out.extend_from_slice(if position == 0 { b",\"lictor\":{\"lost\":{" } else { b"," });
            text::push_string(out, name.as_bytes());
            out.push(b':');
            text::push_quoted_unsigned(out, *lost);
        }
        out.extend_from_slice(if gap.lost.is_empty() { b"}\n" } else { b"}}}\n" });
    }

    /// Appends the line of one group that fired.
    pub fn hook(&self, out: &mut Vec<u8>, seen: &Seen<'_>, event: &FiredGroup<'_>) -> EventType {
        let kind = match event.group.event {
            EventKind::Kprobe => EventType::Kprobe,
            EventKind::Tracepoint => EventType::Tracepoint,
            EventKind::Lsm => EventType::Lsm,
            EventKind::Uprobe => EventType::Uprobe,
            EventKind::Usdt => EventType::Usdt,
            EventKind::Loader => {
                self.loader(out, seen, event);
                return EventType::Loader;
            }
        };
        let head = &event.record.fixed.head;
        begin(out, kind);
        push_actor(out, seen, head.tid);
        match &event.group.user {
            Some(site) => push_user_target(out, kind, &site.path, &event.group.function_name),
            None => push_target(out, kind, &event.function_name()),
        }
        match kind {
            EventType::Uprobe | EventType::Usdt => {
                push_policy(out, event);
                push_message(out, event.group);
                push_arguments(out, event);
                push_tags(out, event.group);
                if let Some(site) = event.group.user.as_ref().filter(|_| kind == EventType::Uprobe) {
                    push_offsets(out, site);
                }
                push_action(out, "action", event.rule.shown);
            }
            EventType::Lsm => {
                push_policy(out, event);
                push_message(out, event.group);
                push_arguments(out, event);
                push_action(out, "action", event.rule.shown);
                push_tags(out, event.group);
                push_text_member(out, "ima_hash", event.hash.unwrap_or_default().as_bytes());
            }
            EventType::Tracepoint => {
                push_arguments(out, event);
                push_policy(out, event);
                push_action(out, "action", event.rule.shown);
                push_message(out, event.group);
                push_tags(out, event.group);
            }
            EventType::Kprobe | EventType::Exec | EventType::Exit | EventType::Loader | EventType::Gap => {
                push_arguments(out, event);
                push_action(out, "action", event.rule.shown);
                stacks::push_kernel(out, event);
                push_policy(out, event);
                push_action(out, "return_action", event.rule.shown_return);
                push_message(out, event.group);
                push_tags(out, event.group);
                stacks::push_user(out, event);
            }
        }
        out.push(b'}');
        self.envelope(out, head.boot_ns);
        push_verdict(out, event);
        out.extend_from_slice(b"}\n");
        kind
    }

    /// Appends the line of a file that was mapped as code.
    fn loader(&self, out: &mut Vec<u8>, seen: &Seen<'_>, event: &FiredGroup<'_>) {
        let head = &event.record.fixed.head;
        begin(out, EventType::Loader);
        push_process(out, seen, head.tid);
        let incomplete = loader::push_file(out, event);
        push_parent(out, seen);
        out.push(b'}');
        self.envelope(out, head.boot_ns);
        loader::push_rule(out, event, incomplete);
        out.extend_from_slice(b"}\n");
    }

    /// Appends the line of a hook record whose revision, shape or rule is not known any more: what the record itself
    /// says. `hook` names the hook point when its slot is known.
    pub fn unknown_hook(
        &self,
        out: &mut Vec<u8>,
        seen: &Seen<'_>,
        record: &HookRecord<'_>,
        hook: Option<&HookDecoder>,
    ) -> EventType {
        let point = hook.map(|hook| &hook.point);
        let kind = match point.map(|point| point.attach) {
            Some(Attach::Lsm | Attach::LsmHash | Attach::FmodRet) => EventType::Lsm,
            Some(Attach::Tracepoint | Attach::RawTracepoint) => EventType::Tracepoint,
            Some(Attach::Fentry | Attach::Fexit | Attach::Kprobe) | None => EventType::Kprobe,
            // Nothing tells any more whether it was a probe that the program brought along.
            Some(
                Attach::Uprobe | Attach::Uretprobe | Attach::UretprobeArguments | Attach::UprobeRegisters,
            ) => EventType::Uprobe,
        };
        let fixed = &record.fixed;
        begin(out, kind);
        push_actor(out, seen, fixed.head.tid);
        let symbol = point.map_or("", |point: &HookPoint| point.symbol.as_str());
        match symbol.parse::<UserSite>().ok().filter(|_| kind == EventType::Uprobe) {
            Some(site) => {
                push_user_target(out, kind, &site.path, "");
                push_offsets(out, &site);
            }
            None => push_target(out, kind, point.map_or("", HookPoint::function)),
        }
        for (position, field) in record.fields().iter().enumerate() {
            out.extend_from_slice(if position == 0 { b",\"args\":[{" } else { b",{" });
            push_raw_value(out, field);
            out.push(b'}');
        }
        out.extend_from_slice(if record.fields().is_empty() { b"}" } else { b"]}" });
        self.envelope(out, fixed.head.boot_ns);
        out.extend_from_slice(b",\"lictor\":{");
        push_deny(out, fixed.verdict);
        push_signal(out, fixed.signal);
        out.extend_from_slice(b"\"revision\":");
        text::push_unsigned(out, u64::from(fixed.head.revision));
        out.extend_from_slice(b",\"unknown_revision\":true,\"hook_slot\":");
        text::push_unsigned(out, u64::from(fixed.hook_slot));
        out.extend_from_slice(b"}}\n");
        kind
    }

    fn envelope(&self, out: &mut Vec<u8>, boot_ns: u64) {
        out.extend_from_slice(&self.envelope);
        text::push_time(out, self.offset.epoch_ns(boot_ns));
    }

    fn end(&self, out: &mut Vec<u8>, boot_ns: u64) {
        self.envelope(out, boot_ns);
        out.extend_from_slice(b"}\n");
    }
}

fn begin(out: &mut Vec<u8>, kind: EventType) {
    out.extend_from_slice(b"{\"");
    out.extend_from_slice(kind.name().as_bytes());
    out.extend_from_slice(b"\":{");
}

fn push_actor(out: &mut Vec<u8>, seen: &Seen<'_>, tid: u32) {
    push_process(out, seen, tid);
    push_parent(out, seen);
}

fn push_process(out: &mut Vec<u8>, seen: &Seen<'_>, tid: u32) {
    out.extend_from_slice(b"\"process\":");
    seen.actor.process.push(out, tid, seen.pods[0]);
}

fn push_parent(out: &mut Vec<u8>, seen: &Seen<'_>) {
    let parent = &seen.actor.parent;
    out.extend_from_slice(b",\"parent\":");
    parent.push(out, parent.pid, seen.pods[1]);
}

fn push_target(out: &mut Vec<u8>, kind: EventType, name: &str) {
    if kind == EventType::Tracepoint {
        let (subsystem, event) = name.split_once('/').unwrap_or(("", name));
        push_text_member(out, "subsys", subsystem.as_bytes());
        push_text_member(out, "event", event.as_bytes());
    } else {
        push_text_member(out, "function_name", name.as_bytes());
    }
}

/// Appends where in a program it was: file and symbol, or file and probe.
fn push_user_target(out: &mut Vec<u8>, kind: EventType, path: &str, name: &str) {
    push_text_member(out, "path", path.as_bytes());
    match name.split_once(':').filter(|_| kind == EventType::Usdt) {
        Some((provider, probe)) => {
            push_text_member(out, "provider", provider.as_bytes());
            push_text_member(out, "name", probe.as_bytes());
        }
        None => push_text_member(out, "symbol", name.as_bytes()),
    }
}

/// Appends where in the file it was.
fn push_offsets(out: &mut Vec<u8>, site: &UserSite) {
    out.extend_from_slice(b",\"offset\":");
    text::push_quoted_unsigned(out, site.offset);
    if site.ref_counter != 0 {
        out.extend_from_slice(b",\"ref_ctr_offset\":");
        text::push_quoted_unsigned(out, u64::from(site.ref_counter));
    }
}

/// Appends `,"name":"value"`, or nothing for an empty value.
pub(super) fn push_text_member(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    if value.is_empty() {
        return;
    }
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
    text::push_string(out, value);
}

fn push_policy(out: &mut Vec<u8>, event: &FiredGroup<'_>) {
    if let Some(policy) = event.decoder.policy(event.group.policy) {
        push_text_member(out, "policy_name", policy.key.name.as_bytes());
    }
}

fn push_message(out: &mut Vec<u8>, group: &GroupPlan) {
    push_text_member(out, "message", group.message.as_deref().unwrap_or_default().as_bytes());
}

fn push_tags(out: &mut Vec<u8>, group: &GroupPlan) {
    for (position, tag) in group.tags.iter().enumerate() {
        out.extend_from_slice(if position == 0 { b",\"tags\":[" } else { b"," });
        text::push_string(out, tag.as_bytes());
    }
    if !group.tags.is_empty() {
        out.push(b']');
    }
}

/// Appends `args` and, when the hook reports them, `data` and `return`. Events of programs have no `return`: there it is the
/// last of `args`.
fn push_arguments(out: &mut Vec<u8>, event: &FiredGroup<'_>) {
    let returned = event.group.return_arg.as_ref();
    let (last, returned) = if event.group.user.is_some() { (returned, None) } else { (None, returned) };
    push_list(out, "args", event.group.args.iter().chain(last), event.record);
    push_list(out, "data", event.group.data.iter(), event.record);
    if let Some(plan) = returned {
        out.extend_from_slice(b",\"return\":");
        push_argument(out, plan, event.record);
    }
}

fn push_list<'a>(
    out: &mut Vec<u8>,
    name: &str,
    plans: impl Iterator<Item = &'a ArgPlan> + Clone,
    record: &HookRecord<'_>,
) {
    let shown = plans.filter(|plan| plan.kind != ArgKind::Nop);
    for (place, plan) in shown.clone().enumerate() {
        if place == 0 {
            for part in [",\"", name, "\":["] {
                out.extend_from_slice(part.as_bytes());
            }
        } else {
            out.push(b',');
        }
        push_argument(out, plan, record);
    }
    if shown.count() != 0 {
        out.push(b']');
    }
}

fn push_argument(out: &mut Vec<u8>, plan: &ArgPlan, record: &HookRecord<'_>) {
    out.push(b'{');
    match plan.field {
        None => {
            out.extend_from_slice(b"\"int_arg\":");
            text::push_signed(out, i64::from(record.fixed.verdict));
        }
        Some(index) => match record.fields().get(usize::from(index)) {
            None => push_error(out, "the value is not in the record"),
            Some(Field { status: FieldStatus::Unresolved, .. }) => {
                push_error(out, "the value could not be read");
            }
            Some(field) => push_value(out, plan.kind, field),
        },
    }
    if let Some(label) = &plan.label {
        push_text_member(out, "label", label.as_bytes());
    }
    out.push(b'}');
}

fn push_error(out: &mut Vec<u8>, message: &str) {
    out.extend_from_slice(b"\"error_arg\":{\"Message\":");
    text::push_string(out, message.as_bytes());
    out.push(b'}');
}

/// Appends the member of an argument that shows `field` as `kind`.
fn push_value(out: &mut Vec<u8>, kind: ArgKind, field: &Field<'_>) {
    match (kind, &field.value) {
        (ArgKind::Int(kind), FieldValue::Number(value)) => push_integer(out, kind, *value),
        (ArgKind::Capability, FieldValue::Number(value)) => push_capability(out, *value),
        (ArgKind::Syscall, FieldValue::Number(value)) => objects::push_syscall(out, *value),
        (ArgKind::BpfCmd, FieldValue::Number(value)) => objects::push_bpf_command(out, *value),
        (ArgKind::Capabilities(field), FieldValue::Number(set)) => {
            out.extend_from_slice(format!("\"{}_arg\":\"{set:016x}\"", field.name()).as_bytes());
        }
        (ArgKind::String | ArgKind::Filename | ArgKind::DataLoc, FieldValue::Text(value)) => {
            out.extend_from_slice(b"\"string_arg\":");
            text::push_string(out, value);
        }
        (
            ArgKind::CharBuf | ArgKind::CharIovec | ArgKind::IovIter | ArgKind::ConstBuf,
            FieldValue::Bytes(value),
        ) => push_bytes(out, value, field),
        (ArgKind::File | ArgKind::Fd | ArgKind::Kiocb, FieldValue::File { file, path }) => {
            push_file(out, "file_arg", file.mode, path, field.status);
        }
        (ArgKind::Path | ArgKind::Dentry, FieldValue::File { file, path }) => {
            push_file(out, "path_arg", file.mode, path, field.status);
        }
        (ArgKind::LinuxBinprm, FieldValue::File { file, path }) => {
            push_file(out, "linux_binprm_arg", file.mode, path, field.status);
        }
        (ArgKind::Sock | ArgKind::Socket, FieldValue::Endpoints(ends)) => endpoints::push_sock(out, ends),
        (ArgKind::Skb, FieldValue::Endpoints(ends)) => endpoints::push_skb(out, ends),
        (ArgKind::Sockaddr, FieldValue::Endpoints(ends)) => endpoints::push_sockaddr(out, ends),
        (ArgKind::SockaddrUn, FieldValue::UnixAddress(found, path)) => {
            endpoints::push_unix_address(out, *found, path);
        }
        (ArgKind::Cred, FieldValue::Credentials(found)) => credentials::push(out, found),
        (ArgKind::UserNamespace, FieldValue::UserNamespace(found)) => {
            out.extend_from_slice(b"\"user_ns_arg\":");
            credentials::push_user_namespace(out, found);
        }
        (ArgKind::Module | ArgKind::LoadInfo, FieldValue::Module(found, name)) => {
            objects::push_module(out, found, name);
        }
        (ArgKind::BpfAttr, FieldValue::BpfAttr(found, name)) => {
            objects::push_bpf_program(out, "bpf_attr_arg", *found, name);
        }
        (ArgKind::BpfProg, FieldValue::BpfAttr(found, name)) => {
            objects::push_bpf_program(out, "bpf_prog_arg", *found, name);
        }
        (ArgKind::BpfMap, FieldValue::BpfMap(found, name)) => objects::push_bpf_map(out, found, name),
        (ArgKind::PerfEvent, FieldValue::PerfEvent(found, probed)) => {
            objects::push_perf_event(out, found, probed);
        }
        (ArgKind::NetDevice, FieldValue::Text(name)) => objects::push_net_device(out, name),
        (_, FieldValue::Nothing) => push_empty(out, kind, field),
        // The plan and the program disagree: shown as it came.
        (_, _) => push_raw_value(out, field),
    }
}

/// A pointer that was NULL: the empty value of its kind.
fn push_empty(out: &mut Vec<u8>, kind: ArgKind, field: &Field<'_>) {
    let member: &[u8] = match kind {
        ArgKind::String | ArgKind::Filename | ArgKind::DataLoc => b"\"string_arg\":\"\"",
        ArgKind::CharBuf | ArgKind::CharIovec | ArgKind::IovIter | ArgKind::ConstBuf => b"\"bytes_arg\":\"\"",
        ArgKind::File | ArgKind::Fd | ArgKind::Kiocb => b"\"file_arg\":{}",
        ArgKind::Path | ArgKind::Dentry => b"\"path_arg\":{}",
        ArgKind::LinuxBinprm => b"\"linux_binprm_arg\":{}",
        ArgKind::Sock | ArgKind::Socket => b"\"sock_arg\":{}",
        ArgKind::Skb => b"\"skb_arg\":{}",
        ArgKind::Sockaddr => b"\"sockaddr_arg\":{}",
        ArgKind::SockaddrUn => b"\"sockaddrun_arg\":{}",
        ArgKind::Cred => b"\"process_credentials_arg\":{}",
        ArgKind::UserNamespace => b"\"user_ns_arg\":{}",
        ArgKind::Module | ArgKind::LoadInfo => b"\"module_arg\":{}",
        ArgKind::BpfProg => b"\"bpf_prog_arg\":{}",
        ArgKind::BpfAttr => b"\"bpf_attr_arg\":{}",
        ArgKind::BpfMap => b"\"bpf_map_arg\":{}",
        ArgKind::PerfEvent => b"\"perf_event_arg\":{}",
        ArgKind::NetDevice => b"\"net_dev_arg\":{}",
        ArgKind::Auto
        | ArgKind::Int(_)
        | ArgKind::Capability
        | ArgKind::Syscall
        | ArgKind::Capabilities(_)
        | ArgKind::BpfCmd
        | ArgKind::Nop => return push_raw_value(out, field),
    };
    out.extend_from_slice(member);
}

/// Appends the member of an argument that shows `field` without knowing its kind.
fn push_raw_value(out: &mut Vec<u8>, field: &Field<'_>) {
    match &field.value {
        _ if field.status == FieldStatus::Unresolved => push_error(out, "the value could not be read"),
        FieldValue::Nothing => push_error(out, "there is no value"),
        FieldValue::Elsewhere(_) => push_error(out, "the value is not in the record"),
        FieldValue::Number(value) => {
            out.extend_from_slice(b"\"size_arg\":");
            text::push_quoted_unsigned(out, *value);
        }
        FieldValue::Text(value) => {
            out.extend_from_slice(b"\"string_arg\":");
            text::push_string(out, value);
        }
        FieldValue::Bytes(value) => push_bytes(out, value, field),
        FieldValue::File { file, path } => push_file(out, "file_arg", file.mode, path, field.status),
        FieldValue::Endpoints(ends) => endpoints::push_sock(out, ends),
        FieldValue::Credentials(found) => credentials::push(out, found),
        FieldValue::UserNamespace(found) => {
            out.extend_from_slice(b"\"user_ns_arg\":");
            credentials::push_user_namespace(out, found);
        }
        FieldValue::Module(found, name) => objects::push_module(out, found, name),
        FieldValue::BpfAttr(found, name) => {
            objects::push_bpf_program(out, "bpf_attr_arg", *found, name);
        }
        FieldValue::BpfMap(found, name) => objects::push_bpf_map(out, found, name),
        FieldValue::PerfEvent(found, probed) => objects::push_perf_event(out, found, probed),
        FieldValue::UnixAddress(found, path) => endpoints::push_unix_address(out, *found, path),
    }
}

fn push_integer(out: &mut Vec<u8>, kind: IntKind, value: u64) {
    let unused = 64 - 8 * u32::from(kind.width.clamp(1, 8));
    let shifted = value << unused;
    let signed = shifted.cast_signed() >> unused;
    let unsigned = shifted >> unused;
    match kind.shown_as {
        IntField::Int => {
            out.extend_from_slice(b"\"int_arg\":");
            text::push_signed(out, if kind.signed { signed } else { unsigned.cast_signed() });
        }
        IntField::Uint => {
            out.extend_from_slice(b"\"uint_arg\":");
            text::push_unsigned(out, unsigned);
        }
        IntField::Long => {
            out.extend_from_slice(b"\"long_arg\":");
            text::push_quoted_signed(out, signed);
        }
        IntField::Size => {
            out.extend_from_slice(b"\"size_arg\":");
            text::push_quoted_unsigned(out, unsigned);
        }
    }
}

fn push_capability(out: &mut Vec<u8>, value: u64) {
    // The kernel's type is int.
    let number = value as u32;
    out.extend_from_slice(b"\"capability_arg\":{\"value\":");
    text::push_signed(out, i64::from(number.cast_signed()));
    if let Some(name) = usize::try_from(number).ok().and_then(|number| names::CAPABILITIES.get(number)) {
        push_text_member(out, "name", name.as_bytes());
    }
    out.push(b'}');
}

fn push_bytes(out: &mut Vec<u8>, value: &[u8], field: &Field<'_>) {
    if field.status == FieldStatus::Truncated {
        out.extend_from_slice(b"\"truncated_bytes_arg\":{\"bytes_arg\":");
        text::push_base64(out, value);
        out.extend_from_slice(b",\"orig_size\":");
        text::push_quoted_unsigned(out, u64::from(field.original_length));
        out.push(b'}');
    } else {
        out.extend_from_slice(b"\"bytes_arg\":");
        text::push_base64(out, value);
    }
}

fn push_file(out: &mut Vec<u8>, member: &str, mode: u32, path: &[u8], status: FieldStatus) {
    out.push(b'"');
    out.extend_from_slice(member.as_bytes());
    out.extend_from_slice(b"\":{");
    let begin = out.len();
    push_text_member(out, "path", path);
    if status == FieldStatus::Truncated {
        push_text_member(out, "flags", b"unresolvedPathComponents");
    }
    if mode != 0 {
        push_text_member(out, "permission", &names::permission(mode));
    }
    if out.len() > begin {
        // The comma before the first member.
        out.remove(begin);
    }
    out.push(b'}');
}

/// Appends the `lictor` member of a hook event: what the rule did or would have done.
fn push_verdict(out: &mut Vec<u8>, event: &FiredGroup<'_>) {
    let flags = event.rule.flags;
    let denies = flags & wire::LICTOR_RULE_DENY != 0;
    let signals = flags & wire::LICTOR_RULE_SIGNAL != 0;
    let monitor = flags & wire::LICTOR_RULE_MONITOR != 0;
    let monitored_set = monitor && flags & (wire::LICTOR_RULE_SET | wire::LICTOR_RULE_REGISTERS) != 0;
    let unresolved = u32::from(event.fired.flags) & wire::LICTOR_FIRED_UNRESOLVED != 0;
    let stacks = stacks::beside_the_event(event);
    if !(denies || signals || unresolved || monitored_set || !stacks.is_empty()) {
        return;
    }
    let fixed = &event.record.fixed;
    out.extend_from_slice(b",\"lictor\":{");
    if monitor && (denies || signals || monitored_set) {
        out.extend_from_slice(b"\"mode\":\"monitor\",");
    }
    if denies {
        push_deny(out, if monitor { event.rule.verdict } else { fixed.verdict });
    }
    if signals {
        let sent = if monitor { u32::from(event.rule.signal) } else { fixed.signal };
        push_signal(out, sent);
        if sent == 0 {
            out.extend_from_slice(b"\"failed\":\"signal\",");
        }
    }
    if unresolved {
        out.extend_from_slice(b"\"unresolved\":true,");
    }
    out.extend_from_slice(&stacks);
    out.extend_from_slice(b"\"revision\":");
    text::push_unsigned(out, u64::from(fixed.head.revision));
    out.extend_from_slice(b",\"rule\":\"");
    text::push_escaped(out, event.group.at.as_str().as_bytes());
    if flags & wire::LICTOR_RULE_CONSUME == 0 {
        out.extend_from_slice(b".selectors[");
        text::push_unsigned(out, u64::from(event.rule.selector));
        out.push(b']');
    }
    out.push(b'"');
    if let Some(label) = &event.rule.label {
        push_text_member(out, "rule_label", label.as_bytes());
    }
    out.push(b'}');
}

fn push_deny(out: &mut Vec<u8>, errno: i16) {
    if errno != 0 {
        out.extend_from_slice(b"\"verdict\":\"deny\",\"errno\":");
        text::push_signed(out, i64::from(errno));
        out.push(b',');
    }
}

fn push_signal(out: &mut Vec<u8>, signal: u32) {
    if signal != 0 {
        out.extend_from_slice(b"\"signal\":");
        text::push_unsigned(out, u64::from(signal));
        out.push(b',');
    }
}

#[cfg(test)]
#[path = "json_tests.rs"]
mod tests;
