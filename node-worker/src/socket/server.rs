//! The node worker's end of the socket.

use super::{Answer, PROTOCOL_VERSION, REQUEST_BYTES_MAX, Request, RequestCommand};
use crate::control::Command;
use crate::enrich::clock::{BootOffset, boot_now_ns};
use crate::events::loss::Gap;
use crate::http::Service;
use crate::sinks::hub::{Delivery, Hub};
use crate::sinks::json::EventWriter;
use std::collections::BTreeMap;
use std::fs::{DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};

/// A client sends its request within this time.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// Why the socket cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another node worker answers there.
    #[error("another node worker listens at {0}")]
    Taken(PathBuf),
    /// The system refuses.
    #[error("cannot listen at {path}")]
    Io {
        /// The socket.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
}

/// A listening socket; its name is removed when it is dropped.
#[derive(Debug)]
pub struct Socket {
    listener: UnixListener,
    path: PathBuf,
}

impl Socket {
    /// Listens at `path`, for the owner only. What a dead node worker left there is removed.
    pub fn bind(path: &Path) -> Result<Self, BindError> {
        let fail = |source| BindError::Io { path: path.to_owned(), source };
        if std::os::unix::net::UnixStream::connect(path).is_ok() {
            return Err(BindError::Taken(path.to_owned()));
        }
        if let Some(parent) = path.parent() {
            DirBuilder::new().recursive(true).mode(0o700).create(parent).map_err(fail)?;
        }
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(fail(error)),
            Ok(()) | Err(_) => {}
        }
        let listener = UnixListener::bind(path).map_err(fail)?;
        std::fs::set_permissions(path, Permissions::from_mode(0o600)).map_err(fail)?;
        Ok(Self { listener, path: path.to_owned() })
    }

    /// Serves clients; ends only with the runtime.
    pub async fn serve(&self, service: Service, hub: Arc<Hub>, node: Arc<str>) {
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    let client =
                        Client { service: service.clone(), hub: Arc::clone(&hub), node: Arc::clone(&node) };
                    tokio::spawn(async move {
                        if let Err(error) = client.serve(stream).await {
                            tracing::debug!(%error, "a client of the socket went away");
                        }
                    });
                }
                Err(error) => {
                    // Out of descriptors: the next try may find some.
                    tracing::warn!(%error, "a client of the socket could not be served");
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
            }
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // What cannot be removed is removed by the next node worker.
        let _ = std::fs::remove_file(&self.path);
    }
}

struct Client {
    service: Service,
    hub: Arc<Hub>,
    node: Arc<str>,
}

impl Client {
    async fn serve(&self, stream: UnixStream) -> io::Result<()> {
        let mut stream = BufReader::new(stream);
        let request = tokio::time::timeout(REQUEST_TIMEOUT, read_request(&mut stream)).await;
        let request = request.unwrap_or_else(|_| Err("no request came".to_owned()));
        match request {
            Err(error) => answer(&mut stream, Answer { error: Some(error), ..Answer::default() }).await,
            Ok(RequestCommand::Status) => {
                let reply = match self.service.status().await {
                    Ok(status) => Answer { status: Some(status), ..Answer::default() },
                    Err(error) => Answer { error: Some(error.to_string()), ..Answer::default() },
                };
                answer(&mut stream, reply).await
            }
            Ok(RequestCommand::Release) => {
                let reply = match self.service.ask(Command::Release).await {
                    Ok(Ok(())) => Answer { released: true, ..Answer::default() },
                    Ok(Err(error)) => Answer { error: Some(error), ..Answer::default() },
                    Err(error) => Answer { error: Some(error.to_string()), ..Answer::default() },
                };
                answer(&mut stream, reply).await
            }
            Ok(RequestCommand::Events) => self.stream_events(stream).await,
        }
    }

    async fn stream_events(&self, mut stream: BufReader<UnixStream>) -> io::Result<()> {
        let Some(subscription) = self.hub.subscribe() else {
            let error = Some("too many clients read events".to_owned());
            return answer(&mut stream, Answer { error, ..Answer::default() }).await;
        };
        answer(&mut stream, Answer { streaming: true, ..Answer::default() }).await?;
        let mut nothing = [0; 64];
        loop {
            let delivery = tokio::select! {
                delivery = subscription.next() => delivery,
                // A client says no more than its request; reading notices when it is gone.
                read = stream.read(&mut nothing) => match read {
                    Ok(0) | Err(_) => return Ok(()),
                    Ok(_) => continue,
                },
            };
            match delivery {
                None => return stream.shutdown().await,
                Some(Delivery::Lines(lines)) => stream.write_all(&lines.bytes).await?,
                Some(Delivery::Lost(count)) => {
                    let gap = Gap { lost: BTreeMap::from([("sink/client".to_owned(), count)]) };
                    let mut line = Vec::new();
                    EventWriter::new(&self.node, BootOffset::now()).gap(&mut line, &gap, boot_now_ns());
                    stream.write_all(&line).await?;
                }
            }
        }
    }
}

