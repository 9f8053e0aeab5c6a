//! Helper verbs that this program runs as a process of its own (hooks of LXC, copies inside a container's
//! namespaces): `pvect __node WORD ...`. They are no interface for users.

/// Runs one helper verb and returns the exit status.
pub fn run(_words: &[String]) -> u8 {
    255
}
