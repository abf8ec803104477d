//! Whether the cores of a Writer and its readers share a cache.

use crate::v2::memory::Memory;

/// What another core has stored comes in less time than this if the two share a cache, and in more if they do not.
const NEAR_NS: u64 = 85;
/// A look that took less found it in this core's own cache: nothing had been stored.
const OWN_NS: u64 = 12;
/// Looks of which most decide: some are interrupted, and some find on its way what they look for.
const LOOKS: u32 = 7;

/// What looks at what the readers store have shown.
#[derive(Debug, Default)]
pub(super) struct Nearness {
    is_near: bool,
    /// Since it was found out for the last time, and those that took no longer than near ones do.
    looks: u32,
    short: u32,
}

impl Nearness {
    /// Whether all readers are known to be near.
    pub(super) fn is_near(&self) -> bool {
        self.is_near
    }

    /// Times a look at what readers store again and again. Of several readers the farthest decides, for one look fetches what all
    /// of them have stored.
    pub(super) fn time(&mut self, memory: &impl Memory, look: impl Fn()) {
        let first_ns = memory.time_ns(&look);
        // All is here now: what is left is the clock's.
        let took_ns = first_ns.saturating_sub(memory.time_ns(&look));
        if took_ns < OWN_NS {
            return;
        }
        self.looks += 1;
        self.short += u32::from(took_ns < NEAR_NS);
        if self.looks == LOOKS {
            *self = Self { is_near: 2 * self.short > LOOKS, ..Self::default() };
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::v2::heap::Heap;
    use crate::v2::layout::FrameGeometry;
    use crate::v2::position::Position;

    fn after(nearness: &mut Nearness, looks_ns: &[u64]) -> bool {
        let heap = Heap::new(FrameGeometry::new(4096, 8, 1024), 1, Position(0));
        for &line_ns in looks_ns {
            heap.line_ns.store(line_ns, std::sync::atomic::Ordering::Relaxed);
            nearness.time(&heap, || {});
        }
        nearness.is_near()
    }

    #[test]
    fn most_looks_decide_and_those_that_found_nothing_new_do_not_count() {
        let mut nearness = Nearness::default();
        assert!(!after(&mut nearness, &[0; 100]), "nothing is known");
        assert!(!after(&mut nearness, &[30; 6]), "not known yet");
        assert!(after(&mut nearness, &[5, 0, 30]));
        assert!(after(&mut nearness, &[190; 6]));
        assert!(!after(&mut nearness, &[190]), "the cores moved");
        assert!(!after(&mut nearness, &[190, 30, 30, 30, 190, 190, 190]));
        assert!(after(&mut nearness, &[30, 30, 90_000, 190, 30, 190, 30]));
    }
}
