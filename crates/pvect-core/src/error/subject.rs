//! What a failure is about, finer than its kind.

/// What a failure is about, if that decides the next step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Subject {
    /// A container that does not exist.
    Container,
    /// A snapshot that does not exist.
    Snapshot,
    /// A template that does not exist.
    Template,
    /// The number for a new container, which is taken.
    Number,
    /// The lock file of a configuration, which another command holds.
    LockFile,
    /// The command socket of a container, which somebody else holds.
    ForeignSocket,
    /// A task that continues.
    Task,
    /// A full clone of a container that runs.
    FullClone,
    /// A linked clone of a volume whose storage does not support them.
    LinkedClone,
    /// Snapshots of volumes whose storage does not support them.
    Snapshots,
    /// A hook that LXC ran, such as LXCFS's, and that failed.
    Hook,
    /// What only a node of Proxmox VE can do, and the standalone node cannot.
    Proxmox,
}
