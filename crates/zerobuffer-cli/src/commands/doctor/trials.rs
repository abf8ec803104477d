//! What buffers are made with, tried in the directory.

use std::io::ErrorKind;
use std::path::Path;

use zerobuffer::surroundings::{self, Check, Feature};

use super::Finding;

pub(super) fn tried(dir: &Path) -> Vec<Finding> {
    let mut findings = Vec::new();
    if super::checks::may_write(dir) {
        let trials = Trials(surroundings::try_out(dir));
        findings.push(trials.naming(dir));
        findings.push(trials.allocation(dir));
        findings.extend(trials.needed(
            Feature::Locks,
            "OFD locks",
            "they tell one end that the other lives, and nothing stands in for them: use Linux 3.15 or later, and not from within \
             gVisor, proot or another emulation that lacks F_OFD_SETLK",
        ));
        findings.extend(trials.needed(
            Feature::SharedMappings,
            "shared mappings",
            "use a directory on tmpfs, such as /dev/shm",
        ));
    }
    findings.push(proc());
    findings.push(clock());
    findings
}

struct Trials(Vec<Check>);

impl Trials {
    /// What the system said; `None`: it works, or was not tried.
    fn error(&self, feature: Feature) -> Option<String> {
        let trial = self.0.iter().find(|trial| trial.feature == feature)?;
        trial.outcome.as_ref().err().map(ToString::to_string)
    }

    /// How a new buffer gets its name.
    fn naming(&self, dir: &Path) -> Finding {
        const CHECK: &str = "O_TMPFILE";
        let steps = [
            (Feature::UnnamedFiles, "a file without a name cannot be made"),
            (Feature::NamingUnnamedFiles, "a file without a name cannot be given one (linkat)"),
            (Feature::Reopening, "a file without a name cannot be opened again (/proc/self/fd)"),
        ];
        let failed = steps
            .iter()
            .find_map(|(step, what)| self.error(*step).map(|error| format!("{what}: {error}")));
        let Some(failed) = failed else {
            return Finding::good(CHECK, format!("works in {}", dir.display()));
        };
        match self.error(Feature::ProvisionalNames) {
            None => Finding::warning(
                CHECK,
                format!("{failed}; buffers are made under a provisional name instead"),
                "nothing has to be done; a creator that is killed at that moment leaves a file `.zerobuffer-*.new`, which the next \
                 one removes (AppArmor: `link` rules for the directory, and /proc mounted, make it unnecessary)",
            ),
            Some(error) => Finding::bad(
                CHECK,
                format!("{failed}; nor can a file with a provisional name get another: {error}"),
                "use a directory on tmpfs, ext4, xfs or btrfs that you may write to, and allow renameat2 or link there",
            ),
        }
    }

    fn allocation(&self, dir: &Path) -> Finding {
        const CHECK: &str = "fallocate";
        let trial = self.0.iter().find(|trial| trial.feature == Feature::Allocation);
        match trial.and_then(|trial| trial.outcome.as_ref().err()) {
            None => Finding::good(CHECK, format!("works in {}", dir.display())),
            Some(error)
                if matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded) =>
            {
                let found = format!("{}: {error}", dir.display());
                Finding::bad(
                    CHECK,
                    found,
                    "make room there, or choose another with --dir or ZEROBUFFER_DIR",
                )
            }
            Some(error) => Finding::warning(
                CHECK,
                format!("{}: {error}; zeros are written instead", dir.display()),
                "nothing has to be done; making a buffer takes longer there",
            ),
        }
    }

    /// Something without which there is no buffer.
    fn needed(&self, feature: Feature, check: &'static str, advice: &str) -> Option<Finding> {
        let trial = self.0.iter().find(|trial| trial.feature == feature)?;
        Some(match &trial.outcome {
            Ok(()) => Finding::good(check, "work"),
            Err(error) => Finding::bad(check, error.to_string(), advice),
        })
    }
}

fn proc() -> Finding {
    if Path::new("/proc/self/fd").exists() {
        return Finding::good("/proc", "mounted");
    }
    Finding::warning(
        "/proc",
        "not mounted: memory limits are not looked at before a buffer is made, and frames have no age",
        "mount it (mount -t proc proc /proc) where that matters; buffers work without it",
    )
}

/// Whether frames can have an age.
fn clock() -> Finding {
    const CHECK: &str = "clock";
    match surroundings::clock_shift() {
        Some((_, shift)) if shift.is_zero() => Finding::good(CHECK, "that of the machine"),
        Some((ahead, shift)) => Finding::good(
            CHECK,
            format!(
                "{:.3} s {} the machine's, in a time namespace; ages of frames are right all the same",
                shift.as_secs_f64(),
                if ahead { "ahead of" } else { "behind" }
            ),
        ),
        None => Finding::warning(
            CHECK,
            "its relation to the clocks of other containers is not told (/proc/self/timens_offsets)",
            "ages and latencies of frames are not shown here; mount /proc",
        ),
    }
}
