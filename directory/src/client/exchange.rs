//! One HTTP exchange over a connection of its own: a request out, an answer in, within one absolute time limit. A stream of
//! events is an answer whose body is read bit by bit.
//!
//! The answer is read as strictly as the server reads requests: lines end in CR LF, one way of saying how long the body
//! is, nothing longer than a bound. What the body says is the caller's affair.

use crate::http::{BodyReader, Framing, HttpError, LineFault, Lines, is_digits};
use crate::limits::{HEAD_LEN_MAX, HEADER_COUNT_MAX, INTERIM_COUNT_MAX, RESPONSE_LEN_MAX, WATCH_CHUNK_LEN_MAX};
use bytes::{Buf, BytesMut};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// An answer, whole.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) retry_after: Option<Duration>,
    pub(super) body: Vec<u8>,
}

/// What a request for a stream of events leads to.
#[derive(Debug)]
pub(super) enum Opened {
    /// The stream.
    Stream(EventStream),
    /// Something else, whole.
    Answer(Answer),
}

/// The body of an answer without an end in sight.
#[derive(Debug)]
pub(super) struct EventStream {
    stream: Bounded,
    /// Received, and the framing not yet undone.
    input: BytesMut,
    /// `None`: the stream ends with the connection.
    chunks: Option<BodyReader>,
}

/// Why there is none.
#[derive(Debug)]
pub(super) enum ExchangeError {
    /// Nobody answers, or not to the end.
    Io(io::Error),
    /// It is not HTTP as it should be.
    Malformed(&'static str),
}

impl From<io::Error> for ExchangeError {
    fn from(error: io::Error) -> ExchangeError {
        ExchangeError::Io(error)
    }
}

impl From<HttpError> for ExchangeError {
    fn from(error: HttpError) -> ExchangeError {
        ExchangeError::Malformed(error.detail)
    }
}

/// Sends `request` to the first of `addresses` that can be reached, and reads the answer.
pub(super) fn exchange(addresses: &[SocketAddr], request: &[u8], timeout: Duration) -> Result<Answer, ExchangeError> {
    read_answer(&mut send(addresses, request, timeout)?)
}

/// The same for a stream of events: the time limit is that of its head.
pub(super) fn open(addresses: &[SocketAddr], request: &[u8], timeout: Duration) -> Result<Opened, ExchangeError> {
    let mut stream = send(addresses, request, timeout)?;
    let mut input = BytesMut::new();
    let head = read_final_head(&mut stream, &mut input)?;
    if head.status != 200 || !head.is_event_stream {
        return read_rest(&mut stream, input, head).map(Opened::Answer);
    }
    let chunks = match head.framing {
        None => None,
        Some(Framing::Chunked) => Some(BodyReader::new(Framing::Chunked, WATCH_CHUNK_LEN_MAX)?),
        Some(Framing::Length(_)) => return Err(ExchangeError::Malformed("its stream of events has an end")),
    };
    stream.reads_late = true;
    Ok(Opened::Stream(EventStream { stream, input, chunks }))
}

impl EventStream {
    /// Waits for the next bytes until `deadline`, which shows as `TimedOut`. There is at least one. What has come by then is
    /// given after the deadline too.
    pub(super) fn read(&mut self, deadline: Instant) -> Result<Vec<u8>, ExchangeError> {
        self.stream.deadline = deadline;
        loop {
            let is_over = match &mut self.chunks {
                Some(chunks) => {
                    let is_over = chunks.handle_input(&mut self.input)?;
                    let data = chunks.take_body();
                    if !data.is_empty() {
                        return Ok(data);
                    }
                    is_over
                }
                None if !self.input.is_empty() => return Ok(self.input.split().to_vec()),
                None => false,
            };
            if is_over || fill(&mut self.stream, &mut self.input)? == 0 {
                let what = if is_over { "it has ended the stream" } else { "it hung up" };
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, what).into());
            }
        }
    }
}

