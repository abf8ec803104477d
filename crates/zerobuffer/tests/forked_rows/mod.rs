//! A row of the table of `forked.rs`: an expression that runs in a forked child; and which methods there are.
#![allow(unreachable_pub)] // As in `common`.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::path::{Path, PathBuf};

/// A call that does not come back within so many seconds is killed.
const WATCHDOG_SECONDS: u32 = 60;

/// What became of the rows so far.
#[derive(Debug, Default)]
pub struct Rows {
    names: BTreeSet<String>,
    wrong: Vec<String>,
}

/// Runs the expression in a child, which ends with it; the parent goes on behind it.
macro_rules! row {
    ($rows:expr, $name:expr, $is_right:expr) => {
        if $rows.begin($name) {
            let run = std::panic::AssertUnwindSafe(|| $is_right);
            $crate::forked_rows::end(std::panic::catch_unwind(run));
        }
    };
}
pub(crate) use row;

impl Rows {
    /// Forks: true in the child.
    #[allow(unsafe_code)]
    pub fn begin(&mut self, name: &str) -> bool {
        // SAFETY: the child uses what it inherited, which is what is tested, and ends by `_exit`. libc keeps its
        // allocator usable there.
        let pid = unsafe { libc::fork() };
        assert!(pid >= 0);
        if pid == 0 {
            // SAFETY: its signal ends the child.
            unsafe { libc::alarm(WATCHDOG_SECONDS) };
            return true;
        }
        let mut status = 0;
        // SAFETY: waits for the child made above; `status` outlives the call.
        assert_eq!(unsafe { libc::waitpid(pid, &mut status, 0) }, pid);
        self.names.insert(name.to_owned());
        let wrong = match status {
            0 => return false,
            _ if libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == libc::SIGALRM => {
                "hung".into()
            }
            _ if libc::WIFSIGNALED(status) => format!("ended by signal {}", libc::WTERMSIG(status)),
            _ if libc::WEXITSTATUS(status) == PANICKED => "panicked".to_owned(),
            _ => "something else".to_owned(),
        };
        self.wrong.push(format!("{name}: {wrong}"));
        false
    }

    /// Whether there was a row of that name.
    pub fn has(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    /// Fails if some row was wrong.
    #[track_caller]
    pub fn finish(&self) {
        assert!(self.wrong.is_empty(), "in a forked child: {:#?}", self.wrong);
    }
}

const PANICKED: i32 = 2;

/// Ends the child.
#[allow(unsafe_code)]
pub fn end(result: std::thread::Result<bool>) -> ! {
    let status = result.map_or(PANICKED, |is_right| i32::from(!is_right));
    // SAFETY: ends the child without running anything of its parent's.
    unsafe { libc::_exit(status) }
}

/// Whether a call failed because its endpoint is the parent's.
pub fn says_forked<T, E: Debug>(result: Result<T, E>) -> bool {
    result.is_err_and(|error| format!("{error:?}").contains("Forked"))
}

/// `Type::method` of all public methods with a receiver below a directory of sources.
pub fn methods_of(dir: PathBuf) -> BTreeSet<String> {
    let mut methods = BTreeSet::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            methods.extend(methods_of(path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            methods.extend(methods_in(&path));
        }
    }
    methods
}

fn methods_in(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap();
    let mut methods = Vec::new();
    let mut owner = None;
    for (at, _) in text.match_indices('\n') {
        let rest = &text[at + 1..];
        let line = rest.lines().next().unwrap_or_default();
        if let Some(of) = line.strip_prefix("impl") {
            // Without its parameters; `impl Trait for Type` has no public methods of its own.
            let of =
                if of.starts_with('<') { of.split_once("> ").map_or("", |(_, of)| of) } else { of };
            owner = of.trim_start().split(['<', ' ']).next().map(str::to_owned);
        }
        let function =
            line.strip_prefix("    pub fn ").or_else(|| line.strip_prefix("    pub async fn "));
        if let (Some(function), Some(owner)) = (function, &owner) {
            let signature = rest.split('{').next().unwrap_or_default();
            let name = function.split(['(', '<']).next().unwrap_or_default();
            if signature.contains("self") {
                methods.push(format!("{owner}::{name}"));
            }
        }
    }
    methods
}
