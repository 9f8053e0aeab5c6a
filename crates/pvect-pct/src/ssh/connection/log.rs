//! What ssh itself says.

use std::fs::File;
use std::io::{Read, Seek};

use pvect_core::{Error, Result};
use rustix::fs::{MemfdFlags, memfd_create};

/// ssh's own messages, separate from those of the command: a file in memory that `-E` names.
#[derive(Debug)]
pub(crate) struct Log {
    file: File,
}

impl Log {
    /// Makes an empty one.
    ///
    /// # Errors
    /// When the system cannot make a memory file.
    pub(crate) fn new() -> Result<Self> {
        use std::os::fd::OwnedFd;
        let failed = |errno: rustix::io::Errno| Error::Io {
            what: "cannot make a file in memory".to_owned(),
            source: errno.into(),
        };
        let file: OwnedFd = memfd_create("pvect-ssh", MemfdFlags::CLOEXEC).map_err(failed)?;
        Ok(Self { file: file.into() })
    }

    pub(super) fn path(&self) -> String {
        use std::os::fd::AsRawFd;
        format!("/proc/{}/fd/{}", std::process::id(), self.file.as_raw_fd())
    }

    /// Returns what ssh wrote, on one line.
    pub(crate) fn text(&self) -> String {
        let mut bytes = Vec::new();
        let mut file = &self.file;
        let read = file.rewind().and_then(|()| file.take(64 << 10).read_to_end(&mut bytes));
        match read {
            Ok(_) => plain_words(&String::from_utf8_lossy(&bytes)),
            Err(error) => error.to_string(),
        }
    }
}

/// Puts ssh's messages on one line, and shortens the long warning about a changed key.
pub(super) fn plain_words(text: &str) -> String {
    let mut lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    if text.contains("REMOTE HOST IDENTIFICATION HAS CHANGED") {
        lines.retain(|line| line.starts_with("Host key") || line.starts_with("Offending"));
        lines.insert(0, "the host's key is not the one that is known");
    }
    let mut text = lines.join("; ");
    if let Some((at, _)) = text.char_indices().nth(600) {
        text.truncate(at);
        text.push_str(" ...");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_ssh_are_one_line() {
        let changed = "@@@@\n@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\n@@@\nIT IS POSSIBLE\n\
            Offending ED25519 key in /x:1\r\nHost key for [h]:1 has changed\nHost key verification failed.\r\n";
        assert_eq!(
            plain_words(changed),
            "the host's key is not the one that is known; Offending ED25519 key in /x:1; \
             Host key for [h]:1 has changed; Host key verification failed."
        );
        assert_eq!(plain_words("a\r\n\nb\n"), "a; b");
    }
}
