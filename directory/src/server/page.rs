//! The page for people: who is there, rendered here, and followed by the page's own script where scripts are allowed.
//!
//! The files in `page/` are the whole of it: nothing is fetched from elsewhere. Everything that a peer said is text and
//! stays text: it is escaped here, put in as text there, and the Content-Security-Policy lets the browser run and fetch
//! nothing but these files and what the directory says.

use crate::announcement::Name;
use crate::http::{Response, percent_encode};
use crate::limits::PAGE_COUNT_DEFAULT;
use crate::store::{Entry, Query, Store};
use landline::PeerId;
use std::time::{Duration, Instant};

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; \
    base-uri 'none'; form-action 'self'; frame-ancestors 'none'; require-trusted-types-for 'script'; \
    trusted-types 'none'";

const PAGE: &str = include_str!("page/page.html");
/// The row of one peer, here and for the script.
const ROW: &str = include_str!("page/row.html");

const SCRIPT: &str = "text/javascript; charset=utf-8";
const ASSETS: [Asset; 8] = [
    Asset::new("page.css", "text/css; charset=utf-8", include_str!("page/page.css")),
    Asset::new("icon.svg", "image/svg+xml", include_str!("page/icon.svg")),
    Asset::new("page.js", SCRIPT, include_str!("page/page.js")),
    Asset::new("stream.js", SCRIPT, include_str!("page/stream.js")),
    Asset::new("peers.js", SCRIPT, include_str!("page/peers.js")),
    Asset::new("fingerprint.js", SCRIPT, include_str!("page/fingerprint.js")),
    Asset::new("view.js", SCRIPT, include_str!("page/view.js")),
    Asset::new("state.js", SCRIPT, include_str!("page/state.js")),
];

/// A file that the page consists of.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Asset {
    name: &'static str,
    content_type: &'static str,
    text: &'static str,
}

impl Asset {
    const fn new(name: &'static str, content_type: &'static str, text: &'static str) -> Asset {
        Asset { name, content_type, text }
    }

    /// The one at `path`.
    pub(super) fn find(path: &str) -> Option<&'static Asset> {
        let name = path.strip_prefix("/page/")?;
        ASSETS.iter().find(|asset| asset.name == name)
    }

    pub(super) fn response(&self) -> Response {
        Response::new(200, self.content_type, self.text)
    }
}

/// The page, with the peers that `query` asks for, `PAGE_COUNT_DEFAULT` at most: a row is much longer than an entry in JSON.
pub(super) fn render(store: &Store, query: Query, now: Instant) -> Response {
    let query = Query { count_max: query.count_max.min(PAGE_COUNT_DEFAULT), ..query };
    let page = store.list(&query, now);
    let mut rows = String::new();
    for (peer_id, entry) in &page.entries {
        rows.push_str(&render_row(*peer_id, entry, now));
    }
    let hidden = |is_hidden: bool| if is_hidden { " hidden" } else { "" };
    let is_empty = page.entries.is_empty();
    let is_nobody_here = is_empty && store.count() == 0;
    // A page may be empty and yet not be the last.
    let is_without_match = is_empty && !is_nobody_here && page.next.is_none();
    let more = if page.next.is_some() { "+" } else { "" };
    let html = fill(
        PAGE,
        &[
            ("count", &format!("{}{more}", page.entries.len())),
            ("filter", &escape(&query.name_prefix)),
            ("none_hidden", hidden(!is_nobody_here)),
            ("no_match_hidden", hidden(!is_without_match)),
            ("table_hidden", hidden(is_empty)),
            ("rows", &rows),
            ("more", &page.next.as_ref().map(|next| link_to_next(&query, next)).unwrap_or_default()),
            ("row", &fill(ROW, &[])),
        ],
    );
    Response::new(200, "text/html; charset=utf-8", html)
        .with_field("Content-Security-Policy", POLICY)
        .with_field("Referrer-Policy", "no-referrer")
}

