//! `vzdump`: backups of containers, in the form of the real one.
//!
//! An archive is a tar of the container's files as its root sees them, with `./etc/vzdump/pct.conf` and `pct.fw` as
//! its first members, named `vzdump-lxc-<vmid>-YYYY_MM_DD-HH_MM_SS.tar[.gz|.zst]`, its log beside it. Both the real
//! pct and ours restore it.
//!
//! - `options`: the command line
//! - `job`: all containers of one call
//! - `plan`: where the archives go, which older ones stay
//! - `container`: one container, from its lock to its restart
//! - `archive`: tar and packing
//! - `prune`: names of archives, and which old ones go
//! - `journal`: the lines of the log
//! - `list`: the backups on a storage

mod archive;
mod container;
mod job;
mod journal;
mod list;
mod options;
mod parts;
mod plan;
pub mod prune;
mod snapshot;

pub(crate) use list::{NAME as LIST, list};

use crate::{Failure, Node, NodeResult, Output, store};

/// Runs one command line (the words after `vzdump`) and returns the exit status.
///
/// SIGINT, SIGTERM and SIGHUP end the backup that is under way: its half-written archive is removed, and its container
/// is unlocked and runs again.
pub fn run(node: &Node, words: &[String], output: &mut Output<'_>) -> u8 {
    match try_run(node, words, output) {
        Ok(()) => 0,
        Err(failure) => {
            output.warn(&failure.text);
            failure.exit
        }
    }
}

/// As [`run`], for a caller that passes the failure on.
///
/// # Errors
/// The text and status that vzdump ends with.
pub(crate) fn try_run(node: &Node, words: &[String], output: &mut Output<'_>) -> NodeResult<()> {
    if !rustix::process::geteuid().is_root() {
        return Err(Failure::new("please run as root"));
    }
    let options = options::Options::parse(words)?;
    store::ensure_root(node)?;
    if options.quiet {
        let (mut out, mut err) = (std::io::sink(), std::io::sink());
        return job::run(node, &options, &mut Output::new(&mut out, &mut err));
    }
    job::run(node, &options, output)
}
