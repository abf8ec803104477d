//! Giving up the place of a reader that does not come back.

use std::path::Path;

use crate::v1;
use crate::v2::engine::{self, roles};
use crate::v2::ground::file;
use crate::v2::ground::segment::{Access, Segment};
use crate::values::config::ReaderKind;
use crate::values::error::OpenError;
use crate::values::name::Location;

/// What was lost with a place that was given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Forgotten {
    /// Whose place it was: a durable reader's, a work group's, or that of readers behind a relay.
    pub kind: ReaderKind,
    /// Committed frames that nobody had released there, which the next one by that name would have got. 0 for those
    /// behind a relay, which are not counted.
    pub frames: u64,
    /// Ring bytes of those.
    pub bytes: u64,
}

/// Gives up the place of a durable reader that does not come back: what was kept for it is lost, and a writer that it
/// held back goes on, also one that is waiting at this moment. Who comes by that name later is new.
///
/// `reader` may also be a work group that has no member; `"main"`, for whom frames are kept before any reader has come;
/// or a buffer to which frames were forwarded by reference, if nobody has them any more who is alive. A name that is a
/// reader's or a group's stands for that. Ephemeral and lossy readers leave no place behind.
///
/// If nobody else uses the buffer, and nothing else is kept in it, it is removed.
///
/// # Errors
/// [`OpenError::ReaderAlive`] while the owner of the place lives, were it stopped: it may be reading there.
/// [`OpenError::NoSuchReader`], [`OpenError::NotFound`], [`OpenError::OtherProtocol`] for a buffer of protocol 1.0, which
/// is its one reader's (see [`remove`](super::remove())), and others.
///
/// # Examples
/// ```
/// use zerobuffer::{BufferConfig, Reader, Writer, inspect};
/// # fn main() -> zerobuffer::Result<()> {
/// # let name = &format!("doc-forget-{}", std::process::id());
/// # /*
/// let name = "camera";
/// # */
/// let mut writer = Writer::create(name, &BufferConfig::new())?;
/// drop(Reader::options().name("recorder").join(name)?); // will not come back
/// writer.write(b"kept for it")?;
/// assert_eq!(inspect::forget(name, "recorder", &zerobuffer::default_dir())?.frames, 1);
/// assert!(writer.readers().is_empty());
/// # Ok(()) }
/// ```
pub fn forget(name: &str, reader: &str, dir: &Path) -> Result<Forgotten, OpenError> {
    let place = Location::new(name, Some(dir))?;
    if let Err(OpenError::NotFound { .. }) = file::open(&place, false)
        && dir == Path::new(v1::ground::segment::SHM_DIR)
        && v1::engine::inspect::snapshot(name).is_ok()
    {
        let advice = "it is its one reader's, and ends with it: remove it, if that is gone";
        return Err(OpenError::OtherProtocol { name: name.to_owned(), found: "1.0", advice });
    }
    let slot = roles::slot_name(reader).ok_or_else(|| OpenError::NoSuchReader {
        name: name.to_owned(),
        reader: reader.to_owned(),
        kept: "names of 1 to 32 bytes".to_owned(),
    })?;
    let (segment, ()) = Segment::join(&place, Access::Reader, |_, _| Ok(()))?;
    let loss = engine::forget::forget(&segment, &slot)?;
    Ok(Forgotten { kind: loss.kind, frames: loss.frames, bytes: loss.bytes })
}
