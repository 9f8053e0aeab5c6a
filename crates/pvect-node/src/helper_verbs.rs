//! The names of the helper verbs that [`crate::internal`] runs.

/// The verb that copies stdin into a file of a container: `push-into ROOT USERS DESTINATION USER GROUP PERMS`:
/// the paths of its root directory and of its user namespace, as our parent has them open, and empty words for what is
/// not asked for.
pub(crate) const PUSH_INTO: &str = "push-into";
/// The verb that LXC's monitor runs when a container has ended: `post-stop ROOT NODE VMID`.
pub(crate) const POST_STOP: &str = "post-stop";
/// The verb that starts a container again that wanted to boot again: `start-again ROOT NODE VMID`.
pub(crate) const START_AGAIN: &str = "start-again";
/// The verb that says how full a file system is: `file-system-use ROOT PATH`, as a line of JSON.
pub(crate) const FILE_SYSTEM_USE: &str = "file-system-use";