async fn read_request(stream: &mut BufReader<UnixStream>) -> Result<RequestCommand, String> {
    let mut line = Vec::new();
    let mut bounded = stream.take(REQUEST_BYTES_MAX);
    bounded.read_until(b'\n', &mut line).await.map_err(|error| error.to_string())?;
    if !line.ends_with(b"\n") {
        return Err(format!("the request must be one line of at most {REQUEST_BYTES_MAX} bytes"));
    }
    let request: Request =
        serde_json::from_slice(&line).map_err(|error| format!("the request cannot be read: {error}"))?;
    if request.v != PROTOCOL_VERSION {
        return Err(format!("this node worker speaks version {PROTOCOL_VERSION} of the protocol"));
    }
    Ok(request.command)
}

async fn answer(stream: &mut BufReader<UnixStream>, mut answer: Answer) -> io::Result<()> {
    answer.v = PROTOCOL_VERSION;
    let mut line = serde_json::to_vec(&answer)?;
    line.push(b'\n');
    stream.write_all(&line).await?;
    stream.flush().await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::socket::client;
    use crate::status::Status;
    use std::io::{Read as _, Write as _};
    use std::sync::mpsc;

    struct Bench {
        path: PathBuf,
        hub: Arc<Hub>,
        commands: mpsc::Receiver<Command>,
        _runtime: tokio::runtime::Runtime,
        _folder: tempfile::TempDir,
    }

    fn bench() -> Bench {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run/lictor.sock");
        let (sender, commands) = mpsc::sync_channel(8);
        let hub = Arc::new(Hub::default());
        let service =
            Service { commands: sender, health: Arc::default(), counts: Arc::default(), began_boot_ns: 0 };
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let socket = {
            let _guard = runtime.enter();
            Socket::bind(&path).unwrap()
        };
        let served = Arc::clone(&hub);
        runtime.spawn(async move { socket.serve(service, served, "n".into()).await });
        Bench { path, hub, commands, _runtime: runtime, _folder: folder }
    }

    fn raw(path: &Path, request: &[u8]) -> String {
        let mut stream = std::os::unix::net::UnixStream::connect(path).unwrap();
        stream.write_all(request).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn a_status_comes_from_the_control_thread() {
        let bench = bench();
        let commands = bench.commands;
        std::thread::spawn(move || {
            if let Ok(Command::Status(answer)) = commands.recv() {
                let _ = answer.send(Status { node: "here".into(), ..Default::default() });
            }
        });
        assert_eq!(client::status(&bench.path).unwrap().node, "here");
        assert!(matches!(client::status(&bench.path), Err(client::ClientError::Refused(_))));
    }

    #[test]
    fn a_release_says_how_it_went() {
        let bench = bench();
        let commands = bench.commands;
        std::thread::spawn(move || {
            for result in [Err("no".to_owned()), Ok(())] {
                if let Ok(Command::Release(answer)) = commands.recv() {
                    let _ = answer.send(result);
                }
            }
        });
        assert_eq!(client::release(&bench.path).unwrap_err().to_string(), "no");
        client::release(&bench.path).unwrap();
    }

    #[test]
    fn events_are_streamed_until_the_end() {
        let bench = bench();
        let mut lines = client::events(&bench.path).unwrap();
        bench.hub.publish(b"{\"a\":1}\n{\"b\":2}\n", 2);
        assert_eq!(lines.next_line().unwrap(), Some(&b"{\"a\":1}"[..]));
        assert_eq!(lines.next_line().unwrap(), Some(&b"{\"b\":2}"[..]));
        bench.hub.close();
        assert_eq!(lines.next_line().unwrap(), None);
    }

    #[test]
    fn a_client_that_leaves_is_forgotten() {
        let bench = bench();
        let lines = client::events(&bench.path).unwrap();
        assert_eq!(bench.hub.clients(), 1);
        drop(lines);
        let end = std::time::Instant::now() + Duration::from_secs(10);
        while bench.hub.clients() > 0 {
            assert!(std::time::Instant::now() < end, "the client is still there");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn requests_that_are_none_are_answered_with_an_error() {
        let bench = bench();
        for (request, part) in [
            (&b"nonsense\n"[..], "cannot be read"),
            (b"{\"v\":9,\"command\":\"status\"}\n", "version 1"),
            (b"{\"v\":1,\"command\":\"destroy\"}\n", "cannot be read"),
            (b"", "one line"),
            (&[b'x'; 8000], "one line"),
        ] {
            let text = raw(&bench.path, request);
            let answer: Answer = serde_json::from_str(&text).unwrap();
            assert!(answer.error.as_ref().is_some_and(|error| error.contains(part)), "{text}");
        }
    }

    #[test]
    fn the_socket_is_for_its_owner_and_for_one_node_worker() {
        let bench = bench();
        let mode = std::fs::metadata(&bench.path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(matches!(Socket::bind(&bench.path), Err(BindError::Taken(_))));
        assert!(matches!(client::status(Path::new("/nonexistent")), Err(client::ClientError::Absent { .. })));
    }
}
