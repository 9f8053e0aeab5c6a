//! Every verb of pct as a typed method, a file for each concern. [`Client::carry_out`] takes any [`pvect_core::Call`].

mod files;
mod lifecycle;
mod node;
mod settings;
mod snapshots;
mod volumes;

pub use files::GuestCommand;
pub use node::RemoteEndpoint;
