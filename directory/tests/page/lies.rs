//! What the page makes of a directory that says what no real one would, or more than most.

use super::{announce, assert_same_page_without_complaints, open, peer, start};
use crate::browser::Browser;
use crate::lying::LyingDirectory;
use landline::PeerId;
use serde_json::{Value, json};

/// The events of a watch stream whose snapshot lists these statements.
fn snapshot(statements: &[Value]) -> String {
    let mut events = "event: reset\ndata: {\"now_ms\":0}\n\n".to_owned();
    for statement in statements {
        let entry =
            json!({ "statement": statement.to_string(), "signature": "", "expires_in_ms": 60_000, "since_ms": 1 });
        events += &format!("event: up\ndata: {entry}\n\n");
    }
    events + &format!("event: ready\ndata: {{\"count\":{}}}\n\n", statements.len())
}

#[test]
fn what_a_lying_directory_says_is_shown_as_text_and_runs_nothing() {
    let Some(browser) = Browser::start() else { return };
    let running = start();
    let image = "<img src=x onerror=\"window.owned = 1\">";
    let script = "</td><script>window.owned = 1</script>";
    let statement = json!({
        "peer_id": image, "name": image, "addresses": [script], "services": [script, "{rows}"], "sequence": 1, "lease": 60,
    });
    let lying = LyingDirectory::start(&running, snapshot(&[statement, json!({ "name": 1 }), json!(null)]), Vec::new());
    open(&browser, &lying.url());
    browser.wait_until("document.querySelectorAll('#rows tr').length === 1");
    let field =
        |name: &str| browser.run(&format!("return document.querySelector('#rows [data-field={name}]').textContent"));
    assert_eq!([field("name"), field("id"), field("addresses")], [image, image, script]);
    assert_eq!(field("services"), format!("{script}{{rows}}"));
    assert_eq!(browser.run("return document.querySelectorAll('#rows img, #rows script').length"), 0);
    assert_eq!(browser.run("return window.owned ?? null"), Value::Null);
    assert_same_page_without_complaints(&browser);
}

#[test]
fn a_peer_that_goes_under_a_name_that_was_never_told_is_gone() {
    let Some(browser) = Browser::start() else { return };
    let running = start();
    let alice = peer(1, "alice", &[]);
    announce(&running, 1, &alice);
    let peer_id = alice.peer_id.to_string();
    let listed = json!({ "peer_id": peer_id, "name": "alice", "addresses": [], "sequence": 1, "lease": 60 });
    let gone = json!({ "peer_id": peer_id, "name": "bob", "reason": "withdrawn" });
    let lying =
        LyingDirectory::start(&running, snapshot(&[listed]) + &format!("event: down\ndata: {gone}\n\n"), Vec::new());
    open(&browser, &lying.url());
    browser.wait_until("!document.getElementById('none').hidden && document.querySelector('#rows tr') === null");
    browser.wait_until("document.getElementById('news').textContent === 'alice has gone.'");
    assert_same_page_without_complaints(&browser);
}

#[test]
fn the_policy_keeps_the_page_from_running_markup_even_where_its_script_would() {
    let Some(browser) = Browser::start() else { return };
    let running = start();
    open(&browser, &running.directory().url());
    for markup in [
        "document.body.innerHTML = '<img src=x onerror=\"window.owned = 1\">'",
        "document.body.setAttribute('onclick', 'window.owned = 1')",
        "document.createElement('script').text = 'window.owned = 1'",
    ] {
        let refused = browser.run(&format!("try {{ {markup}; return 'taken' }} catch (error) {{ return error.name }}"));
        assert_eq!(refused, "TypeError", "{markup}");
    }
    assert_eq!(browser.run("return window.owned ?? null"), Value::Null);
    assert!(!browser.console().is_empty(), "a refusal shows in the console, so its silence elsewhere means something");
}

