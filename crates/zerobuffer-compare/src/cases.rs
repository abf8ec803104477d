//! Which cases there are: groups of peers that do the same work.

use crate::callers::Caller;
use crate::deployed::Deployed;
use crate::peers::Wait;
use crate::peers::kind::{Kind, Mode};
use crate::result::{Better, Work};

/// A 1080p and a 4K frame in I420, each with 16 bytes of a header.
pub(crate) const HD: usize = 1920 * 1080 * 3 / 2 + 16;
pub(crate) const UHD: usize = 3840 * 2160 * 3 / 2 + 16;

/// What one entry does for a sample.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Task {
    Latency { kind: Kind, mode: Mode, wait: Wait },
    Stream { kind: Kind, mode: Mode, wait: Wait, readers: usize, weighed: bool },
    Relay { kind: Kind, by_reference: bool },
    Wake { kind: Kind },
    Start { kind: Kind },
    Call { caller: Caller, mode: Mode, wait: Wait },
    TwoWakes,
    Line,
    Copy,
    Futex,
    Semaphore,
    Deployed,
    DeployedCall,
}

/// One peer in a group.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) peer: &'static str,
    pub(crate) mode: &'static str,
    pub(crate) copies: &'static str,
    pub(crate) touched: &'static str,
    pub(crate) task: Task,
}

impl Task {
    /// Whose ends it opens, if anybody's that is a peer.
    pub(crate) fn kind(self) -> Option<Kind> {
        match self {
            Self::Latency { kind, .. }
            | Self::Stream { kind, .. }
            | Self::Relay { kind, .. }
            | Self::Wake { kind }
            | Self::Start { kind } => Some(kind),
            _ => None,
        }
    }
}

/// Peers that do the same work.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) work: Work,
    pub(crate) name: String,
    /// Where the same runs also tell what the processor spent: the name of that case.
    pub(crate) cpu: Option<String>,
    pub(crate) bytes: usize,
    pub(crate) wait: Option<Wait>,
    pub(crate) unit: &'static str,
    pub(crate) better: Better,
    pub(crate) entries: Vec<Entry>,
}

/// What people call a size.
pub(crate) fn size_name(bytes: usize) -> String {
    match bytes {
        HD => "1080p".into(),
        UHD => "4K".into(),
        small if small < 1024 => format!("{small} B"),
        some if some < 1 << 20 => format!("{} KiB", some >> 10),
        large => format!("{} MiB", large >> 20),
    }
}

fn waiting(wait: Wait) -> &'static str {
    match wait {
        Wait::Spin => "both spinning",
        Wait::Park => "both parked",
    }
}

fn entry(kind: Kind, bytes: usize, mode: Mode, task: Task) -> Entry {
    let (copies, touched) = (kind.copies(bytes, mode), mode.touched());
    Entry { peer: kind.name(), mode: mode.name(), copies, touched, task }
}

fn built(kind: Kind) -> bool {
    kind.missing().is_none()
}

/// Everybody who can carry frames of this size this way.
fn everybody(bytes: usize, mode: Mode, wait: Wait, task: impl Fn(Kind) -> Task) -> Vec<Entry> {
    let able = Kind::ALL.into_iter().filter(|kind| kind.can(bytes, mode, wait));
    able.map(|kind| entry(kind, bytes, mode, task(kind))).collect()
}

fn latency(bytes: usize, mode: Mode, wait: Wait) -> Group {
    Group {
        work: Work::Latency,
        name: format!("one-way {} {}, {}", size_name(bytes), mode.name(), waiting(wait)),
        cpu: None,
        bytes,
        wait: Some(wait),
        unit: "ns",
        better: Better::Lower,
        entries: everybody(bytes, mode, wait, |kind| Task::Latency { kind, mode, wait }),
    }
}

