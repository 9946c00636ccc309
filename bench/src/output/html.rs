//! The page: one file that opens without a network, in light and dark, on wide screens and narrow ones.

use super::plot::{Curve, bar, curves};
use super::short;
use crate::cases::CASES;
use crate::contest::{Metric, Outcome, Sample, median};
use crate::machine::Machine;
use crate::statistics::CURVE;
use std::fmt::Write;

/// Lines of one plot that have a colour of their own.
const CURVE_COUNT_MAX: usize = 8;

/// The whole page.
pub fn page(machine: &Machine, outcomes: &[Outcome]) -> String {
    let mut out = String::from("<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n");
    out += "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n";
    let _ = write!(out, "<title>landline, measured</title>\n<style>\n{}</style>\n<main>\n", include_str!("page.css"));
    out += "<h1>landline beside its rivals</h1>\n<p>A bar to the right: landline is better, whatever the unit. Each is \
            the median of rounds in which both were measured in turn; the thin line runs from the worst round to the \
            best. The scale is logarithmic.</p>\n";
    out += &machine_list(machine);
    for case in CASES {
        let of_case: Vec<&Outcome> = outcomes.iter().filter(|outcome| outcome.case == case.name).collect();
        if of_case.is_empty() {
            continue;
        }
        let _ = write!(out, "<h2 id=\"{0}\">{0}</h2>\n<p class=\"about\">{1}</p>\n", case.name, escape(case.about));
        out += &bars(&of_case);
        out += &latency(&of_case);
    }
    out + "</main>\n</html>\n"
}

/// Text in a page.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '"' => out += "&quot;",
            '\'' => out += "&#39;",
            other => out.push(other),
        }
    }
    out
}

fn machine_list(machine: &Machine) -> String {
    let Machine { machine, kernel, commit, rustc, flags, congestion_control, gcm, tree_place, buffers, profile } =
        machine;
    let facts = [
        ("machine", machine.as_str()),
        ("kernel", kernel),
        ("commit", commit),
        ("compiler", rustc),
        ("build", flags),
        ("TCP", congestion_control),
        ("trees of files", tree_place),
        ("buffers", buffers),
        ("AES-GCM", gcm),
        ("profile", profile),
    ];
    let items: Vec<String> =
        facts.iter().map(|(name, value)| format!("<dt>{name}</dt><dd>{}</dd>\n", escape(value))).collect();
    format!("<dl>\n{}</dl>\n", items.concat())
}

fn bars(outcomes: &[&Outcome]) -> String {
    let mut out = String::from(
        "<div class=\"rows\">\n<div class=\"row head\"><span>beside</span><span class=\"scale\"><span>0.1</span>\
         <span>1</span><span>10</span></span><span class=\"ratio\">ratio</span><span>ours : theirs</span></div>\n",
    );
    for outcome in outcomes {
        let ratio = outcome.ratio();
        let (ours, theirs) = (&outcome.ours, &outcome.theirs);
        let _ = writeln!(
            out,
            "<div class=\"row\"><span class=\"name\"><b>{}</b> {}</span>{}<span class=\"ratio\" \
             title=\"{} to {}\">{}</span><span class=\"figures\">{} : {} {}</span><span class=\"spent\">{}</span></div>",
            escape(outcome.rival),
            escape(&outcome.detail),
            bar(ratio),
            short(ratio.min),
            short(ratio.max),
            short(ratio.median),
            short(median(ours, |sample| sample.value)),
            short(median(theirs, |sample| sample.value)),
            escape(outcome.metric.unit()),
            spent(outcome),
        );
    }
    out + "</div>\n"
}

/// What both ends together spent.
fn spent(outcome: &Outcome) -> String {
    let cpu = |samples: &[Sample]| short(median(samples, |sample| sample.cpu.iter().sum()));
    let peak = |samples: &[Sample]| {
        short(median(samples, |sample| sample.peak_len.iter().sum::<u64>() as f64 / f64::from(1 << 20)))
    };
    format!(
        "both ends: cpu {} : {} {}; peak memory {} : {} MiB",
        cpu(&outcome.ours),
        cpu(&outcome.theirs),
        escape(outcome.metric.cpu_unit()),
        peak(&outcome.ours),
        peak(&outcome.theirs),
    )
}

/// The curves of a case that measures round trips, or requests with the time that each takes; of ours those beside the first rival.
fn latency(outcomes: &[&Outcome]) -> String {
    let is_latency =
        |outcome: &&&Outcome| matches!(outcome.metric, Metric::LatencyP50 | Metric::LatencyP99 | Metric::RequestRate);
    let mut lines = Vec::new();
    for outcome in outcomes.iter().filter(is_latency) {
        if lines.is_empty() {
            lines.extend(curve("landline", &outcome.ours));
        }
        lines.extend(curve(outcome.rival, &outcome.theirs));
    }
    lines.truncate(CURVE_COUNT_MAX);
    if lines.is_empty() {
        return String::new();
    }
    let key: Vec<String> = (lines.iter().enumerate())
        .map(|(index, line)| format!("<li><i class=\"c{index}\"></i>{}</li>", escape(&line.name)))
        .collect();
    format!(
        "<figure>{}<figcaption>Round trips by percentile; lower is better.</figcaption><ul class=\"key\">{}</ul></figure>\n",
        curves(&lines),
        key.concat(),
    )
}

/// The median over rounds at each point; nothing where no round trips were made.
fn curve(name: &str, samples: &[Sample]) -> Option<Curve> {
    let is_whole = samples.iter().all(|sample| sample.curve_ns.len() == CURVE.len());
    let at = |point: usize| median(samples, |sample| sample.curve_ns[point] as f64 / 1e3);
    is_whole.then(|| Curve { name: name.to_owned(), times: (0..CURVE.len()).map(at).collect() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::tests::outcome;

    fn machine() -> Machine {
        Machine {
            machine: "<script>".to_owned(),
            kernel: "Linux".to_owned(),
            commit: "abc".to_owned(),
            rustc: "rustc".to_owned(),
            flags: "release".to_owned(),
            congestion_control: "cubic".to_owned(),
            gcm: "wide",
            tree_place: "/dev/shm".to_owned(),
            buffers: "left to the kernel",
            profile: "balanced",
        }
    }

    #[test]
    fn what_has_a_meaning_in_html_is_escaped() {
        assert_eq!(escape("a<b>&\"c'"), "a&lt;b&gt;&amp;&quot;c&#39;");
        assert!(!page(&machine(), &[]).contains("<script>"));
    }

    #[test]
    fn a_page_needs_nothing_from_elsewhere() {
        let page = page(&machine(), &[outcome(Metric::LatencyP50), outcome(Metric::Throughput)]);
        for outside in ["http:", "https:", "src=", "href=", "@import", "url("] {
            assert!(!page.contains(outside), "{outside}");
        }
        assert!(page.contains("<polyline") && page.contains("class=\"bar\""));
    }
}
