//! A server of names (RFC 1035) that knows none.

use anyhow::{Context as _, Result};
use std::fs::OpenOptions;
use std::io::Write as _;
use std::net::UdpSocket;
use std::path::Path;

/// Where resolvers ask.
const ADDRESS: &str = "127.0.0.1:53";
/// Bytes before the question (4.1.1).
const HEADER: usize = 12;
/// Longest message over UDP (4.2.1).
const MESSAGE_MAX: usize = 512;
/// Response, recursion desired and available, no such name (4.1.1).
const NO_SUCH_NAME: [u8; 2] = [0x81, 0x83];

/// Answers that there is no such name, and appends each name to a file, until the program is ended.
pub(super) fn serve(file: &Path) -> Result<()> {
    let socket = UdpSocket::bind(ADDRESS).context(ADDRESS)?;
    let mut asked = OpenOptions::new().create(true).append(true).open(file)?;
    let mut message = [0; MESSAGE_MAX];
    loop {
        let (length, client) = socket.recv_from(&mut message)?;
        let Some((name, end)) = question(&message[..length]) else { continue };
        writeln!(asked, "{name}")?;
        let mut answer = message[..end].to_vec();
        answer[2..4].copy_from_slice(&NO_SUCH_NAME);
        // One question; no answers, no authorities, nothing additional.
        answer[4..HEADER].copy_from_slice(&[0, 1, 0, 0, 0, 0, 0, 0]);
        socket.send_to(&answer, client)?;
    }
}

/// The name that is asked for, and where the question ends.
fn question(message: &[u8]) -> Option<(String, usize)> {
    let mut labels = Vec::new();
    let mut at = HEADER;
    loop {
        let length = usize::from(*message.get(at)?);
        let label = message.get(at + 1..at + 1 + length)?;
        at += 1 + length;
        if label.is_empty() {
            break;
        }
        labels.push(String::from_utf8_lossy(label));
    }
    // Type and class.
    let end = at + 4;
    (end <= message.len()).then(|| (labels.join("."), end))
}