fn send(addresses: &[SocketAddr], request: &[u8], timeout: Duration) -> io::Result<Bounded> {
    let deadline = Instant::now() + timeout;
    let mut stream = connect(addresses, deadline)?;
    stream.set_nodelay(true)?;
    stream.set_write_timeout(Some(left(deadline)?))?;
    stream.write_all(request).map_err(name_timeout)?;
    Ok(Bounded { stream, deadline, reads_late: false })
}

/// A stream whose reads together end at a deadline.
#[derive(Debug)]
struct Bounded {
    stream: TcpStream,
    deadline: Instant,
    /// What waits in the socket is read after the deadline too.
    reads_late: bool,
}

impl Read for Bounded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match left(self.deadline) {
            Ok(left) => self.stream.set_read_timeout(Some(left))?,
            Err(error) if !self.reads_late => return Err(error),
            Err(_) => {
                self.stream.set_nonblocking(true)?;
                let result = self.stream.read(buffer).map_err(name_timeout);
                self.stream.set_nonblocking(false)?;
                return result;
            }
        }
        self.stream.read(buffer).map_err(name_timeout)
    }
}

fn connect(addresses: &[SocketAddr], deadline: Instant) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
    for (index, address) in addresses.iter().enumerate() {
        // An address that does not answer leaves the others their share of the time.
        let share = left(deadline)? / (addresses.len() - index) as u32;
        match TcpStream::connect_timeout(address, share.max(Duration::from_millis(1))) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = name_timeout(error),
        }
    }
    Err(last)
}

fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(timed_out()) } else { Ok(left) }
}

/// A socket's time limit shows as `WouldBlock` on Unix, which tells a reader nothing.
fn name_timeout(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => timed_out(),
        _ => error,
    }
}

fn timed_out() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "no answer in time")
}

/// Reads one answer to its end.
fn read_answer(stream: &mut impl Read) -> Result<Answer, ExchangeError> {
    let mut input = BytesMut::new();
    let head = read_final_head(stream, &mut input)?;
    read_rest(stream, input, head)
}

fn read_final_head(stream: &mut impl Read, input: &mut BytesMut) -> Result<ResponseHead, ExchangeError> {
    let mut head = read_head(stream, input)?;
    // Interim answers announce the real one (RFC 9110 section 15.2); we asked for none, a few are harmless.
    for _ in 0..INTERIM_COUNT_MAX {
        if head.status >= 200 {
            break;
        }
        head = read_head(stream, input)?;
    }
    if head.status < 200 {
        return Err(ExchangeError::Malformed("interim answers without end"));
    }
    Ok(head)
}

fn read_rest(stream: &mut impl Read, mut input: BytesMut, head: ResponseHead) -> Result<Answer, ExchangeError> {
    let body = match head.framing {
        Some(framing) => {
            let mut reader = BodyReader::new(framing, RESPONSE_LEN_MAX)?;
            while !reader.handle_input(&mut input)? {
                if fill(stream, &mut input)? == 0 {
                    return Err(ExchangeError::Malformed("the answer was cut off"));
                }
            }
            reader.into_body()
        }
        None => read_to_end(stream, input)?,
    };
    Ok(Answer { status: head.status, retry_after: head.retry_after, body })
}

/// A body that ends with the connection.
fn read_to_end(stream: &mut impl Read, mut input: BytesMut) -> Result<Vec<u8>, ExchangeError> {
    while fill(stream, &mut input)? > 0 {
        if input.len() > RESPONSE_LEN_MAX {
            return Err(ExchangeError::Malformed("the answer is too long"));
        }
    }
    Ok(input.to_vec())
}

