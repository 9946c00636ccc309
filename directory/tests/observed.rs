//! What an operator sees: health, readiness, and metrics that Prometheus can read.
#![allow(clippy::unwrap_used)]

mod wire;

use landline_directory::DirectoryConfig;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use wire::{ask, connect, delete, put, start, talk};

/// Metrics as a strict reader of the text format 0.0.4 takes them: each family with help and type before its samples, each
/// sample of a declared family, none twice.
struct Metrics {
    families: BTreeMap<String, String>,
    samples: BTreeMap<String, f64>,
}

impl Metrics {
    fn parse(text: &str) -> Metrics {
        let mut metrics = Metrics { families: BTreeMap::new(), samples: BTreeMap::new() };
        let mut helped = BTreeSet::new();
        let mut current = String::new();
        assert!(text.ends_with('\n'));
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').unwrap();
                assert!(help.len() > 10 && helped.insert(name.to_owned()), "{line}");
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap();
                assert!(helped.contains(name) && ["counter", "gauge", "histogram"].contains(&kind), "{line}");
                assert!(kind != "counter" || name.ends_with("_total"), "{line}");
                assert!(metrics.families.insert(name.to_owned(), kind.to_owned()).is_none(), "{line}");
                name.clone_into(&mut current);
            } else {
                metrics.add(line, &current);
            }
        }
        metrics
    }

    fn add(&mut self, line: &str, family: &str) {
        let (series, value) = line.rsplit_once(' ').unwrap();
        let (name, labels) = series
            .split_once('{')
            .map_or((series, ""), |(name, rest)| (name, rest.strip_suffix('}').unwrap_or_else(|| panic!("{line}"))));
        let suffix = name.strip_prefix(family).unwrap_or_else(|| panic!("{line} stands under {family}"));
        let allowed: &[&str] =
            if self.families[family] == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
        assert!(
            allowed.contains(&suffix) && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'),
            "{line}"
        );
        let mut rest = labels;
        while !rest.is_empty() {
            let (label, after) = rest.split_once("=\"").unwrap();
            let (value, after) = after.split_once('"').unwrap();
            assert!(label.bytes().all(|byte| byte.is_ascii_lowercase()) && !value.contains('\\'), "{line}");
            assert!(after.is_empty() || after.starts_with(','), "{line}");
            rest = after.strip_prefix(',').unwrap_or(after);
        }
        let value: f64 = value.parse().unwrap();
        assert!(value >= 0.0 && self.samples.insert(series.to_owned(), value).is_none(), "{line}");
    }

    fn value(&self, series: &str) -> f64 {
        *self.samples.get(&format!("landline_directory_{series}")).unwrap_or_else(|| panic!("no {series}"))
    }
}

