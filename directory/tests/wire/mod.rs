//! What the tests over sockets share: a directory, requests as text, and their answers.
#![allow(dead_code, reason = "each test program uses its share of it")]

use landline::Identity;
use landline_directory::{Announcement, DirectoryConfig, RunningDirectory, Withdrawal};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Far more than anything here takes, so that a hang shows as a failure.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A whole request.
pub(crate) const PROBE: &str = "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n";

/// A directory on a free port of loopback, to which requests may also say `Host: a`.
pub(crate) fn start(config: DirectoryConfig) -> RunningDirectory {
    let config = DirectoryConfig { host_names: vec!["a".to_owned()], ..config };
    RunningDirectory::start("127.0.0.1:0".parse().unwrap(), config).unwrap()
}

/// A connection that does not wait for ever.
pub(crate) fn connect(running: &RunningDirectory) -> TcpStream {
    let stream = TcpStream::connect(running.directory().address()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Sends all of `input`, ends, and reads to the end.
pub(crate) fn talk(running: &RunningDirectory, input: &str) -> String {
    let mut stream = connect(running);
    stream.write_all(input.as_bytes()).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut output = Vec::new();
    stream.read_to_end(&mut output).unwrap();
    String::from_utf8(output).unwrap()
}

/// The status codes of the answers in `output`.
pub(crate) fn statuses(output: &str) -> Vec<&str> {
    let codes = output.match_indices("HTTP/1.1 ").filter_map(|(at, _)| output.get(at + 9..at + 12));
    codes.filter(|code| code.bytes().all(|byte| byte.is_ascii_digit())).collect()
}

/// An answer in its parts.
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Reply {
    /// The value of a header field.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(": "))
            .find(|(other, _)| *other == name)
            .map(|(_, value)| value)
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// One request on a connection of its own.
pub(crate) fn ask(running: &RunningDirectory, method: &str, path: &str, body: &str) -> Reply {
    ask_with(running, method, path, "Host: a\r\n", body)
}

/// One request with these header fields, Host among them.
pub(crate) fn ask_with(running: &RunningDirectory, method: &str, path: &str, fields: &str, body: &str) -> Reply {
    let len = body.len();
    let kind = if body.is_empty() { "" } else { "Content-Type: application/json\r\n" };
    let text = talk(running, &format!("{method} {path} HTTP/1.1\r\n{fields}{kind}Content-Length: {len}\r\n\r\n{body}"));
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    Reply { status: head[9..12].parse().unwrap(), head: head.to_owned(), body: body.to_owned() }
}

/// What the peer of this seed announces.
pub(crate) fn announcement(seed: u8, name: &str, sequence: u64) -> (Identity, Announcement) {
    let identity = Identity::from_seed([seed; 32]);
    let announcement = Announcement {
        peer_id: identity.peer_id(),
        name: name.parse().unwrap(),
        addresses: vec!["127.0.0.1:4000".parse().unwrap()],
        services: vec!["chat".to_owned()],
        sequence,
        lease: Duration::from_secs(60),
    };
    (identity, announcement)
}

/// Announces it.
pub(crate) fn put(running: &RunningDirectory, seed: u8, name: &str, sequence: u64) -> Reply {
    let (identity, announcement) = announcement(seed, name, sequence);
    let signed = announcement.sign(&identity).unwrap();
    ask(running, "PUT", &format!("/v1/announcements/{}", identity.peer_id()), &signed.to_json())
}

/// Withdraws it.
pub(crate) fn delete(running: &RunningDirectory, seed: u8, sequence: u64) -> Reply {
    let identity = Identity::from_seed([seed; 32]);
    let signed = Withdrawal { peer_id: identity.peer_id(), sequence }.sign(&identity).unwrap();
    ask(running, "DELETE", &format!("/v1/announcements/{}", identity.peer_id()), &signed.to_json())
}
