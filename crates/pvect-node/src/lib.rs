//! The standalone node: what `pct` does, on plain LXC.
//!
//! It is reached as a process, `pvect pct VERB ...`, exactly as a real pct is. Its command line, texts, streams and
//! exit statuses are those of the real one, apart from extensions. All state is below one root ([`Layout`]).

pub mod backup;
pub mod boot;
pub mod change;
pub mod cli;
mod config_volumes;
mod creation;
pub mod files;
#[cfg(test)]
mod fixture;
pub mod health;
mod helper_verbs;
pub mod history;
mod host_keys;
pub mod hostmount;
pub mod ids;
pub mod image;
pub mod internal;
pub mod interrupt;
pub mod layout;
mod links;
mod lock_files;
pub mod locked;
mod log_room;
pub mod network;
mod oci;
pub mod options;
pub mod output;
mod pending;
mod process;
pub mod rights;
pub mod runtime;
mod setup;
mod start;
pub mod storage;
pub mod store;
pub mod task;
pub mod template;
pub mod tool;
mod transfer;
mod usage;
pub mod verbs;
mod verified;
pub mod vmids;
pub mod worker;

use std::path::PathBuf;

use pvect_core::NodeName;

pub use layout::Layout;
pub use output::Output;
pub use pvect_rootfs::{Failure, FailureKind, NodeResult};
// This crate uses these modules of pvect-rootfs under the same names.
pub use pvect_rootfs::{error, guest, idmap, random, rooted, unpack};

/// One standalone node, as a command sees it.
#[derive(Debug, Clone)]
pub struct Node {
    /// Where all files are.
    pub layout: Layout,
    /// The node's name.
    pub name: NodeName,
    /// The program that runs our internal helper verbs (this program itself, `/proc/self/exe` resolved).
    pub helper: PathBuf,
}

/// Runs one command line (the words after `pct`) and returns the exit status.
///
/// Texts go to `output`; `exec`, `enter` and `console` replace the process where they can, and do not return then.
pub fn run(node: &Node, words: &[String], output: &mut Output<'_>) -> u8 {
    cli::run(node, words, output)
}

/// As [`run`], for a process that ends right after: a signal that comes after the work is done does not end the process
/// before it has reported that.
pub fn run_to_exit(node: &Node, words: &[String], output: &mut Output<'_>) -> u8 {
    interrupt::one_command();
    run(node, words, output)
}
