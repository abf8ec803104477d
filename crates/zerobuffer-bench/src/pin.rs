//! Which cores there are, and staying on one.

use anyhow::Context as _;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The cores that this process may use.
pub(crate) fn allowed() -> anyhow::Result<Vec<usize>> {
    let set = sched_getaffinity(None).context("ask for the allowed cores")?;
    Ok((0..CpuSet::MAX_CPU).filter(|&core| set.is_set(core)).collect())
}

/// Keeps the calling thread on `core`.
pub(crate) fn pin(core: usize) -> anyhow::Result<()> {
    anyhow::ensure!(core < CpuSet::MAX_CPU, "there is no core {core}");
    let mut set = CpuSet::new();
    set.set(core);
    sched_setaffinity(None, &set).with_context(|| format!("pin to core {core}"))
}

/// The two cores of a measurement: those asked for, or the first two that are allowed.
pub(crate) fn choose(asked: Option<&[usize]>) -> anyhow::Result<[usize; 2]> {
    let allowed = allowed()?;
    match asked {
        Some(&[a, b]) => {
            for core in [a, b] {
                anyhow::ensure!(
                    allowed.contains(&core),
                    "core {core} is not among those this process may use: {allowed:?}"
                );
            }
            Ok([a, b])
        }
        Some(other) => anyhow::bail!("--cores takes two cores, as in `--cores 0,1`, not {other:?}"),
        None => match allowed[..] {
            [a, b, ..] => Ok([a, b]),
            _ => anyhow::bail!(
                "only core {allowed:?} is allowed, and two processes that spin need one each; \
                 name it twice (`--cores 0,0`) to measure two processes taking turns on it"
            ),
        },
    }
}
