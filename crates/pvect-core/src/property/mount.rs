//! `rootfs` and `mp[n]`.

use std::fmt;

use super::{Reader, Writer, print};
use crate::schema::{PropertySchema, Violation, properties};
use crate::shape;
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
    /// Booleans that were written out although they have their default; printing keeps them.
    pub written: Vec<&'static str>,
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

impl MountSource {
    /// Classifies a volume text: below /dev a device, another absolute path a bind mount, `STORAGE:NUMBER` a new
    /// volume, else a volume.
    pub fn classify(text: &str) -> Self {
        if text.starts_with("/dev/") {
            return Self::Device(text.to_owned());
        }
        if text.starts_with('/') {
            return Self::Bind(text.to_owned());
        }
        let allocate = text.split_once(':').and_then(|(storage, gib)| {
            let named = !storage.is_empty() && !storage.chars().any(shape::is_blank);
            if named { DiskSize::from_gib(gib).map(|size| (storage.to_owned(), size)) } else { None }
        });
        match allocate {
            Some((storage, size)) => Self::Allocate { storage, size },
            None => Self::Volume(text.to_owned()),
        }
    }
}

impl RootFs {
    /// Makes a file system of a source, everything else unset.
    pub fn new(source: MountSource) -> Self {
        Self {
            source,
            size: None,
            acl: None,
            mount_options: Vec::new(),
            read_only: false,
            quota: false,
            replicate: true,
            shared: false,
            idmap: None,
            written: Vec::new(),
        }
    }

    /// Parses the value of `rootfs`.
    ///
    /// # Errors
    /// Every violation of the schema.
    pub fn parse(text: &str) -> Result<Self, Vec<Violation>> {
        let mut reader = Reader::new(&properties::ROOTFS, "rootfs", text)?;
        Self::read(&mut reader)
    }

    fn read(reader: &mut Reader) -> Result<Self, Vec<Violation>> {
        Ok(Self {
            source: MountSource::classify(reader.text("volume").unwrap_or_default()),
            size: reader.parsed("size", DiskSize::parse)?,
            acl: reader.text("acl").and_then(super::boolean),
            mount_options: reader.list("mountoptions", &[';']),
            read_only: reader.switch("ro", false),
            quota: reader.switch("quota", false),
            replicate: reader.switch("replicate", true),
            shared: reader.switch("shared", false),
            idmap: reader.owned("idmap"),
            written: std::mem::take(&mut reader.written),
        })
    }

    /// Returns the entries of the id map; empty for `passthrough` and when there is none.
    ///
    /// `None` when a number is beyond 64 bits.
    pub fn idmap_entries(&self) -> Option<Vec<MountIdmap>> {
        match self.idmap.as_deref() {
            None | Some("passthrough") => Some(Vec::new()),
            Some(text) => text.split(';').map(MountIdmap::parse).collect(),
        }
    }

    fn write(&self, writer: &mut Writer) {
        writer.put("volume", &self.source);
        writer.maybe("size", self.size);
        writer.maybe("acl", self.acl.map(u8::from));
        writer.join("mountoptions", &self.mount_options);
        writer.switch("ro", self.read_only, false, &self.written);
        writer.switch("quota", self.quota, false, &self.written);
        writer.switch("replicate", self.replicate, true, &self.written);
        writer.switch("shared", self.shared, false, &self.written);
        writer.maybe("idmap", self.idmap.as_ref());
    }
}

impl MountIdmap {
    /// Parses one entry, `u:CONTAINER:DISK:COUNT`.
    pub fn parse(text: &str) -> Option<Self> {
        let parts: Vec<&str> = text.split(':').collect();
        let [kind @ ("u" | "g"), container, disk, count] = parts[..] else { return None };
        let number = |text: &str| if shape::is_digits(text) { text.parse().ok() } else { None };
        let (container, disk, count) = (number(container)?, number(disk)?, number(count)?);
        (count > 0).then_some(Self { user: kind == "u", container, disk, count })
    }
}

impl MountPoint {
    /// Parses the value of `mp[n]`; `name` is the option's full name, for the violations.
    ///
    /// # Errors
    /// Every violation of the schema.
    pub fn parse(name: &str, text: &str) -> Result<Self, Vec<Violation>> {
        let mut reader = Reader::new(&properties::MOUNT_POINT, name, text)?;
        let path = reader.owned("mp").unwrap_or_default();
        let backup = reader.switch("backup", false);
        let keep_attrs = reader.switch("keepattrs", false);
        Ok(Self { fs: RootFs::read(&mut reader)?, path, backup, keep_attrs })
    }
}

impl fmt::Display for RootFs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut writer = Writer::default();
        self.write(&mut writer);
        printed(&properties::ROOTFS, &writer, f)
    }
}

impl fmt::Display for MountPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut writer = Writer::default();
        self.fs.write(&mut writer);
        writer.put("mp", &self.path);
        writer.switch("backup", self.backup, false, &self.fs.written);
        writer.switch("keepattrs", self.keep_attrs, false, &self.fs.written);
        printed(&properties::MOUNT_POINT, &writer, f)
    }
}

fn printed(schema: &PropertySchema, writer: &Writer, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_str(&print(schema, &writer.pairs))
}
