//! The directory from outside, over real sockets on loopback.
#![allow(clippy::unwrap_used)]

mod cases;
mod wire;

use landline::Identity;
use landline_directory::{DirectoryConfig, RunningDirectory, SignedStatement, StoreConfig};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};
use wire::{PATIENCE, Reply, announcement, ask, connect, delete, put, start, statuses, talk};

#[test]
fn announcements_come_are_found_and_go() {
    let running = start(DirectoryConfig::default());
    let reply = put(&running, 1, "alice", 10);
    assert_eq!(reply.status, 201, "{}", reply.body);
    assert!((18_000..=22_000).contains(&reply.json()["renew_after_ms"].as_u64().unwrap()), "{}", reply.body);
    assert_eq!(put(&running, 1, "alice", 10).status, 200, "the same again");
    assert_eq!(put(&running, 1, "alice", 11).status, 200);
    let id = Identity::from_seed([1; 32]).peer_id();
    for path in ["/v1/peers/alice".to_owned(), format!("/v1/announcements/{id}")] {
        let found = ask(&running, "GET", &path, "");
        assert_eq!(found.status, 200);
        let json = found.json();
        let statement = json["statement"].as_str().unwrap().to_owned();
        let signed = SignedStatement::from_parts(statement, json["signature"].as_str().unwrap()).unwrap();
        assert_eq!(signed.verify_announcement().unwrap().sequence, 11);
        assert!(json["expires_in_ms"].as_u64().unwrap() <= 60_000);
    }
    assert_eq!(delete(&running, 1, 12).status, 200);
    assert_eq!(delete(&running, 1, 13).status, 404);
    assert_eq!(ask(&running, "GET", "/v1/peers/alice", "").status, 404);
    running.stop().unwrap();
}

#[test]
fn what_is_refused_says_why_and_changes_nothing() {
    let running = start(DirectoryConfig::default());
    put(&running, 1, "alice", 10);
    let code = |reply: &Reply| (reply.status, reply.json()["code"].as_str().unwrap().to_owned());
    let older = put(&running, 1, "alice", 9);
    assert_eq!(code(&older), (409, "old_sequence".to_owned()));
    assert_eq!(older.json()["sequence"], 10);
    assert!(older.json()["stored"]["statement"].as_str().unwrap().contains("\"sequence\":10"));
    assert!(older.head.contains("Content-Type: application/problem+json"), "{}", older.head);
    let taken = put(&running, 2, "alice", 10);
    assert_eq!(code(&taken), (409, "name_taken".to_owned()));
    assert_eq!(taken.json()["holder"], Identity::from_seed([1; 32]).peer_id().to_string());

    let (identity, forged) = announcement(1, "alice", 20);
    let path = format!("/v1/announcements/{}", identity.peer_id());
    let good = forged.sign(&identity).unwrap().to_json();
    let bad = good.replace("alice", "alicf");
    assert_eq!(code(&ask(&running, "PUT", &path, &bad)), (400, "bad_signature".to_owned()));
    let other = format!("/v1/announcements/{}", Identity::from_seed([2; 32]).peer_id());
    assert_eq!(code(&ask(&running, "PUT", &other, &good)), (400, "wrong_peer".to_owned()));
    assert_eq!(code(&ask(&running, "PUT", "/v1/announcements/x", &good)), (400, "bad_parameter".to_owned()));
    assert_eq!(code(&ask(&running, "PUT", &path, "{}")), (400, "malformed".to_owned()));
    assert_eq!(code(&ask(&running, "PUT", &path, "")), (415, "not_json".to_owned()));
    assert_eq!(code(&ask(&running, "DELETE", &path, &good)), (400, "malformed".to_owned()));
    assert_eq!(ask(&running, "PUT", &path, &"x".repeat(20_000)).status, 413);
    assert_eq!(put(&running, 1, "alice", 10).status, 200, "what was stored is untouched");
}

#[test]
fn a_full_directory_says_when_to_come_again() {
    let store = StoreConfig { announcement_count_max: 2, announcements_per_address_max: 1, ..StoreConfig::default() };
    let running = start(DirectoryConfig { store, ..DirectoryConfig::default() });
    assert_eq!(put(&running, 1, "p1", 1).status, 201);
    let reply = put(&running, 2, "p2", 1);
    assert_eq!(reply.status, 429);
    let retry_after = reply.head.lines().find_map(|line| line.strip_prefix("Retry-After: "));
    assert!(retry_after.is_some_and(|after| (10..=15).contains(&after.parse().unwrap())), "{}", reply.head);
    let store = StoreConfig { announcement_count_max: 1, ..StoreConfig::default() };
    let running = start(DirectoryConfig { store, ..DirectoryConfig::default() });
    assert_eq!(put(&running, 1, "p1", 1).status, 201);
    assert_eq!(put(&running, 2, "p2", 1).status, 503);
    assert_eq!(put(&running, 1, "p1", 2).status, 200, "renewing needs no room");
}

