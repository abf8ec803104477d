//! What a segment stands on: its file opened, checked, and room for it found. Its errors say what to do.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use crate::field::field;
use crate::sys::file::{self, FileSystem, NotMade};
use crate::sys::{fields, space};
use crate::v2::protocol::layout::{LIFE_LOCK, Layout, LayoutProblem, OIEB_BYTES, Oieb};
use crate::values::error::OpenError;
use crate::values::name::Location;

/// Opens the file that has the name.
pub(crate) fn open(place: &Location, writable: bool) -> Result<OwnedFd, OpenError> {
    let not_a_buffer = || OpenError::NotABuffer {
        path: place.path.clone(),
        problem: "it is a link, a directory, a pipe or the like, where a regular file is expected"
            .into(),
    };
    file::open(&place.path, writable).map_err(|error| match error.kind() {
        // A link, a directory, a socket.
        _ if matches!(error.raw_os_error(), Some(libc::ELOOP | libc::EISDIR | libc::ENXIO)) => {
            not_a_buffer()
        }
        io::ErrorKind::InvalidInput => not_a_buffer(),
        io::ErrorKind::NotFound => {
            OpenError::NotFound { name: place.name.to_string(), dir: place.dir.clone() }
        }
        io::ErrorKind::NotADirectory => directory_error(place, error),
        io::ErrorKind::PermissionDenied => OpenError::Io {
            name: place.name.to_string(),
            operation: format!(
                "open {} (create the buffer with a mode and group that admit this user{})",
                place.path.display(),
                if writable { WHO_WRITES } else { "" }
            ),
            source: error,
        },
        io::ErrorKind::ReadOnlyFilesystem => OpenError::Io {
            name: place.name.to_string(),
            operation: format!(
                "open {} (it is mounted read-only here: mount it writable{WHO_WRITES})",
                place.path.display()
            ),
            source: error,
        },
        _ => io_error(place, "open")(error),
    })
}

/// Who only looks on needs less than that.
const WHO_WRITES: &str = "; readers need write access as writers do, for they note in the buffer what they have read; \
                          who only observes does not (`Reader::options().observe()`, `zerobuffer tap`)";

/// Name of a new segment's file while it has no other.
pub(super) fn provisional_name(segment_id: u64) -> String {
    format!("{PROVISIONAL_PREFIX}{segment_id:016x}{PROVISIONAL_SUFFIX}")
}

const PROVISIONAL_PREFIX: &str = ".zerobuffer-";
const PROVISIONAL_SUFFIX: &str = ".new";

/// Whether a file may be a segment that is being made, or whose creator died meanwhile.
pub(crate) fn is_provisional(file_name: &str) -> bool {
    let token = file_name
        .strip_prefix(PROVISIONAL_PREFIX)
        .and_then(|rest| rest.strip_suffix(PROVISIONAL_SUFFIX));
    token.is_some_and(|token| token.len() == 16 && token.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// Reads and checks the OIEB.
pub(crate) fn read_layout(
    place: &Location,
    fd: BorrowedFd<'_>,
    observe: bool,
) -> Result<Layout, OpenError> {
    let size = file::size(fd).map_err(io_error(place, "measure"))?;
    let mut oieb = [0; OIEB_BYTES];
    if let Err(error) = file::read_at(fd, &mut oieb, 0) {
        return Err(match error.kind() {
            io::ErrorKind::UnexpectedEof => OpenError::Damaged {
                name: place.name.to_string(),
                problem: format!("the file has {size} bytes, the OIEB alone takes {OIEB_BYTES}"),
            },
            _ => io_error(place, "read")(error),
        });
    }
    let page = rustix::param::page_size() as u64;
    Layout::parse(&oieb, size, page, observe).map_err(|problem| match problem {
        LayoutProblem::Version([major, minor, patch, _]) => OpenError::WrongVersion {
            name: place.name.to_string(),
            found: format!("{major}.{minor}.{patch}"),
            expected: "2.x",
        },
        LayoutProblem::Features(unknown) => {
            OpenError::UnknownFeatures { name: place.name.to_string(), unknown }
        }
        other => OpenError::Damaged { name: place.name.to_string(), problem: other.to_string() },
    })
}

/// Reads `segment_state`.
pub(super) fn segment_state_of(fd: BorrowedFd<'_>) -> io::Result<u32> {
    fields::load(fd, Layout::OIEB, field!(Oieb.writer.segment_state))
}

/// Writes `segment_state`.
pub(super) fn set_segment_state(fd: BorrowedFd<'_>, state: u32) -> io::Result<()> {
    fields::store(fd, Layout::OIEB, field!(Oieb.writer.segment_state), state)
}

/// Wraps an operating system error with what was tried, on what.
pub(crate) fn io_error<'a>(
    place: &'a Location,
    operation: &'a str,
) -> impl Fn(io::Error) -> OpenError + 'a {
    move |source| OpenError::Io {
        name: place.name.to_string(),
        operation: format!("{operation} {}{}", place.path.display(), advice(&source)),
        source,
    }
}

