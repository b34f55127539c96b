//! A client of the socket, for the command line.

use super::{Answer, PROTOCOL_VERSION, Request, RequestCommand};
use crate::status::Status;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// An answer is waited for this long; event lines for any time.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);

/// Why the node worker did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No node worker listens.
    #[error("no node worker answers at {path}")]
    Absent {
        /// The socket.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// The connection failed.
    #[error("the connection to the node worker failed")]
    Connection(#[from] io::Error),
    /// The answer is not one of this protocol.
    #[error("the node worker's answer cannot be read")]
    Format(#[from] serde_json::Error),
    /// The node worker is of another version.
    #[error("the node worker speaks version {0} of the protocol, this program version {PROTOCOL_VERSION}")]
    Version(u32),
    /// The node worker says why not.
    #[error("{0}")]
    Refused(String),
}

/// The status of the node worker that listens at `path`.
pub fn status(path: &Path) -> Result<Status, ClientError> {
    let (answer, _) = ask(path, RequestCommand::Status)?;
    answer.status.ok_or_else(|| ClientError::Refused("the answer has no status".into()))
}

/// Has the node worker release the kernel and end.
pub fn release(path: &Path) -> Result<(), ClientError> {
    ask(path, RequestCommand::Release).map(|_| ())
}

/// The event lines of the node worker that listens at `path`, from now on.
pub fn events(path: &Path) -> Result<EventLines, ClientError> {
    let (_, reader) = ask(path, RequestCommand::Events)?;
    reader.get_ref().set_read_timeout(None)?;
    Ok(EventLines { reader, line: Vec::new() })
}

fn ask(path: &Path, command: RequestCommand) -> Result<(Answer, BufReader<UnixStream>), ClientError> {
    let mut stream =
        UnixStream::connect(path).map_err(|source| ClientError::Absent { path: path.to_owned(), source })?;
    stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
    stream.set_write_timeout(Some(ANSWER_TIMEOUT))?;
    let mut request = serde_json::to_vec(&Request { v: PROTOCOL_VERSION, command })?;
    request.push(b'\n');
    stream.write_all(&request)?;
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
    }
    let answer: Answer = serde_json::from_str(&line)?;
    match answer.error {
        _ if answer.v != PROTOCOL_VERSION => Err(ClientError::Version(answer.v)),
        Some(error) => Err(ClientError::Refused(error)),
        None => Ok((answer, reader)),
    }
}

/// Event lines, one after the other.
#[derive(Debug)]
pub struct EventLines {
    reader: BufReader<UnixStream>,
    line: Vec<u8>,
}

impl EventLines {
    /// Waits for the next line, without its newline; `None` = the node worker ended the stream.
    pub fn next_line(&mut self) -> Result<Option<&[u8]>, ClientError> {
        self.line.clear();
        if self.reader.read_until(b'\n', &mut self.line)? == 0 {
            return Ok(None);
        }
        Ok(Some(self.line.strip_suffix(b"\n").unwrap_or(&self.line)))
    }
}