fn render_row(peer_id: PeerId, entry: &Entry, now: Instant) -> String {
    // Verified when it came; an entry that cannot be read again shows no addresses.
    let addresses = entry.signed().parse_announcement().map(|announcement| announcement.addresses).unwrap_or_default();
    let services = entry.services().map(item).collect::<String>();
    let no_services = "<li class=\"nothing\">none</li>".to_owned();
    let name = entry.name().as_str();
    fill(
        ROW,
        &[
            ("name", &escape(name)),
            ("services", if services.is_empty() { &no_services } else { &services }),
            ("addresses", &addresses.iter().map(|address| item(&address.to_string())).collect::<String>()),
            ("fingerprint", &peer_id.fingerprint()),
            ("id", &peer_id.to_string()),
            // A moment would have to be told in the reader's time of day, which only the script knows.
            ("since", &format!("{} ago", human(entry.listed_for(now)))),
            ("expires", &human(entry.expires_in(now))),
            ("command", &escape(&chat_command(name))),
        ],
    )
}

/// What to type. A name may begin with a hyphen, and must not be taken for an option then.
fn chat_command(name: &str) -> String {
    let separator = if name.starts_with('-') { "-- " } else { "" };
    format!("landline chat {separator}{name}")
}

fn item(text: &str) -> String {
    format!("<li>{}</li>", escape(text))
}

fn link_to_next(query: &Query, next: &Name) -> String {
    // Names are safe in a URL as they are; a filter is what somebody typed.
    let name = percent_encode(&query.name_prefix);
    let service = query.service.as_ref().map(|service| format!("&amp;service={}", percent_encode(service)));
    let service = service.unwrap_or_default();
    let limit = query.count_max;
    format!("<a href=\"/?name={name}{service}&amp;limit={limit}&amp;cursor={next}\">More peers</a>")
}

/// Puts `values` into the places of their names, `{name}`; a place without a value stays empty. What is put in is not looked
/// at again, so a value may hold braces.
fn fill(template: &str, values: &[(&str, &str)]) -> String {
    let mut out = String::with_capacity(template.len() + values.iter().map(|(_, value)| value.len()).sum::<usize>());
    let mut rest = template;
    while let Some((before, name, after)) = next_place(rest) {
        out.push_str(before);
        out.push_str(values.iter().find(|(other, _)| *other == name).map_or("", |(_, value)| value));
        rest = after;
    }
    out.push_str(rest);
    out
}

/// What is before the next place, its name, and what follows.
fn next_place(text: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = text.split_once('{')?;
    let (name, after) = rest.split_once('}')?;
    Some((before, name, after))
}

/// Text that means itself in HTML, in elements and in quoted attributes.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            character => out.push(character),
        }
    }
    out
}