fn stream(bytes: usize, mode: Mode, wait: Wait, python: bool) -> Group {
    let size = size_name(bytes);
    let task = |kind| Task::Stream { kind, mode, wait, readers: 1, weighed: false };
    let mut entries = everybody(bytes, mode, wait, task);
    if python && mode == Mode::Copied && wait == Wait::Spin && bytes >= 64 {
        entries.push(Entry {
            peer: Deployed::NAME,
            mode: "copied",
            copies: "writer in, reader out",
            touched: "every byte",
            task: Task::Deployed,
        });
    }
    Group {
        work: Work::Throughput,
        name: format!("streaming {size} {}, {}", mode.name(), waiting(wait)),
        cpu: Some(format!("streaming {size} {}, {}: processor", mode.name(), waiting(wait))),
        bytes,
        wait: Some(wait),
        unit: "frames/s",
        better: Better::Higher,
        entries,
    }
}

/// Ours with many frames a call, against a ring that has nothing else to do.
fn batched(bytes: usize) -> Group {
    let wait = Wait::Spin;
    let of = |kind, mode| {
        let task = Task::Stream { kind, mode, wait, readers: 1, weighed: false };
        entry(kind, bytes, mode, task)
    };
    let mut entries = vec![of(Kind::Ours, Mode::Batched), of(Kind::Rtrb, Mode::Copied)];
    let others = [(Kind::Iceoryx2, Mode::Copied), (Kind::Aeron, Mode::Batched)].into_iter();
    entries.extend(others.filter(|(kind, _)| built(*kind)).map(|(kind, mode)| of(kind, mode)));
    let name = format!("streaming {} in calls of 16 where there are such calls", size_name(bytes));
    let cpu = Some(format!("{name}: processor"));
    Group { name, cpu, entries, ..stream(bytes, Mode::Batched, wait, false) }
}

fn fan_out(bytes: usize, readers: usize) -> Group {
    let (mode, wait) = (Mode::Copied, Wait::Spin);
    let task = |kind| Task::Stream { kind, mode, wait, readers, weighed: false };
    let plural = if readers == 1 { "" } else { "s" };
    let kinds = [Kind::Ours, Kind::Iceoryx2, Kind::Aeron].into_iter().filter(|kind| built(*kind));
    Group {
        work: Work::Fanout,
        name: format!("every {} frame to {readers} reader{plural}", size_name(bytes)),
        cpu: None,
        entries: kinds.map(|kind| entry(kind, bytes, mode, task(kind))).collect(),
        ..stream(bytes, mode, wait, false)
    }
}

fn memory(bytes: usize) -> Group {
    let (mode, wait) = (Mode::Copied, Wait::Park);
    let task = |kind| Task::Stream { kind, mode, wait, readers: 1, weighed: true };
    // Of pipes and sockets the kernel holds the bytes, and ZeroMQ's lie somewhere among what it allocated before: neither
    // shows in what a process is charged with.
    let kinds = [Kind::Ours, Kind::OursV1, Kind::Iceoryx2, Kind::Aeron].into_iter();
    let kinds = kinds.filter(|kind| built(*kind));
    Group {
        work: Work::Memory,
        name: format!("memory of both processes for a stream of {} frames", size_name(bytes)),
        cpu: None,
        bytes,
        wait: Some(wait),
        unit: "bytes",
        better: Better::Lower,
        entries: kinds.map(|kind| entry(kind, bytes, mode, task(kind))).collect(),
    }
}

fn start() -> Group {
    let bytes = 1024;
    // Whether who waits for one frame sleeps makes no difference here.
    let kinds = Kind::ALL.into_iter().filter(|kind| {
        kind.can(bytes, Mode::Copied, Wait::Park) || (*kind == Kind::Aeron && built(*kind))
    });
    let entries = kinds.map(|kind| entry(kind, bytes, Mode::Copied, Task::Start { kind }));
    Group {
        work: Work::Start,
        name: "from nothing to the first frame back".into(),
        cpu: None,
        bytes,
        wait: Some(Wait::Park),
        unit: "ns",
        better: Better::Lower,
        entries: entries.collect(),
    }
}

