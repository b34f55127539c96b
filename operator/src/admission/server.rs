//! The webhook's HTTPS server.

use super::CertificateSlot;
use crate::metrics::Metrics;
use arc_swap::ArcSwap;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use kube::core::DynamicObject;
use kube::core::admission::{AdmissionRequest, AdmissionReview};
use lictor_operator_core::review::View;
use rustls::ServerConfig;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Longest request: the API server takes objects of up to 3 MiB, and an update carries two.
const REQUEST_BYTES_MAX: usize = 8 << 20;

/// Requests that are worked on at the same time: reading a policy is all computing, so more than the processors that a
/// small pod has would only wait for each other. Others wait for their turn until the API server gives up.
const REVIEWS_MAX: usize = 4;

/// Connections at the same time. API servers keep a few open each.
const CONNECTIONS_MAX: usize = 256;

/// Longest time for a TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// Longest time that connections have to end at a shutdown.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

/// The webhook.
#[derive(Clone)]
pub struct Webhook {
    view: Arc<ArcSwap<View>>,
    metrics: Arc<Metrics>,
    reviews: Arc<Semaphore>,
}

impl Webhook {
    /// A webhook that answers from `view`.
    pub fn new(view: Arc<ArcSwap<View>>, metrics: Arc<Metrics>) -> Self {
        Self { view, metrics, reviews: Arc::new(Semaphore::new(REVIEWS_MAX)) }
    }

    /// Its routes.
    pub fn router(self) -> Router {
        Router::new()
            .route("/validate", post(validate))
            .layer(DefaultBodyLimit::max(REQUEST_BYTES_MAX))
            .with_state(self)
    }
}

async fn validate(State(webhook): State<Webhook>, body: Bytes) -> Response {
    let began = Instant::now();
    let Ok(_turn) = webhook.reviews.acquire().await else {
        return (StatusCode::SERVICE_UNAVAILABLE, "shutting down").into_response();
    };
    let view = webhook.view.load_full();
    let answer = tokio::task::spawn_blocking(move || answer(&body, &view)).await;
    let (status, verdict, text) = match answer {
        Ok(Ok((allowed, text))) => (StatusCode::OK, if allowed { "allowed" } else { "refused" }, text),
        Ok(Err(why)) => (StatusCode::BAD_REQUEST, "malformed", why),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, "failed", error.to_string()),
    };
    webhook.metrics.reviewed(verdict, began.elapsed());
    (status, [("content-type", "application/json")], text).into_response()
}

fn answer(body: &[u8], view: &View) -> Result<(bool, String), String> {
    let read: AdmissionReview<DynamicObject> =
        serde_json::from_slice(body).map_err(|error| format!("found no AdmissionReview: {error}"))?;
    let request: AdmissionRequest<DynamicObject> =
        read.try_into().map_err(|error| format!("found no request in the AdmissionReview: {error}"))?;
    let response = super::answer(&request, view);
    let allowed = response.allowed;
    let text = serde_json::to_string(&response.into_review()).map_err(|error| error.to_string())?;
    Ok((allowed, text))
}

/// Serves `router` over TLS until `stop`, then lets the requests under way end.
///
/// # Errors
/// TLS cannot be set up.
pub async fn serve(
    listener: TcpListener,
    certificate: Arc<CertificateSlot>,
    router: Router,
    stop: CancellationToken,
) -> Result<(), rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(certificate);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let tasks = TaskTracker::new();
    loop {
        let stream = tokio::select! {
            () = stop.cancelled() => break,
            accepted = accept(&listener, &connections) => accepted,
        };
        let Ok((stream, permit)) = stream else {
            // Out of file descriptors, most likely; the connection waits in the kernel.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let (acceptor, router, stop) = (acceptor.clone(), router.clone(), stop.clone());
        tasks.spawn(async move {
            let _permit = permit;
            let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await
            else {
                return;
            };
            let builder = Builder::new(TokioExecutor::new());
            let service = TowerToHyperService::new(router);
            let connection = builder.serve_connection(TokioIo::new(stream), service);
            let mut connection = std::pin::pin!(connection);
            tokio::select! {
                // How a connection ends is for the client to know.
                _ = connection.as_mut() => {}
                () = stop.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    let _ = connection.await;
                }
            }
        });
    }
    tasks.close();
    let _ = tokio::time::timeout(DRAIN_TIMEOUT, tasks.wait()).await;
    Ok(())
}

async fn accept(
    listener: &TcpListener,
    connections: &Arc<Semaphore>,
) -> io::Result<(tokio::net::TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let permit = Arc::clone(connections).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    Ok((stream, permit))
}
