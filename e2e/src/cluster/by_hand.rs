//! What somebody changes by hand in a cluster that an operator looks after.

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{Client, Ran};

/// Namespace of the operator's objects.
pub(super) const OURS: [&str; 2] = ["-n", "lictor"];

/// A node as `lictor-sim-nodes` knows them.
pub(super) fn node(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": name, "labels": {"kubernetes.io/os": "linux", "sim": "true"}},
    })
}

/// Gets an object of the operator's namespace; `None` = there is none.
fn get(admin: &Client, object: &[&str]) -> Result<Option<Value>> {
    let ran = admin.try_kubectl(&[&OURS[..], &["get"], object, &["-o", "json"]].concat())?;
    if ran.code != 0 {
        return ran.refused("NotFound").map(|()| None);
    }
    serde_json::from_str(&ran.stdout).map(Some).context("kubectl's output is not JSON")
}

/// What is kept of the webhook's authority; `None` = nothing.
pub(super) fn authority(admin: &Client) -> Result<Option<Value>> {
    let Some(secret) = get(admin, &["secret", "lictor-webhook-authority"])? else { return Ok(None) };
    let text = secret["data"]["authority.json"].as_str().context("a secret without an authority")?;
    Ok(Some(serde_json::from_slice(&STANDARD.decode(text)?)?))
}

/// The webhook's certificate is over, as far as what is kept of it says.
pub(super) fn end_certificate(admin: &Client, mut authority: Value) -> Result<Ran> {
    authority["leaf"]["ends"] = json!(1);
    let data = json!({"data": {"authority.json": STANDARD.encode(authority.to_string())}}).to_string();
    let patch = ["patch", "secret", "lictor-webhook-authority", "--type=merge", "-p", &data];
    admin.try_kubectl(&[&OURS[..], &patch[..]].concat())
}

/// A `ConfigMap` of the operator as it is, and one with its name and labels and other content; `None` = there is none.
pub(super) fn forgery(admin: &Client, name: &str) -> Result<Option<(Value, Value)>> {
    let Some(object) = get(admin, &["configmap", name])? else { return Ok(None) };
    let mut forged = object.clone();
    let data = forged["binaryData"].as_object_mut().context("an object of ours without data")?;
    for bytes in data.values_mut() {
        *bytes = STANDARD.encode("somebody else").into();
    }
    forged["metadata"] = json!({"name": name, "namespace": "lictor", "labels": object["metadata"]["labels"]});
    Ok(Some((object, forged)))
}

/// Puts an object in the place of the one that has its name, even where that cannot be changed.
pub(super) fn replace(admin: &Client, object: &Value) -> Result<Ran> {
    admin.try_with_input(&["replace", "--force", "-f", "-"], &object.to_string())
}
