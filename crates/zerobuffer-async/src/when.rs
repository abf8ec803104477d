//! Trying, sleeping, trying again.
//!
//! # Safety
//! See the one block.

/// Tries until there is something else to tell than "not now"; returns that from the function around it.
macro_rules! when_ready {
    ($self:ident, $endpoint:expr, $arm:expr, $name:ident => $attempt:expr) => {
        loop {
            {
                #[allow(unsafe_code)]
                // SAFETY: what an attempt borrows is either returned, and then as long as the caller's borrow of `self`, or
                // gone at the end of this turn. The borrow checker of today takes each turn's borrow for a returned one.
                let $name = unsafe { &mut *std::ptr::from_mut(&mut $endpoint) };
                match $attempt {
                    Err(error) if error.is_timeout() => {}
                    told => return told,
                }
            }
            let mut slept = false;
            std::future::poll_fn(|context| {
                // Called, or polled by somebody else: try again, which also asks whether the other side lives.
                if slept {
                    return std::task::Poll::Ready(());
                }
                slept = $self.registration.call_when($arm, context.waker());
                if slept { std::task::Poll::Pending } else { std::task::Poll::Ready(()) }
            })
            .await;
        }
    };
}

pub(crate) use when_ready;
