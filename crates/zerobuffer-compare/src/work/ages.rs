//! How old frames were, one by one, and their percentiles over all repetitions.

use hdrhistogram::Histogram;

/// Kept to three digits, up to a minute.
const LONGEST_NS: u64 = 60_000_000_000;

/// Of what the report draws a curve.
pub(crate) const PERCENTILES: [f64; 14] =
    [1.0, 10.0, 25.0, 50.0, 60.0, 75.0, 90.0, 95.0, 98.0, 99.0, 99.5, 99.9, 99.99, 100.0];

#[derive(Debug)]
pub(crate) struct Ages(Histogram<u64>);

impl Ages {
    pub(crate) fn new() -> Self {
        Self(Histogram::new_with_max(LONGEST_NS, 3).expect("constant bounds are valid"))
    }

    #[inline]
    pub(crate) fn note(&mut self, ns: u64) {
        self.0.saturating_record(ns);
    }

    pub(crate) fn add(&mut self, ages: &[(u64, u64)]) {
        for &(ns, count) in ages {
            self.0.saturating_record_n(ns, count);
        }
    }

    pub(crate) fn len(&self) -> u64 {
        self.0.len()
    }

    /// Whether enough frames lie beyond this percentile to speak of it.
    pub(crate) fn knows(&self, percentile: f64) -> bool {
        percentile >= 100.0 || self.len() as f64 * (100.0 - percentile) / 100.0 >= 5.0
    }

    pub(crate) fn at(&self, percentile: f64) -> f64 {
        self.0.value_at_percentile(percentile) as f64
    }

    pub(crate) fn counts(&self) -> Vec<(u64, u64)> {
        self.0.iter_recorded().map(|at| (at.value_iterated_to(), at.count_at_value())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::Ages;

    #[test]
    fn what_is_added_again_has_the_same_percentiles() {
        let mut one = Ages::new();
        for ns in 1..=1000 {
            one.note(ns * 7);
        }
        let mut other = Ages::new();
        other.add(&one.counts());
        assert_eq!(other.len(), 1000);
        for percentile in [1.0, 50.0, 99.0, 100.0] {
            assert_eq!(one.at(percentile), other.at(percentile));
        }
        assert!(other.knows(99.5) && other.knows(100.0) && !other.knows(99.9));
    }
}
