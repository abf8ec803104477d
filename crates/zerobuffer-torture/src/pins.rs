//! Where the processes of a round run.

use anyhow::Context as _;
use fastrand::Rng;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Where a round's processes may run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Pins {
    /// Wherever the system puts them.
    None,
    /// Each on a core of its own, as far as there are as many; else several share one.
    OneEach(Vec<usize>),
    /// All on this one.
    Together(usize),
}

impl Pins {
    /// Half of all rounds are not pinned, a quarter is in each of the other ways.
    pub(crate) fn any(chance: &mut Rng) -> anyhow::Result<Self> {
        let cores = allowed()?;
        Ok(match chance.u8(..4) {
            0 => Self::OneEach(cores),
            1 => Self::Together(cores[chance.usize(..cores.len())]),
            _ => Self::None,
        })
    }

    /// Of the process that has this number in its round.
    pub(crate) fn core_of(&self, number: usize) -> Option<usize> {
        match self {
            Self::None => None,
            Self::OneEach(cores) => Some(cores[number % cores.len()]),
            Self::Together(core) => Some(*core),
        }
    }
}

/// The cores that this process may use: one at least.
fn allowed() -> anyhow::Result<Vec<usize>> {
    let set = sched_getaffinity(None).context("ask for the allowed cores")?;
    Ok((0..CpuSet::MAX_CPU).filter(|core| set.is_set(*core)).collect())
}

/// Keeps the calling thread, and those that it starts, on `core`.
pub(crate) fn pin(core: usize) -> anyhow::Result<()> {
    anyhow::ensure!(core < CpuSet::MAX_CPU, "there is no core {core}");
    let mut set = CpuSet::new();
    set.set(core);
    sched_setaffinity(None, &set).with_context(|| format!("pin to core {core}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_have_different_cores_or_all_have_one() {
        let each = Pins::OneEach(vec![2, 5]);
        assert_eq!([0, 1, 2].map(|number| each.core_of(number)), [Some(2), Some(5), Some(2)]);
        assert_eq!([0, 7].map(|number| Pins::Together(3).core_of(number)), [Some(3); 2]);
        assert_eq!(Pins::None.core_of(1), None);
    }

    #[test]
    fn every_way_comes_and_keeps_to_allowed_cores() {
        let mut chance = Rng::with_seed(1);
        let cores = allowed().unwrap();
        let rounds: Vec<_> = (0..64).map(|_| Pins::any(&mut chance).unwrap()).collect();
        assert!(rounds.contains(&Pins::None) && rounds.contains(&Pins::OneEach(cores.clone())));
        assert!(rounds.iter().any(|pins| matches!(pins, Pins::Together(_))));
        let used = rounds.iter().flat_map(|pins| (0..8).filter_map(|part| pins.core_of(part)));
        assert!(used.into_iter().all(|core| cores.contains(&core)));
    }
}
