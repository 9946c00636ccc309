//! What the directory counts about itself, and its text for Prometheus (exposition format 0.0.4).
//!
//! Plain integers in the thread that serves; every label is a word of ours. What each metric means to an operator is in
//! `docs/operations.md`, and a test compares the names.

use super::routes::{OPERATIONS, Operation};
use crate::store::Announced;
use landline::reactor::ReactorStats;
use std::fmt::{Display, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Every status that is answered with, those of look-ups first: they are searched in this order.
const STATUSES: [u16; 20] =
    [200, 304, 404, 201, 409, 429, 400, 403, 405, 408, 413, 414, 415, 417, 421, 431, 500, 501, 503, 505];

/// Upper bounds of the buckets of the latency histogram, in microseconds. A look-up takes a few, a signature check some
/// dozens, a long list some hundreds; above that something is wrong.
const DURATION_BOUNDS_US: [u64; 14] =
    [5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 50_000, 250_000, 1_000_000];

/// A limit that somebody ran into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Limit {
    Announcements,
    AnnouncementsPerAddress,
    AnnouncementsPerSecond,
    Connections,
    ConnectionsPerAddress,
    RequestsPerConnection,
    RequestLen,
    RequestTime,
    ResponseTime,
    PipelineLen,
}

/// Its names, in the order of the enum.
const LIMITS: [&str; 10] = [
    "announcements",
    "announcements_per_address",
    "announcements_per_second",
    "connections",
    "connections_per_address",
    "requests_per_connection",
    "request_len",
    "request_time",
    "response_time",
    "pipeline_len",
];

/// Counters since the start, and levels that change one by one.
pub(super) struct Metrics {
    requests: [[u64; STATUSES.len()]; OPERATIONS.len()],
    durations: [u64; DURATION_BOUNDS_US.len() + 1],
    duration_sum: Duration,
    announced: [u64; 3],
    limits: [u64; LIMITS.len()],
    pub(super) withdrawn_count: u64,
    pub(super) expired_count: u64,
    pub(super) connection_count: u64,
    pub(super) watcher_count: u64,
    /// As of the turn before.
    pub(super) reactor: ReactorStats,
    started_at: SystemTime,
}

/// Levels that are read where they are kept.
pub(super) struct Levels {
    pub(super) lease_count: u64,
    pub(super) store_len: u64,
    pub(super) is_ready: bool,
}

impl Metrics {
    pub(super) fn new() -> Metrics {
        Metrics {
            requests: [[0; STATUSES.len()]; OPERATIONS.len()],
            durations: [0; DURATION_BOUNDS_US.len() + 1],
            duration_sum: Duration::ZERO,
            announced: [0; 3],
            limits: [0; LIMITS.len()],
            withdrawn_count: 0,
            expired_count: 0,
            connection_count: 0,
            watcher_count: 0,
            reactor: ReactorStats::default(),
            started_at: SystemTime::now(),
        }
    }

    /// A request was understood and answered, `duration` after the loop had it whole.
    pub(super) fn count_request(&mut self, operation: Operation, status: u16, duration: Duration) {
        self.count_status(operation, status);
        let us = duration.as_micros() as u64;
        let index = DURATION_BOUNDS_US.iter().position(|bound| us <= *bound).unwrap_or(DURATION_BOUNDS_US.len());
        self.durations[index] += 1;
        self.duration_sum += duration;
    }

    /// A request was refused before it was understood.
    pub(super) fn count_refused(&mut self, status: u16) {
        self.count_status(Operation::None, status);
        match status {
            408 => self.count_limit(Limit::RequestTime),
            413 | 414 | 431 => self.count_limit(Limit::RequestLen),
            _ => {}
        }
    }

    pub(super) fn count_announced(&mut self, outcome: Announced) {
        self.announced[outcome as usize] += 1;
    }

    pub(super) fn count_limit(&mut self, limit: Limit) {
        self.limits[limit as usize] += 1;
    }

    fn count_status(&mut self, operation: Operation, status: u16) {
        let index = STATUSES.iter().position(|other| *other == status);
        debug_assert!(
            index.is_some() && operation.answers(status),
            "{operation:?} answers {status}: add it to the table"
        );
        if let Some(index) = index {
            self.requests[operation as usize][index] += 1;
        }
    }

