//! Why a member could not be written.

use std::io;

use rustix::io::Errno;

use crate::error::os_text;
use crate::unpack::UnpackError;
use crate::unpack::reader::plain;
use crate::unpack::sparse;

/// Why one member failed; its name is added later.
pub(super) enum Problem {
    Io(io::Error),
    Text(String),
    Interrupted,
}

impl From<io::Error> for Problem {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<sparse::Problem> for Problem {
    fn from(problem: sparse::Problem) -> Self {
        match problem {
            sparse::Problem::Io(error) => Self::Io(error),
            sparse::Problem::Map(text) => Self::Text(text.to_owned()),
            sparse::Problem::Interrupted => Self::Interrupted,
        }
    }
}

impl From<Errno> for Problem {
    fn from(error: Errno) -> Self {
        Self::Io(error.into())
    }
}

/// The name comes from the archive: it must not begin a line of its own in a log.
pub(super) fn named(member: &str, problem: Problem) -> UnpackError {
    let member = plain(member);
    match problem {
        Problem::Interrupted => UnpackError::Interrupted,
        Problem::Text(what) => UnpackError::Member { member, what, full: false },
        Problem::Io(error) => {
            let full = matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
            UnpackError::Member { member, what: os_text(&error), full }
        }
    }
}
