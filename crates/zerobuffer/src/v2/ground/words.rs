//! Fields of a segment's file, read and written without mapping it.

use std::io;
use std::os::fd::BorrowedFd;

use crate::field::{At, Field, Store, Value, field};
use crate::sys::file;
use crate::v2::protocol::layout::{Layout, Oieb};

/// Reads a field of the area at `at`.
pub(crate) fn load<S, T: Value>(
    fd: BorrowedFd<'_>,
    at: At<S>,
    field: Field<S, T>,
) -> io::Result<T::Plain> {
    let mut bytes = vec![0; T::BYTES];
    file::read_at(fd, &mut bytes, at.field(field))?;
    Ok(T::decode(&bytes))
}

/// Reads a whole area.
pub(crate) fn load_all<S: Value<Plain = S>>(fd: BorrowedFd<'_>, at: At<S>) -> io::Result<S> {
    let mut bytes = vec![0; S::BYTES];
    file::read_at(fd, &mut bytes, at.offset())?;
    Ok(S::decode(&bytes))
}

/// Writes a field of the area at `at`.
pub(super) fn store<S, T: Store>(
    fd: BorrowedFd<'_>,
    at: At<S>,
    field: Field<S, T>,
    value: T::Plain,
) -> io::Result<()> {
    let mut bytes = vec![0; T::BYTES];
    T::encode(value, &mut bytes);
    file::write_at(fd, &bytes, at.field(field))
}

/// Reads `segment_state`.
pub(crate) fn segment_state(fd: BorrowedFd<'_>) -> io::Result<u32> {
    load(fd, Layout::OIEB, field!(Oieb.writer.segment_state))
}

/// Writes `segment_state`.
pub(super) fn set_segment_state(fd: BorrowedFd<'_>, state: u32) -> io::Result<()> {
    store(fd, Layout::OIEB, field!(Oieb.writer.segment_state), state)
}
