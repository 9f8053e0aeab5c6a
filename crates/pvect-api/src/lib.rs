//! Containers through the HTTPS API of Proxmox VE.
//!
//! - [`ApiConfig`]: hosts, who asks, which certificate is trusted, time limits
//! - [`Api`]: requests, with failover, tickets and errors that tell "never sent" from "may have run"
//! - [`Task`]: a task followed to its end, its log as it comes
//! - [`ApiBackend`]: the traits [`pvect_core::Inspect`] and [`pvect_core::Operate`], for every verb with a counterpart in the API
//!
//! Nothing is ever sent to a server whose certificate was not verified.

// Without HTTPS nothing is sent, so the code that reads answers is unused.
#![cfg_attr(not(feature = "https"), expect(dead_code))]

mod answer;
mod api;
mod backend;
mod cluster;
mod config;
mod fault;
#[cfg(feature = "https")]
mod http;
#[cfg(not(feature = "https"))]
#[path = "without_https.rs"]
mod http;
mod records;
mod request;
mod root_only;
mod task;
mod ticket;

pub use api::Api;
pub use backend::ApiBackend;
pub use cluster::Guest;
pub use config::{ApiConfig, Credentials, DEFAULT_PORT, Fingerprint, Host, OneTimeCode, Trust};
pub use records::Volume;
pub use request::{Method, Request};
pub use root_only::root_only;
pub use task::Task;
