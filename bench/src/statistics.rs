//! Medians, spreads, ratios and percentiles: arithmetic only.

/// Points of a latency curve, in percent.
pub const CURVE: [f64; 12] = [0.0, 10.0, 25.0, 50.0, 75.0, 90.0, 95.0, 99.0, 99.5, 99.9, 99.99, 100.0];
/// Where in [`CURVE`] the median is.
pub const P50: usize = 3;
/// Where in [`CURVE`] the 99th percentile is.
pub const P99: usize = 7;

/// A figure over several rounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The middle one; of an even number, the mean of the two in the middle.
    pub median: f64,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
}

impl Spread {
    /// Of the values of all rounds; zeros when there are none.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Spread {
        let mut sorted: Vec<f64> = values.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let (Some(&min), Some(&max)) = (sorted.first(), sorted.last()) else {
            return Spread { median: 0.0, min: 0.0, max: 0.0 };
        };
        let middle = sorted.len() / 2;
        let median = if sorted.len() % 2 == 1 { sorted[middle] } else { (sorted[middle - 1] + sorted[middle]) / 2.0 };
        Spread { median, min, max }
    }
}

/// Which way a unit is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    /// Throughputs.
    More,
    /// Times and sizes.
    Less,
}

/// How many times better ours is than theirs: more is better whatever the unit. 0 when a side has nothing.
pub fn ratio(ours: f64, theirs: f64, better: Better) -> f64 {
    let (above, below) = match better {
        Better::More => (ours, theirs),
        Better::Less => (theirs, ours),
    };
    if below > 0.0 { above / below } else { 0.0 }
}

/// The times at the points of [`CURVE`], by nearest rank; sorts what it is given. Empty for no times.
pub fn curve(times: &mut [u64]) -> Vec<u64> {
    times.sort_unstable();
    let Some(last) = times.len().checked_sub(1) else { return Vec::new() };
    let at = |percent: f64| times[((percent / 100.0 * times.len() as f64).ceil() as usize).saturating_sub(1).min(last)];
    CURVE.iter().map(|&percent| at(percent)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_whatever_the_order() {
        assert_eq!(Spread::of([3.0, 1.0, 2.0]), Spread { median: 2.0, min: 1.0, max: 3.0 });
        assert_eq!(Spread::of([4.0, 1.0, 2.0, 3.0]).median, 2.5);
        assert_eq!(Spread::of([7.0]), Spread { median: 7.0, min: 7.0, max: 7.0 });
        assert_eq!(Spread::of([]).max, 0.0);
    }

    #[test]
    fn a_ratio_above_one_is_good_news_in_every_unit() {
        assert_eq!(ratio(6.0, 3.0, Better::More), 2.0);
        assert_eq!(ratio(10.0, 30.0, Better::Less), 3.0);
        assert_eq!(ratio(0.0, 30.0, Better::Less), 0.0);
        assert_eq!(ratio(1.0, 0.0, Better::More), 0.0);
    }

    #[test]
    fn a_curve_takes_the_nearest_rank() {
        let mut times: Vec<u64> = (1..=1000).rev().collect();
        let curve = curve(&mut times);
        assert_eq!((curve[0], curve[P50], curve[P99], curve[CURVE.len() - 1]), (1, 500, 990, 1000));
        assert!(super::curve(&mut []).is_empty());
        assert_eq!(super::curve(&mut [5]), [5; CURVE.len()]);
    }
}
