//! Server-Sent Events out of the bytes of a stream, strictly and in bounded memory.
//!
//! The format is that of the HTML standard (section 9.2), of which a directory uses a part: UTF-8, lines that end in LF or
//! CR LF. What is longer than any event of a directory, or has another line end, is refused; what is unknown is skipped.

use crate::limits::{WATCH_EVENT_LEN_MAX, WATCH_ID_LEN_MAX, WATCH_LINE_LEN_MAX};

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Event {
    /// What it is called; empty where it has no name.
    pub(super) name: String,
    /// Its lines of data, joined by line feeds. Empty where there is none: then it only has an id.
    pub(super) data: String,
    /// Where to go on from after it, if it says so.
    pub(super) id: Option<String>,
}

/// Turns bytes into events.
///
/// `line.len() <= WATCH_LINE_LEN_MAX`, `event.data.len() <= WATCH_EVENT_LEN_MAX`.
#[derive(Debug, Default)]
pub(super) struct EventParser {
    /// The line that has not ended yet.
    line: Vec<u8>,
    event: Event,
    has_data: bool,
}

/// What is wrong with a stream, in words.
pub(super) type Fault = &'static str;

impl EventParser {
    /// Takes bytes from the front of `input` up to the end of the next event. `None` when all is taken and no event is
    /// whole.
    ///
    /// # Errors
    /// What is wrong; nothing that follows makes sense.
    pub(super) fn poll_event(&mut self, input: &mut &[u8]) -> Result<Option<Event>, Fault> {
        loop {
            let end = input.iter().position(|byte| *byte == b'\n');
            let part = &input[..end.unwrap_or(input.len())];
            if self.line.len() + part.len() > WATCH_LINE_LEN_MAX {
                return Err("a line of its stream is too long");
            }
            self.line.extend_from_slice(part);
            let Some(end) = end else {
                *input = &[];
                return Ok(None);
            };
            *input = &input[end + 1..];
            let line = std::mem::take(&mut self.line);
            if let Some(event) = self.handle_line(line.strip_suffix(b"\r").unwrap_or(&line))? {
                return Ok(Some(event));
            }
        }
    }

    fn handle_line(&mut self, line: &[u8]) -> Result<Option<Event>, Fault> {
        let line = std::str::from_utf8(line).map_err(|_| "its stream is not UTF-8")?;
        if line.contains(['\r', '\0']) {
            return Err("a line of its stream has a CR or NUL in it");
        }
        if line.is_empty() {
            return Ok(self.finish());
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.event.name),
            "data" => self.add_data(value)?,
            // It becomes a header field of the next request.
            "id" if value.len() > WATCH_ID_LEN_MAX || !value.bytes().all(|byte| byte.is_ascii_graphic()) => {
                return Err("an id in its stream is none");
            }
            "id" => self.event.id = Some(value.to_owned()),
            // A comment, or what later versions may add.
            _ => {}
        }
        Ok(None)
    }

    fn add_data(&mut self, value: &str) -> Result<(), Fault> {
        if self.event.data.len() + value.len() + 1 > WATCH_EVENT_LEN_MAX {
            return Err("an event of its stream is too long");
        }
        if self.has_data {
            self.event.data.push('\n');
        }
        self.has_data = true;
        self.event.data.push_str(value);
        Ok(())
    }

    /// An empty line: what was gathered is an event, unless it has neither data nor id.
    fn finish(&mut self) -> Option<Event> {
        let event = std::mem::take(&mut self.event);
        (std::mem::take(&mut self.has_data) || event.id.is_some()).then_some(event)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn parse(parts: &[&[u8]]) -> Result<Vec<Event>, Fault> {
        let mut parser = EventParser::default();
        let mut events = Vec::new();
        for part in parts {
            let mut input = *part;
            while let Some(event) = parser.poll_event(&mut input)? {
                events.push(event);
            }
            assert!(input.is_empty());
        }
        Ok(events)
    }

    fn event(name: &str, data: &str, id: Option<&str>) -> Event {
        Event { name: name.to_owned(), data: data.to_owned(), id: id.map(str::to_owned) }
    }

    const STREAM: &str = "event: reset\ndata: {\"now_ms\":1}\n\n: beat\n\n: beat\nid: 7-1\n\nevent: up\r\nid: 7-2\r\n\
                          data: a\r\ndata:b\r\n\r\ndata\nretry: 5\nnew: x\n\nevent: none\n\ndata: \u{e9}\u{1f600}\n\n\
                          data: unfinished\n";

    #[test]
    fn events_come_out_the_same_wherever_the_bytes_are_cut() {
        let expected = [
            event("reset", "{\"now_ms\":1}", None),
            event("", "", Some("7-1")),
            event("up", "a\nb", Some("7-2")),
            event("", "", None),
            event("", "\u{e9}\u{1f600}", None),
        ];
        let bytes = STREAM.as_bytes();
        assert_eq!(parse(&[bytes]).unwrap(), expected);
        for cut in 0..=bytes.len() {
            assert_eq!(parse(&[&bytes[..cut], &bytes[cut..]]).unwrap(), expected, "{cut}");
        }
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(parse(&single).unwrap(), expected);
    }

    #[test]
    fn garbage_ends_in_an_error_or_in_nothing_and_keeps_no_more_than_its_bounds() {
        let mut state = 88_172_645_463_325_252u64;
        for _ in 0..2000 {
            let mut bytes = STREAM.as_bytes().to_vec();
            for _ in 0..4 {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                let at = state as usize % bytes.len();
                bytes[at] = (state >> 32) as u8;
            }
            let whole = parse(&[&bytes]);
            let cut = state as usize % bytes.len();
            assert_eq!(parse(&[&bytes[..cut], &bytes[cut..]]), whole);
        }
    }

    #[test]
    fn what_no_directory_sends_is_refused() {
        let too_long = [b'x'; WATCH_LINE_LEN_MAX + 1];
        let much = "data: 0123456789\n".repeat(WATCH_EVENT_LEN_MAX / 10);
        let long_id = format!("id: {}\n", "1".repeat(WATCH_ID_LEN_MAX + 1));
        for bytes in [
            &too_long[..],
            much.as_bytes(),
            long_id.as_bytes(),
            b"id: a b\n",
            b"id: \x01\n",
            b"data: \xff\n",
            b"data: a\rdata: b\n",
            b"data: a\0\n",
        ] {
            assert!(parse(&[bytes]).is_err(), "{:?}", &bytes[..bytes.len().min(20)]);
            let single: Vec<&[u8]> = bytes.chunks(1).collect();
            assert!(parse(&single).is_err());
        }
        let longest = "data: ".to_owned() + &"x".repeat(WATCH_LINE_LEN_MAX - 6) + "\n\n";
        assert_eq!(parse(&[longest.as_bytes()]).unwrap().len(), 1);
    }
}
