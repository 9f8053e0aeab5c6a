//! Counters of network devices, and the addresses of containers.

mod addresses;
mod counters;
mod message;

pub use addresses::{Address, Addresses};

pub(crate) use addresses::Asker;
pub(crate) use counters::counters;
