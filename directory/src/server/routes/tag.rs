//! Entity tags (RFC 9110 section 8.8.3), and the answers to those who have what they ask for already.

use crate::http::{Request, Response};
use crate::json::push_hex;
use crate::store::{Entry, Page};
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::ops::Range;

/// The bytes of a signature that stand for the statement it signs: half of S (RFC 8032 section 5.1.6), into which a hash of the
/// statement goes. R, before it, is the signer's choice and may be the same under two statements; two that share these bytes
/// take 2^64 tries to find.
const TAGGED: Range<usize> = 32..48;

/// Makes tags of lists: a hash under a key of this process, which nobody outside can bring to a collision.
#[derive(Default)]
pub(super) struct Tags(RandomState);

impl Tags {
    /// Changes with every statement in the page and with where the next one goes on.
    pub(super) fn of_page(&self, page: &Page<'_>) -> String {
        let mut hasher = self.0.build_hasher();
        for (_, entry) in &page.entries {
            hasher.write(&entry.signed().signature()[TAGGED]);
        }
        page.next.as_ref().map(|name| name.as_str()).hash(&mut hasher);
        format!("W/\"{:016x}\"", hasher.finish())
    }

    /// For a text that stays the same to the byte for as long as the process runs.
    pub(super) fn of_text(&self, text: &str) -> String {
        format!("\"{:016x}\"", self.0.hash_one(text))
    }
}

/// The same as long as the statement is, over restarts too.
pub(super) fn of_entry(entry: &Entry) -> String {
    let mut tag = String::with_capacity(4 + 2 * TAGGED.len());
    tag.push_str("W/\"");
    push_hex(&mut tag, &entry.signed().signature()[TAGGED]);
    tag.push('"');
    tag
}

/// `full` with its tag, or 304 where the client has it.
pub(super) fn answer(request: &Request, tag: String, full: impl FnOnce() -> Response) -> Response {
    match &request.if_none_match {
        Some(known) if is_among(known, &tag) => Response::not_modified(tag),
        _ => full().with_field("ETag", tag),
    }
}

/// Whether the list `known` of an If-None-Match has `tag`, compared weakly (RFC 9110 section 13.1.2). Our tags contain
/// neither commas nor quotes, so that what is between commas is a tag or can be none of ours.
fn is_among(known: &str, tag: &str) -> bool {
    let opaque = |tag| str::strip_prefix(tag, "W/").unwrap_or(tag);
    known.split(',').map(|item| item.trim_matches([' ', '\t'])).any(|item| item == "*" || opaque(item) == opaque(tag))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::announcement::{Announcement, SignedStatement};
    use crate::limits::LEASE_DEFAULT;
    use crate::store::{Query, Store, StoreConfig};
    use landline::PeerId;
    use std::time::Instant;

    #[test]
    fn a_signer_that_uses_a_nonce_twice_makes_no_tag_twice() {
        let (mut store, now) = (Store::new(StoreConfig::default()), Instant::now());
        let announcement = |sequence| Announcement {
            peer_id: PeerId::from_bytes([1; 32]),
            name: "alice".parse().unwrap(),
            addresses: Vec::new(),
            services: Vec::new(),
            sequence,
            lease: LEASE_DEFAULT,
        };
        let (tags, mut seen) = (Tags::default(), Vec::new());
        for sequence in 1..=2 {
            // R is the first half of a signature, and the same for the same nonce.
            let signature = "0".repeat(64) + &format!("{sequence:x}").repeat(64);
            let signed = SignedStatement::from_parts("{}".to_owned(), &signature).unwrap();
            store.announce(&announcement(sequence), signed, [192, 0, 2, 1].into(), now).unwrap();
            let page = store.list(&Query::default(), now);
            seen.push((of_entry(page.entries[0].1), tags.of_page(&page)));
        }
        assert!(seen[0].0 != seen[1].0 && seen[0].1 != seen[1].1, "{seen:?}");
    }

    #[test]
    fn a_tag_is_found_in_a_list_whether_weak_or_strong() {
        for known in ["\"ab\"", "W/\"ab\"", "\"x\", W/\"ab\"", "*", "\"x\" ,\t\"ab\"", ",\"ab\""] {
            assert!(is_among(known, "W/\"ab\"") && is_among(known, "\"ab\""), "{known}");
        }
        for known in ["", "ab", "\"abc\"", "w/\"ab\"", "\"x\"", "W/ab"] {
            assert!(!is_among(known, "W/\"ab\""), "{known}");
        }
    }
}
