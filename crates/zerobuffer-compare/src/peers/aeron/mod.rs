//! Aeron over shared memory (`aeron:ipc`): an exclusive publication, and a subscription that is polled.
//!
//! # Safety
//!
//! All unsafe code here calls Aeron's C interface. Each pointer that it hands out is checked and kept by the one value
//! that gives it back, which one thread uses; a client outlives what was made with it. Aeron calls back only while it is
//! polled.

#![allow(unsafe_code)]

mod client;
mod driver;

pub(crate) use driver::Driver;

use std::ffi::{CStr, CString, c_void};
use std::path::Path;
use std::ptr::{NonNull, null_mut};

use anyhow::Context as _;
use rusteron_media_driver::bindings as c;

use super::limits::AERON_WHOLE as WHOLE;
use super::{Link, Peer, Receiver, Sender};
use client::Client;

const CHANNEL: &CStr = c"aeron:ipc";

/// The directory that a driver owns, inside the one of the run.
fn driver_dir(run: &Path) -> anyhow::Result<CString> {
    Ok(CString::new(run.join("aeron").into_os_string().into_encoded_bytes())?)
}

/// Aeron's own version.
pub(crate) fn version() -> String {
    // SAFETY: a string that lives as long as the program.
    unsafe { text(c::aeron_version_text()) }
}

/// # Safety
///
/// `start` is a string that ends with a zero and lives until this function ends.
unsafe fn text(start: *const std::ffi::c_char) -> String {
    // SAFETY: the caller's promise.
    unsafe { CStr::from_ptr(start) }.to_string_lossy().into_owned()
}

/// What Aeron answered, or what it says of its last failure.
fn check(answer: i32, what: &str) -> anyhow::Result<()> {
    if answer >= 0 {
        return Ok(());
    }
    // SAFETY: this thread's own, and good until its next failure.
    let why = unsafe { text(c::aeron_errmsg()) };
    anyhow::bail!("{what}: {why}")
}

#[derive(Debug)]
pub(crate) struct Aeron;

#[derive(Debug)]
pub(crate) struct Out {
    publication: NonNull<c::aeron_exclusive_publication_t>,
    _client: Client,
}

#[derive(Debug)]
pub(crate) struct In {
    subscription: NonNull<c::aeron_subscription_t>,
    /// For frames that come in several fragments.
    assembler: Option<Assembler>,
    _client: Client,
}

/// Links have names of their own that end with a number.
fn stream(link: &Link) -> anyhow::Result<i32> {
    let number = link.name.rsplit('-').next().and_then(|number| number.parse().ok());
    number.with_context(|| format!("the link's name, {}, ends with no number", link.name))
}

impl Peer for Aeron {
    type Sender = Out;
    type Receiver = In;

    fn lap(link: &Link) -> usize {
        driver::lap(link.bytes)
    }

    fn sender(link: &Link) -> anyhow::Result<Out> {
        let client = Client::connect(&link.dir)?;
        let publication = client.publish(CHANNEL, stream(link)?)?;
        Ok(Out { publication, _client: client })
    }

    fn receiver(link: &Link, _index: usize) -> anyhow::Result<In> {
        let client = Client::connect(&link.dir)?;
        let subscription = client.subscribe(CHANNEL, stream(link)?)?;
        let assembler = (link.bytes > WHOLE).then(Assembler::create).transpose()?;
        Ok(In { subscription, assembler, _client: client })
    }
}

/// Whether an offer has to be made again; `position` is Aeron's answer to it.
#[inline(always)]
fn again(position: i64) -> anyhow::Result<bool> {
    const FULL: i64 = c::AERON_PUBLICATION_BACK_PRESSURED as i64;
    const TERM_ENDED: i64 = c::AERON_PUBLICATION_ADMIN_ACTION as i64;
    match position {
        0.. => Ok(false),
        FULL | TERM_ENDED => {
            std::hint::spin_loop();
            Ok(true)
        }
        _ => check(-1, "send a frame").map(|()| false),
    }
}

impl Sender for Out {
    #[inline(always)]
    fn send(&mut self, frame: &[u8]) -> anyhow::Result<()> {
        let (publication, bytes) = (self.publication.as_ptr(), frame.as_ptr());
        loop {
            // SAFETY: an open publication; the bytes are there while the call lasts, and copied by it.
            let position = unsafe {
                c::aeron_exclusive_publication_offer(
                    publication,
                    bytes,
                    frame.len(),
                    None,
                    null_mut(),
                )
            };
            if !again(position)? {
                return Ok(());
            }
        }
    }

    #[inline(always)]
    fn send_loaned(&mut self, bytes: usize, first: u64) -> anyhow::Result<()> {
        anyhow::ensure!((8..=WHOLE).contains(&bytes), "Aeron lends 8 to {WHOLE} bytes");
        let mut claim =
            c::aeron_buffer_claim_t { frame_header: null_mut(), data: null_mut(), length: 0 };
        loop {
            // SAFETY: an open publication, and a claim to fill in.
            let position = unsafe {
                c::aeron_exclusive_publication_try_claim(
                    self.publication.as_ptr(),
                    bytes,
                    &raw mut claim,
                )
            };
            if !again(position)? {
                break;
            }
        }
        // SAFETY: the claim was made, so `data` has `bytes` bytes, at least eight, that are this end's until committed.
        let answer = unsafe {
            claim.data.cast::<[u8; 8]>().write(first.to_le_bytes());
            c::aeron_buffer_claim_commit(&raw mut claim)
        };
        check(answer, "commit a frame")
    }

