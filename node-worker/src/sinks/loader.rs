//! `process_loader`: files that were mapped as code.

use super::json::{FiredGroup, push_text_member};
use super::object::Object;
use super::text;
use crate::events::decode::{FieldStatus, FieldValue};
use lictor_node_worker_ebpf::LICTOR_FIRED_UNRESOLVED;

/// Appends path and build id. `true` = the path is not the whole path.
pub(super) fn push_file(out: &mut Vec<u8>, event: &FiredGroup<'_>) -> bool {
    let first = event.group.args.first().and_then(|arg| arg.field);
    let field = first.and_then(|field| event.record.fields().get(usize::from(field)));
    if let Some(FieldValue::File { path, .. }) = field.map(|field| field.value) {
        push_text_member(out, "path", path);
    }
    if !event.build_id.is_empty() {
        out.extend_from_slice(b",\"buildid\":");
        text::push_base64(out, event.build_id);
    }
    match field.map(|field| field.status) {
        Some(FieldStatus::Truncated | FieldStatus::Unresolved) | None => true,
        Some(FieldStatus::Read | FieldStatus::Absent | FieldStatus::Elsewhere) => false,
    }
}

/// Appends the `lictor` member: whose report it is, for which the event's own shape has no place.
pub(super) fn push_rule(out: &mut Vec<u8>, event: &FiredGroup<'_>, incomplete: bool) {
    out.push(b',');
    let mut object = Object::begin(out, "lictor");
    if let Some(policy) = event.decoder.policy(event.group.policy) {
        object.text("policy_name", &policy.key.name);
    }
    let fixed = &event.record.fixed;
    // By a rule of another hook at the same place: the file was not mapped.
    if fixed.verdict != 0 {
        object.text("verdict", "deny");
        object.member("errno");
        text::push_signed(object.out, i64::from(fixed.verdict));
    }
    if incomplete || u32::from(event.fired.flags) & LICTOR_FIRED_UNRESOLVED != 0 {
        object.member("unresolved");
        object.out.extend_from_slice(b"true");
    }
    object.number("revision", fixed.head.revision);
    object.text("rule", event.group.at.as_str());
    object.end();
}
