//! Buffer names, and where buffers lie.

use std::path::{Path, PathBuf};

use crate::values::error::OpenError;

/// Environment variable that names the directory of buffers.
pub const DIR_VARIABLE: &str = "ZEROBUFFER_DIR";
const DEFAULT_DIR: &str = "/dev/shm";
const SUFFIX: &str = ".zb2";
const MAX_NAME_BYTES: usize = 200;

/// The directory used when none is given: `$ZEROBUFFER_DIR`, or else `/dev/shm`.
pub fn default_dir() -> PathBuf {
    match std::env::var_os(DIR_VARIABLE) {
        Some(dir) if !dir.is_empty() => dir.into(),
        _ => DEFAULT_DIR.into(),
    }
}

/// A checked buffer name in a directory.
#[derive(Debug, Clone)]
pub(crate) struct Location {
    pub(crate) name: std::sync::Arc<str>,
    pub(crate) dir: PathBuf,
    pub(crate) path: PathBuf,
}

impl Location {
    /// Checks the name.
    pub(crate) fn new(name: &str, dir: Option<&Path>) -> Result<Self, OpenError> {
        if let Some(problem) = problem_of(name, MAX_NAME_BYTES) {
            return Err(OpenError::InvalidName { name: name.to_owned(), problem });
        }
        let dir = dir.map_or_else(default_dir, Path::to_path_buf);
        let path = dir.join(format!("{name}{SUFFIX}"));
        Ok(Self { name: name.into(), dir, path })
    }

    /// The buffer name behind a file name, if it is a 2.0 buffer's.
    pub(crate) fn buffer_of(file_name: &str) -> Option<&str> {
        file_name.strip_suffix(SUFFIX).filter(|name| Self::new(name, None).is_ok())
    }
}

/// What is wrong with a name of at most `most` bytes, be it of a buffer, a reader or a work group: all of them are
/// printed, and some of them become file names.
pub(crate) fn problem_of(name: &str, most: usize) -> Option<&'static str> {
    Some(if name.is_empty() {
        "it is empty"
    } else if name.len() > most {
        "it is too long"
    } else if name.contains('/') {
        "it contains `/`"
    } else if name.starts_with('.') {
        "it starts with `.`"
    } else if name.chars().any(char::is_control) {
        "it contains a control character"
    } else if name.ends_with(SUFFIX) || name.starts_with("sem.") {
        "files of that name belong to other buffers (`.zb2`, `sem.`)"
    } else {
        return None;
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_leave_the_directory_or_hide_are_refused() {
        let long = "x".repeat(201);
        for bad in [
            "", ".", "..", "../x", "a/b", "/etc", ".hidden", "a\nb", "a\0", "x.zb2", "sem.x", &long,
        ] {
            let error = Location::new(bad, None).unwrap_err();
            assert!(matches!(error, OpenError::InvalidName { .. }), "{bad:?}");
        }
        for good in ["camera", "cam 1", "Kamera-Süd", "a.b_c", &long[1..]] {
            let place = Location::new(good, Some(Path::new("/tmp"))).unwrap();
            let file = place.path.file_name().unwrap().to_str().unwrap();
            assert_eq!(Location::buffer_of(file), Some(good));
        }
    }
}
