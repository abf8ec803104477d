//! A client of the media driver: what publications and subscriptions are made with.

use std::ffi::CStr;
use std::path::Path;
use std::ptr::{NonNull, null_mut};
use std::time::{Duration, Instant};

use rusteron_media_driver::bindings as c;

use super::{check, driver_dir};

/// How long the driver may take for an answer, and a subscriber to come.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct Client {
    context: *mut c::aeron_context_t,
    client: *mut c::aeron_t,
}

impl Client {
    /// Joins the driver in this directory. A thread of the client's own talks to it, most of the time asleep.
    pub(super) fn connect(dir: &Path) -> anyhow::Result<Self> {
        let dir = driver_dir(dir)?;
        let mut this = Self { context: null_mut(), client: null_mut() };
        // SAFETY: each call gets what the one before made; the string is copied.
        unsafe {
            check(c::aeron_context_init(&raw mut this.context), "set up a client")?;
            check(
                c::aeron_context_set_dir(this.context, dir.as_ptr()),
                "tell where the driver is",
            )?;
            check(c::aeron_init(&raw mut this.client, this.context), "find the driver")?;
            check(c::aeron_start(this.client), "start the client")?;
        }
        Ok(this)
    }

    /// A publication that has a subscriber.
    pub(super) fn publish(
        &self,
        channel: &CStr,
        stream: i32,
    ) -> anyhow::Result<NonNull<c::aeron_exclusive_publication_t>> {
        let mut asked = null_mut();
        // SAFETY: a started client, and a string that outlives the call, which copies it.
        let answer = unsafe {
            c::aeron_async_add_exclusive_publication(
                &raw mut asked,
                self.client,
                channel.as_ptr(),
                stream,
            )
        };
        check(answer, "ask for a publication")?;
        let publication = wait_for("a publication", || {
            let mut publication = null_mut();
            // SAFETY: `asked` is what the call above made, and is asked until there is an answer.
            let answer = unsafe {
                c::aeron_async_add_exclusive_publication_poll(&raw mut publication, asked)
            };
            check(answer, "make a publication")?;
            Ok(NonNull::new(publication))
        })?;
        wait_for("a subscriber", || {
            // SAFETY: an open publication.
            let there =
                unsafe { c::aeron_exclusive_publication_is_connected(publication.as_ptr()) };
            Ok(there.then_some(()))
        })?;
        Ok(publication)
    }

    pub(super) fn subscribe(
        &self,
        channel: &CStr,
        stream: i32,
    ) -> anyhow::Result<NonNull<c::aeron_subscription_t>> {
        let mut asked = null_mut();
        // SAFETY: a started client, and a string that outlives the call, which copies it; nobody is called back.
        let answer = unsafe {
            c::aeron_async_add_subscription(
                &raw mut asked,
                self.client,
                channel.as_ptr(),
                stream,
                None,
                null_mut(),
                None,
                null_mut(),
            )
        };
        check(answer, "ask for a subscription")?;
        wait_for("a subscription", || {
            let mut subscription = null_mut();
            // SAFETY: `asked` is what the call above made, and is asked until there is an answer.
            let answer =
                unsafe { c::aeron_async_add_subscription_poll(&raw mut subscription, asked) };
            check(answer, "make a subscription")?;
            Ok(NonNull::new(subscription))
        })
    }
}

/// Asks until there is one.
fn wait_for<T>(
    what: &str,
    mut ask: impl FnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    let begun = Instant::now();
    loop {
        if let Some(found) = ask()? {
            return Ok(found);
        }
        anyhow::ensure!(begun.elapsed() < PATIENCE, "waited {PATIENCE:?} for {what}, in vain");
        std::thread::sleep(Duration::from_micros(100));
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // SAFETY: both are null or what `connect` made; what was made with the client is gone.
        unsafe {
            c::aeron_close(self.client);
            c::aeron_context_close(self.context);
        }
    }
}
