//! `println!` and its like for tools: what cannot be written is lost, and work goes on.
//!
//! Those of the standard library panic when the terminal is gone, the disk is full, or `| head` has seen enough: hours
//! of measuring would end for want of a reader. These have their names, so that nobody has to think of it. The crates
//! that measure have this file, too.

/// As the standard library's, but loses what cannot be written.
macro_rules! println {
    ($($text:tt)*) => {
        { use std::io::Write as _; let _ = writeln!(std::io::stdout(), $($text)*); }
    };
}

/// As the standard library's, but loses what cannot be written.
#[allow(unused_macros, reason = "each crate that has this file uses some of it")]
macro_rules! print {
    ($($text:tt)*) => {
        { use std::io::Write as _; let _ = write!(std::io::stdout(), $($text)*); }
    };
}

/// As the standard library's, but loses what cannot be written.
#[allow(unused_macros, reason = "each crate that has this file uses some of it")]
macro_rules! eprintln {
    ($($text:tt)*) => {
        { use std::io::Write as _; let _ = writeln!(std::io::stderr(), $($text)*); }
    };
}
