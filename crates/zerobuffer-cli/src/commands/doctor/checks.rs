//! Everything but the control groups.

use std::fs;
use std::path::Path;
use std::sync::atomic::AtomicU32;

use rustix::fs::StatVfsMountFlags;
use rustix::process::{Resource, getrlimit, getuid};
use rustix::thread::{MembarrierCommand, MembarrierQuery, futex, membarrier_query};
use zerobuffer::{DEFAULT_METADATA_BYTES, DEFAULT_PAYLOAD_BYTES};

use super::Finding;
use crate::commands::inspect;
use crate::sizes;

/// A default buffer and its control pages.
const DEFAULT_BUFFER_BYTES: u64 =
    (DEFAULT_PAYLOAD_BYTES + 2 * DEFAULT_METADATA_BYTES + (64 << 10)) as u64;
/// File systems in memory, by `statfs` type.
const IN_MEMORY: [(i64, &str); 2] = [(0x0102_1994, "tmpfs"), (0x8584_58f6, "ramfs")];
/// Those on which buffers are refused.
const UNSUITABLE: [(i64, &str); 6] = [
    (0x6969, "NFS"),
    (0x0102_1997, "9p"),
    (0x6573_5546, "FUSE or virtiofs"),
    (0xff53_4d42, "SMB"),
    (0xfe53_4d42, "SMB"),
    (0x9584_58f6, "hugetlbfs"),
];

