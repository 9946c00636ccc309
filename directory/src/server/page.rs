//! The page for people: who is there, as plain HTML without script.
//!
//! Everything that a peer said is text and stays text: it is escaped here, and the Content-Security-Policy forbids the
//! browser to run or fetch anything but the style sheet.

use crate::announcement::Name;
use crate::http::Response;
use crate::store::{Entry, Query, Store};
use landline::PeerId;
use std::fmt::Write;
use std::time::{Duration, Instant};

const POLICY: &str =
    "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

const STYLE: &str = include_str!("page.css");

/// The style sheet.
pub(super) fn style() -> Response {
    Response::new(200, "text/css; charset=utf-8", STYLE)
}

/// The page, with the peers that `query` asks for.
pub(super) fn render(store: &Store, query: &Query, now: Instant) -> Response {
    let page = store.list(query, now);
    let mut html = String::with_capacity(4096);
    html.push_str(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>Peers - landline directory</title>\n\
         <link rel=\"stylesheet\" href=\"/style.css\">\n</head>\n<body>\n<main>\n<h1>Peers</h1>\n",
    );
    push_filter(&mut html, query);
    if page.entries.is_empty() {
        html.push_str(
            "<p class=\"none\">Nobody is here. A peer appears when it runs <code>landline listen</code>.</p>\n",
        );
    } else {
        html.push_str(
            "<table>\n<thead><tr><th scope=\"col\">Name</th><th scope=\"col\">Services</th>\
             <th scope=\"col\">Addresses</th><th scope=\"col\">Fingerprint and id</th>\
             <th scope=\"col\">Expires in</th></tr></thead>\n<tbody>\n",
        );
        for (peer_id, entry) in &page.entries {
            push_row(&mut html, *peer_id, entry, now);
        }
        html.push_str("</tbody>\n</table>\n");
    }
    if let Some(next) = &page.next {
        push_next(&mut html, query, next);
    }
    html.push_str(
        "<p class=\"note\">A name is what a peer calls itself. Compare the fingerprint before you trust it.</p>\n\
         </main>\n</body>\n</html>\n",
    );
    Response::new(200, "text/html; charset=utf-8", html)
        .with_field("Content-Security-Policy", POLICY)
        .with_field("Referrer-Policy", "no-referrer")
}

fn push_filter(html: &mut String, query: &Query) {
    let prefix = escape(&query.name_prefix);
    push(
        html,
        format_args!(
            "<form method=\"get\" action=\"/\"><label for=\"name\">Name begins with</label> \
             <input id=\"name\" name=\"name\" value=\"{prefix}\" autocapitalize=\"none\" autocomplete=\"off\"> \
             <button>Filter</button></form>\n"
        ),
    );
}

fn push_row(html: &mut String, peer_id: PeerId, entry: &Entry, now: Instant) {
    // Verified when it came; an entry that cannot be read again shows no addresses.
    let addresses = entry.signed().parse_announcement().map(|announcement| announcement.addresses).unwrap_or_default();
    let addresses: Vec<String> = addresses.iter().map(|address| escape(&address.to_string())).collect();
    let services: Vec<String> = entry.services().map(escape).collect();
    push(
        html,
        format_args!(
            "<tr><th scope=\"row\" data-label=\"Name\">{name}</th><td data-label=\"Services\">{services}</td>\
             <td data-label=\"Addresses\"><code>{addresses}</code></td>\
             <td data-label=\"Fingerprint and id\"><span class=\"fingerprint\">{fingerprint}</span> \
             <code class=\"id\">{peer_id}</code></td><td data-label=\"Expires in\">{expires}</td></tr>\n",
            name = escape(entry.name().as_str()),
            services = if services.is_empty() { "none".to_owned() } else { services.join(", ") },
            addresses = addresses.join("<br>"),
            fingerprint = escape(&peer_id.fingerprint()),
            expires = human(entry.expires_in(now)),
        ),
    );
}

fn push_next(html: &mut String, query: &Query, next: &Name) {
    // Names are safe in a URL as they are; a filter is what somebody typed.
    let prefix = percent_encode(&query.name_prefix);
    let limit = query.count_max;
    push(html, format_args!("<p><a href=\"/?name={prefix}&amp;limit={limit}&amp;cursor={next}\">More peers</a></p>\n"));
}

fn push(html: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a String does not fail.
    let _ = html.write_fmt(text);
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

fn percent_encode(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(byte as char),
            byte => push(&mut out, format_args!("%{byte:02X}")),
        }
    }
    out
}

fn human(left: Duration) -> String {
    match left.as_secs() {
        seconds @ 0..60 => format!("{seconds} s"),
        seconds => format!("{} min {} s", seconds / 60, seconds % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_typed_is_shown_as_text() {
        let store = Store::new(crate::store::StoreConfig::default());
        let query = Query { name_prefix: "\"><script>alert(1)</script>".to_owned(), ..Query::default() };
        let response = render(&store, &query, Instant::now());
        let html = String::from_utf8_lossy(response.body()).into_owned();
        assert!(!html.contains("<script"), "{html}");
        assert!(html.contains("&quot;&gt;&lt;script&gt;"));
    }

    #[test]
    fn a_link_to_the_next_page_carries_the_filter() {
        assert_eq!(percent_encode("a b&c=\"é"), "a%20b%26c%3D%22%C3%A9");
    }
}
