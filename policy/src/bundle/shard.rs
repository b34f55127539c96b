//! Shards: the texts of policies.

use super::blob::{compress, plain, read};
use super::{BLOB_BYTES_MAX, BundleError, Digest, FORMAT};
use crate::model::PolicyKey;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use std::collections::BTreeMap;

const WHAT: &str = "a shard";

/// Bytes before compression from which on a shard takes no further policy. Even what cannot be compressed then fits; only
/// a policy that is larger by itself may not.
pub const SHARD_PLAIN_BYTES: usize = BLOB_BYTES_MAX * 3 / 4;

/// One policy in this many ends a shard, so that a thousand policies make some sixty of them: a change of one policy
/// then moves a sixtieth of the bytes, and a new node makes sixty requests.
const POLICIES_PER_SHARD: u8 = 16;

/// Of a policy's fields, those that the operator has decided on; nodes do not see them.
const DECIDED: &[&str] = &["nodeSelector", "rollout"];

/// A policy as it travels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyDocument {
    /// Whose text it is.
    pub key: PolicyKey,
    /// The text, which [`crate::load`] reads.
    pub text: String,
}

impl PolicyDocument {
    /// Digest of the text. A node reports it for each policy that its kernel holds.
    pub fn digest(&self) -> Digest {
        Digest::of(self.text.as_bytes())
    }
}

/// The text under which a policy travels: [`whole_text`] without what only the cluster needs.
pub fn document_text(api_version: &str, kind: &str, key: &PolicyKey, spec: &Json) -> String {
    let mut spec = spec.clone();
    if let Json::Object(members) = &mut spec {
        members.retain(|name, _| !DECIDED.contains(&name.as_str()));
    }
    whole_text(api_version, kind, key, &spec)
}

/// A policy's kind, name and spec as JSON, members sorted. The same object gives the same text.
pub fn whole_text(api_version: &str, kind: &str, key: &PolicyKey, spec: &Json) -> String {
    let mut metadata = Map::new();
    metadata.insert("name".into(), key.name.clone().into());
    if let Some(namespace) = &key.namespace {
        metadata.insert("namespace".into(), namespace.clone().into());
    }
    let document = serde_json::json!({
        "apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": spec,
    });
    sorted(document).to_string()
}

/// The same with the members of every object in the order of their names, in whichever order `serde_json` keeps them.
fn sorted(json: Json) -> Json {
    match json {
        Json::Object(members) => {
            let members: BTreeMap<String, Json> =
                members.into_iter().map(|(name, value)| (name, sorted(value))).collect();
            Json::Object(members.into_iter().collect())
        }
        Json::Array(items) => Json::Array(items.into_iter().map(sorted).collect()),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => json,
    }
}

