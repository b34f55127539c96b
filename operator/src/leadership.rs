//! Reads and writes the `Lease`.

use crate::metrics::Metrics;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::Client;
use kube::api::{Api, PostParams};
use lictor_operator_core::lease::{Candidate, LEASE_DURATION, LeaseRecord, LeaseStep, RENEW_EVERY};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// Name of the lease.
const LEASE_NAME: &str = "lictor-operator";

/// A request for the lease must not hang longer than the time between two.
const REQUEST_TIMEOUT: Duration = RENEW_EVERY;

/// Whether this operator leads, for all that write. It ends by the clock: a program that was stopped for a while and goes
/// on does not lead any more, even before it has found out why.
#[derive(Debug, Clone)]
pub struct Lead {
    began: Instant,
    /// Milliseconds since it began; 0 = it does not lead.
    until: Arc<AtomicU64>,
}

impl Default for Lead {
    fn default() -> Self {
        Self { began: Instant::now(), until: Arc::default() }
    }
}

impl Lead {
    /// Whether it leads now.
    pub fn holds(&self) -> bool {
        self.now() < Duration::from_millis(self.until.load(Ordering::Relaxed))
    }

    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    fn set(&self, until: Option<Duration>) {
        let until = until.map_or(0, |until| u64::try_from(until.as_millis()).unwrap_or(u64::MAX));
        self.until.store(until, Ordering::Relaxed);
    }
}

pub(crate) struct Leadership {
    api: Api<Lease>,
    candidate: Candidate,
    lead: Lead,
    /// What was told last.
    told: bool,
    metrics: Arc<Metrics>,
}

impl Leadership {
    pub(crate) fn new(
        client: &Client,
        namespace: &str,
        identity: &str,
        lead: Lead,
        metrics: Arc<Metrics>,
    ) -> Self {
        let api = Api::namespaced(client.clone(), namespace);
        Self { api, candidate: Candidate::new(identity.to_owned()), lead, told: false, metrics }
    }

    /// Competes for the lease until `stop`, then gives it back.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        loop {
            if let Err(why) = self.attempt().await {
                tracing::warn!(error = why, "the lease could not be looked after");
            }
            self.tell();
            // A leader whose requests hang must stop in time, so it looks at the clock more often than it renews.
            for _ in 0..4 {
                tokio::select! {
                    () = stop.cancelled() => return self.release().await,
                    () = tokio::time::sleep(RENEW_EVERY / 4) => self.tell(),
                }
            }
        }
    }

    fn tell(&mut self) {
        self.lead.set(self.candidate.leads_until());
        let leads = self.lead.holds();
        if self.told != leads {
            tracing::info!(identity = self.candidate.identity(), leads, "leadership changed");
        }
        self.told = leads;
        self.metrics.set_leads(leads);
    }

    async fn attempt(&mut self) -> Result<(), String> {
        let request = self.api.get_opt(LEASE_NAME);
        let lease = within(request).await?;
        let record = lease.as_ref().map(record);
        let sent = self.lead.now();
        match self.candidate.step(record.as_ref(), sent) {
            LeaseStep::Wait => Ok(()),
            LeaseStep::Create => {
                let lease = Self::lease(None, 0, Some(self.candidate.identity()));
                within(self.api.create(&PostParams::default(), &lease)).await?;
                self.candidate.written(sent);
                Ok(())
            }
            LeaseStep::Take { version, transitions } => {
                let lease = Self::lease(Some(version), transitions, Some(self.candidate.identity()));
                within(self.api.replace(LEASE_NAME, &PostParams::default(), &lease)).await?;
                self.candidate.written(sent);
                Ok(())
            }
        }
    }

    async fn release(mut self) {
        let led = self.lead.holds();
        self.candidate.released();
        self.tell();
        if !led {
            return;
        }
        // Another one takes over at once instead of after the lease's duration.
        let found = within(self.api.get_opt(LEASE_NAME)).await.ok().flatten();
        let Some(found) =
            found.as_ref().map(record).filter(|record| record.holder == self.candidate.identity())
        else {
            return;
        };
        let lease = Self::lease(Some(found.version), found.transitions, None);
        if let Err(why) = within(self.api.replace(LEASE_NAME, &PostParams::default(), &lease)).await {
            tracing::warn!(error = why, "the lease could not be given back");
        }
    }

    fn lease(version: Option<String>, transitions: i32, holder: Option<&str>) -> Lease {
        let now = MicroTime(Timestamp::now());
        Lease {
            metadata: ObjectMeta {
                name: Some(LEASE_NAME.into()),
                resource_version: version,
                ..ObjectMeta::default()
            },
            spec: Some(LeaseSpec {
                holder_identity: Some(holder.unwrap_or_default().to_owned()),
                lease_duration_seconds: i32::try_from(LEASE_DURATION.as_secs()).ok(),
                lease_transitions: Some(transitions),
                renew_time: Some(now.clone()),
                acquire_time: Some(now),
                ..LeaseSpec::default()
            }),
        }
    }
}

fn record(lease: &Lease) -> LeaseRecord {
    let spec = lease.spec.as_ref();
    LeaseRecord {
        holder: spec.and_then(|spec| spec.holder_identity.clone()).unwrap_or_default(),
        transitions: spec.and_then(|spec| spec.lease_transitions).unwrap_or_default(),
        version: lease.metadata.resource_version.clone().unwrap_or_default(),
    }
}

async fn within<T>(request: impl Future<Output = Result<T, kube::Error>>) -> Result<T, String> {
    match tokio::time::timeout(REQUEST_TIMEOUT, request).await {
        Ok(result) => result.map_err(|error| crate::cluster::chain(&error)),
        Err(_) => Err(format!("no answer within {} s", REQUEST_TIMEOUT.as_secs())),
    }
}
