//! The head of a request: its line and its fields, and what they say about the body and the connection.
//!
//! The lines themselves are already checked (`lines.rs`). httparse tells names from values; added here is what it leaves
//! open: one Host, one way of saying how long the body is, one meaning for each field that decides about the connection.

use super::body::Framing;
use super::host::{Host, Origin};
use super::target::{Target, is_digits};
use super::{HttpError, HttpError as E};
use crate::limits::{BODY_LEN_MAX, HEADER_COUNT_MAX, TARGET_LEN_MAX, WATCH_ID_LEN_MAX};

/// A request method (RFC 9110 section 9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// GET
    Get,
    /// HEAD
    Head,
    /// PUT
    Put,
    /// DELETE
    Delete,
    /// POST, OPTIONS, PATCH, QUERY, CONNECT, TRACE: known, and not used by any resource here.
    Other,
}

/// The protocol version of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    Http11,
}

/// What a request says its body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentType {
    /// Nothing is said.
    Absent,
    /// `application/json`, not compressed.
    Json,
    /// Anything else.
    Other,
}

/// The first line of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RequestLine {
    pub(super) method: Method,
    pub(super) target: Target,
    pub(super) version: Version,
}

impl RequestLine {
    /// Reads `METHOD target HTTP/1.x`, with exactly one blank between each.
    pub(super) fn parse(line: &[u8]) -> Result<RequestLine, HttpError> {
        const FAULT: HttpError = E::bad("the request line is not: METHOD, blank, target, blank, HTTP/1.1");
        let text = std::str::from_utf8(line).map_err(|_| FAULT)?;
        let mut parts = text.split(' ');
        let (Some(method), Some(target), Some(version), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(FAULT);
        };
        if !is_token(method) || target.is_empty() || !target.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(FAULT);
        }
        let version = parse_version(version).ok_or(FAULT)??;
        if target.len() > TARGET_LEN_MAX {
            return Err(E::new(414, "the request target is longer than 8,192 bytes"));
        }
        if target == "*" && method != "OPTIONS" {
            return Err(E::bad("only OPTIONS has the target *"));
        }
        Ok(RequestLine { method: parse_method(method)?, target: Target::parse(target)?, version })
    }
}

/// All that a head says.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) line: RequestLine,
    pub(super) framing: Framing,
    pub(super) keep_alive: bool,
    /// The client waits for `100 Continue` before it sends the body.
    pub(super) expects_continue: bool,
    pub(super) content_type: ContentType,
    pub(super) host: Host,
    pub(super) origin: Origin,
    pub(super) if_none_match: Option<String>,
    pub(super) last_event_id: Option<Box<str>>,
}

impl Head {
    /// Reads the fields in `bytes`, which run to the end of the empty line.
    pub(super) fn parse(line: RequestLine, bytes: &[u8]) -> Result<Head, HttpError> {
        let mut storage = [httparse::EMPTY_HEADER; HEADER_COUNT_MAX];
        let mut fields = Fields::default();
        for header in parse_fields(bytes, &mut storage)? {
            fields.add(header.name, header.value)?;
        }
        let host = fields.host(line.version)?;
        Ok(Head {
            host: line.target.host().cloned().unwrap_or(host),
            origin: fields.origin(&line.target),
            if_none_match: fields.if_none_match.take(),
            framing: fields.framing(line.version)?,
            keep_alive: fields.keep_alive(line.version)?,
            expects_continue: fields.expects_continue(line.version)?,
            content_type: fields.content_type()?,
            last_event_id: fields.last_event_id.map(Box::from),
            line,
        })
    }
}

/// Splits checked lines into names and values.
pub(super) fn parse_fields<'b, 's>(
    bytes: &'b [u8],
    storage: &'s mut [httparse::Header<'b>],
) -> Result<&'s [httparse::Header<'b>], HttpError> {
    match httparse::parse_headers(bytes, storage) {
        Ok(httparse::Status::Complete((len, fields))) if len == bytes.len() => Ok(fields),
        Ok(_) => Err(E::bad("the header does not end where its empty line is")),
        Err(httparse::Error::TooManyHeaders) => Err(E::new(431, "there are more than 64 header fields")),
        Err(httparse::Error::HeaderName) => {
            Err(E::bad("a header line is not: name, colon, value; no blank may stand before the colon"))
        }
        Err(_) => Err(E::bad("a header value contains a control character")),
    }
}