fn wake(bytes: usize) -> Group {
    let mut entries = everybody(bytes, Mode::Copied, Wait::Park, |kind| Task::Wake { kind });
    let floor =
        |peer, task| Entry { peer, mode: "bare", copies: "nobody", touched: "header", task };
    entries.push(floor("floor: futex", Task::Futex));
    entries.push(floor("floor: semaphore", Task::Semaphore));
    Group {
        work: Work::Wake,
        name: format!("a sleeping reader notices {}", size_name(bytes)),
        cpu: Some(format!("{} every millisecond, parked: processor", size_name(bytes))),
        bytes,
        wait: Some(Wait::Park),
        unit: "ns",
        better: Better::Lower,
        entries,
    }
}

/// Through a relay; by reference only where somebody can, against the copies of all others.
fn relay(bytes: usize, by_reference: bool) -> Group {
    let kinds = Kind::ALL.into_iter().filter(|kind| kind.can(bytes, Mode::Copied, Wait::Spin));
    let entries = kinds.map(|kind| {
        let by_reference = by_reference && kind == Kind::Ours;
        let mut entry = entry(kind, bytes, Mode::Copied, Task::Relay { kind, by_reference });
        if by_reference {
            (entry.mode, entry.copies) = ("by reference", "writer in, the relay nothing");
        }
        entry
    });
    let how = if by_reference { "by reference where that exists" } else { "copied" };
    Group {
        work: Work::Relay,
        name: format!("{} through a relay, {how}", size_name(bytes)),
        cpu: None,
        bytes,
        wait: Some(Wait::Spin),
        unit: "ns",
        better: Better::Lower,
        entries: entries.collect(),
    }
}

/// Request and answer; beside it what it is made of: frames in a ring, or wake-ups.
fn call(bytes: usize, wait: Wait, python: bool) -> Group {
    let of =
        |peer, copies, task| Entry { peer, mode: "copied", copies, touched: "every byte", task };
    let mut entries: Vec<Entry> = Caller::COPYING
        .iter()
        .map(|&caller| {
            of(
                caller.name(),
                "client in, server out and in",
                Task::Call { caller, mode: Mode::Copied, wait },
            )
        })
        .collect();
    let one_way = Task::Latency { kind: Kind::Ours, mode: Mode::Copied, wait };
    entries.push(of("zerobuffer 2.0, one way", "writer in", one_way));
    if wait == Wait::Park {
        let task = Task::TwoWakes;
        let floor = Entry { mode: "bare", ..of("floor: two futex wake-ups", "nobody", task) };
        entries.push(Entry { touched: "header", ..floor });
        if python {
            entries.push(of(Deployed::NAME, "all", Task::DeployedCall));
        }
    }
    Group {
        work: Work::Request,
        name: format!("request and answer of {}, {}", size_name(bytes), waiting(wait)),
        cpu: None,
        bytes,
        wait: Some(wait),
        unit: "ns",
        better: Better::Lower,
        entries,
    }
}

/// A large request that the server changes where it lies, against an answer that is a copy of it.
fn call_in_place(bytes: usize) -> Group {
    let (mode, wait) = (Mode::Loaned, Wait::Spin);
    let of = |peer, mode_name, copies, caller| {
        let task = Task::Call { caller, mode, wait };
        Entry { peer, mode: mode_name, copies, touched: "header", task }
    };
    Group {
        work: Work::Request,
        name: format!("request of {} and answer in its place, both spinning", size_name(bytes)),
        cpu: None,
        bytes,
        wait: Some(wait),
        unit: "ns",
        better: Better::Lower,
        entries: vec![
            of(Kind::Ours.name(), "in place", "nobody", Caller::OursInPlace),
            of("zerobuffer 2.0, answers copied", "loaned", "server out to in", Caller::Ours),
        ],
    }
}

