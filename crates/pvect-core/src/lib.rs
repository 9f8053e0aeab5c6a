//! The vocabulary of Proxmox VE containers.
//!
//! Everything here is pure: no file is read, no process started, no clock asked. Parsers take any bytes and
//! answer with a value or an error, never with a panic.
//!
//! - [`id`]: `Vmid`, `NodeName`, `StorageId`, `VolumeId`, `SnapshotName`
//! - [`schema`]: pct's verbs and options, the one table that client, help and standalone node share
//! - [`shape`]: what single texts look like, below the schema
//! - [`property`]: the property strings (`net0`, `rootfs`, `features`, ...)
//! - [`config`]: a container's configuration file, parsed and printed
//! - [`status`], [`usage`], [`lock`], [`tags`], [`size`], [`upid`]: smaller types
//! - [`equivalence`]: whether two values of an option mean the same
//! - [`call`], [`checked`]: one request to pct, and one that was checked against the schema
//! - [`backend`]: the two traits that every backend implements
//! - [`error`]: the error kinds, with their exit statuses
//! - [`perl`]: how pct counts with texts that are no numbers
//! - [`classify`]: what the texts of Proxmox VE mean, as error kinds
//!
//! ```
//! use pvect_core::{Call, Verb, VolumeId};
//!
//! let volume: VolumeId = "local-lvm:vm-101-disk-0".parse()?;
//! assert_eq!(volume.storage(), "local-lvm");
//! let call = Call::on(Verb::Set, "101".parse()?).option("memory", "1024").checked().expect("it fits the table");
//! assert_eq!(call.argv(), ["set", "101", "--memory", "1024"]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

// Any bytes in, a value or an error out.
#![deny(clippy::indexing_slicing)]

pub mod backend;
pub mod call;
pub mod checked;
pub mod classify;
pub mod config;
pub mod equivalence;
pub mod error;
pub mod id;
pub mod lock;
pub mod perl;
pub mod property;
pub mod schema;
pub mod shape;
pub mod size;
pub mod status;
pub mod tags;
pub mod upid;
pub mod usage;

pub use backend::{Events, Inspect, Operate, Outcome};
pub use call::Call;
pub use checked::CheckedCall;
pub use config::ContainerConfig;
pub use error::{Error, ErrorKind, Result};
pub use id::{NodeName, SnapshotName, StorageId, Vmid, VolumeId};
pub use lock::Lock;
pub use schema::Verb;
pub use status::{Listing, RunState, Status};

/// Keeps the example of the README right.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
