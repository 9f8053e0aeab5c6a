//! The library of pvect: [`Client`], [`Settings`], names, and the checks of [`doctor`].
//!
//! It composes what the crates below it do: which pct runs (the real one or the standalone node's), under which
//! time limits, and how a container's name becomes its number. It never prints, and never reads the environment.

pub mod bulk;
pub mod client;
pub mod doctor;
pub mod names;
pub mod select;
pub mod settings;
pub mod traps;

pub use client::{
    BackedUp, Backup, Client, Create, GuestCommand, Manner, Place, RemoteEndpoint, StoredBackup,
    StoredTemplate, options,
};
pub use pvect_core::{Error, ErrorKind, Inspect, Operate, Result};
pub use pvect_pct::CancelHandle;
pub use settings::Settings;

/// Returns the known word that a mistyped one resembles most, if any does.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(word, candidate), candidate))
        .filter(|(likeness, _)| *likeness > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

/// Keeps the example of the README compiling.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
