//! The Writer's role.

use super::slots::{damaged, take_lock};
use std::os::fd::BorrowedFd;

use crate::fault::{self, Fault};
use crate::sync::Ordering;
use crate::sys::{barrier, process};
use crate::v2::ground::segment::Segment;
use crate::v2::placing::Producer;
use crate::v2::placing::{Cached, Footprint};
use crate::v2::protocol::layout::{WRITER_LOCK, WRITER_RELIES_ON_MEMBARRIER, writer_state};
use crate::v2::protocol::position::Position;
use crate::v2::rules::memory::ReadMemory;
use crate::v2::rules::ring::WIPED_OUT;
use crate::v2::rules::wake::{self, Barrier};
use crate::values::error::OpenError;
use crate::values::name::Location;

/// A Writer's role, taken.
#[derive(Debug)]
pub(crate) struct WriterRole {
    pub(crate) producer: Producer,
    pub(crate) barrier: Barrier,
}

/// Takes the Writer's role on the description `fd`, after whoever had it last.
pub(crate) fn attach_writer(
    segment: &Segment,
    fd: BorrowedFd<'_>,
    place: &Location,
    footprint: Footprint,
) -> Result<WriterRole, OpenError> {
    let area = segment.writer();
    let attached = || area.writer_state.load(Ordering::Acquire) == writer_state::ATTACHED;
    if !take_lock(fd, WRITER_LOCK, place, attached)? {
        return Err(OpenError::WriterConnected {
            name: place.name.to_string(),
            pid: area.writer_pid.load(Ordering::Relaxed),
        });
    }
    fault::point(Fault::WriterLocked);
    // A predecessor that died before it had moved `head` on told of its frame here.
    let newest = Position(area.newest.load(Ordering::Acquire));
    let producer = Producer::attach(segment, Cached::new(segment, footprint))
        .map_err(|problem| damaged(place, problem))?;
    let has_been_written = producer.next_sequence() != 1;
    if has_been_written && producer.head().is_at_or_before(newest) {
        return Err(damaged(place, WIPED_OUT));
    }
    fault::point(Fault::WriterFoundTail);
    let relies = barrier::register();
    let identity = process::identity();
    if area.writer_state.load(Ordering::Acquire) == writer_state::ATTACHED {
        let takeovers = area.takeovers.load(Ordering::Relaxed);
        area.takeovers.store(takeovers.wrapping_add(1), Ordering::Relaxed);
    }
    let generation = area.writer_generation.load(Ordering::Relaxed).wrapping_add(1);
    area.writer_pid.store(identity.pid, Ordering::Relaxed);
    area.writer_pid_namespace.store(identity.pid_namespace, Ordering::Relaxed);
    area.writer_start_time.store(identity.start_time, Ordering::Relaxed);
    area.writer_attached_ns.store(identity.now_ns, Ordering::Relaxed);
    let flags = if relies { WRITER_RELIES_ON_MEMBARRIER } else { 0 };
    area.writer_flags.store(flags, Ordering::SeqCst);
    area.writer_generation.store(generation, Ordering::Release);
    fault::point(Fault::WriterSigned);
    area.writer_state.store(writer_state::ATTACHED, Ordering::Release);
    fault::point(Fault::WriterAttached);
    wake::wake_every_reader(segment);
    let barrier = if relies { Barrier::LeftToSleeper } else { Barrier::Fence };
    Ok(WriterRole { producer, barrier })
}

/// Leaves the Writer's role gracefully; the lock goes with the mapping.
pub(crate) fn detach_writer(segment: &Segment) {
    segment.writer().writer_state.store(writer_state::CLOSED, Ordering::Release);
    fault::point(Fault::WriterClosed);
    wake::wake_readers(segment, Barrier::Fence);
}
