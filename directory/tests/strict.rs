//! What strangers, their browsers and their slowness may not do, over real sockets.
#![allow(clippy::unwrap_used)]

mod wire;

use landline_directory::{DirectoryConfig, RunningDirectory};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};
use wire::{PATIENCE, announcement, ask, ask_with, connect, put, start, statuses, talk};

/// A directory that knows no name.
fn start_nameless() -> RunningDirectory {
    RunningDirectory::start("127.0.0.1:0".parse().unwrap(), DirectoryConfig::default()).unwrap()
}

/// How often a limit was hit.
fn limit_count(running: &RunningDirectory, limit: &str) -> u64 {
    let metrics = ask_with(running, "GET", "/metrics", "Host: 127.0.0.1\r\n", "").body;
    let prefix = format!("landline_directory_limits_hit_total{{limit=\"{limit}\"}} ");
    metrics.lines().find_map(|line| line.strip_prefix(&prefix)).unwrap().parse().unwrap()
}

#[test]
fn a_name_that_the_operator_did_not_give_is_refused_and_an_address_never() {
    let running = start_nameless();
    let status = |target: &str, host: &str| ask_with(&running, "GET", target, &format!("Host: {host}\r\n"), "").status;
    for host in ["127.0.0.1", "127.0.0.1:8600", "192.0.2.9", "[::1]", "[2001:db8::1]:80", "localhost", "LOCALHOST:1"] {
        assert_eq!(status("/v1/peers", host), 200, "{host}");
    }
    for host in ["evil.example", "evil.example:8600", "a", "localhost.evil.example", "127.0.0.1.evil.example", "127.1"]
    {
        assert_eq!(status("/v1/peers", host), 421, "{host}");
        assert_eq!(status("/", host), 421, "{host}");
    }
    // The authority of an absolute target counts in place of Host.
    assert_eq!(status("http://evil.example/v1/peers", "127.0.0.1"), 421);
    assert_eq!(status("http://127.0.0.1/v1/peers", "evil.example"), 200);
    let refusal = ask_with(&running, "GET", "/", "Host: evil.example\r\n", "");
    assert_eq!(refusal.json()["code"], "wrong_host");
    assert!(refusal.body.contains("--host NAME"), "{}", refusal.body);
    assert!(talk(&running, "GET /healthz HTTP/1.0\r\n\r\n").contains(" 200 OK"), "no browser omits Host");

    let names = vec!["Directory.lan".to_owned(), "dir.".to_owned()];
    let config = DirectoryConfig { host_names: names, ..DirectoryConfig::default() };
    let named = RunningDirectory::start("127.0.0.1:0".parse().unwrap(), config).unwrap();
    for (host, expected) in
        [("directory.lan:8600", 200), ("DIRECTORY.LAN.", 200), ("dir", 200), ("lan", 421), ("xdir", 421)]
    {
        assert_eq!(ask_with(&named, "GET", "/v1/peers", &format!("Host: {host}\r\n"), "").status, expected, "{host}");
    }
}

#[test]
fn another_site_may_change_nothing_and_is_told_nothing() {
    let running = start_nameless();
    let (identity, announcement) = announcement(1, "alice", 1);
    let path = format!("/v1/announcements/{}", identity.peer_id());
    let body = announcement.sign(&identity).unwrap().to_json();
    let host = running.directory().address().to_string();
    let from = |origin: &str| format!("Host: {host}\r\nOrigin: {origin}\r\n");
    for origin in ["http://evil.example", "null", "https://127.0.0.1", "http://localhost:1", "file://"] {
        for method in ["PUT", "POST", "DELETE", "OPTIONS", "PATCH"] {
            let refusal = ask_with(&running, method, &path, &from(origin), &body);
            assert_eq!((refusal.status, &refusal.json()["code"]), (403, &"cross_origin".into()), "{method} {origin}");
        }
        let read = ask_with(&running, "GET", "/v1/peers", &from(origin), "");
        assert_eq!(read.status, 200);
        assert!(!read.head.to_lowercase().contains("access-control"), "{}", read.head);
        assert!(read.body.contains("\"peers\":[]"), "nothing was announced: {}", read.body);
    }
    assert_eq!(ask_with(&running, "PUT", &path, &from(&format!("http://{host}")), &body).status, 201);
}

