//! System calls that no safe wrapper has.
//!
//! The only crate of the workspace that may contain unsafe code. Each module has one subject, each `unsafe` block argues
//! its case after `// SAFETY:`, and what is public is safe to call with any argument.

pub mod child;
pub mod mounts;
pub mod netlink;
