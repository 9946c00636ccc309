//! One object a line.

use crate::contest::{Outcome, Sample, median};
use crate::machine::Machine;
use crate::statistics::CURVE;
use serde_json::{Map, Value, json};

/// The first line: where, with what.
pub fn machine_line(machine: &Machine) -> String {
    json!(machine).to_string()
}

/// A line for each comparison. More is better in every ratio; pairs are initiator, responder.
pub fn outcome_line(outcome: &Outcome) -> String {
    let ratio = outcome.ratio();
    json!({
        "case": outcome.case,
        "detail": outcome.detail,
        "rival": outcome.rival,
        "ours": median(&outcome.ours, |sample| sample.value),
        "theirs": median(&outcome.theirs, |sample| sample.value),
        "unit": outcome.metric.unit(),
        "ratio_median": ratio.median,
        "ratio_min": ratio.min,
        "ratio_max": ratio.max,
        "rounds": outcome.ours.len(),
        "cpu_unit": outcome.metric.cpu_unit(),
        "cpu_ours": pair(&outcome.ours, |sample| sample.cpu),
        "cpu_theirs": pair(&outcome.theirs, |sample| sample.cpu),
        "peak_bytes_ours": pair(&outcome.ours, peak),
        "peak_bytes_theirs": pair(&outcome.theirs, peak),
        "percentiles_us_ours": percentiles(&outcome.ours),
        "percentiles_us_theirs": percentiles(&outcome.theirs),
    })
    .to_string()
}

fn peak(sample: &Sample) -> [f64; 2] {
    sample.peak_len.map(|len| len as f64)
}

/// The medians of both ends; null for what was not measured.
fn pair(samples: &[Sample], what: impl Fn(&Sample) -> [f64; 2]) -> Option<[f64; 2]> {
    let both = [0, 1].map(|end| median(samples, |sample| what(sample)[end]));
    (both != [0.0; 2]).then_some(both)
}

/// The median over rounds at each point of the curve, by percent; null where no round trips were made.
fn percentiles(samples: &[Sample]) -> Value {
    if samples.iter().any(|sample| sample.curve_ns.len() != CURVE.len()) {
        return Value::Null;
    }
    let at = |point: usize| median(samples, |sample| sample.curve_ns[point] as f64 / 1e3);
    let points = CURVE.iter().enumerate().map(|(point, percent)| (percent.to_string(), json!(at(point))));
    Value::Object(points.collect::<Map<_, _>>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contest::Metric;
    use crate::output::tests::outcome;

    fn parse(metric: Metric) -> Value {
        serde_json::from_str(&outcome_line(&outcome(metric))).expect("valid JSON")
    }

    #[test]
    fn a_comparison_has_the_promised_fields() {
        let line = parse(Metric::Throughput);
        let text = ["case", "detail", "rival", "unit"].map(|key| line[key].as_str().expect("text").to_owned());
        assert_eq!(text, ["bulk", "64 KiB", "raw", "GB/s"]);
        let figures = ["ours", "theirs", "ratio_median", "ratio_min", "ratio_max", "rounds"];
        assert_eq!(figures.map(|key| line[key].as_f64().expect("a number")), [5.0, 2.0, 2.5, 2.0, 3.0, 2.0]);
        assert_eq!(line["cpu_ours"], json!([0.1, 0.2]));
        assert_eq!(line["percentiles_us_ours"], Value::Null);
    }

    #[test]
    fn times_are_turned_over_so_that_more_is_better() {
        let line = parse(Metric::LatencyP50);
        assert!(line["ratio_max"].as_f64().is_some_and(|ratio| ratio == 0.5), "2 us against 4 us");
        assert!(line["percentiles_us_theirs"]["50"].is_number());
    }

    #[test]
    fn a_line_is_one_line() {
        assert!(!outcome_line(&outcome(Metric::Rate)).contains('\n'));
    }
}
