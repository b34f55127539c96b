use super::*;
use kube::core::admission::AdmissionReview;
use serde_json::{Value as Json, json};

fn request(operation: &str, old: &Json, new: &Json) -> AdmissionRequest<DynamicObject> {
    let object = |spec: &Json| {
        if spec.is_null() {
            return Json::Null;
        }
        json!({"apiVersion": "lictor.io/v1alpha1", "kind": "TracingPolicy", "metadata": {"name": "p"}, "spec": spec})
    };
    let review: AdmissionReview<DynamicObject> = serde_json::from_value(json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "u", "name": "p", "operation": operation, "userInfo": {},
            "kind": {"group": "lictor.io", "version": "v1alpha1", "kind": "TracingPolicy"},
            "resource": {"group": "lictor.io", "version": "v1alpha1", "resource": "tracingpolicies"},
            "object": object(new), "oldObject": object(old),
        },
    }))
    .unwrap();
    review.try_into().unwrap()
}

fn answered(operation: &str, old: &Json, new: &Json) -> AdmissionResponse {
    answer(&request(operation, old, new), &View::default())
}

fn good() -> Json {
    json!({"kprobes": [{"call": "sys_write"}]})
}

fn bad() -> Json {
    json!({"mode": "x", "kprobes": [{"call": "sys_write", "selector": []}]})
}

#[test]
fn all_mistakes_come_in_one_answer() {
    let response = answered("CREATE", &Json::Null, &bad());
    assert!(!response.allowed);
    let message = &response.result.message;
    assert!(message.starts_with("policy p has 2 mistakes:\n  spec."), "{message}");
    // What comes from the operator's own text is not told with its line.
    assert!(!message.contains("line "), "{message}");
    let causes = &response.result.details.as_ref().unwrap().causes;
    assert_eq!(causes.len(), 2);
    assert!(causes.iter().any(|cause| cause.field == "spec.mode" && cause.message.starts_with("found `x`")));
    assert_eq!(response.result.code, 422);
    assert!(answered("CREATE", &Json::Null, &good()).allowed);
}

#[test]
fn what_was_accepted_before_can_always_be_let_go() {
    assert!(answered("UPDATE", &bad(), &bad()).allowed);
    assert!(!answered("UPDATE", &good(), &bad()).allowed);
    assert!(answered("DELETE", &bad(), &Json::Null).allowed);
    let mut deleting = request("UPDATE", &good(), &bad());
    let time = serde_json::from_value(json!("2026-11-25T12:00:00Z")).unwrap();
    deleting.object.as_mut().unwrap().metadata.deletion_timestamp = Some(time);
    assert!(answer(&deleting, &View::default()).allowed);
}

#[test]
fn a_dry_run_is_answered_like_any_other() {
    let mut dry = request("CREATE", &Json::Null, &bad());
    dry.dry_run = true;
    assert!(!answer(&dry, &View::default()).allowed);
}