/// Space, file system, permissions.
pub(super) fn directory(dir: &Path) -> Vec<Finding> {
    let advice = "create it, or choose another with --dir or ZEROBUFFER_DIR";
    let (stat, vfs) = match (rustix::fs::statfs(dir), rustix::fs::statvfs(dir)) {
        (Ok(stat), Ok(vfs)) => (stat, vfs),
        (Err(error), _) | (_, Err(error)) => {
            return vec![Finding::bad("directory", format!("{}: {error}", dir.display()), advice)];
        }
    };
    let mut findings = Vec::new();
    let kind = stat.f_type;
    let named = |kinds: &[(i64, &'static str)]| {
        kinds.iter().find(|(of, _)| *of == kind).map(|(_, name)| *name)
    };
    findings.push(if let Some(name) = named(&IN_MEMORY) {
        Finding::good("file system", format!("{} is on {name}", dir.display()))
    } else if let Some(name) = named(&UNSUITABLE) {
        Finding::bad(
            "file system",
            format!("{} is on {name}, where buffers do not work", dir.display()),
            "use /dev/shm, or mount a tmpfs or a docker volume of type tmpfs there",
        )
    } else {
        Finding::warning(
            "file system",
            format!("{} is not in memory (type {kind:#x})", dir.display()),
            "frames may be written to a disk; use /dev/shm, or mount a tmpfs or a docker volume of type tmpfs there",
        )
    });
    if vfs.f_flag.contains(StatVfsMountFlags::RDONLY) {
        findings.push(Finding::bad(
            "directory",
            format!("{} is mounted read-only", dir.display()),
            "readers and writers write to buffers: mount it writable (docker: -v VOLUME:DIR without `:ro`); `zerobuffer \
             tap`, `ls` and `inspect`, and readers that only observe, work as it is",
        ));
    } else if !may_write(dir) {
        findings.push(Finding::bad(
            "directory",
            format!("{} cannot be written to by user {}", dir.display(), getuid().as_raw()),
            "change its permissions, or choose another with --dir or ZEROBUFFER_DIR",
        ));
    }
    findings.push(space(&vfs));
    if vfs.f_files > 0 && vfs.f_favail == 0 {
        findings.push(Finding::bad("inodes", "none free", "remove files from the directory"));
    }
    findings
}

/// Whether this user may make files there.
pub(super) fn may_write(dir: &Path) -> bool {
    use rustix::fs::Access;
    rustix::fs::access(dir, Access::WRITE_OK | Access::EXEC_OK).is_ok()
}

fn space(vfs: &rustix::fs::StatVfs) -> Finding {
    if vfs.f_blocks == 0 {
        return Finding::good("space", "no limit of its own, or not told");
    }
    let bytes = |blocks: u64| blocks.saturating_mul(vfs.f_frsize);
    let free = bytes(vfs.f_bavail);
    let found = format!("{} free of {}", sizes::show(free), sizes::show(bytes(vfs.f_blocks)));
    if free < DEFAULT_BUFFER_BYTES {
        Finding::bad(
            "space",
            format!("{found}; a default buffer needs {}", sizes::show(DEFAULT_BUFFER_BYTES)),
            "remove buffers (`zerobuffer ls`, `zerobuffer rm`), make it larger (docker: --shm-size=256m, elsewhere: \
             mount -o remount,size=256M), or create smaller buffers (--buffer-size)",
        )
    } else {
        Finding::good("space", found)
    }
}

/// Locked memory and open files.
pub(super) fn limits() -> Vec<Finding> {
    let show = |limit: Option<u64>| limit.map_or_else(|| "unlimited".to_owned(), sizes::show);
    let memlock = getrlimit(Resource::Memlock).current;
    let files = getrlimit(Resource::Nofile).current;
    let mut findings = Vec::new();
    findings.push(match memlock {
        Some(bytes) if bytes < DEFAULT_BUFFER_BYTES => Finding::warning(
            "locked memory",
            format!("up to {}", show(memlock)),
            "enough unless buffers are to be locked into memory; then raise it (ulimit -l, LimitMEMLOCK=)",
        ),
        _ => Finding::good("locked memory", format!("up to {}", show(memlock))),
    });
    let open = fs::read_dir("/proc/self/fd").map_or(0, |dir| dir.count() as u64);
    findings.push(match files {
        Some(most) if most < open + 64 => Finding::bad(
            "descriptors",
            format!("{open} of {most} in use"),
            "raise the limit (ulimit -n, LimitNOFILE=); each end of a buffer takes a few",
        ),
        Some(most) => Finding::good("descriptors", format!("up to {most}")),
        None => Finding::good("descriptors", "unlimited"),
    });
    findings
}

/// systemd removes a user's shared memory when that user logs out.
pub(super) fn remove_ipc() -> Vec<Finding> {
    const CHECK: &str = "RemoveIPC";
    if !Path::new("/run/systemd/system").exists() {
        return vec![Finding::good(CHECK, "systemd does not run here")];
    }
    let mut files = vec!["/etc/systemd/logind.conf".into()];
    for dir in [
        "/usr/lib/systemd/logind.conf.d",
        "/run/systemd/logind.conf.d",
        "/etc/systemd/logind.conf.d",
    ] {
        let mut more: Vec<_> =
            fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
        more.sort();
        files.extend(more);
    }
    let texts = files.iter().filter_map(|file| fs::read_to_string(file).ok());
    let on = removes_ipc(texts);
    let uid = getuid().as_raw();
    vec![if !on {
        Finding::good(CHECK, "off")
    } else if uid < 1000 {
        Finding::good(CHECK, format!("on, but not for system users such as {uid}"))
    } else {
        Finding::warning(
            CHECK,
            "on: systemd removes this user's buffers when the last session ends",
            "for services: a system user, `loginctl enable-linger`, or RemoveIPC=no in /etc/systemd/logind.conf",
        )
    }]
}

/// The last setting wins; the default is on.
fn removes_ipc(texts: impl Iterator<Item = String>) -> bool {
    let mut on = true;
    for text in texts {
        for line in text.lines() {
            if let Some(value) = line.trim().strip_prefix("RemoveIPC=") {
                on = matches!(
                    value.trim().to_ascii_lowercase().as_str(),
                    "yes" | "true" | "on" | "1"
                );
            }
        }
    }
    on
}

/// What the kernel offers.
pub(super) fn kernel() -> Vec<Finding> {
    let mut findings = Vec::new();
    let word = AtomicU32::new(0);
    findings.push(match futex::wake(&word, futex::Flags::empty(), 1) {
        Ok(_) => Finding::good("futex", "works"),
        Err(error) => Finding::bad(
            "futex",
            error.to_string(),
            "allow the system call futex in the container's seccomp profile",
        ),
    });
    let barrier: MembarrierQuery = membarrier_query();
    findings.push(if barrier.contains_command(MembarrierCommand::RegisterGlobalExpedited) {
        Finding::good("membarrier", "works")
    } else {
        Finding::warning(
            "membarrier",
            "not available: writers use a fence per frame instead",
            "Linux 4.16 or later has it; in a container allow membarrier in the seccomp profile",
        )
    });
    findings
}

/// Buffers that nobody uses.
pub(super) fn leftovers(dir: &Path) -> Vec<Finding> {
    const CHECK: &str = "leftovers";
    let listings = match zerobuffer::inspect::list(dir) {
        Ok(listings) => listings,
        Err(error) => {
            return vec![Finding::bad(CHECK, format!("{}: {error}", dir.display()), "see above")];
        }
    };
    let mut findings = Vec::new();
    for listing in &listings {
        let name = &listing.name;
        let remove = format!("`zerobuffer rm {name}` if nobody needs it");
        match &listing.snapshot {
            Err(error) => findings.push(Finding::warning(CHECK, error.to_string(), remove)),
            Ok(snapshot) => {
                let used = snapshot.writer.as_ref().is_some_and(|writer| writer.alive)
                    || snapshot.readers.iter().any(|reader| reader.attached && reader.alive);
                if !used || !snapshot.problems.is_empty() {
                    let found = format!(
                        "buffer `{name}`: {}, {}",
                        inspect::state(snapshot),
                        sizes::show(snapshot.file_bytes)
                    );
                    findings.push(Finding::warning(CHECK, found, remove));
                }
            }
        }
    }
    let half_made = half_made(dir);
    if half_made > 0 {
        findings.push(Finding::warning(
            CHECK,
            format!("{half_made} files `.zerobuffer-*.new`, of buffers that are being made or whose creator died"),
            "the next buffer that is made there removes what nobody holds",
        ));
    }
    if findings.is_empty() {
        findings.push(Finding::good(CHECK, format!("none among {} buffers", listings.len())));
    }
    findings
}

/// Files with provisional names.
fn half_made(dir: &Path) -> usize {
    let names = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.file_name());
    names
        .filter(|name| {
            let name = name.to_string_lossy();
            name.starts_with(".zerobuffer-") && name.ends_with(".new")
        })
        .count()
}

#[cfg(test)]
mod tests {
    use super::removes_ipc;

    #[test]
    fn remove_ipc_is_on_unless_the_last_setting_says_otherwise() {
        let text = |text: &str| text.to_owned();
        assert!(removes_ipc([].into_iter()));
        assert!(removes_ipc([text("[Login]\n#RemoveIPC=no\n")].into_iter()));
        assert!(!removes_ipc([text("RemoveIPC=yes"), text("[Login]\nRemoveIPC=no\n")].into_iter()));
    }
}
