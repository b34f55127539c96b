//! Metrics and health over HTTP.

use crate::control::{Command, Health};
use crate::enrich::clock::boot_now_ns;
use crate::events::pipeline::PipelineCounts;
use crate::metrics;
use crate::status::Status;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};
use std::time::Duration;
use tokio::sync::oneshot;

/// A status is waited for this long: longer than a revision of a thousand policies takes to go live.
const STATUS_TIMEOUT: Duration = Duration::from_secs(8);

/// The ring is read several times a second; without for this long, the thread hangs.
const READ_SILENCE_MAX_NS: u64 = 30_000_000_000;

/// The control thread comes by every second, but for the time that a revision takes to go live.
const CONTROL_SILENCE_MAX_NS: u64 = 120_000_000_000;

/// What requests are answered from.
#[derive(Debug, Clone)]
pub struct Service {
    /// The control thread.
    pub commands: mpsc::SyncSender<Command>,
    /// What it shares.
    pub health: Arc<Health>,
    /// What the pipeline shares.
    pub counts: Arc<PipelineCounts>,
    /// Boot clock when the node worker began.
    pub began_boot_ns: u64,
}

/// Why there is no answer from the control thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// Too many ask at once.
    #[error("too many requests wait")]
    Busy,
    /// The node worker stops.
    #[error("the node worker is stopping")]
    Stopping,
    /// It is applying a revision, or hangs.
    #[error("no answer within {} seconds", STATUS_TIMEOUT.as_secs())]
    Late,
}

impl Service {
    /// Sends a command and waits for its answer.
    pub async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Result<T, AskError> {
        let (answer, answered) = oneshot::channel();
        self.commands.try_send(command(answer)).map_err(|error| match error {
            mpsc::TrySendError::Full(_) => AskError::Busy,
            mpsc::TrySendError::Disconnected(_) => AskError::Stopping,
        })?;
        match tokio::time::timeout(STATUS_TIMEOUT, answered).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) => Err(AskError::Stopping),
            Err(_) => Err(AskError::Late),
        }
    }

    /// The status now.
    pub async fn status(&self) -> Result<Status, AskError> {
        self.ask(Command::Status).await
    }

    /// What hangs; `None` = everything moves.
    pub fn hangs(&self, now_ns: u64) -> Option<String> {
        let silent = |at_ns: u64| now_ns.saturating_sub(at_ns.max(self.began_boot_ns));
        let read = silent(self.counts.last_read_boot_ns.load(Ordering::Relaxed));
        if read > READ_SILENCE_MAX_NS {
            return Some(format!("records were not read for {} seconds", read / 1_000_000_000));
        }
        let control = silent(self.health.control_boot_ns.load(Ordering::Relaxed));
        if control > CONTROL_SILENCE_MAX_NS {
            return Some(format!("the control thread is silent for {} seconds", control / 1_000_000_000));
        }
        None
    }
}

/// The routes.
pub fn router(service: Service) -> Router {
    Router::new()
        .route("/metrics", get(serve_metrics))
        .route("/healthz", get(serve_health))
        .route("/readyz", get(serve_ready))
        .with_state(service)
}

async fn serve_metrics(State(service): State<Service>) -> Response {
    let status = match service.status().await {
        Ok(status) => status,
        Err(error) => return (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")).into_response(),
    };
    match metrics::encode(&status) {
        Ok(text) => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(header::CONTENT_TYPE, kind)], text).into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

async fn serve_health(State(service): State<Service>) -> Response {
    match service.hangs(boot_now_ns()) {
        None => "ok\n".into_response(),
        Some(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")).into_response(),
    }
}

async fn serve_ready(State(service): State<Service>) -> Response {
    if !service.health.ready.load(Ordering::Relaxed) {
        return (StatusCode::SERVICE_UNAVAILABLE, "no revision is live, or the ring is not read yet\n")
            .into_response();
    }
    serve_health(State(service)).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};

    fn service() -> (Service, mpsc::Receiver<Command>) {
        let (commands, receiver) = mpsc::sync_channel(1);
        let service = Service {
            commands,
            health: Arc::default(),
            counts: Arc::default(),
            began_boot_ns: boot_now_ns(),
        };
        (service, receiver)
    }

    async fn request(service: Service, path: &str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move { axum::serve(listener, router(service)).await });
        let mut stream = TcpStream::connect(address).await.unwrap();
        let text = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        server.abort();
        answer
    }

    #[tokio::test]
    async fn metrics_come_from_the_control_thread() {
        let (service, commands) = service();
        std::thread::spawn(move || {
            if let Ok(Command::Status(answer)) = commands.recv() {
                let _ = answer.send(Status { kernel_memory_bytes: 77, ..Default::default() });
            }
        });
        let answer = request(service, "/metrics").await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(answer.contains("lictor_kernel_memory_bytes 77"), "{answer}");
    }

    #[tokio::test]
    async fn a_control_thread_that_is_gone_is_said() {
        let (service, commands) = service();
        drop(commands);
        let answer = request(service, "/metrics").await;
        assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
        assert!(answer.contains("stopping"), "{answer}");
    }

    #[tokio::test]
    async fn ready_and_health_differ() {
        let (service, _commands) = service();
        assert!(request(service.clone(), "/healthz").await.starts_with("HTTP/1.1 200"));
        assert!(request(service.clone(), "/readyz").await.starts_with("HTTP/1.1 503"));
        service.health.ready.store(true, Ordering::Relaxed);
        assert!(request(service.clone(), "/readyz").await.starts_with("HTTP/1.1 200"));
        assert!(request(service, "/nothing").await.starts_with("HTTP/1.1 404"));
    }

    #[test]
    fn threads_that_hang_are_noticed() {
        let (service, _commands) = service();
        let begin = service.began_boot_ns;
        assert_eq!(service.hangs(begin + READ_SILENCE_MAX_NS), None);
        assert!(
            service.hangs(begin + READ_SILENCE_MAX_NS + 1).is_some_and(|reason| reason.contains("records"))
        );
        service.counts.last_read_boot_ns.store(begin + CONTROL_SILENCE_MAX_NS, Ordering::Relaxed);
        assert!(
            service
                .hangs(begin + CONTROL_SILENCE_MAX_NS + 1)
                .is_some_and(|reason| reason.contains("control"))
        );
    }
}
