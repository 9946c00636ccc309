//! Lines that end in CR LF and in nothing else.
//!
//! Heads, chunk sizes and trailers are made of such lines, in requests and in answers. A bare LF, a bare CR or a NUL is
//! refused at the byte where it stands (RFC 9112 section 2.2), so the verdict does not depend on how the bytes were cut.

use std::ops::Range;

/// A search for line ends in a buffer that grows at its end.
///
/// `line_start <= scanned`: bytes before `line_start` belong to lines already given, bytes before `scanned` are checked.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    line_start: usize,
    scanned: usize,
}

/// What is wrong with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LineFault {
    BareLf,
    BareCr,
    Nul,
    /// More than the allowed bytes without an end.
    TooLong,
}

impl Lines {
    /// The next whole line as a range of `bytes`, without its CR LF; `None` when its end has not come yet. Fails as soon as
    /// the lines together reach `len_max` bytes without an end.
    pub(crate) fn next_line(&mut self, bytes: &[u8], len_max: usize) -> Result<Option<Range<usize>>, LineFault> {
        while let Some(&byte) = bytes.get(self.scanned) {
            if self.scanned >= len_max {
                return Err(LineFault::TooLong);
            }
            let follows_cr = self.scanned > self.line_start && bytes[self.scanned - 1] == b'\r';
            match byte {
                b'\n' if follows_cr => {
                    let line = self.line_start..self.scanned - 1;
                    self.scanned += 1;
                    self.line_start = self.scanned;
                    return Ok(Some(line));
                }
                b'\n' => return Err(LineFault::BareLf),
                _ if follows_cr => return Err(LineFault::BareCr),
                0 => return Err(LineFault::Nul),
                _ => self.scanned += 1,
            }
        }
        Ok(None)
    }

    /// Bytes looked at so far: the next search begins behind them.
    #[cfg(test)]
    pub(crate) fn scanned_len(&self) -> usize {
        self.scanned
    }

    /// Bytes of the lines given so far, line ends included.
    pub(crate) fn taken_len(&self) -> usize {
        self.line_start
    }
}

impl LineFault {
    /// The fault in words.
    pub(crate) const fn detail(self) -> &'static str {
        match self {
            LineFault::BareLf => "a line ends in LF alone; lines end in CR LF",
            LineFault::BareCr => "a CR stands alone; lines end in CR LF",
            LineFault::Nul => "a line contains NUL",
            LineFault::TooLong => "a line is too long",
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_search_goes_on_where_it_stopped() {
        let bytes = b"ab\r\n\r\ncd";
        let mut lines = Lines::default();
        assert_eq!(lines.next_line(&bytes[..3], 100), Ok(None));
        assert_eq!(lines.scanned, 3);
        assert_eq!(lines.next_line(bytes, 100), Ok(Some(0..2)));
        assert_eq!(lines.next_line(bytes, 100), Ok(Some(4..4)));
        assert_eq!(lines.taken_len(), 6);
        assert_eq!(lines.next_line(bytes, 100), Ok(None));
    }

    #[test]
    fn each_fault_is_named() {
        let fault = |bytes: &[u8], len_max| Lines::default().next_line(bytes, len_max).unwrap_err();
        assert_eq!(fault(b"a\n", 9), LineFault::BareLf);
        assert_eq!(fault(b"a\rb", 9), LineFault::BareCr);
        assert_eq!(fault(b"a\r\r\n", 9), LineFault::BareCr);
        assert_eq!(fault(b"a\0", 9), LineFault::Nul);
        assert_eq!(fault(b"abcd", 3), LineFault::TooLong);
    }
}
