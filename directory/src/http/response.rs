//! Answers, and how they are written.
//!
//! Each has a length, so that the connection can go on, but for a stream: what its body is comes later. Errors are
//! `application/problem+json` (RFC 9457): a code for programs and a sentence for people.

use super::HttpError;
use crate::json::Decimal;
use bytes::BytesMut;
use serde_json::{Map, Value};
use std::time::Duration;

/// Bytes of a head, unless it has many fields of its own.
const HEAD_LEN: usize = 256;

/// An answer before it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    status: u16,
    content_type: &'static str,
    fields: Vec<(&'static str, String)>,
    body: Vec<u8>,
    is_stream: bool,
}

impl Response {
    /// An answer with a body.
    pub fn new(status: u16, content_type: &'static str, body: impl Into<Vec<u8>>) -> Response {
        Response { status, content_type, fields: Vec::new(), body: body.into(), is_stream: false }
    }

    /// The head of an answer whose body is written by others, without an end in sight. They frame it.
    pub fn stream(content_type: &'static str) -> Response {
        Response { is_stream: true, ..Response::new(200, content_type, "") }
    }

    /// Nothing but time has passed since the answer that the client has, whose entity tag is `tag`.
    pub fn not_modified(tag: String) -> Response {
        Response::new(304, "", Vec::new()).with_field("ETag", tag)
    }

    /// JSON.
    pub fn json(status: u16, value: &Value) -> Response {
        Response::new(status, "application/json", value.to_string())
    }

    /// JSON that is written already.
    pub(crate) fn json_text(status: u16, text: String) -> Response {
        Response::new(status, "application/json", text)
    }

    /// An error: `code` is for programs and stays the same, `detail` says what is wrong and what to do.
    pub fn problem(status: u16, code: &str, detail: &str) -> Response {
        Response::problem_with(status, code, detail, Map::new())
    }

    /// An error with members beside those that each has.
    pub fn problem_with(status: u16, code: &str, detail: &str, mut members: Map<String, Value>) -> Response {
        members.insert("title".to_owned(), reason_phrase(status).into());
        members.insert("status".to_owned(), status.into());
        members.insert("code".to_owned(), code.into());
        members.insert("detail".to_owned(), detail.into());
        Response::new(status, "application/problem+json", Value::Object(members).to_string())
    }

    /// Adds a header field. `value` comes from the program, never from a request.
    pub fn with_field(mut self, name: &'static str, value: impl Into<String>) -> Response {
        let value = value.into();
        debug_assert!(!value.contains(['\r', '\n']));
        self.fields.push((name, value));
        self
    }

    /// Says when to come again, in whole seconds, at least one.
    pub fn with_retry_after(self, after: Duration) -> Response {
        let seconds = after.as_secs_f64().ceil().max(1.0) as u64;
        self.with_field("Retry-After", seconds.to_string())
    }

    /// The status.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Whether only the head is here.
    pub fn is_stream(&self) -> bool {
        self.is_stream
    }

    /// The body.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// Appends the answer to `output`. `date` is the value of the Date field.
    pub fn write(&self, output: &mut BytesMut, date: &str, tail: Tail) {
        let body: &[u8] = if tail.omit_body { &[] } else { &self.body };
        output.reserve(HEAD_LEN + body.len());
        let head = output;
        head.extend_from_slice(b"HTTP/1.1 ");
        push_pair(head, Decimal::of(self.status.into()).as_str(), " ", reason_phrase(self.status));
        push_pair(head, "Date", ": ", date);
        if self.status != 304 {
            // Of a 304 they would speak about the answer that it stands for (RFC 9110 section 15.4.5).
            push_pair(head, "Content-Type", ": ", self.content_type);
            if !self.is_stream {
                push_pair(head, "Content-Length", ": ", Decimal::of(self.body.len() as u64).as_str());
            }
        }
        // What has an entity tag may be kept, and is asked about each time.
        let has_tag = self.fields.iter().any(|(name, _)| *name == "ETag");
        push_pair(head, "Cache-Control", ": ", if has_tag { "no-cache" } else { "no-store" });
        push_pair(head, "X-Content-Type-Options", ": ", "nosniff");
        for (name, value) in &self.fields {
            push_pair(head, name, ": ", value);
        }
        match tail.connection {
            Persistence::Implied => {}
            Persistence::KeepAlive => push_pair(head, "Connection", ": ", "keep-alive"),
            Persistence::Close => push_pair(head, "Connection", ": ", "close"),
        }
        head.extend_from_slice(b"\r\n");
        head.extend_from_slice(body);
    }
}

impl From<HttpError> for Response {
    fn from(error: HttpError) -> Response {
        Response::problem(error.status, "bad_request", error.detail)
    }
}

/// What an answer owes to its request and to the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tail {
    /// What happens to the connection.
    pub connection: Persistence,
    /// The request was HEAD.
    pub omit_body: bool,
}

/// What an answer says about its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Persistence {
    /// It goes on, as always in HTTP/1.1.
    Implied,
    /// It goes on, which an HTTP/1.0 client has to be told.
    KeepAlive,
    /// It ends.
    Close,
}

fn push_pair(head: &mut BytesMut, left: &str, between: &str, right: &str) {
    head.extend_from_slice(left.as_bytes());
    head.extend_from_slice(between.as_bytes());
    head.extend_from_slice(right.as_bytes());
    head.extend_from_slice(b"\r\n");
}

/// The words behind a status (RFC 9110 section 15).
pub fn reason_phrase(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        304 => "Not Modified",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        409 => "Conflict",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        417 => "Expectation Failed",
        421 => "Misdirected Request",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        505 => "HTTP Version Not Supported",
        _ => "Unknown",
    }
}
