//! Whole frames through a file descriptor: what pipes and sockets have in common.

use std::os::fd::OwnedFd;

use anyhow::bail;
use rustix::io::Errno;

use super::{Link, Receiver, Sender, Wait};

/// Asked for where the kernel lets one choose; more than this only the administrator may.
pub(super) const KERNEL_BUFFER: usize = 1 << 20;

/// The writing end.
#[derive(Debug)]
pub(crate) struct Out(pub(super) OwnedFd);

/// The reading end, with the memory that frames are read into.
#[derive(Debug)]
pub(crate) struct In {
    fd: OwnedFd,
    frame: Vec<u8>,
}

impl In {
    pub(super) fn new(fd: OwnedFd, bytes: usize) -> Self {
        Self { fd, frame: vec![0; bytes] }
    }
}

/// Who spins asks the kernel again and again; who parks lets it put the thread to sleep.
pub(super) fn set_waiting(fd: &OwnedFd, link: &Link) -> anyhow::Result<()> {
    Ok(rustix::io::ioctl_fionbio(fd, link.wait == Wait::Spin)?)
}

impl Sender for Out {
    #[inline]
    fn send(&mut self, mut frame: &[u8]) -> anyhow::Result<()> {
        while !frame.is_empty() {
            match rustix::io::write(&self.0, frame) {
                Ok(written) => frame = &frame[written..],
                Err(Errno::AGAIN | Errno::INTR) => std::hint::spin_loop(),
                Err(why) => return Err(why.into()),
            }
        }
        Ok(())
    }
}

impl Receiver for In {
    #[inline]
    fn receive<T>(&mut self, look: impl FnOnce(&[u8]) -> T) -> anyhow::Result<T> {
        let mut got = 0;
        while got < self.frame.len() {
            match rustix::io::read(&self.fd, &mut self.frame[got..]) {
                Ok(0) => bail!("the other end was closed in the middle"),
                Ok(read) => got += read,
                Err(Errno::AGAIN | Errno::INTR) => std::hint::spin_loop(),
                Err(why) => return Err(why.into()),
            }
        }
        Ok(look(&self.frame))
    }
}
