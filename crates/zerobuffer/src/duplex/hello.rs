//! How a client of a server of many makes itself known: it writes a *hello* with a random number to `{name}_accept`.

use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;

use super::names::{accept_buffer, request_buffer, response_buffer};
use super::turn::Deadline;
use crate::endpoint::writer_options::WriterOptions;
use crate::sys::{file, lock as os_lock, process};
use crate::values::error::OpenError;
use crate::values::name::Location;
use std::time::Duration;

/// Begins a hello; the number follows, little-endian.
const HELLO: [u8; 8] = *b"ZBHELLO1";
/// Between two tries of a client to say hello, while another one does.
const RETRY: Duration = Duration::from_millis(1);

/// Name of one client's own channel.
pub(super) fn own_channel(channel: &str, number: u64) -> String {
    format!("{channel}.{number:016x}")
}

/// The number of a client, from the name of one of its buffers.
pub(super) fn number_of(buffer: &str, channel: &str) -> Option<u64> {
    let rest = buffer.strip_prefix(channel)?.strip_prefix('.')?;
    let number = u64::from_str_radix(rest.split_once('_')?.0, 16).ok()?;
    let own = own_channel(channel, number);
    (buffer == request_buffer(&own) || buffer == response_buffer(&own)).then_some(number)
}

fn hello(number: u64) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&HELLO);
    bytes[8..].copy_from_slice(&number.to_le_bytes());
    bytes
}

/// The number in a hello, copied out of shared memory.
pub(super) fn parse_hello(bytes: &[u8]) -> Option<u64> {
    let number = bytes.strip_prefix(&HELLO)?;
    Some(u64::from_le_bytes(number.try_into().ok()?))
}

/// The byte of the accept buffer's file whose lock says that a client waits for its channel. Far behind those of roles.
pub(super) fn waiting_lock(number: u64) -> u64 {
    1 << 62 | number >> 2
}

/// A client that waits for the channel which the server makes for it; until this is dropped the server sees that it lives.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) channel: String,
    /// Holds the lock. Where there is none the server gives this client less time.
    _lock: Option<OwnedFd>,
}

/// Takes the lock that says that a client waits.
fn lock_as_waiting(place: &Location, number: u64) -> Option<OwnedFd> {
    let fd = file::open(&place.path, true).ok()?;
    os_lock::try_exclusive(fd.as_fd(), waiting_lock(number)).ok()?.then_some(fd)
}

/// Says hello to the server of many; the name of the channel that it makes for this client.
///
/// # Errors
/// [`is_not_found`](OpenError::is_not_found) if there is no such server, or others said hello until the deadline.
pub(super) fn say_hello(
    options: &WriterOptions,
    dir: Option<&Path>,
    channel: &str,
    deadline: Deadline,
) -> Result<Waiting, OpenError> {
    let name = accept_buffer(channel);
    let place = Location::new(&name, dir)?;
    let mut writer = loop {
        match options.connect(&name) {
            // Somebody else says hello.
            Err(OpenError::WriterConnected { .. }) if !deadline.has_passed() => {
                std::thread::sleep(RETRY.min(deadline.left()));
            }
            connected => break connected?,
        }
    };
    let not_ready = |problem: String| OpenError::NotReady { name: name.clone(), problem };
    if !writer.has_live_reader() {
        // The hello would wait for the next server, who would wait for us.
        writer.discard_undelivered();
        return Err(not_ready("its server is gone".to_owned()));
    }
    let number = process::random_u64();
    // Before the server can know of it.
    let lock = lock_as_waiting(&place, number);
    writer
        .write_timeout(&hello(number), deadline.left())
        .map_err(|error| not_ready(error.to_string()))?;
    Ok(Waiting { channel: own_channel(channel, number), _lock: lock })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hellos_and_names_come_back_and_others_are_none() {
        for number in [0, 1, 0x0123_4567_89ab_cdef, u64::MAX] {
            assert_eq!(parse_hello(&hello(number)), Some(number));
            let buffer = request_buffer(&own_channel("a.b", number));
            assert_eq!(number_of(&buffer, "a.b"), Some(number));
            assert_eq!(number_of(&buffer, "a"), None);
        }
        for bad in [&b""[..], b"ZBHELLO1", b"ZBHELLO100000000x", b"ZBHELLO2........"] {
            assert_eq!(parse_hello(bad), None);
        }
        for bad in
            ["c_request", "c.1_request", "c.+000000000000001_request", "c.000000000000001F_request"]
        {
            assert_eq!(number_of(bad, "c"), None, "{bad}");
        }
    }
}
