//! Drives a `pct` command: the real one of Proxmox VE, or that of the standalone node.
//!
//! - [`PctConfig`], [`Transport`]: which command, how it is reached, how long it may take
//! - [`Runner`]: one process from start to end: clean environment, bounded output, time-out, cancellation
//! - [`Connection`], [`SshTarget`]: pct on another node, over one ssh connection that is kept
//! - [`parse`]: what pct prints, as typed values; pure functions
//! - [`pvect_core::classify`]: what the error texts mean; pure functions
//! - [`PctBackend`]: all of it behind the traits of pvect-core
//!
//! A password never travels in argv: see [`Runner`]. The option `ssh-public-keys` takes the path of a file; a
//! caller that holds the keys as text writes a private temporary file and removes it after the call.

mod backend;
mod cancel;
mod config;
mod copy;
mod interactive;
mod other;
pub mod parse;
mod program;
mod runner;
mod ssh;
mod warned;

pub use backend::{Captured, PctBackend};
pub use cancel::CancelHandle;
pub use config::{DEFAULT_GRACE, DEFAULT_OUTPUT_LIMIT, PctConfig, Transport};
pub use runner::{End, Finished, Request, Runner, Streams};
pub use ssh::{Connection, DEFAULT_PATIENCE, SshTarget};
pub use warned::Warned;
