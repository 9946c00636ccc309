//! The page serves everybody: by keyboard, by screen reader, on a phone, by day and by night.

use super::{announce, assert_same_page_without_complaints, open, peer, row_with, start};
use crate::browser::{Browser, ENTER, TAB};
use landline_directory::Announcement;
use serde_json::json;
use std::time::Duration;

#[test]
fn the_keyboard_alone_reaches_the_filter_and_copies_what_to_type() {
    let Some(browser) = Browser::start() else { return };
    let running = start();
    announce(&running, 1, &peer(1, "alice", &["chat"]));
    announce(&running, 2, &peer(2, "--accept-new", &["chat"]));
    open(&browser, &running.directory().url());
    browser.wait_until(&row_with("alice"));
    let focused = || {
        browser.press(TAB);
        let outline = browser.run("return getComputedStyle(document.activeElement).outlineStyle");
        assert_ne!(outline, "none", "where the focus is, is to be seen");
        browser.run(
            "return document.activeElement.ariaLabel || document.activeElement.id || document.activeElement.className",
        )
    };
    assert_eq!([focused(), focused()], ["skip", "filter"]);
    // A name must not become an option of what is typed.
    assert_eq!([focused(), focused()], ["Copy landline chat -- --accept-new", "Copy landline chat alice"]);
    browser.press(ENTER);
    browser.wait_until("document.activeElement.textContent === 'Copied'");
    assert_eq!(browser.run("return document.getElementById('news').textContent"), "Copied: landline chat alice");
    // A page from another host has no clipboard.
    browser.wait_until("document.activeElement.textContent === 'Copy'");
    browser.run("Object.defineProperty(navigator, 'clipboard', { value: undefined })");
    browser.press(ENTER);
    browser.wait_until("getSelection().toString() === 'landline chat alice'");
    assert_same_page_without_complaints(&browser);
}

#[test]
fn who_lets_no_scripts_run_sees_the_peers_and_can_filter_them() {
    let Some(browser) = Browser::start_without_scripts() else { return };
    let running = start();
    announce(&running, 1, &peer(1, "alice", &["chat"]));
    announce(&running, 2, &peer(2, "bob", &[]));
    browser.visit(&running.directory().url());
    let text = || browser.run("return document.body.innerText.replace(/\\s+/g, ' ')").as_str().unwrap().to_owned();
    for shown in ["this page follows by itself", "Peers 2", "alice", "bob", "landline chat alice", " s ago"] {
        assert!(text().contains(shown), "{shown}: {}", text());
    }
    browser.run("document.getElementById('filter').focus()");
    browser.press("ali");
    browser.press(ENTER);
    browser.wait_until("location.search === '?name=ali' && document.getElementById('count').textContent === '1'");
    assert!(text().contains("alice") && !text().contains("bob"), "{}", text());
    browser.visit(&format!("{}/?name=carol", running.directory().url()));
    assert!(text().contains("No peer fits this filter.") && !text().contains("Nobody is here."), "{}", text());
    assert_eq!(browser.console(), Vec::<String>::new());
}

/// As large as an announcement may be.
fn largest_peer() -> Announcement {
    let text = |letter: &str, len| letter.repeat(len);
    let address = |n| format!("[2001:db8:1111:2222:3333:4444:5555:{:x}]:65535", 0x6660 + n).parse().unwrap();
    Announcement {
        addresses: (0..32).map(address).collect(),
        services: (0..16).map(|n| format!("{}{n:02}", text("s", 62))).collect(),
        ..peer(9, &text("n", 63), &[])
    }
}

