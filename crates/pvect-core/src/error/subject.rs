//! What a failure is about, finer than its kind.

/// What a failure is about, where that decides the next step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Subject {
    /// A container that is not there.
    Container,
    /// A snapshot that is not there.
    Snapshot,
    /// A template that is not there.
    Template,
    /// The number for a new container, which is taken.
    Number,
    /// The lock file of a configuration, which another command holds.
    LockFile,
    /// The command socket of a container, which somebody else holds.
    ForeignSocket,
    /// A task that goes on.
    Task,
    /// A full clone of a container that runs.
    FullClone,
    /// A linked clone of a volume whose storage has none.
    LinkedClone,
    /// Snapshots of volumes whose storage has none.
    Snapshots,
    /// What only a node of Proxmox VE can do, and the standalone node cannot.
    Proxmox,
}
