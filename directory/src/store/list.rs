//! Lists of live announcements, a page at a time, in the order of names.
//!
//! A page goes on behind the name that the one before ended with. Announcements that come and go in between are seen or
//! not; none is seen twice under one name, and none that stays is left out.

use super::{Entry, Key, Store};
use crate::announcement::Name;
use crate::limits::{PAGE_COUNT_DEFAULT, PAGE_SCAN_COUNT_MAX, PAGE_STATEMENT_LEN_MAX};
use landline::PeerId;
use std::ops::Bound;
use std::time::Instant;

/// Which announcements, and how many at once.
#[derive(Clone, Debug)]
pub(crate) struct Query {
    /// Only behind this name.
    pub(crate) after: Option<Name>,
    /// Only names that begin so.
    pub(crate) name_prefix: String,
    /// Only peers with this service.
    pub(crate) service: Option<String>,
    /// At most so many.
    pub(crate) count_max: usize,
}

impl Default for Query {
    fn default() -> Query {
        Query { after: None, name_prefix: String::new(), service: None, count_max: PAGE_COUNT_DEFAULT }
    }
}

/// One page of a list.
#[derive(Debug)]
pub(crate) struct Page<'a> {
    /// The announcements, by name.
    pub(crate) entries: Vec<(PeerId, &'a Entry)>,
    /// Where the next page goes on; `None` at the end. A page may be short, even empty, and yet not be the last.
    pub(crate) next: Option<Name>,
}

impl Store {
    /// A page of the live announcements that `query` asks for. Looks at no more than `PAGE_SCAN_COUNT_MAX` of them, and
    /// ends with the one that brings their statements to `PAGE_STATEMENT_LEN_MAX`.
    pub(crate) fn list(&self, query: &Query, now: Instant) -> Page<'_> {
        let mut page = Page { entries: Vec::new(), next: None };
        let mut last: Option<&Name> = None;
        let mut statement_len = 0;
        for (scanned, (name, key)) in self.names_from(query).enumerate() {
            let is_full = page.entries.len() == query.count_max || statement_len >= PAGE_STATEMENT_LEN_MAX;
            if is_full || scanned == PAGE_SCAN_COUNT_MAX {
                page.next = last.cloned();
                break;
            }
            last = Some(name);
            let is_wanted = |entry: &&Entry| query.service.as_ref().is_none_or(|service| entry.offers(service));
            if let Some(entry) = self.live(*key, now).filter(is_wanted) {
                statement_len += entry.signed.statement().len();
                page.entries.push((entry.peer_id, entry));
            }
        }
        page
    }

    fn names_from<'a>(&'a self, query: &'a Query) -> impl Iterator<Item = (&'a Name, &'a Key)> {
        let prefix = query.name_prefix.as_str();
        let start = match &query.after {
            Some(after) if after.as_str() >= prefix => Bound::Excluded(after.as_str()),
            _ => Bound::Included(prefix),
        };
        self.by_name
            .range::<str, _>((start, Bound::Unbounded))
            .take_while(move |(name, _)| name.as_str().starts_with(prefix))
    }
}
