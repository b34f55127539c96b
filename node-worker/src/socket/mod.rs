//! The UNIX socket that the command line talks to: one JSON request per connection, answered by JSON lines.
//!
//! Only the owner of the socket (root) can connect: who may read events and release the kernel is a matter of file
//! permissions.

pub mod client;
pub mod server;

use crate::status::Status;
use serde::{Deserialize, Serialize};

/// Where the socket is, unless told otherwise.
pub const SOCKET_PATH: &str = "/run/lictor/lictor.sock";

/// Version of the protocol: changes when an old client would misread an answer.
pub const PROTOCOL_VERSION: u32 = 1;

/// Bytes of a request at most.
pub const REQUEST_BYTES_MAX: u64 = 4096;

/// What a client asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// See [`PROTOCOL_VERSION`].
    pub v: u32,
    /// What is to be done.
    pub command: RequestCommand,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RequestCommand {
    /// Answer with the status.
    Status,
    /// Answer with event lines until one side ends the connection.
    Events,
    /// Detach everything and end the node worker.
    Release,
}

/// The first line of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Answer {
    /// See [`PROTOCOL_VERSION`].
    pub v: u32,
    /// Why there is nothing else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// To `status`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
    /// To `events`: event lines follow.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub streaming: bool,
    /// To `release`: done.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub released: bool,
}