/// What to do about a limit that was met.
fn advice(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(libc::EMFILE) => {
            " (each end takes two or three descriptors; raise this process's limit: `ulimit -n`)"
        }
        Some(libc::ENFILE) => " (raise the system's limit: `sysctl fs.file-max`)",
        Some(libc::ENOMEM) => {
            " (the payload takes its size twice in address space; raise `ulimit -v`, or `sysctl vm.max_map_count`)"
        }
        _ => "",
    }
}

/// Why the new file of a segment was not made, and what to do.
pub(super) fn not_made(place: &Location, problem: NotMade) -> OpenError {
    let io = |operation: String, source| OpenError::Io {
        name: place.name.to_string(),
        operation,
        source,
    };
    match problem {
        NotMade::Create(error) => directory_error(place, error),
        NotMade::Lock(error) => io_error(place, "lock")(error),
        NotMade::Mode(mode, error) => {
            let dir = place.dir.display();
            io(
                format!("give its file the mode {mode:o} (the file system of {dir} may have none)"),
                error,
            )
        }
        NotMade::Group(group, error) => {
            let why = match error.kind() {
                io::ErrorKind::PermissionDenied => {
                    "this user is not a member of it (`id`): choose one of its own groups, or have it made a member \
                     (`usermod -aG`; then it has to log in anew)"
                }
                io::ErrorKind::InvalidInput => {
                    "no such group is mapped into this user namespace, as in a rootless container: choose one that is \
                     (`/proc/self/gid_map`), or map it (podman: `--group-add keep-groups`, `--gidmap`)"
                }
                _ => "choose another",
            };
            io(format!("give its file to group {group} ({why})"), error)
        }
    }
}

fn directory_error(place: &Location, error: io::Error) -> OpenError {
    let problem = match error.kind() {
        io::ErrorKind::NotFound => "it does not exist; create it, or choose another (`--dir`)",
        io::ErrorKind::PermissionDenied => {
            "this user may not write there; choose another (`--dir`)"
        }
        io::ErrorKind::ReadOnlyFilesystem => "it is mounted read-only; choose another (`--dir`)",
        io::ErrorKind::NotADirectory => "it is not a directory",
        // Nothing was asked for yet but an empty file.
        io::ErrorKind::StorageFull => {
            "it has no room for another file (`df -i`): remove some, or remount it with a larger `nr_inodes`"
        }
        _ => return io_error(place, "create")(error),
    };
    OpenError::UnsuitableDirectory { dir: place.dir.clone(), problem: problem.into() }
}

/// Removes what creators left that died before their segment had its name.
pub(super) fn sweep(place: &Location) {
    file::sweep(&place.dir, is_provisional, LIFE_LOCK);
}

/// Refuses what does not fit, before any of it is taken.
pub(super) fn check_room(place: &Location, needed: u64) -> Result<(), OpenError> {
    let look = || file::file_system(&place.dir).map_err(|e| directory_error(place, e));
    let mut facts = look()?;
    if facts.free.is_some_and(|free| free < needed) {
        sweep(place);
        facts = look()?;
    }
    if let FileSystem::Unsuitable(what) = facts.kind {
        return Err(OpenError::UnsuitableDirectory {
            dir: place.dir.clone(),
            problem: format!(
                "it is on {what}, where locks and shared memory do not work between processes; use a tmpfs such as /dev/shm"
            ),
        });
    }
    if let Some(free) = facts.free.filter(|free| *free < needed) {
        return Err(no_space(place, needed, free));
    }
    if let Some(limit) = space::file_size_limit()
        && limit < needed
    {
        return Err(OpenError::NoSpace {
            name: place.name.to_string(),
            needed,
            available: limit,
            place: "a file of this process".into(),
            advice: "raise the limit (`ulimit -f unlimited`), or ask for a smaller payload".into(),
        });
    }
    match space::memory_limit() {
        Some(limit) if facts.kind == FileSystem::Memory && limit.available < needed => {
            Err(OpenError::NoSpace {
                name: place.name.to_string(),
                needed,
                available: limit.available,
                place: limit.place,
                advice: limit.advice.into(),
            })
        }
        _ => Ok(()),
    }
}

fn no_space(place: &Location, needed: u64, available: u64) -> OpenError {
    let megabytes = (needed.div_ceil(1 << 20) + 16).next_power_of_two().max(128);
    let advice = format!(
        "ask for a smaller payload, or enlarge it: for a container `--shm-size={megabytes}m` \
         (compose: `shm_size: {megabytes}m`), on a host `mount -o remount,size={megabytes}m {}`",
        place.dir.display()
    );
    OpenError::NoSpace {
        name: place.name.to_string(),
        needed,
        available,
        place: place.dir.display().to_string(),
        advice,
    }
}

pub(super) fn allocation_error(place: &Location, layout: &Layout, error: io::Error) -> OpenError {
    match error.kind() {
        io::ErrorKind::StorageFull => {
            let free = file::file_system(&place.dir).ok().and_then(|facts| facts.free);
            no_space(place, layout.segment_bytes, free.unwrap_or(0))
        }
        io::ErrorKind::QuotaExceeded => OpenError::Io {
            name: place.name.to_string(),
            operation: format!(
                "take {} bytes in {} (this user's quota there is used up: ask for a smaller payload, remove files, or have it raised)",
                layout.segment_bytes,
                place.dir.display()
            ),
            source: error,
        },
        _ => io_error(place, "allocate")(error),
    }
}
