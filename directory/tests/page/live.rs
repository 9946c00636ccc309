//! What the page shows follows the directory, and the filter.

use super::{
    IS_LIVE, announce, assert_same_page_without_complaints, identity, names, open, peer, row_with, start, start_at,
};
use crate::browser::Browser;
use landline_directory::Announcement;
use serde_json::json;
use std::time::Duration;

#[test]
fn a_peer_appears_renews_and_expires_and_the_page_follows_without_reload() {
    let Some(browser) = Browser::start() else { return };
    let running = start();
    open(&browser, &running.directory().url());
    browser.wait_until("!document.getElementById('none').hidden && document.getElementById('table').hidden");
    let mut alice = Announcement { lease: Duration::from_secs(5), ..peer(1, "alice", &["chat", "files"]) };
    announce(&running, 1, &alice);
    browser.wait_until(&row_with("alice"));
    browser.run(&format!("window.row = {}", row_with("alice")));
    let shown = browser.run(
        "return ['services', 'addresses', 'fingerprint', 'id', 'command'].map(
            (field) => window.row.querySelector(`[data-field=${field}]`).innerText.replaceAll('\\n', ' '))",
    );
    let peer_id = alice.peer_id;
    let expected =
        ["chat files", "127.0.0.1:4001", &peer_id.fingerprint(), &peer_id.to_string(), "landline chat alice"];
    assert_eq!(shown, json!(expected));
    assert_eq!(browser.run("return document.title"), "1 peer - landline directory");

    let left = "parseInt(window.row.querySelector('[data-field=expires]').textContent)";
    browser.wait_until(&format!("{left} <= 3"));
    alice.sequence += 1;
    announce(&running, 1, &alice);
    browser.wait_until(&format!("window.row.isConnected && {left} > 3"));
    browser.wait_until("document.getElementById('news').textContent === 'alice is here.'");

    browser.wait_until("!window.row.isConnected && !document.getElementById('none').hidden");
    browser.wait_until("document.getElementById('news').textContent === 'alice has gone.'");
    assert_same_page_without_complaints(&browser);
}

#[test]
fn other_content_under_the_same_name_is_shown_in_the_same_row() {
    let Some(browser) = Browser::start() else { return };
    let running = start();
    let alice = peer(1, "alice", &[]);
    announce(&running, 1, &alice);
    open(&browser, &running.directory().url());
    browser.run(&format!("window.row = {}", row_with("alice")));
    let services = "window.row.querySelector('[data-field=services]').textContent";
    browser.wait_until(&format!("{services} === 'none'"));
    announce(&running, 1, &Announcement { sequence: 2, services: vec!["chat".to_owned()], ..alice });
    browser.wait_until(&format!("window.row.isConnected && {services} === 'chat'"));
    assert_same_page_without_complaints(&browser);
}

#[test]
fn a_directory_that_was_restarted_is_said_to_be_lost_and_found_again() {
    let Some(browser) = Browser::start() else { return };
    let running = start();
    announce(&running, 1, &peer(1, "alice", &["chat"]));
    open(&browser, &running.directory().url());
    browser.wait_until(&row_with("alice"));
    let address = running.directory().address().to_string();
    running.stop().unwrap();
    browser.wait_until("document.getElementById('stream').textContent.startsWith('Connection lost at ')");
    browser.wait_until(&row_with("alice"));
    let running = start_at(&address);
    announce(&running, 2, &peer(2, "bob", &["chat"]));
    browser.wait_until(IS_LIVE);
    browser.wait_until(&row_with("bob"));
    assert_eq!(names(&browser), json!(["bob"]), "a directory without a store has forgotten alice");
    assert_eq!(browser.run("return window.mark"), 1, "the page was loaded again");
    // The browser itself complains of the connection that was refused, of nothing else.
    let others = browser.console().into_iter().filter(|line| !line.contains("net::ERR_"));
    assert_eq!(others.collect::<Vec<_>>(), Vec::<String>::new());
}

#[test]
fn the_filter_finds_names_services_and_fingerprints_and_stays_in_the_address() {
    let Some(browser) = Browser::start() else { return };
    let running = start();
    let peers = [("alice", &["chat", "files"][..]), ("bob", &["chat"]), ("carol", &["meeting"]), ("dave", &[])];
    for (seed, (name, services)) in (1..).zip(peers) {
        announce(&running, seed, &peer(seed, name, services));
    }
    open(&browser, &running.directory().url());
    let fingerprint = identity(3).peer_id().fingerprint();
    let finds: [(&str, &[&str]); 6] = [
        ("", &["alice", "bob", "carol", "dave"]),
        ("AR", &["carol"]),
        ("chat", &["alice", "bob"]),
        ("chat bo", &["bob"]),
        (&fingerprint[..11], &["carol"]),
        ("nobody", &[]),
    ];
    for (filter, found) in finds {
        browser.run("const filter = document.getElementById('filter'); filter.focus(); filter.select()");
        browser.press(if filter.is_empty() { "\u{e017}" } else { filter });
        let count = if found.len() == peers.len() { "4".to_owned() } else { format!("{} of 4", found.len()) };
        browser.wait_until(&format!("document.getElementById('count').textContent === '{count}'"));
        assert_eq!(names(&browser), json!(found), "{filter}");
    }
    browser.wait_until("!document.getElementById('no-match').hidden && location.search === '?filter=nobody'");
    assert_same_page_without_complaints(&browser);
    browser.visit(&format!("{}/?filter=meeting", running.directory().url()));
    browser.wait_until(&format!("{IS_LIVE} && document.querySelectorAll('#rows tr').length === 1"));
    assert_eq!(
        (names(&browser), browser.run("return document.getElementById('filter').value")),
        (json!(["carol"]), json!("meeting"))
    );
}
