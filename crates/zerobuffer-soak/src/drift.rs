//! Whether something grows, in spite of noise.

/// By how much a row of samples rises or falls from its beginning to its end: the median of the slopes between all
/// pairs of samples, which a few outliers cannot move (Theil and Sen).
pub(crate) fn rise(samples: &[(f64, f64)]) -> f64 {
    let (Some(first), Some(last)) = (samples.first(), samples.last()) else { return 0.0 };
    // Some hundred samples are enough to tell, and their pairs are not too many.
    let step = samples.len().div_ceil(300);
    let thinned: Vec<_> = samples.iter().step_by(step).collect();
    let mut slopes: Vec<f64> = Vec::new();
    for (index, one) in thinned.iter().enumerate() {
        for other in &thinned[index + 1..] {
            if other.0 > one.0 {
                slopes.push((other.1 - one.1) / (other.0 - one.0));
            }
        }
    }
    median(&mut slopes).unwrap_or(0.0) * (last.0 - first.0)
}

/// The one in the middle.
pub(crate) fn median(values: &mut [f64]) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(value: impl Fn(f64) -> f64) -> Vec<(f64, f64)> {
        (0..500).map(|second| (f64::from(second), value(f64::from(second)))).collect()
    }

    #[test]
    fn a_leak_is_seen_through_noise_and_noise_is_none() {
        let noise = |at: f64| (at * 7919.0).sin() * 50.0;
        assert!(rise(&row(noise)).abs() < 5.0);
        let leak = rise(&row(|at| noise(at) + at * 0.2));
        assert!((leak - 100.0).abs() < 10.0, "{leak}");
        // A step at the beginning and a spike are no drift.
        let settled = row(|at| if at < 20.0 { 0.0 } else { 1000.0 });
        assert!(rise(&settled).abs() < 1.0);
        let mut spiked = row(|_| 10.0);
        spiked[250].1 = 1e9;
        assert!(rise(&spiked).abs() < 1.0);
        assert_eq!(rise(&[]), 0.0);
    }
}
