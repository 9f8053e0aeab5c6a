//! Reads a node directly: LXC command sockets, cgroups, `/proc`. It starts no process and changes nothing.
//!
//! [`NativeReader`] answers what `pct list` and `pct status --verbose` ask. Every root is a parameter, so tests
//! read fixture trees. [`Names`] has the names under which LXC runs the containers of one directory (cgroup,
//! network devices, command socket); the standalone node makes them by the same rules.

mod cgroup;
mod names;
mod network;
mod process;
mod reader;
mod socket;

pub use cgroup::{Cgroups, Controller, Version};
pub use names::Names;
pub use reader::NativeReader;
pub use socket::{CommandSocket, socket_name};
