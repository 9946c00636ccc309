//! Requests out of the bytes of a connection, one after the other.
//!
//! The connection feeds what it received and takes requests until there is none; what is left belongs to one that is
//! incomplete. The first error is the last thing that comes out.

use super::body::BodyReader;
use super::head::{ContentType, Head, Method, RequestLine, Version};
use super::lines::{LineFault, Lines};
use super::target::Target;
use super::{Framing, Host, HttpError, HttpError as E, Origin};
use crate::limits::{BODY_LEN_MAX, HEAD_LEN_MAX, METHOD_AND_VERSION_LEN_MAX, TARGET_LEN_MAX};
use bytes::{Buf, BytesMut};

/// A whole request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// What is to be done.
    pub method: Method,
    /// With what.
    pub target: Target,
    /// How the client speaks.
    pub version: Version,
    /// Whether the client wants to go on with this connection.
    pub keep_alive: bool,
    /// What the body is said to be.
    pub content_type: ContentType,
    /// Whom it is meant for.
    pub host: Host,
    /// Which site a browser sent it from.
    pub origin: Origin,
    /// The field If-None-Match: the entity tags of what the client has.
    pub if_none_match: Option<String>,
    /// Where a client of a stream of events wants to go on (Last-Event-ID, at most 64 bytes). Empty where it makes no
    /// sense.
    pub last_event_id: Option<Box<str>>,
    /// The body, without its framing; at most 16 KiB.
    pub body: Vec<u8>,
}

/// Turns bytes into requests.
#[derive(Debug, Default)]
pub struct RequestParser {
    state: State,
    continue_due: bool,
    /// The request line that came last asks for HEAD.
    is_head: bool,
}

#[derive(Debug)]
enum State {
    /// Searching for the end of the head. The line is set once it has come.
    Head {
        lines: Lines,
        line: Option<(RequestLine, usize)>,
    },
    Body(Box<(Head, BodyReader)>),
    Failed,
}

impl Default for State {
    fn default() -> State {
        State::Head { lines: Lines::default(), line: None }
    }
}

impl RequestParser {
    /// A parser for a new connection.
    pub fn new() -> RequestParser {
        RequestParser::default()
    }

    /// The next whole request, taken from the front of `input`. `None` when more bytes are needed; they must come behind
    /// those that are still in `input`.
    ///
    /// # Errors
    /// What is wrong with the request. Everything that follows it is dropped, now and later.
    pub fn poll_request(&mut self, input: &mut BytesMut) -> Result<Option<Request>, HttpError> {
        let result = self.advance(input);
        if result.is_err() {
            self.state = State::Failed;
            self.continue_due = false;
            input.clear();
        }
        result
    }

    /// Whether `100 Continue` is to be sent now: the client waits for it before it sends the body. Asking clears it.
    pub fn take_continue(&mut self) -> bool {
        std::mem::take(&mut self.continue_due)
    }

    /// Whether a head has come and its body has not.
    pub fn is_in_body(&self) -> bool {
        matches!(self.state, State::Body(_))
    }

    /// Whether what is being read, or could not be, asks for an answer without a body.
    pub fn is_head(&self) -> bool {
        self.is_head
    }

    fn advance(&mut self, input: &mut BytesMut) -> Result<Option<Request>, HttpError> {
        if let State::Failed = self.state {
            input.clear();
            return Ok(None);
        }
        if let State::Head { lines, line } = &mut self.state {
            let Some(head) = take_head(lines, line, &mut self.is_head, input)? else { return Ok(None) };
            self.continue_due = head.expects_continue && head.framing != Framing::Length(0);
            let body = BodyReader::new(head.framing, BODY_LEN_MAX)?;
            self.state = State::Body(Box::new((head, body)));
        }
        let State::Body(parts) = &mut self.state else { return Ok(None) };
        if !input.is_empty() {
            // The client did not wait: it needs no leave to go on.
            self.continue_due = false;
        }
        if !parts.1.handle_input(input)? {
            return Ok(None);
        }
        self.is_head = false;
        match std::mem::take(&mut self.state) {
            State::Body(parts) => Ok(Some(finish(*parts))),
            _ => Ok(None),
        }
    }
}

