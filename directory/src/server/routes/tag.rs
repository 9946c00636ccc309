//! Entity tags (RFC 9110 section 8.8.3), and the answers to those who have what they ask for already.

use crate::http::{Request, Response};
use crate::json::push_hex;
use crate::store::{Entry, Page};
use std::hash::{BuildHasher, Hash, Hasher, RandomState};

/// Bytes of a signature that stand for the statement it signs: two statements that share them are out of reach even for
/// those who try.
const SIGNATURE_LEN: usize = 16;

/// Makes tags of lists: a hash under a key of this process, which nobody outside can bring to a collision.
#[derive(Default)]
pub(super) struct Tags(RandomState);

impl Tags {
    /// Changes with every statement in the page and with where the next one goes on.
    pub(super) fn of_page(&self, page: &Page<'_>) -> String {
        let mut hasher = self.0.build_hasher();
        for (_, entry) in &page.entries {
            hasher.write(&entry.signed().signature()[..SIGNATURE_LEN]);
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
    let mut tag = String::with_capacity(4 + 2 * SIGNATURE_LEN);
    tag.push_str("W/\"");
    push_hex(&mut tag, &entry.signed().signature()[..SIGNATURE_LEN]);
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
    let opaque = |tag: &str| tag.strip_prefix("W/").unwrap_or(tag).to_owned();
    let wanted = opaque(tag);
    known.split(',').map(|item| item.trim_matches([' ', '\t'])).any(|item| item == "*" || opaque(item) == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

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
