//! What a run looks like: a table for a terminal, JSON for programs, a page for people far away.

mod html;
mod json;
mod plot;
mod table;

pub use html::page;
pub use json::{machine_line, outcome_line};
pub use table::{case_heading, outcome_rows};

/// Three significant digits, without an exponent: enough for figures that vary by percents.
pub(crate) fn short(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 || size == 0.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use crate::contest::{Metric, Outcome, Sample};
    use crate::statistics::CURVE;

    /// Two rounds: 4 and 6 against 2 and 2.
    pub(crate) fn outcome(metric: Metric) -> Outcome {
        let sample = |value: f64| Sample {
            value,
            cpu: [0.1, 0.2],
            peak_len: [3 << 20, 5 << 20],
            curve_ns: if metric == Metric::LatencyP50 { (0..CURVE.len() as u64).collect() } else { Vec::new() },
        };
        Outcome {
            case: "bulk",
            detail: "64 KiB".to_owned(),
            rival: "raw",
            metric,
            ours: vec![sample(4.0), sample(6.0)],
            theirs: vec![sample(2.0), sample(2.0)],
        }
    }

    #[test]
    fn figures_have_three_digits() {
        let all = [0.0, 0.1234, 1.234, 12.34, 123.4, 12345.6].map(super::short);
        assert_eq!(all, ["0", "0.123", "1.23", "12.3", "123", "12346"]);
    }
}