fn fill(stream: &mut impl Read, input: &mut BytesMut) -> io::Result<usize> {
    let mut buffer = [0; 8192];
    loop {
        match stream.read(&mut buffer) {
            Ok(len) => {
                input.extend_from_slice(&buffer[..len]);
                return Ok(len);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

struct ResponseHead {
    status: u16,
    retry_after: Option<Duration>,
    is_event_stream: bool,
    /// `None`: the body ends with the connection.
    framing: Option<Framing>,
}

fn read_head(stream: &mut impl Read, input: &mut BytesMut) -> Result<ResponseHead, ExchangeError> {
    let mut lines = Lines::default();
    loop {
        match lines.next_line(input, HEAD_LEN_MAX).map_err(LineFault::detail).map_err(ExchangeError::Malformed)? {
            Some(line) if line.is_empty() => break,
            Some(_) => {}
            None => {
                if fill(stream, input)? == 0 {
                    return Err(match input.is_empty() {
                        true => io::Error::new(io::ErrorKind::UnexpectedEof, "it hung up without an answer").into(),
                        false => ExchangeError::Malformed("the answer was cut off"),
                    });
                }
            }
        }
    }
    let head = parse_head(&input[..lines.taken_len()])?;
    input.advance(lines.taken_len());
    Ok(head)
}

fn parse_head(bytes: &[u8]) -> Result<ResponseHead, ExchangeError> {
    const FAULT: ExchangeError = ExchangeError::Malformed("the head of the answer is not HTTP/1.1");
    let mut storage = [httparse::EMPTY_HEADER; HEADER_COUNT_MAX];
    let mut response = httparse::Response::new(&mut storage);
    if !matches!(response.parse(bytes), Ok(httparse::Status::Complete(len)) if len == bytes.len()) {
        return Err(FAULT);
    }
    let status = response.code.ok_or(FAULT)?;
    let (mut length, mut codings, mut retry_after, mut is_event_stream) = (None, None, None, false);
    for header in response.headers.iter() {
        let text = std::str::from_utf8(header.value).ok();
        let named = |name: &str| header.name.eq_ignore_ascii_case(name);
        if named("content-length") && length.replace(text.ok_or(FAULT)?).is_some() {
            return Err(ExchangeError::Malformed("the answer has two lengths"));
        } else if named("transfer-encoding") && codings.replace(text.ok_or(FAULT)?).is_some() {
            return Err(ExchangeError::Malformed("the answer has two transfer encodings"));
        } else if named("content-type") {
            let essence = text.and_then(|text| text.split(';').next()).unwrap_or_default();
            is_event_stream = essence.trim_ascii().eq_ignore_ascii_case("text/event-stream");
        } else if named("retry-after") {
            retry_after = text.filter(|text| is_digits(text)).and_then(|text| text.parse().ok());
        }
    }
    let framing = match (length, codings) {
        _ if status == 204 || status == 304 || status < 200 => Some(Framing::Length(0)),
        (None, None) => None,
        (None, Some(coding)) if coding.eq_ignore_ascii_case("chunked") => Some(Framing::Chunked),
        (Some(length), None) if is_digits(length) => {
            let len = length.parse().map_err(|_| ExchangeError::Malformed("the answer is too long"))?;
            Some(Framing::Length(len))
        }
        _ => return Err(ExchangeError::Malformed("the length of the answer is not clear")),
    };
    Ok(ResponseHead { status, retry_after: retry_after.map(Duration::from_secs), is_event_stream, framing })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn answers_with_each_kind_of_end_are_read() {
        for text in [
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\n\r\nok",
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        ] {
            let answer = read_answer(&mut text.as_bytes()).unwrap();
            assert_eq!((answer.status, &answer.body[..]), (200, &b"ok"[..]), "{text}");
        }
    }

    #[test]
    fn unclear_answers_are_refused() {
        for text in [
            "",
            "hello\r\n\r\n",
            "HTTP/1.1 200 OK\n\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok",
            "HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok",
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok",
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\nok",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nok",
            "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\nok",
        ] {
            assert!(read_answer(&mut text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn an_endless_answer_is_cut_off() {
        let interim = "HTTP/1.1 100 Continue\r\n\r\n".repeat(INTERIM_COUNT_MAX + 1);
        let text = format!("{interim}HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        assert!(matches!(read_answer(&mut text.as_bytes()), Err(ExchangeError::Malformed(_))));
        assert!(read_answer(&mut &text.as_bytes()[25..]).is_ok());
        let head = &b"HTTP/1.1 200 OK\r\n\r\n"[..];
        assert!(read_answer(&mut Read::chain(head, io::repeat(b'x'))).is_err());
        let head = &b"HTTP/1.1 200 OK\r\nX: "[..];
        assert!(read_answer(&mut Read::chain(head, io::repeat(b'x'))).is_err());
    }
}
