//! What is promised: the ratio that each comparison has to hold. `compare --hold` fails below it, so that a slowdown after
//! an update of the compiler is noticed.

/// Case, detail, rival, ratio.
const HOLDS: &[(&str, &str, &str, f64)] = &[
    // The cipher, on a processor with AVX-512.
    ("gcm", "seal 64", "aws-lc-rs", 1.0 / 0.4),
    ("gcm", "chain 64", "aws-lc-rs", 1.0 / 0.6),
    ("gcm", "seal 1024", "aws-lc-rs", 1.5),
    ("gcm", "open 1024", "aws-lc-rs", 1.5),
    ("gcm", "seal 16384", "aws-lc-rs", 1.0),
    ("gcm", "open 16384", "aws-lc-rs", 1.0),
    ("gcm", "copy 16384", "aws-lc-rs", 1.2),
    ("gcm", "seal 65536", "aws-lc-rs", 1.0),
    ("gcm", "open 65536", "aws-lc-rs", 1.0),
    ("gcm", "narrow-256 seal 16384", "ring", 1.0),
    ("gcm", "narrow-128 seal 16384", "aes + ghash", 1.4),
    ("gcm", "key set-up, rival seal 64", "aes + ghash", 1.0),
];

/// What a comparison has to hold, if anything was promised of it.
pub fn hold(case: &str, detail: &str, rival: &str) -> Option<f64> {
    let row = HOLDS.iter().find(|row| (row.0, row.1, row.2) == (case, detail, rival));
    row.map(|row| row.3)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cases::CASES;

    /// The narrow ones stand in the list only where they are not the best.
    #[test]
    #[cfg(feature = "rivals")]
    fn every_promise_is_about_a_comparison_that_is_made() {
        let made: Vec<(&str, String, &str)> = CASES
            .iter()
            .flat_map(|case| (case.pairs)().into_iter().map(|pair| (case.name, pair.detail, pair.rival)))
            .collect();
        for (case, detail, rival, _) in HOLDS.iter().filter(|row| !row.1.starts_with("narrow")) {
            assert!(
                made.iter().any(|made| (made.0, made.1.as_str(), made.2) == (*case, *detail, *rival)),
                "{case}, {detail}, {rival}"
            );
        }
    }

    #[test]
    fn what_was_not_promised_holds_nothing() {
        assert!(hold("gcm", "seal 7", "ring").is_none() && !CASES.is_empty());
        assert_eq!(hold("gcm", "copy 16384", "aws-lc-rs"), Some(1.2));
    }
}