/// In two units at most: leases last an hour, peers stay for weeks.
fn human(duration: Duration) -> String {
    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;
    match duration.as_secs() {
        seconds @ 0..MINUTE => format!("{seconds} s"),
        seconds @ MINUTE..HOUR => format!("{} min {} s", seconds / MINUTE, seconds % MINUTE),
        seconds @ HOUR..DAY => format!("{} h {} min", seconds / HOUR, seconds % HOUR / MINUTE),
        seconds => format!("{} d {} h", seconds / DAY, seconds % DAY / HOUR),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::announcement::{Announcement, SignedStatement};
    use crate::limits::PAGE_COUNT_MAX;
    use crate::store::StoreConfig;

    /// A store with so many peers, `host-000` and so on, who have all come at `now`.
    fn store_of(count: u8, now: Instant) -> Store {
        let mut store = Store::new(StoreConfig::default());
        for number in 0..count {
            let announcement = Announcement {
                peer_id: PeerId::from_bytes([number; 32]),
                name: format!("host-{number:03}").parse().unwrap(),
                addresses: Vec::new(),
                services: vec!["chat".to_owned()],
                sequence: 1,
                lease: Duration::from_secs(60),
            };
            let signed = SignedStatement::from_parts("{}".to_owned(), &"0".repeat(128)).unwrap();
            store.announce(&announcement, signed, [192, 0, 2, 1].into(), now).unwrap();
        }
        store
    }

    fn html(store: &Store, query: Query, now: Instant) -> String {
        String::from_utf8(render(store, query, now).body().to_vec()).unwrap()
    }

    #[test]
    fn what_was_typed_is_shown_as_text() {
        let query = Query { name_prefix: "\"><script>alert(1)</script>{rows}".to_owned(), ..Query::default() };
        let html = html(&store_of(0, Instant::now()), query, Instant::now());
        assert!(!html.contains("<script>"), "{html}");
        assert!(html.contains("value=\"&quot;&gt;&lt;script&gt;alert(1)&lt;/script&gt;{rows}\""));
    }

    #[test]
    fn a_long_list_is_shown_in_pages_and_says_so() {
        let now = Instant::now();
        let query = |after: Option<&str>| Query {
            after: after.map(|name| name.parse().unwrap()),
            name_prefix: "ho".to_owned(),
            service: Some("chat".to_owned()),
            count_max: PAGE_COUNT_MAX,
        };
        let store = store_of(130, now);
        let first = html(&store, query(None), now);
        assert!(first.contains(">100+</span>") && first.matches("host-").count() >= 100, "{first}");
        let link = "<a href=\"/?name=ho&amp;service=chat&amp;limit=100&amp;cursor=host-099\">More peers</a>";
        assert!(first.contains(link), "{first}");
        let last = html(&store, query(Some("host-099")), now);
        assert!(last.contains(">30</span>") && !last.contains("More peers"), "{last}");
    }

    #[test]
    fn nobody_here_is_another_thing_than_nobody_who_fits() {
        let now = Instant::now();
        let shown = |count, name_prefix: &str| {
            let query = Query { name_prefix: name_prefix.to_owned(), ..Query::default() };
            let html = html(&store_of(count, now), query, now);
            ["<p id=\"none\">", "<p id=\"no-match\">"].map(|start| html.contains(start))
        };
        assert_eq!(shown(0, ""), [true, false]);
        assert_eq!(shown(0, "x"), [true, false]);
        assert_eq!(shown(1, ""), [false, false]);
        assert_eq!(shown(1, "x"), [false, true]);
    }

    #[test]
    fn since_when_a_peer_is_here_is_told_by_the_time_that_has_passed() {
        let now = Instant::now();
        let html = html(&store_of(1, now), Query::default(), now + Duration::from_secs(42));
        assert!(html.contains("<time data-field=\"since\">42 s ago</time>"), "{html}");
        let texts = [(0, "0 s"), (61, "1 min 1 s"), (3600, "1 h 0 min"), (7265, "2 h 1 min"), (1_000_000, "11 d 13 h")];
        for (seconds, text) in texts {
            assert_eq!(human(Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn a_name_like_an_option_is_not_one_in_what_is_copied() {
        assert_eq!(chat_command("alice"), "landline chat alice");
        assert_eq!(chat_command("--accept-new"), "landline chat -- --accept-new");
    }

    #[test]
    fn every_place_has_a_value_and_every_asset_is_used() {
        let places = |template: &'static str| {
            let mut rest = template;
            std::iter::from_fn(move || {
                let (_, name, after) = next_place(rest)?;
                rest = after;
                Some(name)
            })
        };
        let page = ["count", "filter", "none_hidden", "no_match_hidden", "table_hidden", "rows", "more", "row"];
        assert_eq!(places(PAGE).collect::<Vec<_>>(), page);
        let row = ["name", "services", "addresses", "fingerprint", "id", "since", "expires", "command"];
        assert_eq!(places(ROW).collect::<Vec<_>>(), row);
        for asset in &ASSETS {
            let is_named = |text: &str| text.contains(&format!("/{}\"", asset.name));
            assert!(is_named(PAGE) || ASSETS.iter().any(|other| is_named(other.text)), "{}", asset.name);
            assert!(Asset::find(&format!("/page/{}", asset.name)).is_some());
        }
    }

    #[test]
    fn scripts_use_no_interface_that_takes_text_for_markup() {
        for asset in ASSETS.iter().filter(|asset| asset.content_type == SCRIPT) {
            for forbidden in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function("] {
                assert!(!asset.text.contains(forbidden), "{}: {forbidden}", asset.name);
            }
        }
    }
}
