//! The media driver. It gives the writer room as readers go on, so no stream gets far without it.

use std::ffi::CStr;
use std::path::Path;
use std::ptr::null_mut;

use rusteron_media_driver::bindings as c;

use super::{WHOLE, check, driver_dir};
use crate::pin;

/// A driver in a thread of this process, until dropped.
#[derive(Debug)]
pub(crate) struct Driver {
    context: *mut c::aeron_driver_context_t,
    driver: *mut c::aeron_driver_t,
}

/// Largest fragment with its header.
const MTU: usize = WHOLE + 32;
/// Used in turns.
const TERMS: usize = 3;
/// Up to this size, frames are small to Aeron.
const SMALL: usize = 64 << 10;

/// What was the best for Aeron of several that were tried, for this work.
#[derive(Debug, Clone, Copy)]
struct Settings {
    term: usize,
    idle: &'static CStr,
}

impl Settings {
    fn of(bytes: usize, stream: bool) -> Self {
        // A frame may have an eighth of a term.
        let least = (9 * bytes).next_power_of_two().max(1 << 20);
        // "sleeping" looks every few dozen microseconds, "backoff", the default, up to a millisecond apart.
        match (stream, bytes <= SMALL) {
            (true, true) => Self { term: least, idle: c"sleeping" },
            (true, false) => Self { term: least.max(64 << 20), idle: c"backoff" },
            (false, _) => Self { term: least, idle: c"backoff" },
        }
    }
}

/// Bytes that go by before the same memory is used again.
pub(super) fn lap(bytes: usize) -> usize {
    TERMS * Settings::of(bytes, true).term
}

impl Driver {
    /// Starts a driver in this directory. It may run on either core: there is no third one to give it.
    ///
    /// `stream`: whether frames of `bytes` bytes follow each other, rather than go back and forth.
    pub(crate) fn start(
        dir: &Path,
        cores: [usize; 2],
        bytes: usize,
        stream: bool,
    ) -> anyhow::Result<Self> {
        pin::pin_to_one_of(&cores)?;
        let started = Self::start_anywhere(dir, Settings::of(bytes, stream));
        pin::pin(cores[0])?;
        started
    }

    fn start_anywhere(dir: &Path, settings: Settings) -> anyhow::Result<Self> {
        let dir = driver_dir(dir)?;
        let mut this = Self { context: null_mut(), driver: null_mut() };
        let shared = c::aeron_threading_mode_t::AERON_THREADING_MODE_SHARED;
        // SAFETY: each call gets what the first one made; strings are copied.
        unsafe {
            check(c::aeron_driver_context_init(&raw mut this.context), "set up the driver")?;
            let context = this.context;
            let answers = [
                c::aeron_driver_context_set_dir(context, dir.as_ptr()),
                c::aeron_driver_context_set_dir_delete_on_start(context, true),
                c::aeron_driver_context_set_dir_delete_on_shutdown(context, true),
                c::aeron_driver_context_set_threading_mode(context, shared),
                c::aeron_driver_context_set_shared_idle_strategy(context, settings.idle.as_ptr()),
                c::aeron_driver_context_set_ipc_term_buffer_length(context, settings.term),
                c::aeron_driver_context_set_ipc_mtu_length(context, MTU),
                // As the others' rings are: allocated before it begins.
                c::aeron_driver_context_set_term_buffer_sparse_file(context, false),
            ];
            for answer in answers {
                check(answer, "set up the driver")?;
            }
            check(c::aeron_driver_init(&raw mut this.driver, context), "make the driver")?;
            check(c::aeron_driver_start(this.driver, false), "start the driver")?;
        }
        Ok(this)
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // SAFETY: both are null or what `start_anywhere` made.
        unsafe {
            c::aeron_driver_close(self.driver);
            c::aeron_driver_context_close(self.context);
        }
    }
}
