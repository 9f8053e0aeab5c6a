//! Reads a node directly: LXC command sockets, cgroups, `/proc`. It changes nothing, and starts no process except one
//! to ask file systems that may not answer.
//!
//! [`NativeBackend`] is [`pvect_core::Inspect`] for the node that the program runs on; [`NativeReader`] says which
//! containers run, and how much they use. Every root is a parameter, so tests
//! read fixture trees. [`Names`] has the names under which LXC runs the containers of one directory (cgroup,
//! network devices, command socket); the standalone node makes them by the same rules.

mod backend;
mod cgroup;
mod configs;
mod counted;
mod disk;
mod file;
#[doc(hidden)]
pub mod fuzzing;
mod init;
mod lxc_names;
mod network;
mod pmxcfs;
mod process;
mod reader;
mod sample;
mod screen;
mod socket;
mod watch;

pub use backend::{NativeBackend, Survey};
pub use cgroup::{Cgroups, Controller, Version};
pub use counted::Counted;
pub use init::Init;
pub use lxc_names::Names;
pub use reader::NativeReader;
pub use sample::{Details, Frame, Rates, Sample, Sampler};
pub use socket::{CommandSocket, Foreign, socket_name};
pub use watch::{Change, Event, Watcher};
