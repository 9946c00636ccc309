//! What is promised: the ratio that each comparison has to hold. `compare --hold` fails below it, and where a promise was
//! not looked at, so that a slowdown after an update of the compiler is noticed.

use landline::crypto::gcm::Implementation;

/// Case, detail, rival, ratio.
type Row = (&'static str, &'static str, &'static str, f64);

const HOLDS: &[Row] = &[
    ("gcm", "seal 64", "aws-lc-rs", 1.0 / 0.4),
    ("gcm", "chain 64", "aws-lc-rs", 1.0 / 0.6),
    ("gcm", "seal 1024", "aws-lc-rs", 1.5),
    ("gcm", "open 1024", "aws-lc-rs", 1.5),
    ("gcm", "seal 16384", "aws-lc-rs", 1.0),
    ("gcm", "open 16384", "aws-lc-rs", 1.0),
    ("gcm", "copy 16384", "aws-lc-rs", 1.2),
    ("gcm", "seal 65536", "aws-lc-rs", 1.0),
    ("gcm", "open 65536", "aws-lc-rs", 1.0),
    ("gcm", "key set-up, rival seal 64", "aes + ghash", 1.0),
    ("gcm", "narrow-256 seal 16384", "ring", 1.0),
    ("gcm", "narrow-128 seal 16384", "aes + ghash", 1.4),
    ("bulk", "64 KiB", "raw", 0.80),
    ("bulk", "64 KiB", "rustls", 1.2),
    ("rate-64", "64 B", "zeromq", 2.0),
    ("rtt", "64 B", "raw", 1.0 / 1.15),
    ("rtt-spin", "64 B", "raw-spin", 1.0 / 1.2),
    ("rtt-engine", "64 B", "zeromq", 1.0),
    // A 99th percentile at most three times that of an idle link.
    ("rtt-loaded", "64 B", "unloaded", 1.0 / 3.0),
    ("fan-in", "1000 links", "one link", 0.8),
    ("idle", "10000 links", "held", 1.0),
    ("handshake", "full", "rustls", 0.8),
    ("directory", "look-up", "nginx", 0.8),
    ("directory", "announce", "verify_strict", 0.8),
    ("directory", "announce, disk", "verify_strict", 0.8),
    ("directory", "1,000 watchers", "held", 1.0),
    ("directory", "idle watcher", "held", 1.0),
    ("sync", "2 GiB, first copy", "rsync", 2.0),
    ("sync", "2 GiB, first copy", "rsync-ssh", 5.0),
    ("sync", "20,000 files, first copy", "rsync", 1.0),
    ("sync", "20,000 files, first copy", "rsync-ssh", 1.5),
    ("sync", "20,000 files, nothing changed", "rsync", 1.0),
    ("sync", "20,000 files, nothing changed", "rsync-ssh", 2.0),
    ("sync", "20,000 files, 1 % changed", "rsync", 1.0),
    ("sync", "1,000,000 empty files, peak memory", "held", 1.0),
    ("sync", "urgent beside 2 GiB, p99", "without", 0.1),
];

/// What has to hold of a case on this machine: detail, rival, ratio. The cipher's rows are about `wide`, but for those that
/// name another implementation, and mean nothing where there is none.
pub fn holds(case: &str) -> impl Iterator<Item = (&'static str, &'static str, f64)> {
    let is_here = |row: &&Row| match Implementation::ALL.iter().find(|one| row.1.starts_with(one.name())) {
        Some(named) => Implementation::available().any(|one| one == *named),
        None => row.0 != "gcm" || Implementation::chosen() == Implementation::Wide,
    };
    HOLDS.iter().filter(move |row| row.0 == case).filter(is_here).map(|row| (row.1, row.2, row.3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cases::CASES;

    #[test]
    #[cfg(feature = "rivals")]
    fn every_promise_is_about_a_comparison_that_is_made() {
        for case in CASES {
            let pairs = (case.pairs)();
            for (detail, rival, _) in holds(case.name) {
                let is_made = pairs.iter().any(|pair| (pair.detail.as_str(), pair.rival) == (detail, rival));
                assert!(is_made, "{}, {detail}, {rival}", case.name);
            }
        }
    }

    #[test]
    fn every_promise_is_about_a_case() {
        assert!(HOLDS.iter().all(|row| CASES.iter().any(|case| case.name == row.0)));
    }
}