    /// Aeron has no such call for frames that lie anywhere; the other end takes several at once.
    #[inline(always)]
    fn send_batch(&mut self, frame: &mut [u8], firsts: &[u64]) -> anyhow::Result<()> {
        for first in firsts {
            frame[..8].copy_from_slice(&first.to_le_bytes());
            self.send(frame)?;
        }
        Ok(())
    }
}

impl Drop for Out {
    fn drop(&mut self) {
        // SAFETY: an open publication, not used any more; its client is still there.
        unsafe {
            c::aeron_exclusive_publication_close(self.publication.as_ptr(), None, null_mut())
        };
    }
}

impl In {
    /// Shows the next fragments, at most `max`; how many there were.
    #[inline(always)]
    fn poll<F: FnMut(&[u8])>(&mut self, max: usize, mut look: F) -> anyhow::Result<bool> {
        let look = (&raw mut look).cast();
        // SAFETY: an open subscription; `show` gets the closure that it is made for, which outlives the call.
        let shown = unsafe {
            c::aeron_subscription_poll(self.subscription.as_ptr(), Some(show::<F>), look, max)
        };
        check(shown, "poll")?;
        Ok(shown > 0)
    }
}

/// Shows a fragment to the closure.
unsafe extern "C-unwind" fn show<F: FnMut(&[u8])>(
    look: *mut c_void,
    bytes: *const u8,
    length: usize,
    _header: *mut c::aeron_header_t,
) {
    // SAFETY: `poll` passes the closure, which nothing else uses meanwhile, and Aeron a fragment that stays until this
    // function returns.
    unsafe { (*look.cast::<F>())(std::slice::from_raw_parts(bytes, length)) }
}

impl Receiver for In {
    #[inline(always)]
    fn receive<T>(&mut self, look: impl FnOnce(&[u8]) -> T) -> anyhow::Result<T> {
        if let Some(assembler) = &mut self.assembler {
            return assembler.receive(self.subscription, look);
        }
        let (mut look, mut seen) = (Some(look), None);
        while !self.poll(1, |frame| seen = look.take().map(|look| look(frame)))? {
            std::hint::spin_loop();
        }
        seen.context("Aeron showed no fragment, and said that it did")
    }

    #[inline(always)]
    fn receive_batch(&mut self, max: usize, mut look: impl FnMut(&[u8])) -> anyhow::Result<()> {
        anyhow::ensure!(self.assembler.is_none(), "frames in fragments are taken one by one");
        while !self.poll(max, &mut look)? {
            std::hint::spin_loop();
        }
        Ok(())
    }
}

impl Drop for In {
    fn drop(&mut self) {
        // SAFETY: an open subscription, not used any more; its client is still there.
        unsafe { c::aeron_subscription_close(self.subscription.as_ptr(), None, null_mut()) };
    }
}

/// Puts fragments together, in memory of its own.
#[derive(Debug)]
struct Assembler {
    assembler: NonNull<c::aeron_fragment_assembler_t>,
    /// Where it tells of the frame that has become whole.
    whole: NonNull<Option<NonNull<[u8]>>>,
}

impl Assembler {
    fn create() -> anyhow::Result<Self> {
        let whole = NonNull::from(Box::leak(Box::new(None)));
        let mut assembler = null_mut();
        // SAFETY: `note` gets `whole`, which lives until the assembler was deleted.
        let answer = unsafe {
            c::aeron_fragment_assembler_create(
                &raw mut assembler,
                Some(note),
                whole.as_ptr().cast(),
            )
        };
        check(answer, "make an assembler of fragments")?;
        let assembler = NonNull::new(assembler).context("Aeron made no assembler")?;
        Ok(Self { assembler, whole })
    }

    /// Takes fragments one by one until a frame is whole.
    fn receive<T>(
        &mut self,
        subscription: NonNull<c::aeron_subscription_t>,
        look: impl FnOnce(&[u8]) -> T,
    ) -> anyhow::Result<T> {
        let assembler = self.assembler.as_ptr().cast();
        loop {
            // SAFETY: an open subscription of the caller's; `add` gets the assembler that it is made for.
            let shown = unsafe {
                c::aeron_subscription_poll(subscription.as_ptr(), Some(add), assembler, 1)
            };
            check(shown, "poll")?;
            // SAFETY: `whole` is only used here and, during the call above, by `note`.
            if let Some(frame) = unsafe { self.whole.as_mut() }.take() {
                // SAFETY: the assembler's own memory, which it leaves alone until it gets another fragment.
                return Ok(look(unsafe { frame.as_ref() }));
            }
            if shown == 0 {
                std::hint::spin_loop();
            }
        }
    }
}

/// Gives a fragment to the assembler.
unsafe extern "C-unwind" fn add(
    assembler: *mut c_void,
    bytes: *const u8,
    length: usize,
    header: *mut c::aeron_header_t,
) {
    // SAFETY: what `receive` and Aeron pass.
    unsafe { c::aeron_fragment_assembler_handler(assembler, bytes, length, header) }
}

/// Notes where a frame lies that has become whole.
unsafe extern "C-unwind" fn note(
    whole: *mut c_void,
    bytes: *const u8,
    length: usize,
    _header: *mut c::aeron_header_t,
) {
    let frame = NonNull::new(bytes.cast_mut());
    let frame = frame.map(|start| NonNull::slice_from_raw_parts(start, length));
    // SAFETY: the place that `create` made for this.
    unsafe { *whole.cast::<Option<NonNull<[u8]>>>() = frame }
}

impl Drop for Assembler {
    fn drop(&mut self) {
        // SAFETY: nobody polls any more, and after the assembler nobody knows of `whole`, which a box was leaked for.
        unsafe {
            c::aeron_fragment_assembler_delete(self.assembler.as_ptr());
            drop(Box::from_raw(self.whole.as_ptr()));
        }
    }
}
