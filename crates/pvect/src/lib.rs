//! The library of pvect: [`Client`], [`Settings`], names, and the checks of [`doctor`].
//!
//! It composes what the crates below it do: which pct runs (the real one or the standalone node's), under which
//! time limits, and how a container's name becomes its number. It never prints, and never reads the environment.
//!
//! ```no_run
//! # async fn example() -> pvect::Result<()> {
//! use pvect::{Client, Settings};
//!
//! let client = Client::connect(Settings::default())?;
//! let web = client.resolve("web1").await?;
//! client.start(web).await?;
//! let done = client.exec(web, ["systemctl", "is-active", "nginx"], None).await?;
//! println!("status {}: {}", done.status, String::from_utf8_lossy(&done.stdout));
//! # Ok(())
//! # }
//! ```
//!
//! - [`Client`]: the verbs of pct, each with the care that keeps its traps closed; [`options`] has their options, typed
//! - [`select`] and [`bulk`]: containers chosen by name, tag, range or state, and worked on together
//! - [`live`]: events as they happen, and how much of the node the containers use
//! - [`settings`], [`doctor`]: where the node is, and what is wrong with it
//! - [`config`], [`property`], [`schema`] and others: the vocabulary, from pvect-core
//!
//! An [`Error`] has a kind to branch on ([`Error::kind`]); its text is for people.

pub mod bulk;
pub mod client;
pub mod doctor;
pub mod live;
pub mod names;
pub mod select;
pub mod settings;
pub mod traps;

pub use client::{
    BackedUp, Backup, Client, Create, GuestCommand, Manner, OneTimeCode, Place, RemoteEndpoint, StoredBackup,
    StoredTemplate, options,
};
pub use settings::Settings;

// Everything that a signature of this crate names can be named through this crate, so that a program does not need
// another crate and cannot depend on another version of it; `scripts/public-api` checks that.
pub use pvect_core::backend::ConfigView;
pub use pvect_core::config::{PendingItem, SnapshotEntry};
pub use pvect_core::error::Subject;
pub use pvect_core::schema::TimeClass;
pub use pvect_core::usage::FileSystem;
pub use pvect_core::{
    Call, CheckedCall, ContainerConfig, Error, ErrorKind, Events, Inspect, Listing, Lock, NodeName, Operate,
    Outcome, Result, RunState, SnapshotName, Status, StorageId, Verb, Vmid, VolumeId,
};
pub use pvect_core::{call, config, error, id, lock, property, schema, size, status, tags, upid, usage};
pub use pvect_native::{Foreign, Survey};
pub use pvect_pct::{CancelHandle, Captured, Streams};
pub use secrecy::SecretString;

/// Returns the known word that a mistyped one resembles most, if any does.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(word, candidate), candidate))
        .filter(|(likeness, _)| *likeness > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

/// Keeps the example of this crate's README compiling.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// Keeps the example of the workspace's README compiling.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct WorkspaceReadme;
