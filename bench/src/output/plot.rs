//! The plots of the page as SVG: bars for ratios, curves for round trips. Colours come from the page's style sheet, so that
//! light and dark are its affair.

use super::html::escape;
use super::short;
use crate::statistics::{CURVE, Spread};
use std::fmt::Write;

/// Ratios outside are drawn at the edge; the number beside the bar is the true one.
const RATIO_EDGE: f64 = 10.0;
/// Size of a curve plot, and the room for its axes, in the plot's own units.
const WIDTH: f64 = 480.0;
const HEIGHT: f64 = 270.0;
const LEFT: f64 = 52.0;
const BOTTOM: f64 = 34.0;
const TOP: f64 = 10.0;
const RIGHT: f64 = 14.0;

/// A bar from 1 to the median, on a logarithmic scale from a tenth to ten times, with a whisker from the smallest to the
/// largest. Stretches to whatever width it is given.
pub(super) fn bar(ratio: Spread) -> String {
    let at = |value: f64| 50.0 + 50.0 * value.clamp(1.0 / RATIO_EDGE, RATIO_EDGE).log10() / RATIO_EDGE.log10();
    let (median, min, max) = (at(ratio.median), at(ratio.min), at(ratio.max));
    let (left, right) = (median.min(50.0), median.max(50.0));
    let class = if ratio.median >= 1.0 { "better" } else { "worse" };
    let mut svg = String::from(
        "<svg class=\"bar\" viewBox=\"0 0 100 20\" preserveAspectRatio=\"none\" role=\"img\" aria-hidden=\"true\">",
    );
    for tick in [0.1, 0.2, 0.5, 2.0, 5.0, 10.0] {
        let _ = write!(svg, "<line class=\"grid\" x1=\"{0:.2}\" x2=\"{0:.2}\" y1=\"0\" y2=\"20\"/>", at(tick));
    }
    let _ = write!(
        svg,
        "<rect class=\"{class}\" x=\"{left:.2}\" y=\"4\" width=\"{:.2}\" height=\"12\"/>\
         <line class=\"one\" x1=\"50\" x2=\"50\" y1=\"0\" y2=\"20\"/>\
         <line class=\"whisker\" x1=\"{min:.2}\" x2=\"{max:.2}\" y1=\"10\" y2=\"10\"/></svg>",
        (right - left).max(0.3),
    );
    svg
}

/// One line of a curve plot.
pub(super) struct Curve {
    /// Whose round trips.
    pub(super) name: String,
    /// In microseconds, at the points of [`CURVE`].
    pub(super) times: Vec<f64>,
}

/// Round trips by percentile, both axes logarithmic: the right end shows what the slowest of 10,000 take. Nothing for no
/// curves. The n-th curve has the class `c<n>`.
pub(super) fn curves(curves: &[Curve]) -> String {
    let all = || curves.iter().flat_map(|curve| &curve.times).copied().filter(|&time| time > 0.0);
    let (min, max) = (all().fold(f64::INFINITY, f64::min), all().fold(0.0, f64::max));
    if max <= 0.0 {
        return String::new();
    }
    let axis = Axis::new(min, max);
    let mut svg = format!(
        "<svg class=\"curves\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" \
         aria-label=\"round trips in microseconds by percentile\">"
    );
    axis.draw(&mut svg);
    for (index, curve) in curves.iter().enumerate() {
        let points: Vec<String> = (CURVE.iter().zip(&curve.times))
            .map(|(&percent, &time)| format!("{:.1},{:.1}", percent_at(percent), axis.at(time)))
            .collect();
        let figures: Vec<String> = (CURVE.iter().zip(&curve.times))
            .map(|(percent, &time)| format!("p{percent}: {} µs", short(time)))
            .collect();
        let _ = write!(
            svg,
            "<polyline class=\"curve c{index}\" points=\"{}\"><title>{}\n{}</title></polyline>",
            points.join(" "),
            escape(&curve.name),
            figures.join("\n"),
        );
    }
    svg + "</svg>"
}

/// Where a percentile stands: each further nine takes the same room, the largest stands a little behind 99.99.
fn percent_at(percent: f64) -> f64 {
    const NINES_MAX: f64 = 4.5;
    let nines = if percent >= 100.0 { NINES_MAX } else { -(1.0 - percent / 100.0).log10() };
    LEFT + (WIDTH - LEFT - RIGHT) * nines / NINES_MAX
}

/// The logarithmic axis of times.
struct Axis {
    low: f64,
    high: f64,
}

impl Axis {
    /// From the 1, 2 or 5 below `min` to the one above `max`.
    fn new(min: f64, max: f64) -> Axis {
        let steps = Axis::steps();
        let low = steps.iter().copied().rev().find(|&step| step <= min).unwrap_or(min);
        let high = steps.iter().copied().find(|&step| step >= max && step > low).unwrap_or(max);
        Axis { low, high }
    }

    /// 1, 2, 5, 10 and so on: from a nanosecond to a thousand seconds, in microseconds.
    fn steps() -> Vec<f64> {
        (-3..9).flat_map(|power| [1.0, 2.0, 5.0].map(|digit| digit * 10_f64.powi(power))).collect()
    }

    fn at(&self, time: f64) -> f64 {
        let share = (time.max(self.low) / self.low).ln() / (self.high / self.low).ln();
        HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * share
    }

    fn draw(&self, svg: &mut String) {
        let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        let inside: Vec<f64> = Axis::steps().into_iter().filter(|step| (self.low..=self.high).contains(step)).collect();
        // Powers of ten alone when there would be too many lines to read.
        let sparse = inside.len() > 10;
        for step in inside.into_iter().filter(|step| !sparse || step.log10().fract().abs() < 1e-9) {
            let y = self.at(step);
            let _ = write!(
                svg,
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
                 <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{} µs</text>",
                LEFT - 6.0,
                y + 4.0,
                if step >= 1.0 { format!("{step:.0}") } else { step.to_string() },
            );
        }
        for (percent, text) in
            [(0.0, "min"), (50.0, "50"), (90.0, "90"), (99.0, "99"), (99.9, "99.9"), (99.99, "99.99"), (100.0, "max")]
        {
            let x = percent_at(percent);
            let _ = write!(
                svg,
                "<line class=\"grid\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{bottom}\"/>\
                 <text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{text}</text>",
                bottom + 16.0,
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_grows_to_the_side_of_the_better() {
        let better = bar(Spread { median: 10.0, min: 9.0, max: 100.0 });
        assert!(better.contains("class=\"better\" x=\"50.00\" y=\"4\" width=\"50.00\""), "{better}");
        let worse = bar(Spread { median: 0.1, min: 0.0, max: 0.2 });
        assert!(worse.contains("class=\"worse\" x=\"0.00\" y=\"4\" width=\"50.00\""), "{worse}");
    }

    #[test]
    fn curves_stay_inside_and_rise_with_the_time() {
        let axis = Axis::new(7.0, 950.0);
        assert_eq!((axis.low, axis.high), (5.0, 1000.0));
        assert!(axis.at(7.0) > axis.at(950.0) && axis.at(950.0) >= TOP && axis.at(7.0) <= HEIGHT - BOTTOM);
        assert!(percent_at(100.0) <= WIDTH - RIGHT && percent_at(0.0) >= LEFT);
    }

    #[test]
    fn names_are_escaped_and_nothing_gives_nothing() {
        let curve = Curve { name: "<a>".to_owned(), times: vec![1.0; CURVE.len()] };
        assert!(curves(&[curve]).contains("&lt;a&gt;"));
        assert_eq!(curves(&[]), "");
    }
}