/// Takes a whole head from `input`.
fn take_head(
    lines: &mut Lines,
    line: &mut Option<(RequestLine, usize)>,
    is_head: &mut bool,
    input: &mut BytesMut,
) -> Result<Option<Head>, HttpError> {
    loop {
        let len_max = match line {
            // Two more for the empty line that may precede a request.
            None => TARGET_LEN_MAX + METHOD_AND_VERSION_LEN_MAX + 2,
            Some(_) => HEAD_LEN_MAX,
        };
        let Some(range) = lines.next_line(input, len_max).map_err(|fault| refuse(fault, line.is_none()))? else {
            return Ok(None);
        };
        match line {
            // RFC 9112 section 2.2: one empty line before a request is ignored. Only one.
            None if range.is_empty() && range.start == 0 => {}
            None => {
                let parsed = RequestLine::parse(&input[range])?;
                *is_head = parsed.method == Method::Head;
                *line = Some((parsed, lines.taken_len()));
            }
            Some(_) if range.is_empty() => break,
            Some(_) if matches!(input[range.start], b' ' | b'\t') => {
                return Err(E::bad("a header line is folded; write each field in one line"));
            }
            Some(_) => {}
        }
    }
    let end = lines.taken_len();
    let Some((line, fields_start)) = line.take() else { return Ok(None) };
    let head = Head::parse(line, &input[fields_start..end])?;
    input.advance(end);
    Ok(Some(head))
}

fn refuse(fault: LineFault, in_request_line: bool) -> HttpError {
    match fault {
        LineFault::TooLong if in_request_line => E::new(414, "the request target is longer than 8,192 bytes"),
        LineFault::TooLong => E::new(431, "the header is longer than 16,384 bytes"),
        fault => E::bad(fault.detail()),
    }
}

fn finish((head, body): (Head, BodyReader)) -> Request {
    Request {
        method: head.line.method,
        target: head.line.target,
        version: head.line.version,
        keep_alive: head.keep_alive,
        content_type: head.content_type,
        host: head.host,
        origin: head.origin,
        if_none_match: head.if_none_match,
        last_event_id: head.last_event_id,
        body: body.into_body(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_waited_for_and_the_client_told_to_go_on() {
        let mut parser = RequestParser::new();
        let mut input =
            BytesMut::from(&b"PUT /a HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"[..]);
        assert_eq!(parser.poll_request(&mut input).unwrap(), None);
        assert!(parser.take_continue() && !parser.take_continue() && parser.is_in_body());
        input.extend_from_slice(b"abcGET");
        let request = parser.poll_request(&mut input).unwrap().unwrap();
        assert_eq!((&request.body[..], &input[..]), (&b"abc"[..], &b"GET"[..]));
    }

    #[test]
    fn a_body_that_is_there_already_needs_no_leave() {
        let mut parser = RequestParser::new();
        let mut input =
            BytesMut::from(&b"PUT /a HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\na"[..]);
        assert_eq!(parser.poll_request(&mut input).unwrap(), None);
        assert!(!parser.take_continue());
    }

    #[test]
    fn no_byte_of_a_head_is_looked_at_twice_however_it_is_cut() {
        let head = format!("GET / HTTP/1.1\r\n{}\r\n", "Host: a\r\n".repeat(2000));
        let (mut parser, mut input) = (RequestParser::new(), BytesMut::new());
        let mut looked_at = 0;
        for byte in head.as_bytes() {
            let before = match &parser.state {
                State::Head { lines, .. } => lines.scanned_len(),
                _ => break,
            };
            input.extend_from_slice(&[*byte]);
            if parser.poll_request(&mut input).is_err() {
                break;
            }
            let State::Head { lines, .. } = &parser.state else { break };
            assert_eq!(lines.scanned_len(), input.len(), "the next search begins behind what is here");
            looked_at += lines.scanned_len() - before;
        }
        assert_eq!(looked_at, crate::limits::HEAD_LEN_MAX, "each byte up to the limit once");
    }

    #[test]
    fn nothing_is_taken_after_an_error() {
        let mut parser = RequestParser::new();
        let mut input = BytesMut::from(&b"GET / HTTP/1.1\nHost: a\n\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"[..]);
        assert_eq!(parser.poll_request(&mut input).unwrap_err().status, 400);
        input.extend_from_slice(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(parser.poll_request(&mut input), Ok(None));
        assert!(input.is_empty());
    }
}
