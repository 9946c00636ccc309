//! The table: two lines for each comparison, within 80 columns, the same on a terminal and in a file.

use super::short;
use crate::cases::Case;
use crate::contest::{Outcome, Sample, median};

/// Room for a rival and what it is beside us in.
const NAME_WIDTH: usize = 28;

/// The line above a case's rows.
pub fn case_heading(case: &Case) -> String {
    format!(
        "\n{}: {}\n  {:<NAME_WIDTH$}{:>9}{:>9} {:<8}{:>7}  {}",
        case.name, case.about, "against", "ours", "theirs", "", "ratio", "min..max"
    )
}

/// One comparison: the figures, then, where there were two processes, what both ends spent, initiator and responder apart.
pub fn outcome_rows(outcome: &Outcome) -> String {
    let ratio = outcome.ratio();
    let (ours, theirs) = (&outcome.ours, &outcome.theirs);
    let mut name = format!("{}, {}", outcome.rival, outcome.detail);
    if name.chars().count() > NAME_WIDTH {
        // A line of its own.
        name += &format!("\n  {:NAME_WIDTH$}", "");
    }
    let figures = format!(
        "  {name:<NAME_WIDTH$}{:>9}{:>9} {:<8}{:>7}  {}..{}",
        short(median(ours, |sample| sample.value)),
        short(median(theirs, |sample| sample.value)),
        outcome.metric.unit(),
        short(ratio.median),
        short(ratio.min),
        short(ratio.max),
    );
    if ours.iter().chain(theirs).all(|sample| sample.peak_len == [0; 2]) {
        return figures;
    }
    let (ours, theirs) = (spent(ours), spent(theirs));
    let unit = outcome.metric.cpu_unit();
    format!("{figures}\n    cpu {unit} {} : {}, peak MiB {} : {}", ours.0, theirs.0, ours.1, theirs.1)
}

/// Processor time and peak memory as text; a dash for what is not measured, a word for who has only one process.
fn spent(samples: &[Sample]) -> (String, String) {
    let cpu = [0, 1].map(|end| median(samples, |sample| sample.cpu[end]));
    let peak = [0, 1].map(|end| median(samples, |sample| sample.peak_len[end] as f64) / f64::from(1 << 20));
    let both = |values: [f64; 2]| {
        if values == [0.0; 2] { "-".to_owned() } else { format!("{}+{}", short(values[0]), short(values[1])) }
    };
    (both(cpu), both(peak))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cases::CASES;
    use crate::contest::Metric;
    use crate::output::tests::outcome;

    #[test]
    fn rows_say_medians_and_spread() {
        let rows = outcome_rows(&outcome(Metric::Throughput));
        assert!(rows.contains("raw, 64 KiB") && rows.contains("5.00") && rows.contains("2.50  2.00..3.00"), "{rows}");
        assert!(rows.contains("cpu s/GB 0.100+0.200 : 0.100+0.200, peak MiB 3.00+5.00 : 3.00+5.00"), "{rows}");
    }

    #[test]
    fn everything_fits_80_columns() {
        let long = Outcome { detail: "a name that needs a line of its own".to_owned(), ..outcome(Metric::LatencyP50) };
        let rows = [&long, &outcome(Metric::LatencyP50)].map(outcome_rows).join("\n");
        let headings = CASES.iter().map(case_heading).collect::<Vec<_>>().join("\n");
        for line in rows.lines().chain(headings.lines()) {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }
}