#[test]
fn lists_have_pages_and_filters() {
    let running = start(DirectoryConfig::default());
    for seed in 1..=5 {
        assert_eq!(put(&running, seed, &format!("peer-{seed}"), 1).status, 201);
    }
    let first = ask(&running, "GET", "/v1/peers?limit=2", "").json();
    assert_eq!((first["peers"].as_array().unwrap().len(), &first["next"]), (2, &Value::from("peer-2")));
    let rest = ask(&running, "GET", "/v1/peers?limit=500&cursor=peer-2", "").json();
    assert_eq!((rest["peers"].as_array().unwrap().len(), &rest["next"]), (3, &Value::Null));
    let count =
        |query: &str| ask(&running, "GET", &format!("/v1/peers?{query}"), "").json()["peers"].as_array().unwrap().len();
    assert_eq!((count("name=peer-3"), count("name=x"), count("service=chat"), count("service=x")), (1, 0, 5, 0));
    assert_eq!((count("name=%3Cscript%3E"), count("unknown=1")), (0, 5));
    for query in ["limit=0", "limit=501", "limit=+1", "limit=x", "cursor=%00", "cursor=A", "limit=1&limit=2"] {
        assert_eq!(ask(&running, "GET", &format!("/v1/peers?{query}"), "").status, 400, "{query}");
    }
}

#[test]
fn methods_paths_and_heads() {
    let running = start(DirectoryConfig::default());
    let status = |method, path| ask(&running, method, path, "").status;
    assert_eq!((status("GET", "/healthz"), status("GET", "/"), status("GET", "/page/page.css")), (200, 200, 200));
    for path in ["/v2/peers", "/v1/peers/", "/v1/peers/a/b", "/v1", "//", "/v1/../healthz", "/healthz/", "/%2e"] {
        assert_eq!(status("GET", path), 404, "{path}");
    }
    assert_eq!(status("GET", "/v1/peers/Alice"), 400);
    let reply = ask(&running, "POST", "/v1/peers", "");
    assert!(reply.status == 405 && reply.head.ends_with("\r\nAllow: GET, HEAD"), "{}", reply.head);
    let reply = ask(&running, "PATCH", "/v1/announcements/x", "");
    assert!(reply.status == 405 && reply.head.ends_with("\r\nAllow: GET, HEAD, PUT, DELETE"), "{}", reply.head);
    let head = ask(&running, "HEAD", "/v1/peers", "");
    let get = ask(&running, "GET", "/v1/peers", "");
    let length = format!("Content-Length: {}\r\n", get.body.len());
    assert!(head.body.is_empty() && head.head.contains(&length), "{}", head.head);
    assert!(get.head.contains("\r\nDate: ") && get.head.contains(" GMT\r\n"));
}

#[test]
fn who_am_i_tells_the_address_of_the_connection_whatever_headers_claim() {
    let running = start(DirectoryConfig::default());
    let mut stream = connect(&running);
    let claims = "X-Forwarded-For: 203.0.113.9\r\nForwarded: for=203.0.113.9\r\nX-Real-IP: 203.0.113.9\r\n";
    write!(stream, "GET /v1/whoami HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{claims}\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert!(text.contains(&format!("\"address\":\"{}\"", stream.local_addr().unwrap())), "{text}");
    assert!(!text.contains("203.0.113.9"));
    let proxied = "PROXY TCP4 203.0.113.9 203.0.113.8 1 2\r\nGET /v1/whoami HTTP/1.1\r\nHost: a\r\n\r\n";
    assert!(talk(&running, proxied).starts_with("HTTP/1.1 400 "));
}

#[test]
fn the_page_shows_peers_without_scripts_and_runs_none_but_its_own() {
    let running = start(DirectoryConfig::default());
    put(&running, 1, "alice", 1);
    let page = ask(&running, "GET", "/", "");
    let peer_id = Identity::from_seed([1; 32]).peer_id();
    for text in ["alice", "127.0.0.1:4000", "chat", &peer_id.to_string(), &peer_id.fingerprint()] {
        assert!(page.body.contains(text), "{text}");
    }
    let policy =
        "Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';";
    assert!(page.head.contains(policy) && !page.head.contains("unsafe-"), "{}", page.head);
    assert_eq!(page.body.matches("<script").count(), page.body.matches("></script>").count(), "no script in the page");
    assert!(!page.body.contains("style=") && !page.body.contains(" on"), "no style and no handler in the page");
    assert!(!page.body.contains("http://") && !page.body.contains("https://"), "nothing is fetched from elsewhere");
    let assets = page.body.split('"').filter(|text| text.starts_with("/page/"));
    assert_eq!(assets.map(|path| assert_eq!(ask(&running, "GET", path, "").status, 200, "{path}")).count(), 3);
    assert_eq!(ask(&running, "GET", "/page/page.rs", "").status, 404);
    let filtered = ask(&running, "GET", "/?name=%22%3E%3Cscript%3Ealert(1)%3C/script%3E", "");
    assert!(filtered.status == 200 && !filtered.body.contains("<script>"));
    assert!(page.body.matches('<').count() == page.body.matches('>').count());
}

