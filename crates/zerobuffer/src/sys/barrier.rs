//! `membarrier`: a barrier on every processor that runs a registered process, paid for by who calls it.
//!
//! # Safety
//! `membarrier` takes no pointers; calling it cannot violate memory safety.
#![allow(unsafe_code)]

use std::sync::OnceLock;

const CMD_GLOBAL_EXPEDITED: libc::c_int = 1 << 1;
const CMD_REGISTER_GLOBAL_EXPEDITED: libc::c_int = 1 << 2;

fn membarrier(command: libc::c_int) -> bool {
    // SAFETY: the call takes integers only.
    unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) == 0 }
}

/// Registers this process as one that sleepers' barriers reach; false where the system has none.
///
/// Once per process; a forked child inherits the registration with the address space.
pub(crate) fn register() -> bool {
    static REGISTERED: OnceLock<bool> = OnceLock::new();
    *REGISTERED.get_or_init(|| membarrier(CMD_REGISTER_GLOBAL_EXPEDITED))
}

/// The sleeper's barrier: reaches every running registered process. False where the system has none.
pub(crate) fn execute() -> bool {
    membarrier(CMD_GLOBAL_EXPEDITED)
}