/// The fields that decide about body and connection, as they stand in the head.
#[derive(Default)]
struct Fields<'a> {
    host: Option<&'a str>,
    content_length: Option<&'a str>,
    /// All Transfer-Encoding lines: they form one list (RFC 9110 section 5.3).
    transfer_encoding: Option<String>,
    connection: String,
    expect: Option<&'a str>,
    content_type: Option<&'a str>,
    is_compressed: bool,
    origin: Option<&'a str>,
    /// All If-None-Match lines: they form one list.
    if_none_match: Option<String>,
    last_event_id: Option<&'a str>,
}

impl<'a> Fields<'a> {
    fn add(&mut self, name: &str, value: &'a [u8]) -> Result<(), HttpError> {
        let named = |other: &str| name.eq_ignore_ascii_case(other);
        if named("host") {
            set_once(&mut self.host, value, E::bad("there is more than one Host field, or it is no host"))
        } else if named("content-length") {
            let fault = E::bad("there is more than one Content-Length field, or it is no number");
            set_once(&mut self.content_length, value, fault)
        } else if named("transfer-encoding") {
            let text = ascii(value).ok_or(E::bad("Transfer-Encoding is not text"))?;
            self.transfer_encoding = Some(match self.transfer_encoding.take() {
                Some(before) => before + "," + text,
                None => text.to_owned(),
            });
            Ok(())
        } else if named("connection") {
            self.connection.push(',');
            self.connection.push_str(ascii(value).ok_or(E::bad("Connection is not text"))?);
            Ok(())
        } else if named("expect") {
            set_once(&mut self.expect, value, E::new(417, "only Expect: 100-continue is understood"))
        } else if named("content-type") {
            set_once(&mut self.content_type, value, E::bad("there is more than one Content-Type field"))
        } else if named("origin") {
            set_once(&mut self.origin, value, E::bad("there is more than one Origin field, or it is no origin"))
        } else if named("if-none-match") {
            let text = ascii(value).ok_or(E::bad("If-None-Match is not text"))?;
            self.if_none_match = Some(self.if_none_match.take().map_or(text.to_owned(), |before| before + "," + text));
            Ok(())
        } else if named("last-event-id") {
            // What cannot be read, or stands twice, is an id that we never gave.
            let text = ascii(value).filter(|_| self.last_event_id.is_none());
            self.last_event_id = Some(text.filter(|text| text.len() <= WATCH_ID_LEN_MAX).unwrap_or(""));
            Ok(())
        } else {
            self.is_compressed |= named("content-encoding") && !value.eq_ignore_ascii_case(b"identity");
            Ok(())
        }
    }

    fn host(&self, version: Version) -> Result<Host, HttpError> {
        match self.host {
            Some(host) => Host::parse(host).ok_or(E::bad("Host is not a host name or address with an optional port")),
            None if version == Version::Http10 => Ok(Host::Absent),
            None => Err(E::bad("HTTP/1.1 requests have a Host field")),
        }
    }

    fn origin(&self, target: &Target) -> Origin {
        // No browser writes an absolute target to a server that is no proxy.
        let host = self.host.filter(|_| target.host().is_none());
        self.origin.map_or(Origin::Absent, |origin| Origin::of(origin, host))
    }

    /// RFC 9112 section 6.3, with nothing forgiven.
    fn framing(&self, version: Version) -> Result<Framing, HttpError> {
        match (&self.transfer_encoding, self.content_length) {
            (Some(_), Some(_)) => Err(E::bad("Content-Length and Transfer-Encoding exclude each other")),
            (Some(_), None) if version == Version::Http10 => Err(E::bad("HTTP/1.0 has no Transfer-Encoding")),
            (Some(codings), None) => check_codings(codings).map(|()| Framing::Chunked),
            (None, Some(length)) => parse_length(length).map(Framing::Length),
            (None, None) => Ok(Framing::Length(0)),
        }
    }

