//! Helpers for the tests of this workspace: a standalone node of its own for each test, which cleans up after
//! itself also when the test fails.

mod fake_pct;
mod node;
mod outcome;
mod server;
mod sshd;

use std::fs::File;

use rustix::pipe::PipeFlags;

pub use fake_pct::FakePct;
pub use node::{TestNode, missing_requirement, pin_ids};
pub use outcome::Finished;
pub use server::TestServer;
pub use sshd::TestSshd;

/// Ends a test early when this machine cannot run it, and says so; a skipped test is never silent.
///
/// `cargo test -- --nocapture` shows the lines; `scripts/test` counts them.
#[macro_export]
macro_rules! node_or_skip {
    () => {
        match $crate::TestNode::new() {
            Ok(node) => node,
            Err(reason) => {
                $crate::skipped(module_path!(), &reason);
                return;
            }
        }
    };
}

/// Makes a pipe: its reading end, then its writing end. No program that is started inherits either.
///
/// # Panics
/// Where there is no descriptor left.
pub fn pipe() -> (File, File) {
    let (reader, writer) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC).expect("a pipe");
    (reader.into(), writer.into())
}

/// Notes a skipped test on stderr and in the file that `PVECT_TEST_SKIPS` names.
pub fn skipped(test: &str, reason: &str) {
    use std::io::Write;
    let line = format!("Skipped({test}): {reason}\n");
    let _ = std::io::stderr().write_all(line.as_bytes());
    let Some(path) = std::env::var_os("PVECT_TEST_SKIPS") else { return };
    if let Ok(mut file) = std::fs::OpenOptions::new().create(true).append(true).open(path) {
        let _ = file.write_all(line.as_bytes());
    }
}
