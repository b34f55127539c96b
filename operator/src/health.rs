//! Metrics and health over plain HTTP.

use crate::admission::CertificateSlot;
use crate::metrics::Metrics;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::get;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A loop that did not turn for so long hangs. A turn waits for writes, each of which ends within 15 seconds, in a few
/// phases of a few hundred each when the API server is slow.
const HANGS_AFTER: Duration = Duration::from_mins(10);

/// What is known about how the operator is.
#[derive(Debug)]
pub(crate) struct Health {
    began: Instant,
    /// Milliseconds since `began` of the loop's last turn.
    turned: AtomicU64,
    /// All watches have delivered what there is.
    pub(crate) synced: AtomicBool,
    pub(crate) certificate: Arc<CertificateSlot>,
    pub(crate) metrics: Arc<Metrics>,
}

impl Health {
    pub(crate) fn new(certificate: Arc<CertificateSlot>, metrics: Arc<Metrics>) -> Self {
        let (turned, synced) = (AtomicU64::new(0), AtomicBool::new(false));
        Self { began: Instant::now(), turned, synced, certificate, metrics }
    }

    /// The loop turned.
    pub(crate) fn turn(&self) {
        let since = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.turned.store(since, Ordering::Relaxed);
    }

    fn is_alive(&self) -> bool {
        let turned = Duration::from_millis(self.turned.load(Ordering::Relaxed));
        self.began.elapsed().saturating_sub(turned) < HANGS_AFTER
    }
}

pub(crate) fn router(health: Arc<Health>) -> Router {
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(health)
}

async fn livez(State(health): State<Arc<Health>>) -> impl IntoResponse {
    if health.is_alive() {
        (StatusCode::OK, "ok")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "the loop hangs")
    }
}

/// Ready to answer the API server: that needs a certificate, and the cluster's kernels.
async fn readyz(State(health): State<Arc<Health>>) -> impl IntoResponse {
    let answer = |text| (StatusCode::SERVICE_UNAVAILABLE, text);
    if !health.certificate.is_set() {
        return answer("the webhook has no certificate yet");
    }
    if !health.synced.load(Ordering::Relaxed) {
        return answer("not all watches have delivered yet");
    }
    (StatusCode::OK, "ok")
}

async fn metrics(State(health): State<Arc<Health>>) -> impl IntoResponse {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([("content-type", kind)], health.metrics.text())
}
