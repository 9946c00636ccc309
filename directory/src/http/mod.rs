//! HTTP/1.1, strictly: requests out of bytes and bytes out of responses, without sockets or clock.
//!
//! [`RequestParser`] is stricter than most servers: whatever RFC 9112 calls an error is one, because two programs that
//! read the same bytes differently are how requests get smuggled. After an error the parser takes nothing more. The cost
//! of parsing is linear in the bytes received, however they were cut: each search goes on where it stopped.
//!
//! `httparse` reads the header fields of a head whose lines have been checked here; see `head.rs` for what is added.

mod body;
mod head;
mod host;
mod lines;
mod request;
mod response;
mod target;

pub(crate) use body::{BodyReader, Framing};
pub use head::{ContentType, Method, Version};
pub(crate) use host::canonical_name;
pub use host::{Host, Origin};
pub(crate) use lines::{LineFault, Lines};
pub use request::{Request, RequestParser};
pub use response::{Persistence, Response, Tail, reason_phrase};
pub use target::Target;
pub(crate) use target::{is_digits, percent_encode};

use std::fmt;

/// Why a request was refused before anybody looked at what it asks for. The connection ends after the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpError {
    /// The status to answer with.
    pub status: u16,
    /// What is wrong and what would be right, for the client's author.
    pub detail: &'static str,
}

impl HttpError {
    pub(crate) const fn new(status: u16, detail: &'static str) -> HttpError {
        HttpError { status, detail }
    }

    pub(crate) const fn bad(detail: &'static str) -> HttpError {
        HttpError { status: 400, detail }
    }
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.status, reason_phrase(self.status), self.detail)
    }
}

impl std::error::Error for HttpError {}