fn floors() -> Vec<Group> {
    let floor = |name: String, peer, bytes, unit, better, task| Group {
        work: Work::Floor,
        name,
        cpu: None,
        bytes,
        wait: None,
        unit,
        better,
        entries: vec![Entry {
            peer,
            mode: "bare",
            copies: "one core",
            touched: "every byte",
            task,
        }],
    };
    let line = "one cache line to the other core".into();
    let mut all = vec![floor(line, "floor: cache line", 8, "ns", Better::Lower, Task::Line)];
    for bytes in [64 << 10, 1 << 20, HD, UHD] {
        let name = format!("memcpy of {}, one core", size_name(bytes));
        all.push(floor(name, "floor: memcpy", bytes, "bytes/s", Better::Higher, Task::Copy));
    }
    all
}

/// All of them, or a tenth.
pub(crate) fn all(quick: bool, python: bool) -> Vec<Group> {
    use Mode::{Copied, Loaned};
    use Wait::{Park, Spin};
    let mut groups = floors();
    let sizes = if quick { vec![64, HD] } else { vec![8, 64, 1 << 10, 64 << 10, 1 << 20, HD] };
    groups.extend(sizes.iter().map(|&bytes| latency(bytes, Copied, Spin)));
    groups.extend([64, HD].map(|bytes| latency(bytes, Loaned, Spin)));
    let parked = if quick { vec![64] } else { vec![64, 64 << 10] };
    groups.extend(parked.iter().map(|&bytes| latency(bytes, Copied, Park)));

    let sizes = if quick {
        vec![64, 64 << 10, HD]
    } else {
        vec![8, 64, 1 << 10, 64 << 10, 1 << 20, HD, UHD]
    };
    groups.extend(sizes.iter().map(|&bytes| stream(bytes, Copied, Spin, python)));
    groups.extend([64, HD].map(|bytes| stream(bytes, Loaned, Spin, false)));
    groups.extend(parked.iter().map(|&bytes| stream(bytes, Copied, Park, false)));
    groups.push(batched(64));

    groups.extend([relay(HD, false), relay(HD, true)]);
    let calls = if quick { vec![64] } else { vec![64, 64 << 10, HD] };
    groups.extend(calls.iter().map(|&bytes| call(bytes, Spin, python)));
    groups.extend(parked.iter().map(|&bytes| call(bytes, Park, python)));
    let sizes = if quick { vec![HD] } else { vec![1 << 10, 64 << 10, 1 << 20, HD, 100 << 20] };
    groups.extend(sizes.iter().map(|&bytes| call_in_place(bytes)));
    let readers = if quick { vec![1, 4] } else { vec![1, 2, 4, 8, 16] };
    groups.extend(readers.iter().map(|&readers| fan_out(1024, readers)));
    groups.extend([wake(64), memory(64 << 10), start()]);
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_groups_have_one_name_and_no_peer_is_twice_in_one() {
        for quick in [false, true] {
            let groups = all(quick, true);
            let mut names: Vec<_> = groups.iter().map(|group| group.name.clone()).collect();
            names.extend(groups.iter().filter_map(|group| group.cpu.clone()));
            let count = names.len();
            names.sort();
            names.dedup();
            assert_eq!(names.len(), count);
            for group in groups {
                let mut peers: Vec<_> = group.entries.iter().map(|entry| entry.peer).collect();
                let count = peers.len();
                peers.sort_unstable();
                peers.dedup();
                assert_eq!(peers.len(), count, "{}", group.name);
            }
        }
    }

    #[test]
    fn sizes_have_the_names_that_people_use() {
        let names = [8, 1024, 64 << 10, 1 << 20, HD, UHD].map(size_name);
        assert_eq!(names, ["8 B", "1 KiB", "64 KiB", "1 MiB", "1080p", "4K"]);
    }
}
