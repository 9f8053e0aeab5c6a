//! The texts of many configuration files: from the files, or from pmxcfs itself where the files are in it.

use std::io;
use std::path::{Path, PathBuf};

use pvect_core::Vmid;

use crate::file::read_whole;
use crate::pmxcfs::{Pmxcfs, Together, Unusable};

/// From how many containers on pmxcfs is asked: the connection takes about as long as to read so many files.
const MANY: usize = 64;

/// Reads the configurations of one node's containers in a given order.
#[derive(Debug)]
pub(crate) struct Configs<'a> {
    directory: &'a Path,
    together: Together,
    bytes: Vec<u8>,
}

impl<'a> Configs<'a> {
    /// Prepares to read those of `vmids`, in this order.
    pub(crate) fn of(directory: &'a Path, vmids: &[Vmid]) -> Self {
        let place = if vmids.len() < MANY { None } else { Pmxcfs::of(directory) };
        Self::through(place, directory, vmids)
    }

    /// As [`Configs::of`], through this pmxcfs.
    pub(crate) fn through(place: Option<Pmxcfs>, directory: &'a Path, vmids: &[Vmid]) -> Self {
        let together = place.map(|place| place.read(vmids).inspect_err(log)).and_then(Result::ok);
        Self { directory, together: together.unwrap_or_default(), bytes: Vec::new() }
    }

    /// Returns the text of a container's configuration, by its number and its place in the order.
    ///
    /// # Errors
    /// When it cannot be read, also as a file.
    pub(crate) fn text(&mut self, place: usize, vmid: Vmid) -> io::Result<&[u8]> {
        if let Some(text) = self.together.get(place) {
            return Ok(text);
        }
        read_whole(&self.path(vmid), &mut self.bytes)?;
        Ok(&self.bytes)
    }

    fn path(&self, vmid: Vmid) -> PathBuf {
        self.directory.join(format!("{vmid}.conf"))
    }
}

/// The files say the same, only later: what keeps pmxcfs from being asked is for the log.
fn log(unusable: &Unusable) {
    let error: &(dyn std::error::Error + 'static) = unusable;
    match unusable {
        Unusable::Absent | Unusable::Refused => {
            tracing::debug!(error, "pmxcfs is not asked; its files are read");
        }
        _ => tracing::warn!(error, "pmxcfs is not asked; its files are read"),
    }
}
