//! Buffer names, and where buffers lie.

use std::path::{Path, PathBuf};

use crate::error::OpenError;

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
pub(crate) struct Place {
    pub(crate) name: std::sync::Arc<str>,
    pub(crate) dir: PathBuf,
    pub(crate) path: PathBuf,
}

impl Place {
    /// Checks the name.
    pub(crate) fn new(name: &str, dir: Option<&Path>) -> Result<Self, OpenError> {
        let problem = if name.is_empty() {
            Some("it is empty")
        } else if name.len() > MAX_NAME_BYTES {
            Some("it is longer than 200 bytes")
        } else if name.contains('/') {
            Some("it contains `/`")
        } else if name.starts_with('.') {
            Some("it starts with `.`")
        } else if name.chars().any(char::is_control) {
            Some("it contains a control character")
        } else if name.ends_with(SUFFIX) || name.starts_with("sem.") {
            Some("files of that name belong to other buffers (`.zb2`, `sem.`)")
        } else {
            None
        };
        if let Some(problem) = problem {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_leave_the_directory_or_hide_are_refused() {
        let long = "x".repeat(201);
        for bad in [
            "", ".", "..", "../x", "a/b", "/etc", ".hidden", "a\nb", "a\0", "x.zb2", "sem.x", &long,
        ] {
            let error = Place::new(bad, None).unwrap_err();
            assert!(matches!(error, OpenError::InvalidName { .. }), "{bad:?}");
        }
        for good in ["camera", "cam 1", "Kamera-Süd", "a.b_c", &long[1..]] {
            let place = Place::new(good, Some(Path::new("/tmp"))).unwrap();
            let file = place.path.file_name().unwrap().to_str().unwrap();
            assert_eq!(Place::buffer_of(file), Some(good));
        }
    }
}