    fn keep_alive(&self, version: Version) -> Result<bool, HttpError> {
        let (mut close, mut keep_alive) = (false, false);
        for option in self.connection.split(',').map(|option| option.trim_matches([' ', '\t'])) {
            if !option.is_empty() && !is_token(option) {
                return Err(E::bad("Connection is not a list of options"));
            }
            close |= option.eq_ignore_ascii_case("close");
            keep_alive |= option.eq_ignore_ascii_case("keep-alive");
        }
        Ok(!close && (version == Version::Http11 || keep_alive))
    }

    fn expects_continue(&self, version: Version) -> Result<bool, HttpError> {
        match self.expect {
            // RFC 9110 section 10.1.1: a server ignores the expectation in an HTTP/1.0 request.
            None => Ok(false),
            Some(_) if version == Version::Http10 => Ok(false),
            Some(value) if value.eq_ignore_ascii_case("100-continue") => Ok(true),
            Some(_) => Err(E::new(417, "only Expect: 100-continue is understood")),
        }
    }

    fn content_type(&self) -> Result<ContentType, HttpError> {
        let Some(value) = self.content_type else { return Ok(ContentType::Absent) };
        let essence = value.split(';').next().unwrap_or("").trim_matches([' ', '\t']);
        let is_json = essence.eq_ignore_ascii_case("application/json") && !self.is_compressed;
        Ok(if is_json { ContentType::Json } else { ContentType::Other })
    }
}

/// Sets a field that may stand once only.
fn set_once<'a>(slot: &mut Option<&'a str>, value: &'a [u8], fault: HttpError) -> Result<(), HttpError> {
    let text = ascii(value).ok_or(fault)?;
    match slot.replace(text) {
        Some(_) => Err(fault),
        None => Ok(()),
    }
}

fn ascii(value: &[u8]) -> Option<&str> {
    std::str::from_utf8(value).ok().filter(|text| text.is_ascii())
}

/// Whether `text` is a token (RFC 9110 section 5.6.2).
fn is_token(text: &str) -> bool {
    let is_char = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_char)
}

/// `None` where it is no version at all.
fn parse_version(text: &str) -> Option<Result<Version, HttpError>> {
    match text.strip_prefix("HTTP/")?.as_bytes() {
        b"1.1" => Some(Ok(Version::Http11)),
        b"1.0" => Some(Ok(Version::Http10)),
        [major, b'.', minor] if major.is_ascii_digit() && minor.is_ascii_digit() => {
            Some(Err(E::new(505, "only HTTP/1.1 and HTTP/1.0 are spoken here")))
        }
        _ => None,
    }
}

/// Method names are case-sensitive.
fn parse_method(text: &str) -> Result<Method, HttpError> {
    match text {
        "GET" => Ok(Method::Get),
        "HEAD" => Ok(Method::Head),
        "PUT" => Ok(Method::Put),
        "DELETE" => Ok(Method::Delete),
        "POST" | "OPTIONS" | "PATCH" | "QUERY" | "CONNECT" | "TRACE" => Ok(Method::Other),
        _ => Err(E::new(501, "the method is unknown; GET, HEAD, PUT and DELETE are used here")),
    }
}

/// Chunked, once and last, is the only framing by Transfer-Encoding. Another coding before it is one that we do not know.
fn check_codings(list: &str) -> Result<(), HttpError> {
    const FAULT: HttpError = E::bad("Transfer-Encoding must end in chunked, once");
    let codings: Vec<&str> = list.split(',').map(|coding| coding.trim_matches([' ', '\t'])).collect();
    let (last, before) = codings.split_last().ok_or(FAULT)?;
    let is_chunked = |coding: &str| coding.eq_ignore_ascii_case("chunked");
    if !is_chunked(last) || before.iter().any(|coding| is_chunked(coding) || !is_token(coding)) {
        return Err(FAULT);
    }
    if before.is_empty() { Ok(()) } else { Err(E::new(501, "chunked is the only transfer coding understood here")) }
}

fn parse_length(text: &str) -> Result<usize, HttpError> {
    if !is_digits(text) {
        return Err(E::bad("Content-Length is not a plain decimal number"));
    }
    match text.parse::<usize>() {
        Ok(len) if len <= BODY_LEN_MAX => Ok(len),
        _ => Err(E::new(413, "the body is longer than 16,384 bytes")),
    }
}