#[test]
fn every_case_is_answered_over_the_wire_and_the_pipelined_request_only_where_nothing_was_wrong() {
    let running = start(DirectoryConfig::default());
    for case in cases::all() {
        let closes = ["HTTP/1.0", "Connection: close"].iter().any(|text| case.input.contains(text));
        let output = talk(&running, &case.input);
        let statuses: Vec<&str> = statuses(&output).into_iter().filter(|code| *code != "100").collect();
        let shown: String = case.input.chars().take(200).collect();
        let wanted = if closes { case.count.min(1) } else { case.count } + usize::from(case.status != 0);
        assert_eq!(statuses.len(), wanted, "{shown:?}: {output}");
        if case.status != 0 {
            assert_eq!(statuses.last(), Some(&case.status.to_string().as_str()), "{shown:?}");
            assert!(output.contains("Connection: close\r\n"), "{shown:?}");
        }
    }
    running.stop().unwrap();
}

#[test]
fn a_connection_answers_again_and_pipelined_answers_come_in_order() {
    let running = start(DirectoryConfig::default());
    let mut stream = connect(&running);
    let paths = ["/healthz", "/nothing", "/v1/peers", "/healthz"];
    for path in paths {
        write!(stream, "GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    }
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert_eq!(statuses(&text), ["200", "404", "200", "200"]);
}

#[test]
fn expect_100_continue_is_answered_before_the_body() {
    let running = start(DirectoryConfig::default());
    let (identity, announcement) = announcement(1, "alice", 1);
    let body = announcement.sign(&identity).unwrap().to_json();
    let mut stream = connect(&running);
    let (id, len) = (identity.peer_id(), body.len());
    write!(
        stream,
        "PUT /v1/announcements/{id} HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nConnection: close\r\n\
         Content-Type: application/json; charset=utf-8\r\nContent-Length: {len}\r\n\r\n"
    )
    .unwrap();
    let mut interim = [0; 25];
    stream.read_exact(&mut interim).unwrap();
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(body.as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert!(text.starts_with("HTTP/1.1 201 Created\r\n"), "{text}");
}

#[test]
fn slow_clients_are_closed_at_the_deadline_while_others_are_served() {
    let config = DirectoryConfig { request_timeout: Duration::from_millis(300), ..DirectoryConfig::default() };
    let running = start(config);
    let begun = Instant::now();
    let mut slow: Vec<TcpStream> = (0..100).map(|_| connect(&running)).collect();
    for stream in &mut slow {
        stream.write_all(b"GET / HT").unwrap();
    }
    assert_eq!(ask(&running, "GET", "/healthz", "").status, 200);
    for mut stream in slow {
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        assert!(text.starts_with("HTTP/1.1 408 "), "{text}");
    }
    assert!(begun.elapsed() < PATIENCE);
}

#[test]
fn when_it_is_full_the_connection_that_was_quiet_longest_makes_room() {
    let config = DirectoryConfig { connections_per_address_max: 3, ..DirectoryConfig::default() };
    let running = start(config);
    let mut quiet = connect(&running);
    quiet.write_all(b"GET /").unwrap();
    let mut kept: Vec<TcpStream> = (0..2).map(|_| connect(&running)).collect();
    let mut exchange = |stream: &mut TcpStream| {
        stream.write_all(cases::SECOND.as_bytes()).unwrap();
        let mut seen = Vec::new();
        let mut buffer = [0; 1024];
        while !seen.ends_with(b"ok\n") {
            let len = stream.read(&mut buffer).unwrap();
            assert!(len > 0, "closed");
            seen.extend_from_slice(&buffer[..len]);
        }
    };
    kept.iter_mut().for_each(&mut exchange);
    let mut newcomer = connect(&running);
    exchange(&mut newcomer);
    kept.iter_mut().for_each(&mut exchange);
    // Closed with something unread behind it or not, it is over: end of stream, or a reset.
    assert!(matches!(quiet.read(&mut [0; 1]), Ok(0) | Err(_)));
    running.stop().unwrap();
}

#[test]
fn loopback_announcements_are_taken_from_loopback_and_the_bound_address_is_told() {
    let running = start(DirectoryConfig::default());
    assert_eq!(put(&running, 1, "alice", 1).status, 201);
    let directory = running.directory();
    assert_eq!(directory.urls(), [format!("http://{}", directory.address())]);
    let busy = RunningDirectory::start(directory.address(), DirectoryConfig::default());
    assert_eq!(busy.err().map(|error| error.kind()), Some(std::io::ErrorKind::AddrInUse));
}

#[test]
fn stopping_closes_idle_connections_and_frees_the_port() {
    let running = start(DirectoryConfig::default());
    let address = running.directory().address();
    let mut idle = connect(&running);
    idle.write_all(cases::SECOND.as_bytes()).unwrap();
    let mut first = [0; 12];
    idle.read_exact(&mut first).unwrap();
    let begun = Instant::now();
    running.stop().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    idle.read_to_end(&mut Vec::new()).unwrap();
    RunningDirectory::start(address, DirectoryConfig::default()).unwrap().stop().unwrap();
}
