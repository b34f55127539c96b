//! The answer to an admission request.

use kube::core::DynamicObject;
use kube::core::admission::{AdmissionRequest, AdmissionResponse, Operation};
use kube::core::response::{Status, StatusCause, StatusDetails, StatusSummary};
use lictor_operator_core::index::PolicyKind;
use lictor_operator_core::review::{self, View};
use lictor_policy::model::PolicyKey;
use lictor_policy::{Violation, Violations};

/// Answers a request. Nothing is remembered, so a dry run is answered like any other.
pub fn answer(request: &AdmissionRequest<DynamicObject>, view: &View) -> AdmissionResponse {
    let mut response = AdmissionResponse::from(request);
    let kind = match request.kind.kind.as_str() {
        "TracingPolicy" => PolicyKind::Cluster,
        "TracingPolicyNamespaced" => PolicyKind::Namespaced,
        // The configuration asks for nothing else.
        _ => return response,
    };
    let spec = |object: &Option<DynamicObject>| object.as_ref().map(|object| object.data["spec"].clone());
    let Some(object) = request.object.as_ref() else { return response };
    let unchanged =
        request.operation == Operation::Update && spec(&request.old_object) == spec(&request.object);
    // Who takes away a finalizer, or a label, must not be stopped by a spec that an earlier version accepted.
    if unchanged || object.metadata.deletion_timestamp.is_some() {
        return response;
    }
    let name = if request.name.is_empty() {
        // With `generateName` there is none yet.
        object.metadata.name.clone().or_else(|| object.metadata.generate_name.clone()).unwrap_or_default()
    } else {
        request.name.clone()
    };
    let name = name.trim_end_matches(['-', '.']).to_owned();
    let namespace = (kind == PolicyKind::Namespaced).then(|| request.namespace.clone()).flatten();
    let key = PolicyKey { namespace, name };
    let (violations, warnings) = review::review(kind, &key, &object.data["spec"], view);
    response.warnings = (!warnings.is_empty()).then_some(warnings);
    if !violations.is_empty() {
        response.allowed = false;
        response.result = refusal(kind.name(), &key, &violations);
    }
    response
}

fn refusal(kind: &str, key: &PolicyKey, violations: &Violations) -> Status {
    let causes = violations.iter().map(|violation| StatusCause {
        reason: "FieldValueInvalid".into(),
        message: sentence(violation),
        field: violation.path.to_string(),
    });
    let lines: Vec<String> = violations.iter().map(|violation| format!("  {violation}")).collect();
    let count = if violations.len() == 1 {
        "one mistake".to_owned()
    } else {
        format!("{} mistakes", violations.len())
    };
    let details = StatusDetails {
        name: key.name.clone(),
        group: lictor_crds::GROUP.into(),
        kind: kind.to_owned(),
        uid: String::new(),
        causes: causes.collect(),
        retry_after_seconds: 0,
    };
    Status {
        status: Some(StatusSummary::Failure),
        code: 422,
        reason: "Invalid".into(),
        message: format!("policy {key} has {count}:\n{}", lines.join("\n")),
        details: Some(details),
        ..Status::default()
    }
}

/// A violation without the field, which stands beside it.
fn sentence(violation: &Violation) -> String {
    let text = violation.to_string();
    text.strip_prefix(&format!("{}: ", violation.path)).unwrap_or(&text).to_owned()
}

#[cfg(test)]
mod tests;
