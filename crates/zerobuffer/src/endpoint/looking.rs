//! Waiting for a buffer that is yet to come.

use std::time::{Duration, Instant};

use crate::values::error::OpenError;

/// Between two looks for a buffer that is waited for.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);

/// Tries again while the buffer is not found, for at most `limit`.
pub(crate) fn look_until<T>(
    limit: Option<Duration>,
    mut look: impl FnMut() -> Result<T, OpenError>,
) -> Result<T, OpenError> {
    let begin = Instant::now();
    loop {
        match look() {
            Err(error) if error.is_not_found() && limit.is_some_and(|l| begin.elapsed() < l) => {
                std::thread::sleep(LOOK_INTERVAL);
            }
            other => return other,
        }
    }
}
