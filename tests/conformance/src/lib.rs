//! One conformance suite for every `pct`: what it is asked, what it prints, how it ends, what it leaves behind.
//!
//! The cases are plain text in `cases/` (`cases/README.md` describes their format); most were recorded from
//! pve-container 6.1.10 on Proxmox VE 9.2. The runner runs each group of them on a fresh standalone node, and on a
//! real node where `PVECT_TEST_PCT` names its pct. What could not be run is counted and printed with its reason.

mod after;
pub mod case;
mod depend;
mod diff;
pub mod parse;
pub mod pattern;
mod process;
pub mod report;
pub mod run;
mod stand_in;
pub mod target;
pub mod words;
