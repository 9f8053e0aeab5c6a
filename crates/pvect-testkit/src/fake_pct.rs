//! A stand-in for a pct that misbehaves in ways that a real one cannot be made to.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// A shell script named `pct` in a directory of its own. It is no pct: it imitates one fault.
#[derive(Debug)]
pub struct FakePct {
    dir: TempDir,
}

impl FakePct {
    /// Writes the script; `body` is POSIX shell.
    ///
    /// # Panics
    /// When the file cannot be written.
    pub fn new(body: &str) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory can be made");
        let path = dir.path().join("pct");
        fs::write(&path, format!("#!/bin/sh\n{body}\n")).expect("the script can be written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("the mode can be set");
        Self { dir }
    }

    /// The script's path.
    pub fn path(&self) -> PathBuf {
        self.dir.path().join("pct")
    }

    /// The directory around it, for files that the script writes.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }
}
