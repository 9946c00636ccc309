//! Bodies: of a stated length, or in chunks (RFC 9112 section 7.1).
//!
//! Used for requests, and by the client for answers. Bytes are taken from the input as they come, so a slow body costs no
//! more to read than a quick one. Chunk extensions are checked, counted and dropped; trailers are checked and dropped.

use super::head::parse_fields;
use super::lines::Lines;
use super::{HttpError, HttpError as E};
use crate::limits::{CHUNK_EXTENSION_LEN_MAX, CHUNK_SIZE_DIGITS_MAX, HEADER_COUNT_MAX, TRAILER_LEN_MAX};
use bytes::{Buf, BytesMut};

/// How the end of a body is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// By its length in bytes.
    Length(usize),
    /// By an empty chunk.
    Chunked,
}

/// A body being received. `body.len() <= len_max`.
#[derive(Debug)]
pub(crate) struct BodyReader {
    body: Vec<u8>,
    len_max: usize,
    extension_len: usize,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// So many bytes of a body of stated length are missing.
    Length(usize),
    /// The line with the size of a chunk.
    Size(Lines),
    /// So many bytes of a chunk are missing.
    Data(usize),
    /// The CR LF behind a chunk.
    DataEnd,
    /// The lines behind the last chunk.
    Trailers(Lines),
    Done,
}

impl BodyReader {
    /// A reader that refuses more than `len_max` bytes.
    ///
    /// # Errors
    /// 413 where the stated length is over it.
    pub(crate) fn new(framing: Framing, len_max: usize) -> Result<BodyReader, HttpError> {
        let stage = match framing {
            Framing::Length(len) if len > len_max => return Err(too_long()),
            Framing::Length(len) => Stage::Length(len),
            Framing::Chunked => Stage::Size(Lines::default()),
        };
        Ok(BodyReader { body: Vec::new(), len_max, extension_len: 0, stage })
    }

    /// Takes what belongs to the body from the front of `input`. Gives whether the body is whole.
    pub(crate) fn handle_input(&mut self, input: &mut BytesMut) -> Result<bool, HttpError> {
        loop {
            let goes_on = match &mut self.stage {
                Stage::Done => return Ok(true),
                Stage::Length(_) | Stage::Data(_) => self.take_data(input),
                Stage::Size(_) => self.take_size(input)?,
                Stage::DataEnd => self.take_data_end(input)?,
                Stage::Trailers(_) => self.take_trailers(input)?,
            };
            if !goes_on {
                return Ok(false);
            }
        }
    }

    /// The body.
    pub(crate) fn into_body(self) -> Vec<u8> {
        self.body
    }

    /// What has come of the body since this was asked last. What is taken does not count towards `len_max`.
    pub(crate) fn take_body(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.body)
    }

    fn take_data(&mut self, input: &mut BytesMut) -> bool {
        let (left, next) = match &mut self.stage {
            Stage::Length(left) => (left, Stage::Done),
            Stage::Data(left) => (left, Stage::DataEnd),
            _ => return true,
        };
        let len = input.len().min(*left);
        self.body.extend_from_slice(&input[..len]);
        input.advance(len);
        *left -= len;
        let is_whole = *left == 0;
        if is_whole {
            self.stage = next;
        }
        is_whole
    }

    fn take_size(&mut self, input: &mut BytesMut) -> Result<bool, HttpError> {
        let Stage::Size(lines) = &mut self.stage else { return Ok(true) };
        let len_max = CHUNK_SIZE_DIGITS_MAX + 2 + CHUNK_EXTENSION_LEN_MAX - self.extension_len;
        let Some(line) = lines.next_line(input, len_max).map_err(|fault| E::bad(fault.detail()))? else {
            return Ok(false);
        };
        let taken_len = lines.taken_len();
        let (size, extension_len) = parse_size(&input[line])?;
        input.advance(taken_len);
        self.extension_len += extension_len;
        if self.extension_len > CHUNK_EXTENSION_LEN_MAX {
            return Err(E::bad("the chunk extensions of the body exceed 1,024 bytes"));
        }
        let room = (self.len_max - self.body.len()) as u64;
        self.stage = match size {
            0 => Stage::Trailers(Lines::default()),
            size if size > room => return Err(too_long()),
            size => Stage::Data(size as usize),
        };
        Ok(true)
    }

    fn take_data_end(&mut self, input: &mut BytesMut) -> Result<bool, HttpError> {
        let seen = &input[..input.len().min(2)];
        if seen != &b"\r\n"[..seen.len()] {
            return Err(E::bad("no CR LF follows the data of a chunk"));
        }
        if seen.len() < 2 {
            return Ok(false);
        }
        input.advance(2);
        self.stage = Stage::Size(Lines::default());
        Ok(true)
    }

    fn take_trailers(&mut self, input: &mut BytesMut) -> Result<bool, HttpError> {
        let Stage::Trailers(lines) = &mut self.stage else { return Ok(true) };
        while let Some(line) = lines.next_line(input, TRAILER_LEN_MAX).map_err(|fault| match fault {
            super::LineFault::TooLong => E::new(431, "the trailers are longer than 4,096 bytes"),
            fault => E::bad(fault.detail()),
        })? {
            if line.is_empty() {
                let end = lines.taken_len();
                check_trailers(&input[..end])?;
                input.advance(end);
                self.stage = Stage::Done;
                return Ok(true);
            }
        }
        Ok(false)
    }
}

fn too_long() -> HttpError {
    E::new(413, "the body is longer than what is taken here (16,384 bytes in a request)")
}

/// Size and length of the extensions of one chunk line.
fn parse_size(line: &[u8]) -> Result<(u64, usize), HttpError> {
    const FAULT: HttpError = E::bad("a chunk size is not 1 to 16 hexadecimal digits");
    let digits_len = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let (digits, extension) = line.split_at(digits_len);
    if !(1..=CHUNK_SIZE_DIGITS_MAX).contains(&digits_len) {
        return Err(FAULT);
    }
    // Blanks are allowed before the semicolon of an extension only (RFC 9112 section 7.1.1).
    let first = extension.iter().find(|byte| !matches!(byte, b' ' | b'\t'));
    let has_control = extension.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t');
    if has_control || !(extension.is_empty() || first == Some(&b';')) {
        return Err(FAULT);
    }
    let text = std::str::from_utf8(digits).map_err(|_| FAULT)?;
    Ok((u64::from_str_radix(text, 16).map_err(|_| FAULT)?, extension.len()))
}

/// Fields that speak about framing, routing or the connection have no business behind the body (RFC 9110 section 6.5.1).
fn check_trailers(bytes: &[u8]) -> Result<(), HttpError> {
    const FORBIDDEN: [&str; 10] = [
        "transfer-encoding",
        "content-length",
        "host",
        "connection",
        "trailer",
        "te",
        "expect",
        "content-type",
        "content-encoding",
        "authorization",
    ];
    let mut storage = [httparse::EMPTY_HEADER; HEADER_COUNT_MAX];
    for field in parse_fields(bytes, &mut storage)? {
        if FORBIDDEN.iter().any(|name| name.eq_ignore_ascii_case(field.name)) {
            return Err(E::bad("a field that decides about the message stands in the trailers"));
        }
    }
    Ok(())
}
