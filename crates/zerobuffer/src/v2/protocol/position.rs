//! Ring positions: byte counts that only grow, and wrap at 2^64.

/// A position in the ring. Compared by wrapping difference, so that it may pass 2^64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Position(pub(crate) u64);

impl Position {
    /// The position `bytes` further on.
    #[inline(always)]
    pub(crate) fn plus(self, bytes: u64) -> Self {
        Self(self.0.wrapping_add(bytes))
    }

    /// The position `bytes` earlier.
    #[inline(always)]
    pub(crate) fn minus(self, bytes: u64) -> Self {
        Self(self.0.wrapping_sub(bytes))
    }

    /// Bytes from `earlier` to this position; huge when `earlier` is in fact later.
    #[inline(always)]
    pub(crate) fn since(self, earlier: Self) -> u64 {
        self.0.wrapping_sub(earlier.0)
    }

    /// Whether this position is at or before `other`.
    #[inline(always)]
    pub(crate) fn is_at_or_before(self, other: Self) -> bool {
        other.0.wrapping_sub(self.0) <= i64::MAX as u64
    }

    /// The earlier of two positions.
    #[inline(always)]
    pub(crate) fn earlier(self, other: Self) -> Self {
        if self.is_at_or_before(other) { self } else { other }
    }

    /// Rounded up to a multiple of `unit`, a power of two.
    #[inline(always)]
    pub(crate) fn round_up(self, unit: u64) -> Self {
        Self(self.0.wrapping_add(unit - 1) & !(unit - 1))
    }

    /// Whether the position lies in `first ..= last`.
    #[inline(always)]
    pub(crate) fn is_within(self, first: Self, last: Self) -> bool {
        self.since(first) <= last.since(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_survives_the_wrap_at_2_to_the_64() {
        let before = Position(u64::MAX - 7);
        let after = before.plus(64);
        assert!(before.is_at_or_before(after) && !after.is_at_or_before(before));
        assert_eq!(after.since(before), 64);
        assert_eq!(after.earlier(before), before);
        assert!(
            Position(u64::MAX).is_within(before, after) && !after.plus(1).is_within(before, after)
        );
        assert_eq!(Position(u64::MAX).round_up(64), Position(0));
    }
}