#[test]
fn nothing_is_cut_off_on_any_screen() {
    let Some(browser) = Browser::start() else { return };
    let running = start();
    announce(&running, 1, &peer(1, "alice", &["chat", "files"]));
    announce(&running, 9, &largest_peer());
    for width in [320, 390, 700, 900, 1249, 1920] {
        browser.resize(width, 800);
        open(&browser, &running.directory().url());
        browser.wait_until("document.querySelectorAll('#rows tr').length === 2");
        let over = browser.run(
            "return [...document.querySelectorAll('body *:not(.unseen):not(.skip)')]
                .filter((part) => part.getBoundingClientRect().right > innerWidth && part.closest('thead') === null)
                .map((part) => part.outerHTML.slice(0, 120))",
        );
        assert_eq!(over, json!([]), "at {width} pixels");
        assert_eq!(browser.run("return document.documentElement.scrollWidth <= innerWidth"), true, "at {width} pixels");
        assert_same_page_without_complaints(&browser);
    }
}

#[test]
fn a_screen_reader_finds_landmarks_a_labelled_filter_and_a_table_also_on_a_phone() {
    let Some(browser) = Browser::start() else { return };
    let running = start();
    announce(&running, 1, &peer(1, "alice", &["chat"]));
    for width in [320, 1280] {
        browser.resize(width, 800);
        open(&browser, &running.directory().url());
        browser.wait_until(&row_with("alice"));
        let tree = browser.command("Accessibility.getFullAXTree", &json!({}));
        let parts = tree["nodes"].as_array().unwrap().iter();
        let parts: Vec<_> =
            parts.map(|node| (node["role"]["value"].as_str(), node["name"]["value"].as_str())).collect();
        for (role, name) in [
            ("main", None),
            ("banner", None),
            ("contentinfo", None),
            ("search", None),
            ("heading", Some("landline directory")),
            ("region", Some("Peers 1")),
            ("searchbox", Some("Filter by name, service or fingerprint")),
            ("table", Some("Peers 1")),
            ("columnheader", Some("Addresses")),
            ("rowheader", Some("alice")),
            ("button", Some("Copy landline chat alice")),
            ("status", None),
        ] {
            let is_it =
                |part: &&(Option<&str>, Option<&str>)| part.0 == Some(role) && (name.is_none() || part.1 == name);
            assert!(parts.iter().any(|part| is_it(&part)), "{role} {name:?} at {width} pixels in {parts:?}");
        }
    }
}

#[test]
fn all_text_stands_out_in_light_and_dark() {
    const LOW: &str = "
        const parse = (color) => color.match(/[\\d.]+/g).map(Number);
        const light = ([r, g, b]) => [r, g, b]
            .map((value) => value / 255)
            .map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4))
            .reduce((sum, value, index) => sum + value * [0.2126, 0.7152, 0.0722][index], 0);
        const ground = (part) => {
            const color = parse(getComputedStyle(part).backgroundColor);
            return color[3] === 0 && part.parentElement ? ground(part.parentElement) : color;
        };
        document.getElementById('stream').dataset.state = arguments[0];
        const parts = [...document.querySelectorAll('body *')].filter((part) =>
            [...part.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim()) && part.checkVisibility());
        const low = parts.map((part) => {
            const pair = [light(parse(getComputedStyle(part).color)), light(ground(part))];
            return [part.textContent, (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05)];
        }).filter(([, contrast]) => contrast < 4.5);
        return parts.length > 15 ? low : 'too little text';";
    let Some(browser) = Browser::start() else { return };
    let running = start();
    announce(&running, 1, &peer(1, "alice", &["chat"]));
    for (sequence, scheme) in [(1, "light"), (2, "dark")] {
        let feature = json!({ "name": "prefers-color-scheme", "value": scheme });
        browser.command("Emulation.setEmulatedMedia", &json!({ "features": [feature] }));
        let bob = Announcement { sequence, lease: Duration::from_secs(5), ..peer(2, "bob", &[]) };
        announce(&running, 2, &bob);
        open(&browser, &running.directory().url());
        browser.wait_until("document.querySelector('.late')");
        for state in ["live", "lost"] {
            assert_eq!(browser.run(&LOW.replace("arguments[0]", &format!("'{state}'"))), json!([]), "{scheme} {state}");
        }
    }
}
