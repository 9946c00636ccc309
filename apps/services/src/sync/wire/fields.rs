//! Reading and writing the fields of messages.

use bytes::BufMut;

use super::Malformed;

/// The fields of a message that are still unread.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fields<'a>(pub(crate) &'a [u8]);

impl<'a> Fields<'a> {
    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (field, rest) = self.0.split_first_chunk::<N>().ok_or(Malformed)?;
        self.0 = rest;
        Ok(*field)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Malformed> {
        self.array().map(u8::from_be_bytes)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, Malformed> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_be_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Malformed> {
        self.array().map(u64::from_be_bytes)
    }

    pub(crate) fn i64(&mut self) -> Result<i64, Malformed> {
        self.array().map(i64::from_be_bytes)
    }

    pub(crate) fn bytes(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        let (field, rest) = self.0.split_at_checked(len).ok_or(Malformed)?;
        self.0 = rest;
        Ok(field)
    }

    /// Bytes behind their length (u16), which is at most `len_max`.
    pub(crate) fn counted(&mut self, len_max: usize) -> Result<&'a [u8], Malformed> {
        let len = usize::from(self.u16()?);
        if len > len_max { Err(Malformed) } else { self.bytes(len) }
    }

    pub(crate) fn text(&mut self, len_max: usize) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.counted(len_max)?).map_err(|_| Malformed)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Nothing may follow.
    pub(crate) fn end(&self) -> Result<(), Malformed> {
        if self.is_empty() { Ok(()) } else { Err(Malformed) }
    }
}

/// Bytes behind their length (u16). What is longer than `len_max`, or than can be counted, is cut; text at a character.
pub(crate) fn put_counted(message: &mut impl BufMut, bytes: &[u8], len_max: usize) {
    let mut len = bytes.len().min(len_max).min(usize::from(u16::MAX));
    if len < bytes.len()
        && let Ok(text) = std::str::from_utf8(bytes)
    {
        while !text.is_char_boundary(len) {
            len -= 1;
        }
    }
    message.put_u16(u16::try_from(len).unwrap_or(u16::MAX));
    message.put_slice(&bytes[..len]);
}
