//! How a peer is shown: the JSON of an entry, the same wherever one is answered.

use crate::json::{push_hex, push_number, push_string};
use crate::store::Entry;
use std::time::{Duration, Instant};

/// Bytes of an entry beside its statement: the signature in hexadecimal digits, the names of members, two numbers.
const FRAME_LEN: usize = 256;

/// The JSON object of an entry.
pub(super) fn entry_text(entry: &Entry, now: Instant) -> String {
    let statement_len = entry.signed().statement().len();
    let mut out = String::with_capacity(statement_len + statement_len / 4 + FRAME_LEN);
    push_entry(&mut out, entry, now);
    out
}

/// Appends it.
pub(super) fn push_entry(out: &mut String, entry: &Entry, now: Instant) {
    out.push_str("{\"statement\":");
    push_string(out, entry.signed().statement());
    out.push_str(",\"signature\":\"");
    push_hex(out, entry.signed().signature());
    out.push_str("\",\"expires_in_ms\":");
    push_number(out, millis(entry.expires_in(now)));
    out.push_str(",\"since_ms\":");
    push_number(out, millis(entry.listed_for(now)));
    out.push('}');
}

fn millis(duration: Duration) -> u64 {
    duration.as_millis() as u64
}