#[test]
fn an_address_that_announces_too_often_is_told_when_to_come_again() {
    let config =
        DirectoryConfig { announcements_per_second_max: 2, announcement_burst_max: 3, ..DirectoryConfig::default() };
    let running = start(config);
    for sequence in 1..=3 {
        assert!(put(&running, 1, "alice", sequence).status < 300);
    }
    let refusal = put(&running, 1, "alice", 4);
    assert_eq!((refusal.status, &refusal.json()["code"]), (429, &"too_fast".into()));
    assert_eq!(refusal.field("Retry-After"), Some("1"));
    assert_eq!(ask(&running, "GET", "/v1/peers/alice", "").status, 200, "looking up is not limited");
    assert_eq!(limit_count(&running, "announcements_per_second"), 1);
    let deadline = Instant::now() + PATIENCE;
    while put(&running, 1, "alice", 4).status == 429 {
        assert!(Instant::now() < deadline, "the bucket does not refill");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_connection_ends_with_the_last_request_that_it_may_make() {
    let running = start(DirectoryConfig { requests_per_connection_max: 3, ..DirectoryConfig::default() });
    let output = talk(&running, &wire::PROBE.repeat(5));
    assert_eq!(statuses(&output), ["200"; 3], "the pipelined ones behind are not run");
    assert_eq!(output.matches("Connection: close\r\n").count(), 1);
    assert_eq!(limit_count(&running, "requests_per_connection"), 1);
}

#[test]
fn slow_bodies_and_slow_readers_are_closed_at_the_deadline() {
    let config = DirectoryConfig {
        request_timeout: Duration::from_millis(300),
        response_timeout: Duration::from_millis(300),
        ..DirectoryConfig::default()
    };
    let running = start(config);
    let mut body = connect(&running);
    body.write_all(b"PUT /v1/announcements/x HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nabc").unwrap();
    // A reader that takes nothing, while more answers wait than the kernel holds for it.
    let mut reader = connect(&running);
    reader.write_all(&b"GET /openapi.json HTTP/1.1\r\nHost: a\r\n\r\n".repeat(1000)).unwrap();
    let mut text = String::new();
    body.read_to_string(&mut text).unwrap();
    assert!(text.starts_with("HTTP/1.1 408 "), "{text}");
    let deadline = Instant::now() + PATIENCE;
    while limit_count(&running, "response_time") == 0 {
        assert!(Instant::now() < deadline, "the reader holds its connection");
        std::thread::sleep(Duration::from_millis(20));
    }
    let counts = ["request_time", "response_time", "pipeline_len"].map(|limit| limit_count(&running, limit));
    assert_eq!(counts, [1, 1, 0]);
}

#[test]
fn what_has_begun_when_it_stops_is_answered_and_nothing_holds_it_longer_than_the_limit() {
    let running = start(DirectoryConfig::default());
    let address = running.directory().address();
    let mut begun = connect(&running);
    begun.write_all(b"GET /readyz HTTP/1.1\r\nHost: a\r\n").unwrap();
    let mut never = connect(&running);
    never.write_all(b"GET /readyz HTTP/1.1\r\n").unwrap();
    // Both have been read when a third, asked after them, is answered.
    assert_eq!(ask(&running, "GET", "/readyz", "").status, 200);
    let stopped_at = Instant::now();
    running.directory().stop();
    while TcpStream::connect(address).is_ok() {
        assert!(stopped_at.elapsed() < PATIENCE, "it goes on listening");
    }
    begun.write_all(b"\r\n").unwrap();
    let mut text = String::new();
    begun.read_to_string(&mut text).unwrap();
    assert!(text.starts_with("HTTP/1.1 503 ") && text.contains("\r\nConnection: close\r\n"), "{text}");
    assert!(text.contains("\r\nRetry-After: ") && text.contains("\"not_ready\""), "{text}");
    running.stop().unwrap();
    assert!(stopped_at.elapsed() < Duration::from_secs(4), "{:?}", stopped_at.elapsed());
}

#[test]
fn who_has_an_answer_already_is_told_that_nothing_has_changed() {
    let running = start(DirectoryConfig::default());
    put(&running, 1, "alice", 1);
    let id = announcement(1, "alice", 1).0.peer_id();
    let paths = ["/v1/peers/alice".to_owned(), format!("/v1/announcements/{id}"), "/v1/peers?limit=1".to_owned()];
    let tags: Vec<String> =
        paths.iter().map(|path| ask(&running, "GET", path, "").field("ETag").unwrap().to_owned()).collect();
    let again = |path: &str, method: &str, tag: &str| {
        ask_with(&running, method, path, &format!("Host: a\r\nIf-None-Match: \"x\", {tag}\r\n"), "")
    };
    for (path, tag) in paths.iter().zip(&tags) {
        for method in ["GET", "HEAD"] {
            let reply = again(path, method, tag);
            assert_eq!(
                (reply.status, reply.body.as_str(), reply.field("ETag")),
                (304, "", Some(tag.as_str())),
                "{path}"
            );
            assert!(reply.field("Content-Length").is_none() && reply.field("Content-Type").is_none(), "{}", reply.head);
        }
        assert_eq!(again(path, "GET", "W/\"y\"").status, 200);
    }
    assert_eq!(ask(&running, "HEAD", &paths[0], "").field("ETag"), Some(tags[0].as_str()));
    put(&running, 1, "alice", 2);
    for (path, tag) in paths.iter().zip(&tags) {
        assert_eq!(again(path, "GET", tag).status, 200, "{path} has been renewed");
    }
    put(&running, 2, "bob", 1);
    let first = ask(&running, "GET", &paths[2], "");
    assert_ne!(first.field("ETag"), Some(tags[2].as_str()), "the page has a successor now");
    let other = ask(&running, "GET", "/v1/peers?limit=1&service=files", "");
    assert_ne!(other.field("ETag"), first.field("ETag"));
    let document = ask(&running, "GET", "/openapi.json", "");
    assert_eq!(again("/openapi.json", "GET", document.field("ETag").unwrap()).status, 304);
    assert_eq!(document.field("Cache-Control"), Some("no-cache"));
}