fn scrape(running: &landline_directory::RunningDirectory) -> Metrics {
    let reply = ask(running, "GET", "/metrics", "");
    assert_eq!(reply.field("Content-Type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    Metrics::parse(&reply.body)
}

#[test]
fn metrics_tell_what_has_happened() {
    let running = start(DirectoryConfig::default());
    for sequence in [1, 1, 2] {
        put(&running, 1, "alice", sequence);
    }
    put(&running, 2, "bob", 1);
    put(&running, 3, "bob", 1);
    delete(&running, 2, 2);
    ask(&running, "GET", "/v1/peers/alice", "");
    ask(&running, "HEAD", "/v1/peers/alice", "");
    ask(&running, "GET", "/v1/peers/nobody", "");
    ask(&running, "GET", "/nowhere", "");
    ask(&running, "POST", "/v1/peers", "");
    talk(&running, "GET / HTTP/1.1\n");
    let _open = connect(&running);
    let metrics = scrape(&running);
    let requests = |method: &str, route: &str, status: u16| {
        metrics.value(&format!("requests_total{{method=\"{method}\",route=\"{route}\",status=\"{status}\"}}"))
    };
    assert_eq!(requests("PUT", "/v1/announcements/{peer_id}", 201), 2.0);
    assert_eq!(requests("PUT", "/v1/announcements/{peer_id}", 200), 2.0);
    assert_eq!(requests("PUT", "/v1/announcements/{peer_id}", 409), 1.0);
    assert_eq!(requests("GET", "/v1/peers/{name}", 200), 2.0, "HEAD counts as GET");
    assert_eq!(requests("GET", "/v1/peers/{name}", 404), 1.0);
    assert_eq!(
        (requests("any", "none", 404), requests("any", "none", 405), requests("any", "none", 400)),
        (1.0, 1.0, 1.0)
    );
    let announced = |result: &str| metrics.value(&format!("announcements_total{{result=\"{result}\"}}"));
    assert_eq!((announced("new"), announced("renewed"), announced("same")), (2.0, 1.0, 1.0));
    assert_eq!((metrics.value("leases"), metrics.value("withdrawals_total")), (1.0, 1.0));
    assert_eq!((metrics.value("ready"), metrics.value("watchers")), (1.0, 0.0));
    assert!(metrics.value("connections") >= 1.0 && metrics.value("connections_total") >= 12.0);
    assert!(metrics.value("received_bytes_total") > 1000.0 && metrics.value("sent_bytes_total") > 1000.0);
    assert!(metrics.value("start_time_seconds") > 1.7e9);

    let count = metrics.value("request_duration_seconds_count");
    assert_eq!(count, 11.0, "all that was understood before this one");
    assert_eq!(metrics.value("request_duration_seconds_bucket{le=\"+Inf\"}"), count);
    let buckets: Vec<(f64, f64)> = metrics
        .samples
        .iter()
        .filter_map(|(series, value)| Some((series.split_once("_bucket{le=\"")?.1.strip_suffix("\"}")?, value)))
        .map(|(bound, value)| (bound.parse().unwrap(), *value))
        .collect();
    assert!(buckets.len() > 10);
    for (bound, value) in &buckets {
        assert!(buckets.iter().all(|(other, lower)| other > bound || lower <= value), "buckets accumulate");
    }
    running.stop().unwrap();
}

#[test]
fn leases_that_end_are_counted() {
    let running = start(DirectoryConfig::default());
    let (identity, mut announcement) = wire::announcement(1, "alice", 1);
    announcement.lease = Duration::ZERO;
    let signed = announcement.sign(&identity).unwrap().to_json();
    ask(&running, "PUT", &format!("/v1/announcements/{}", identity.peer_id()), &signed);
    let deadline = std::time::Instant::now() + wire::PATIENCE;
    while scrape(&running).value("leases_expired_total") == 0.0 {
        assert!(std::time::Instant::now() < deadline, "the lease does not end");
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(scrape(&running).value("leases"), 0.0);
}

#[test]
fn every_metric_is_explained_in_the_manual_and_none_that_there_is_not() {
    let manual = include_str!("../../docs/operations.md");
    let running = start(DirectoryConfig::default());
    let real: BTreeSet<String> = scrape(&running).families.into_keys().collect();
    let is_name = |byte: char| byte.is_ascii_lowercase() || byte == '_';
    let explained: BTreeSet<String> = manual
        .lines()
        .filter_map(|line| line.strip_prefix("| `landline_directory_"))
        .map(|rest| format!("landline_directory_{}", rest.split(|byte| !is_name(byte)).next().unwrap()))
        .collect();
    assert_eq!(real, explained);
    let limits = ask(&running, "GET", "/metrics", "").body;
    for limit in limits.lines().filter_map(|line| line.split_once("{limit=\"")?.1.split('"').next()) {
        assert!(manual.contains(&format!("| `{limit}` |")), "the limit {limit} is not explained");
    }
}

#[test]
fn head_is_answered_wherever_get_is_with_the_same_fields_and_no_body() {
    let running = start(DirectoryConfig::default());
    put(&running, 1, "alice", 1);
    let id = wire::announcement(1, "alice", 1).0.peer_id();
    let announcement = format!("/v1/announcements/{id}");
    let paths = ["/", "/page/page.css", "/healthz", "/readyz", "/metrics", "/openapi.json", "/v1/whoami", "/v1/peers"];
    for path in paths.iter().chain(&["/v1/peers/alice", "/nowhere", &announcement]) {
        let (get, head) = (ask(&running, "GET", path, ""), ask(&running, "HEAD", path, ""));
        assert_eq!((get.status, head.body.as_str()), (head.status, ""), "{path}");
        assert_eq!(get.field("Content-Type"), head.field("Content-Type"), "{path}");
        // The text that changes with each request: its length is that of the moment.
        if !["/metrics", "/v1/whoami"].contains(path) {
            assert_eq!(get.field("ETag"), head.field("ETag"), "{path}");
        }
    }
    assert_eq!(ask(&running, "GET", "/healthz", "").body, "ok\n");
    assert_eq!(ask(&running, "GET", "/readyz", "").body, "ready\n");
}