/// The texts of some policies.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Shard {
    texts: BTreeMap<PolicyKey, String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Plain {
    format: u32,
    policies: Vec<PlainPolicy>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PlainPolicy {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    namespace: Option<String>,
    name: String,
    text: String,
}

impl Shard {
    /// A shard of these policies; of two with the same name the later one.
    pub fn new(documents: impl IntoIterator<Item = PolicyDocument>) -> Self {
        Self { texts: documents.into_iter().map(|document| (document.key, document.text)).collect() }
    }

    /// The text of a policy.
    pub fn text(&self, key: &PolicyKey) -> Option<&str> {
        self.texts.get(key).map(String::as_str)
    }

    /// The digest of each text, which nodes report.
    pub fn text_digests(&self) -> BTreeMap<PolicyKey, Digest> {
        self.texts.iter().map(|(key, text)| (key.clone(), Digest::of(text.as_bytes()))).collect()
    }

    /// The policies in it, in the order of their names.
    pub fn keys(&self) -> impl Iterator<Item = &PolicyKey> {
        self.texts.keys()
    }

    /// Its digest.
    ///
    /// # Errors
    /// None that can be caused: texts can always be written.
    pub fn digest(&self) -> Result<Digest, BundleError> {
        Ok(plain(&self.plain(), WHAT)?.1)
    }

    /// Its digest and its bytes for the key [`super::SHARD_KEY`].
    ///
    /// # Errors
    /// [`BundleError::TooLarge`], which a shard of [`partition`] can only be when it holds a single policy.
    pub fn encode(&self) -> Result<(Digest, Vec<u8>), BundleError> {
        let (bytes, digest) = plain(&self.plain(), WHAT)?;
        let name = || match self.texts.keys().next() {
            Some(key) if self.texts.len() == 1 => format!("policy {key}"),
            _ => format!("a shard of {} policies", self.texts.len()),
        };
        Ok((digest, compress(&bytes, name)?))
    }

    /// Reads what was found under the digest `wanted`.
    ///
    /// # Errors
    /// Everything that is not a shard with that digest.
    pub fn decode(bytes: &[u8], wanted: &Digest) -> Result<Self, BundleError> {
        let plain: Plain = read(bytes, wanted, WHAT)?;
        let policies = plain.policies.into_iter().map(|policy| PolicyDocument {
            key: PolicyKey { namespace: policy.namespace, name: policy.name },
            text: policy.text,
        });
        Ok(Self::new(policies))
    }

    fn plain(&self) -> Plain {
        let policies = self.texts.iter().map(|(key, text)| PlainPolicy {
            namespace: key.namespace.clone(),
            name: key.name.clone(),
            text: text.clone(),
        });
        Plain { format: FORMAT, policies: policies.collect() }
    }
}

/// Divides policies into shards. Which policies are neighbours depends on their names alone, so a change of one leaves
/// all shards but its own as they are; coming and going of one policy changes one shard, or two where it stands at an
/// end. The same policies give the same shards in any order.
pub fn partition(documents: impl IntoIterator<Item = PolicyDocument>) -> Vec<Shard> {
    let mut ordered: Vec<(Digest, PolicyDocument)> = documents
        .into_iter()
        .map(|document| {
            let key = &document.key;
            let namespace = key.namespace.as_deref().unwrap_or_default();
            // No name has a slash, so no two keys are the same text.
            (Digest::of(format!("{namespace}/{}", key.name).as_bytes()), document)
        })
        .collect();
    ordered.sort_by(|a, b| (a.0, &a.1.key).cmp(&(b.0, &b.1.key)));
    let mut shards = Vec::new();
    let mut open: Vec<PolicyDocument> = Vec::new();
    let mut open_bytes = 0;
    for (place, document) in ordered {
        // Of escaped text: the JSON of a policy has many quotes.
        let bytes = document.text.len() * 5 / 4 + document.key.name.len() + 64;
        if !open.is_empty() && open_bytes + bytes > SHARD_PLAIN_BYTES {
            shards.push(Shard::new(std::mem::take(&mut open)));
            open_bytes = 0;
        }
        open.push(document);
        open_bytes += bytes;
        if place.bytes()[31].is_multiple_of(POLICIES_PER_SHARD) {
            shards.push(Shard::new(std::mem::take(&mut open)));
            open_bytes = 0;
        }
    }
    if !open.is_empty() {
        shards.push(Shard::new(open));
    }
    shards
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::collections::BTreeSet;

    fn key(name: &str) -> PolicyKey {
        PolicyKey { namespace: None, name: name.into() }
    }

    fn document(number: usize, content: &str) -> PolicyDocument {
        let key = PolicyKey {
            namespace: number.is_multiple_of(3).then(|| "shop".into()),
            name: format!("p-{number}"),
        };
        PolicyDocument { text: format!("{{\"n\":{number},\"c\":\"{content}\"}}"), key }
    }

    /// Text that does not compress.
    fn noise(bytes: usize, seed: u64) -> String {
        let mut state = seed | 1;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"[(state % 64) as usize] as char
        };
        (0..bytes).map(|_| next()).collect()
    }

    fn digests(shards: &[Shard]) -> BTreeSet<Digest> {
        shards.iter().map(|shard| shard.digest().unwrap()).collect()
    }

    #[test]
    fn a_shard_is_read_as_it_was_written() {
        let shard = Shard::new((0..20).map(|number| document(number, "x")));
        let (digest, bytes) = shard.encode().unwrap();
        assert_eq!(Shard::decode(&bytes, &digest), Ok(shard));
    }

    #[test]
    fn damage_of_every_byte_is_seen() {
        let shard = Shard::new((0..3).map(|number| document(number, "x")));
        let (digest, bytes) = shard.encode().unwrap();
        for place in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[place] ^= 1;
            match Shard::decode(&damaged, &digest) {
                Err(_) => {}
                Ok(read) => assert_eq!(read, shard, "a change without meaning at byte {place}"),
            }
            assert!(Shard::decode(&bytes[..place], &digest).is_err(), "cut at {place}");
        }
        let error = Shard::decode(&bytes, &Digest::of(b"other")).unwrap_err();
        assert!(matches!(error, BundleError::Digest { .. }), "{error}");
        assert!(Shard::decode(&vec![0; BLOB_BYTES_MAX + 1], &digest).is_err());
    }

    #[test]
    fn a_change_moves_one_shard() {
        let all: Vec<PolicyDocument> = (0..1000).map(|number| document(number, "x")).collect();
        let before = partition(all.clone());
        assert!((40..90).contains(&before.len()), "{} shards", before.len());
        assert_eq!(before.iter().map(|shard| shard.texts.len()).sum::<usize>(), 1000);
        let mut reversed = all.clone();
        reversed.reverse();
        assert_eq!(partition(reversed), before);
        let before = digests(&before);
        for number in [0, 17, 999] {
            let mut changed = all.clone();
            changed[number].text = "{}".into();
            assert_eq!(digests(&partition(changed)).difference(&before).count(), 1);
            let mut fewer = all.clone();
            fewer.remove(number);
            assert!(digests(&partition(fewer)).difference(&before).count() <= 1);
        }
    }

    #[test]
    fn large_policies_fit_or_are_named() {
        let large = |number: usize, bytes: usize| PolicyDocument {
            key: key(&format!("large-{number}")),
            text: noise(bytes, number as u64 + 1),
        };
        let shards = partition((0..40).map(|number| large(number, 100_000)));
        for shard in &shards {
            assert!(shard.encode().unwrap().1.len() <= BLOB_BYTES_MAX);
        }
        let error = partition([large(0, 900_000)])[0].encode().unwrap_err();
        assert!(error.to_string().starts_with("policy large-0: found "), "{error}");
        assert!(error.to_string().contains("allowed: 524288"), "{error}");
        // The same size in text that compresses is fine.
        let repeated = PolicyDocument { key: key("r"), text: "/usr/bin/x,".repeat(90_000) };
        assert!(partition([repeated])[0].encode().is_ok());
    }

    #[test]
    fn the_text_does_not_depend_on_the_order_of_members() {
        let key = PolicyKey { namespace: Some("shop".into()), name: "p".into() };
        let spec = json!({"kprobes": [{"syscall": true, "call": "sys_write"}], "nodeSelector": {}, "mode": "monitor"});
        let text = document_text("lictor.io/v1alpha1", "TracingPolicyNamespaced", &key, &spec);
        assert_eq!(
            text,
            r#"{"apiVersion":"lictor.io/v1alpha1","kind":"TracingPolicyNamespaced","metadata":{"name":"p","namespace":"shop"},"spec":{"kprobes":[{"call":"sys_write","syscall":true}],"mode":"monitor"}}"#
        );
        // What is no object stays what it is, and is refused by whoever reads it.
        assert!(document_text("a", "b", &key, &json!(3)).ends_with("\"spec\":3}"));
    }
}
