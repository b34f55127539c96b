//! Keeps the webhook's certificate: our own authority in a `Secret`, or files that somebody else keeps fresh.

use crate::FIELD_MANAGER;
use crate::admission::{Authority, AuthorityStep, CertificateFiles, CertificateSlot};
use crate::cluster::chain;
use crate::leadership::Lead;
use crate::metrics::Metrics;
use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Client;
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often files are looked at, and the `Secret` is read: a fraction of the overlap of old and new authorities.
const LOOK_EVERY: Duration = Duration::from_secs(20);

/// The same while there is no certificate yet.
const LOOK_EVERY_FIRST: Duration = Duration::from_secs(1);

/// Name of our `Secret`.
const SECRET_NAME: &str = "lictor-webhook-authority";

/// Its key.
const SECRET_KEY: &str = "authority.json";

/// Where the certificate comes from.
pub(crate) enum Source {
    /// Files that somebody else keeps fresh.
    Files(PathBuf),
    /// Our own authority.
    Own(Box<OwnAuthority>),
}

/// Where our own authority is kept and made known.
pub(crate) struct OwnAuthority {
    pub(crate) client: Client,
    pub(crate) namespace: String,
    pub(crate) configuration: String,
    pub(crate) names: Vec<String>,
    /// Only the leader makes certificates; every replica reads them.
    pub(crate) lead: Lead,
}

/// Keeps the certificate fresh until `stop`.
pub(crate) async fn run(
    mut source: Source,
    slot: Arc<CertificateSlot>,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
) {
    let mut files = match &source {
        Source::Files(directory) => Some(CertificateFiles::new(directory)),
        Source::Own(_) => None,
    };
    loop {
        let looked = match (&mut source, &mut files) {
            (Source::Files(_), Some(files)) => files.look(&slot).map_err(|error| chain(&error)),
            (Source::Own(own), _) => own.look(&slot).await,
            (Source::Files(_), None) => Ok(false),
        };
        match looked {
            Ok(true) => tracing::info!(ends = slot.ends(), "the webhook has another certificate"),
            Ok(false) => {}
            Err(why) => tracing::warn!(error = why, "the webhook's certificate could not be looked after"),
        }
        metrics.set_certificate_ends(slot.ends());
        let wait = if slot.is_set() { LOOK_EVERY } else { LOOK_EVERY_FIRST };
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(wait) => {}
        }
    }
}

impl OwnAuthority {
    /// One look: takes the next step when we lead, serves with what there is; whether that changed.
    async fn look(&self, slot: &CertificateSlot) -> Result<bool, String> {
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), &self.namespace);
        let found = secrets.get_opt(SECRET_NAME).await.map_err(|error| chain(&error))?;
        let text =
            found.as_ref().and_then(|secret| secret.data.as_ref()).and_then(|data| data.get(SECRET_KEY));
        // What cannot be read is made anew.
        let mut authority: Authority =
            text.and_then(|text| serde_json::from_slice(&text.0).ok()).unwrap_or_default();
        let leads = self.lead.holds();
        if leads {
            let now = u64::try_from(jiff::Timestamp::now().as_second()).unwrap_or_default();
            if let AuthorityStep::Keep(next) =
                authority.step(&self.names, now).map_err(|error| chain(&error))?
            {
                self.keep(&secrets, found, &next).await?;
                authority = *next;
            }
        }
        let Some(leaf) = &authority.leaf else { return Ok(false) };
        let changed =
            slot.set(leaf.certificate.as_bytes(), leaf.key.as_bytes()).map_err(|error| chain(&error))?;
        // After the certificate: without the chart's webhook there is nobody to tell, and nothing else to do.
        if leads && !self.configuration.is_empty() {
            self.make_known(&authority).await?;
        }
        Ok(changed)
    }

    /// Writes the `Secret`, unless somebody else did in the meantime.
    async fn keep(
        &self,
        secrets: &Api<Secret>,
        found: Option<Secret>,
        authority: &Authority,
    ) -> Result<(), String> {
        let text = serde_json::to_vec(authority).map_err(|error| error.to_string())?;
        let secret = Secret {
            metadata: ObjectMeta {
                name: Some(SECRET_NAME.into()),
                resource_version: found.as_ref().and_then(|found| found.metadata.resource_version.clone()),
                labels: Some(BTreeMap::from([(
                    lictor_policy::bundle::MANAGED_BY_LABEL.to_owned(),
                    lictor_policy::bundle::MANAGED_BY_VALUE.to_owned(),
                )])),
                ..ObjectMeta::default()
            },
            data: Some(BTreeMap::from([(SECRET_KEY.to_owned(), ByteString(text))])),
            ..Secret::default()
        };
        let params = PostParams { field_manager: Some(FIELD_MANAGER.into()), ..PostParams::default() };
        let written = match found {
            Some(_) => secrets.replace(SECRET_NAME, &params, &secret).await,
            None => secrets.create(&params, &secret).await,
        };
        written.map(|_| ()).map_err(|error| chain(&error))
    }

    /// Tells the API server which authorities to trust. Nothing is written when it knows.
    async fn make_known(&self, authority: &Authority) -> Result<(), String> {
        let api: Api<ValidatingWebhookConfiguration> = Api::all(self.client.clone());
        let Some(found) = api.get_opt(&self.configuration).await.map_err(|error| chain(&error))? else {
            return Err(format!("found no ValidatingWebhookConfiguration {}", self.configuration));
        };
        let bundle = ByteString(authority.bundle().into_bytes());
        let webhooks = found.webhooks.unwrap_or_default();
        if webhooks.iter().all(|webhook| webhook.client_config.ca_bundle.as_ref() == Some(&bundle)) {
            return Ok(());
        }
        let webhooks: Vec<_> = webhooks
            .iter()
            .map(|webhook| json!({"name": webhook.name, "clientConfig": {"caBundle": bundle}}))
            .collect();
        let patch = json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
            "metadata": {"name": self.configuration}, "webhooks": webhooks,
        });
        let params = PatchParams::apply("lictor-operator-authority").force();
        api.patch(&self.configuration, &params, &Patch::Apply(&patch))
            .await
            .map_err(|error| chain(&error))?;
        tracing::info!(authorities = authority.authorities.len(), "the API server was told our authorities");
        Ok(())
    }
}