#[test]
fn thousands_of_peers_are_shown_in_part_and_filtered_at_once() {
    let Some(browser) = Browser::start() else { return };
    let running = start();
    let statement = |number: u16| {
        let mut bytes = [0; 32];
        bytes[..2].copy_from_slice(&number.to_be_bytes());
        let peer_id = PeerId::from_bytes(bytes).to_string();
        json!({ "peer_id": peer_id, "name": format!("host-{number:04}"), "addresses": ["192.0.2.1:1"], "sequence": 1, "lease": 60 })
    };
    let lying = LyingDirectory::start(&running, snapshot(&(0..5000).map(statement).collect::<Vec<_>>()), Vec::new());
    open(&browser, &lying.url());
    browser.wait_until("document.querySelectorAll('#rows tr').length === 300");
    assert_eq!(
        browser.run("return document.getElementById('more').textContent"),
        "4,700 more: narrow the filter to see them."
    );
    let filter = "
        const start = performance.now();
        const filter = document.getElementById('filter');
        filter.value = arguments[0];
        filter.dispatchEvent(new Event('input'));
        requestAnimationFrame(() => { document.body.offsetWidth; window.took = performance.now() - start });";
    browser.run(&filter.replace("arguments[0]", "'host-4'"));
    browser.wait_until("document.getElementById('count').textContent === '1,000 of 5,000'");
    let took = browser.run("return window.took").as_f64().unwrap();
    assert!(took < 1000.0, "the first filter, for which all fingerprints are computed, took {took} ms");
    browser.run(&filter.replace("arguments[0]", "'host-49'"));
    browser.wait_until("document.getElementById('count').textContent === '100 of 5,000'");
    assert_same_page_without_complaints(&browser);
}

/// What a directory says of itself that has answered `found` requests and refused `missed`; `within` counts those of them
/// that took up to 10, 50, 100 µs, 1 ms, and all.
fn metrics(found: u32, missed: u32, within: [u32; 5]) -> String {
    let buckets = ["0.00001", "0.00005", "0.0001", "0.001", "+Inf"].iter().zip(within);
    let buckets = buckets.map(|(bound, count)| {
        format!("landline_directory_request_duration_seconds_bucket{{le=\"{bound}\"}} {count}\n")
    });
    let route = "method=\"GET\",route=\"/v1/peers/{name}\"";
    format!(
        "# HELP landline_directory_leases Peers that are listed now.\n# TYPE landline_directory_leases gauge\n\
         landline_directory_leases 12345\nlandline_directory_watchers 3\n\
         landline_directory_requests_total{{{route},status=\"200\"}} {found}\n\
         landline_directory_requests_total{{{route},status=\"404\"}} {missed}\n{}",
        buckets.collect::<String>()
    )
}

#[test]
fn rates_and_latencies_are_those_since_the_page_looks_and_start_anew_with_the_directory() {
    let Some(browser) = Browser::start() else { return };
    let running = start();
    let before = metrics(900, 100, [1000; 5]);
    let after = metrics(1300, 200, [1000, 1250, 1495, 1500, 1500]);
    let anew = metrics(1, 0, [1; 5]);
    let lying = LyingDirectory::start(&running, snapshot(&[]), vec![before, after, anew]);
    open(&browser, &lying.url());
    let shows = |rate: &str, p50: &str, p99: &str| {
        let text = |id: &str| format!("document.getElementById('state-{id}').textContent");
        let is = |id: &str, expected: &str| format!("/^{expected}$/.test({})", text(id));
        let all = [is("rate", rate), is("p50", p50), is("p99", p99), is("leases", "12,345"), is("watchers", "3")];
        browser.wait_until(&all.join(" && "));
    };
    shows("–", "–", "–");
    // 500 in the 5 s between two looks, or somewhat more where the machine is busy.
    shows("([5-9]\\d|10\\d)\\/s", "50 µs", "100 µs");
    shows("–", "–", "–");
    assert_same_page_without_complaints(&browser);
}

#[test]
fn what_a_real_directory_counts_is_what_the_page_reads() {
    let Some(browser) = Browser::start() else { return };
    let running = start();
    announce(&running, 1, &peer(1, "alice", &[]));
    let lying = LyingDirectory::start(&running, snapshot(&[]), Vec::new());
    open(&browser, &lying.url());
    let text = |id: &str| format!("document.getElementById('state-{id}').textContent");
    browser.wait_until(&format!("{} === '1' && /^\\d+$/.test({})", text("leases"), text("watchers")));
    browser.wait_until(&format!("/^[\\d.]+\\/s$/.test({})", text("rate")));
    browser.wait_until(&["p50", "p99"].map(|id| format!("/^[\\d.]+ (µs|ms)$/.test({})", text(id))).join(" && "));
    assert_same_page_without_complaints(&browser);
}
