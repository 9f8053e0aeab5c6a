//! What the fuzz target calls; not for programs.

/// Reads bytes as each of the messages of pmxcfs; returns how long the files are that came of them as answers.
pub fn pmxcfs(bytes: &[u8]) -> usize {
    crate::pmxcfs::read_as_each(bytes)
}
