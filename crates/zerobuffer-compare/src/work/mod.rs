//! The work that everybody does, one file each.

pub(crate) mod ages;
pub(crate) mod call;
pub(crate) mod cost;
pub(crate) mod latency;
pub(crate) mod relay;
pub(crate) mod rounds;
pub(crate) mod start;
pub(crate) mod throughput;
pub(crate) mod wake;

/// First eight bytes of the frame that starts the clock of a stream.
pub(crate) const BEGIN: u64 = u64::MAX - 1;
/// First eight bytes of the last frame.
pub(crate) const END: u64 = u64::MAX;

/// What one measurement of one peer found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// The headline, in the unit of the case.
    pub(crate) value: f64,
    /// Single frames, where they were timed one by one.
    pub(crate) ages: Vec<(u64, u64)>,
}

/// The first eight bytes of a frame: its number, time stamp or mark.
#[inline(always)]
pub(crate) fn header(frame: &[u8]) -> u64 {
    frame.first_chunk().map_or(END, |bytes| u64::from_le_bytes(*bytes))
}

/// Sum of a frame as little-endian words, the last one padded with zeros: reads every byte, at the speed of the memory
/// that it lies in.
#[inline(always)]
pub(crate) fn sum(frame: &[u8]) -> u64 {
    // Who reads records knows their size: no loop for the small ones.
    if let Ok(record) = <&[u8; 8]>::try_from(frame) {
        return sum_words(record);
    }
    if let Ok(record) = <&[u8; 64]>::try_from(frame) {
        return sum_words(record);
    }
    sum_words(frame)
}

#[inline(always)]
fn sum_words(frame: &[u8]) -> u64 {
    let (words, tail) = frame.as_chunks::<8>();
    let sum = words.iter().fold(0_u64, |sum, word| sum.wrapping_add(u64::from_le_bytes(*word)));
    let mut last = [0; 8];
    last[..tail.len()].copy_from_slice(tail);
    sum.wrapping_add(u64::from_le_bytes(last))
}

/// Nanoseconds since some moment before; the same for both processes.
pub(crate) fn now_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// The middle one; zero of nothing.
pub(crate) fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => 0.0,
        odd if odd % 2 == 1 => values[odd / 2],
        even => f64::midpoint(values[even / 2 - 1], values[even / 2]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_sees_every_byte() {
        for length in [8, 21, 64, 100] {
            let frame: Vec<u8> = (0..length).collect();
            for index in 0..frame.len() {
                let mut other = frame.clone();
                other[index] ^= 1;
                assert_ne!(sum(&other), sum(&frame), "byte {index} of {length}");
            }
        }
    }

    #[test]
    fn the_median_is_the_middle_one() {
        assert_eq!(median(&mut [3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&mut [4.0, 1.0, 2.0, 3.0]), 2.5);
    }
}