    /// All of it as text.
    pub(super) fn render(&self, levels: &Levels) -> String {
        let mut page = Exposition(String::with_capacity(16 * 1024));
        self.render_state(&mut page, levels);
        self.render_requests(&mut page);
        self.render_announcements(&mut page, levels);
        self.render_connections(&mut page);
        page.family("limits_hit_total", "counter", "What was refused or closed because of a limit.");
        for (name, count) in LIMITS.iter().zip(self.limits) {
            page.sample("limits_hit_total", format_args!("limit=\"{name}\""), count);
        }
        page.0
    }

    fn render_state(&self, page: &mut Exposition, levels: &Levels) {
        page.family("build_info", "gauge", "1, with the version of the program.");
        page.sample("build_info", format_args!("version=\"{}\"", env!("CARGO_PKG_VERSION")), 1);
        let started = self.started_at.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let started = format!("{}.{:03}", started / 1000, started % 1000);
        page.single("start_time_seconds", "gauge", "When the directory started, in Unix time.", started);
        page.single("ready", "gauge", "1 where /readyz answers 200, else 0.", u8::from(levels.is_ready));
        page.single(
            "store_size_bytes",
            "gauge",
            "Size of the store on disk; 0 where it is in memory.",
            levels.store_len,
        );
    }

    fn render_requests(&self, page: &mut Exposition) {
        page.family("requests_total", "counter", "Requests answered; route \"none\" where no resource was reached.");
        for (row, counts) in OPERATIONS.iter().zip(&self.requests) {
            for (status, count) in STATUSES.iter().zip(counts) {
                if *count > 0 || row.statuses.contains(status) {
                    let (method, path) = (row.method, row.path);
                    let labels = format_args!("method=\"{method}\",route=\"{path}\",status=\"{status}\"");
                    page.sample("requests_total", labels, count);
                }
            }
        }
        let name = "request_duration_seconds";
        page.family(name, "histogram", "From when the loop had a request whole to when its answer was composed.");
        let mut count = 0;
        for (index, in_bucket) in self.durations.iter().enumerate() {
            count += in_bucket;
            let bound = DURATION_BOUNDS_US.get(index).map(|us| (*us as f64 / 1e6).to_string());
            let bound = bound.as_deref().unwrap_or("+Inf");
            page.sample("request_duration_seconds_bucket", format_args!("le=\"{bound}\""), count);
        }
        page.sample("request_duration_seconds_sum", format_args!(""), self.duration_sum.as_secs_f64());
        page.sample("request_duration_seconds_count", format_args!(""), count);
    }

    fn render_announcements(&self, page: &mut Exposition, levels: &Levels) {
        page.single("leases", "gauge", "Peers that are listed now.", levels.lease_count);
        page.family("announcements_total", "counter", "Announcements accepted, by what became of them.");
        for outcome in [Announced::New, Announced::Renewed, Announced::Same] {
            let result = match outcome {
                Announced::New => "new",
                Announced::Renewed => "renewed",
                Announced::Same => "same",
            };
            let count = self.announced[outcome as usize];
            page.sample("announcements_total", format_args!("result=\"{result}\""), count);
        }
        page.single("withdrawals_total", "counter", "Withdrawals accepted.", self.withdrawn_count);
        page.single("leases_expired_total", "counter", "Leases that ended without being renewed.", self.expired_count);
        page.single("watchers", "gauge", "Watches that are open now.", self.watcher_count);
    }

    fn render_connections(&self, page: &mut Exposition) {
        let stats = &self.reactor;
        page.single("connections", "gauge", "Connections that are open now.", self.connection_count);
        page.single("connections_total", "counter", "Connections accepted.", stats.accepted_count);
        let help = "Times that accepting rested because descriptors or memory had run out.";
        page.single("accept_pauses_total", "counter", help, stats.accept_pause_count);
        page.single("received_bytes_total", "counter", "Bytes received.", stats.bytes_in);
        page.single("sent_bytes_total", "counter", "Bytes sent.", stats.bytes_out);
    }
}

/// The text under way. Names are written without what they all begin with.
struct Exposition(String);

impl Exposition {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a String does not fail.
        let _ = write!(self.0, "# HELP landline_directory_{name} {help}\n# TYPE landline_directory_{name} {kind}\n");
    }

    fn sample(&mut self, name: &str, labels: std::fmt::Arguments<'_>, value: impl Display) {
        let _ = match labels.as_str() {
            Some("") => writeln!(self.0, "landline_directory_{name} {value}"),
            _ => writeln!(self.0, "landline_directory_{name}{{{labels}}} {value}"),
        };
    }

    /// A family of one sample.
    fn single(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.family(name, kind, help);
        self.sample(name, format_args!(""), value);
    }
}
