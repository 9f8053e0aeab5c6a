//! `rootfs` and `mp[n]`.

use std::fmt;

use crate::schema::Violation;
use crate::size::DiskSize;

/// What is mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MountSource {
    /// A new volume: `STORAGE:GIB` (only when an option is given, never in a file).
    Allocate {
        /// The storage.
        storage: String,
        /// The size in bytes, whole MiB; 0 asks for a plain directory or subvolume.
        size: DiskSize,
    },
    /// A volume: `STORAGE:VOLUME`.
    Volume(String),
    /// A block device of the host, `/dev/...`.
    Device(String),
    /// A directory of the host.
    Bind(String),
}

impl fmt::Display for MountSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Allocate { storage, size } => write!(f, "{storage}:{}", size.gib_text()),
            Self::Volume(text) | Self::Device(text) | Self::Bind(text) => f.write_str(text),
        }
    }
}

/// One entry of the id map of a mount point: `u:CONTAINER:DISK:COUNT`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MountIdmap {
    /// `true` for user ids, `false` for group ids.
    pub user: bool,
    /// First id in the container.
    pub container: u64,
    /// First id on the disk.
    pub disk: u64,
    /// How many.
    pub count: u64,
}

/// `rootfs`, and what `mp[n]` shares with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootFs {
    /// What is mounted.
    pub source: MountSource,
    /// The recorded size.
    pub size: Option<DiskSize>,
    /// POSIX ACLs on or off; the file system's default when unset.
    pub acl: Option<bool>,
    /// Further mount options (`noatime`, ...), in order.
    pub mount_options: Vec<String>,
    /// Mounted read-only.
    pub read_only: bool,
    /// User quotas.
    pub quota: bool,
    /// Part of replication jobs.
    pub replicate: bool,
    /// Exists on other nodes too.
    pub shared: bool,
    /// The id map, as text (`passthrough` or entries), see [`MountIdmap`].
    pub idmap: Option<String>,
}

/// `mp[n]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountPoint {
    /// What is mounted, and how.
    pub fs: RootFs,
    /// The path in the container.
    pub path: String,
    /// Part of backups.
    pub backup: bool,
    /// Takes owner and mode from the directory that the container has there.
    pub keep_attrs: bool,
}

impl RootFs {
    /// Parses the value of `rootfs`.
    ///
    /// # Errors
    /// Every violation of the schema.
    pub fn parse(_text: &str) -> Result<Self, Vec<Violation>> {
        Err(Vec::new())
    }
}

impl MountPoint {
    /// Parses the value of `mp[n]`; `name` is the option's full name, for the violations.
    ///
    /// # Errors
    /// Every violation of the schema.
    pub fn parse(_name: &str, _text: &str) -> Result<Self, Vec<Violation>> {
        Err(Vec::new())
    }
}

impl fmt::Display for RootFs {
    fn fmt(&self, _f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ok(())
    }
}

impl fmt::Display for MountPoint {
    fn fmt(&self, _f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ok(())
    }
}
