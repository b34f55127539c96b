//! Stacks in event lines.

use super::json::FiredGroup;
use super::object::Object;
use crate::symbols::{Frame, Stack};
use lictor_node_worker_ebpf::{LICTOR_RULE_KERNEL_STACK, LICTOR_RULE_USER_STACK};
use lictor_policy::plan::EventKind;

const KERNEL: &str = "kernel_stack_trace";
const USER: &str = "user_stack_trace";

/// The stack of a group's event; a record has those that any of its rules wants.
fn wanted<'a>(event: &FiredGroup<'a>, flag: u32) -> &'a Stack {
    let stack = if flag == LICTOR_RULE_KERNEL_STACK { &event.stacks.kernel } else { &event.stacks.user };
    if event.rule.flags & flag == 0 { &Stack::NotWanted } else { stack }
}

/// Appends the member with the kernel's stack, when the rule wants it.
pub(super) fn push_kernel(out: &mut Vec<u8>, event: &FiredGroup<'_>) {
    push(out, KERNEL, wanted(event, LICTOR_RULE_KERNEL_STACK));
}

/// Appends the member with the program's stack, when the rule wants it.
pub(super) fn push_user(out: &mut Vec<u8>, event: &FiredGroup<'_>) {
    push(out, USER, wanted(event, LICTOR_RULE_USER_STACK));
}

fn push(out: &mut Vec<u8>, name: &str, stack: &Stack) {
    if let Stack::Taken(frames) = stack
        && !frames.is_empty()
    {
        out.push(b',');
        push_frames(out, name, frames);
    }
}

fn push_frames(out: &mut Vec<u8>, name: &str, frames: &[Frame]) {
    for (place, frame) in frames.iter().enumerate() {
        let begin = if place == 0 { format!("\"{name}\":[") } else { ",".to_owned() };
        out.extend_from_slice(begin.as_bytes());
        let mut object = Object::begin_unnamed(out);
        object.wide("address", frame.address);
        object.wide("offset", frame.offset);
        object.text("symbol", &frame.symbol);
        object.text("module", &frame.module);
        object.end();
    }
    out.push(b']');
}

/// Members of `lictor`, each with a comma behind it: stacks that could not be taken, and those that have no place in the
/// event's own shape.
pub(super) fn beside_the_event(event: &FiredGroup<'_>) -> Vec<u8> {
    let mut members = Vec::new();
    let both = [(KERNEL, LICTOR_RULE_KERNEL_STACK), (USER, LICTOR_RULE_USER_STACK)];
    for (name, flag) in both {
        match wanted(event, flag) {
            Stack::Taken(frames) if event.group.event != EventKind::Kprobe && !frames.is_empty() => {
                push_frames(&mut members, name, frames);
                members.push(b',');
            }
            Stack::Taken(_) | Stack::NotWanted | Stack::Failed => {}
        }
    }
    let failed = both.iter().filter(|(_, flag)| *wanted(event, *flag) == Stack::Failed);
    for (place, (name, _)) in failed.clone().enumerate() {
        let begin = if place == 0 { "\"failed_stacks\":[\"" } else { ",\"" };
        for part in [begin, name, "\""] {
            members.extend_from_slice(part.as_bytes());
        }
    }
    if failed.count() != 0 {
        members.extend_from_slice(b"],");
    }
    members
}
