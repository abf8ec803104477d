//! A named pipe.

use std::os::fd::OwnedFd;

use anyhow::Context as _;
use rustix::fs::{CWD, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::files::{In, KERNEL_BUFFER, Out, set_waiting};
use super::{Link, Peer};

#[derive(Debug)]
pub(crate) struct Pipe;

/// Either end makes it; opening waits for the other one.
fn open(link: &Link, access: OFlags) -> anyhow::Result<OwnedFd> {
    let path = link.path("pipe");
    match rustix::fs::mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(why) => return Err(why).context("make a named pipe"),
    }
    let fd = rustix::fs::open(&path, access | OFlags::CLOEXEC, Mode::empty())
        .context("open a named pipe")?;
    // A hint; the kernel may have its own limit.
    let _ = rustix::pipe::fcntl_setpipe_size(&fd, KERNEL_BUFFER);
    set_waiting(&fd, link)?;
    Ok(fd)
}

impl Peer for Pipe {
    type Sender = Out;
    type Receiver = In;

    fn sender(link: &Link) -> anyhow::Result<Out> {
        Ok(Out(open(link, OFlags::WRONLY)?))
    }

    fn receiver(link: &Link, _index: usize) -> anyhow::Result<In> {
        Ok(In::new(open(link, OFlags::RDONLY)?, link.bytes))
    }
}
