//! The `lock:` of a configuration: what is being done to the container.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The value of the option `lock`. A value of a newer Proxmox VE survives as [`Lock::Other`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum Lock {
    /// vzdump is running.
    Backup,
    /// create, restore, the target of a clone, an incoming migration.
    Create,
    /// destroy has begun.
    Destroyed,
    /// The source of a clone; a volume is being moved.
    Disk,
    /// fstrim is running.
    Fstrim,
    /// The container is being migrated.
    Migrate,
    /// mounted by `pct mount`; start and stop are allowed.
    Mounted,
    /// A snapshot is being rolled back.
    Rollback,
    /// A snapshot is being made.
    Snapshot,
    /// A snapshot is being removed.
    SnapshotDelete,
    /// A value that this version does not know.
    Other(String),
}

impl Lock {
    /// The values that `pct set --lock` takes, in its order.
    pub const NAMES: [&'static str; 10] = [
        "backup",
        "create",
        "destroyed",
        "disk",
        "fstrim",
        "migrate",
        "mounted",
        "rollback",
        "snapshot",
        "snapshot-delete",
    ];

    /// Returns the value as the configuration holds it.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Backup => "backup",
            Self::Create => "create",
            Self::Destroyed => "destroyed",
            Self::Disk => "disk",
            Self::Fstrim => "fstrim",
            Self::Migrate => "migrate",
            Self::Mounted => "mounted",
            Self::Rollback => "rollback",
            Self::Snapshot => "snapshot",
            Self::SnapshotDelete => "snapshot-delete",
            Self::Other(name) => name,
        }
    }
}

impl From<String> for Lock {
    fn from(name: String) -> Self {
        match name.as_str() {
            "backup" => Self::Backup,
            "create" => Self::Create,
            "destroyed" => Self::Destroyed,
            "disk" => Self::Disk,
            "fstrim" => Self::Fstrim,
            "migrate" => Self::Migrate,
            "mounted" => Self::Mounted,
            "rollback" => Self::Rollback,
            "snapshot" => Self::Snapshot,
            "snapshot-delete" => Self::SnapshotDelete,
            _ => Self::Other(name),
        }
    }
}

impl From<&str> for Lock {
    fn from(name: &str) -> Self {
        Self::from(name.to_owned())
    }
}

impl From<Lock> for String {
    fn from(lock: Lock) -> Self {
        match lock {
            Lock::Other(name) => name,
            known => known.as_str().to_owned(),
        }
    }
}

impl FromStr for Lock {
    type Err = std::convert::Infallible;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Ok(Self::from(name))
    }
}

impl fmt::Display for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_and_unknown_values_survive() {
        for name in Lock::NAMES {
            let lock = Lock::from(name);
            assert!(!matches!(lock, Lock::Other(_)), "{name} is not known");
            assert_eq!(lock.to_string(), name);
        }
        assert_eq!(String::from(Lock::from("suspended")), "suspended");
    }
}
