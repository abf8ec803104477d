//! Fields of a file, read and written without mapping it (`pread`, `pwrite`).

use std::io;
use std::os::fd::BorrowedFd;

use super::file;
use crate::field::{At, Field, Store, Value};

/// Reads a field of the area at `at`.
pub(crate) fn load<S, T: Value>(
    fd: BorrowedFd<'_>,
    at: At<S>,
    field: Field<S, T>,
) -> io::Result<T::Plain> {
    read_bytes(fd, at.field(field), T::BYTES).map(|bytes| T::decode(&bytes))
}

/// Reads all fields of an area.
pub(crate) fn load_all<S: Value<Plain = S>>(fd: BorrowedFd<'_>, at: At<S>) -> io::Result<S> {
    read_bytes(fd, at.offset(), S::BYTES).map(|bytes| S::decode(&bytes))
}

/// Writes a field of the area at `at`.
pub(crate) fn store<S, T: Store>(
    fd: BorrowedFd<'_>,
    at: At<S>,
    field: Field<S, T>,
    value: T::Plain,
) -> io::Result<()> {
    let mut bytes = vec![0; T::BYTES];
    T::encode(value, &mut bytes);
    file::write_at(fd, &bytes, at.field(field))
}

/// Reads `len` bytes at `offset`.
pub(crate) fn read_bytes(fd: BorrowedFd<'_>, offset: u64, len: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; len];
    file::read_at(fd, &mut bytes, offset)?;
    Ok(bytes)
}
