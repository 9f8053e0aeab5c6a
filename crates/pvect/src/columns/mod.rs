//! What a list can show of containers besides number, state, lock and name: columns, each read only when it is asked for.
//!
//! ```no_run
//! # async fn example() -> pvect::Result<()> {
//! use pvect::columns::Column;
//!
//! let client = pvect::Client::connect(pvect::Settings::default())?;
//! let list = client.list().await?;
//! let read = client.columns(&list, &[Column::Ip, Column::Tags].into()).await?;
//! for (container, cells) in list.iter().zip(&read.cells) {
//!     println!("{} {:?}", container.name, cells.ip);
//! }
//! # Ok(())
//! # }
//! ```

mod ha;
mod read;

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, Ipv6Addr};

use pvect_core::{Error, NodeName, Result};
use serde::Serialize;

use crate::{Client, Place};

/// A column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Column {
    /// The node that it is on.
    Node,
    /// The IPv4 addresses of its own interfaces.
    Ip,
    /// The same for IPv6.
    Ip6,
    /// The tags, joined with `;`.
    Tags,
    /// Memory in use.
    Memory,
    /// The limit of memory.
    MaxMemory,
    /// The CPU time that it uses just now.
    Cpu,
    /// How many CPUs it may use.
    Cpus,
    /// Use of the root file system.
    Disk,
    /// Size of the root file system.
    MaxDisk,
    /// How long it has run.
    Uptime,
    /// The operating system: `ostype`.
    Os,
    /// The architecture.
    Arch,
    /// Whether it is unprivileged.
    Unprivileged,
    /// Whether it is a template.
    Template,
    /// Whether it starts with the node.
    Onboot,
    /// Whether it is protected from removal.
    Protection,
    /// The pool that it is a member of.
    Pool,
    /// The state that the HA manager is asked to keep it in.
    Ha,
    /// The description.
    Description,
}

/// Where what a column shows is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Node,
    Config,
    Addresses,
    Use,
    Pools,
    Ha,
}

impl Column {
    /// Every column in the order in which all are shown.
    pub const ALL: &'static [Self] = &[
        Self::Node,
        Self::Ip,
        Self::Ip6,
        Self::Tags,
        Self::Memory,
        Self::MaxMemory,
        Self::Cpu,
        Self::Cpus,
        Self::Disk,
        Self::MaxDisk,
        Self::Uptime,
        Self::Os,
        Self::Arch,
        Self::Unprivileged,
        Self::Template,
        Self::Onboot,
        Self::Protection,
        Self::Pool,
        Self::Ha,
        Self::Description,
    ];

    /// Returns the name, which is that of the field in [`Cells`].
    pub fn name(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Ip => "ip",
            Self::Ip6 => "ip6",
            Self::Tags => "tags",
            Self::Memory => "memory",
            Self::MaxMemory => "maxmemory",
            Self::Cpu => "cpu",
            Self::Cpus => "cpus",
            Self::Disk => "disk",
            Self::MaxDisk => "maxdisk",
            Self::Uptime => "uptime",
            Self::Os => "os",
            Self::Arch => "arch",
            Self::Unprivileged => "unprivileged",
            Self::Template => "template",
            Self::Onboot => "onboot",
            Self::Protection => "protection",
            Self::Pool => "pool",
            Self::Ha => "ha",
            Self::Description => "description",
        }
    }

    /// Returns the column of a name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|column| column.name() == name)
    }

    fn source(self) -> Source {
        match self {
            Self::Node => Source::Node,
            Self::Ip | Self::Ip6 => Source::Addresses,
            Self::Memory
            | Self::MaxMemory
            | Self::Cpu
            | Self::Cpus
            | Self::Disk
            | Self::MaxDisk
            | Self::Uptime => Source::Use,
            Self::Tags
            | Self::Os
            | Self::Arch
            | Self::Unprivileged
            | Self::Template
            | Self::Onboot
            | Self::Protection
            | Self::Description => Source::Config,
            Self::Pool => Source::Pools,
            Self::Ha => Source::Ha,
        }
    }
}

/// What the columns show of one container. A field is `None` where its column was not asked for, and where the container
/// has no such value.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
#[non_exhaustive]
pub struct Cells {
    /// The node that it is on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<NodeName>,
    /// The IPv4 addresses of the interfaces `net0`, `net1` and so on, in this order; none of a stopped container. Those of
    /// loopback and of the link alone are left out. `None` where they could not be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip: Option<Vec<Ipv4Addr>>,
    /// The same for IPv6.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip6: Option<Vec<Ipv6Addr>>,
    /// The tags, joined with `;`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tags: Option<String>,
    /// Memory in use without the page cache, bytes; of a running container.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
    /// The limit of memory, bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maxmemory: Option<u64>,
    /// The CPU time that a running container uses just now, per cent of one CPU; measured for a quarter of a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<f64>,
    /// How many CPUs it may use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpus: Option<f64>,
    /// Use of the root file system, bytes; of a running container whose file system says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk: Option<u64>,
    /// Size of the root file system, bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maxdisk: Option<u64>,
    /// Seconds since a running container was started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uptime: Option<u64>,
    /// The operating system: `ostype`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub os: Option<String>,
    /// The architecture.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arch: Option<String>,
    /// Whether it is unprivileged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unprivileged: Option<bool>,
    /// Whether it is a template.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<bool>,
    /// Whether it starts with the node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub onboot: Option<bool>,
    /// Whether it is protected from removal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protection: Option<bool>,
    /// The pool that it is a member of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    /// The state that the HA manager is asked to keep it in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ha: Option<String>,
    /// The description.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// Cells of many containers.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct Read {
    /// In the order of the list.
    pub cells: Vec<Cells>,
    /// What could not be read of which container, for people.
    pub warnings: Vec<String>,
}

impl Client {
    /// Returns whether a column can be had from where this client reads: addresses, use and so on are the business of the
    /// node itself.
    pub fn has_column(&self, column: Column) -> bool {
        let has_files = !matches!(self.place(), Place::Far { .. } | Place::Api { .. });
        match column.source() {
            Source::Node | Source::Config => true,
            Source::Addresses | Source::Use => self.reads_natively(),
            Source::Ha => has_files,
            Source::Pools => has_files || self.api().is_some(),
        }
    }

    /// Refuses columns that cannot be had.
    ///
    /// # Errors
    /// `Unsupported`, with the names of the columns.
    pub fn check_columns(&self, wanted: &BTreeSet<Column>) -> Result<()> {
        let missing: Vec<&str> =
            wanted.iter().filter(|column| !self.has_column(**column)).map(|column| column.name()).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let (column, is) = if missing.len() == 1 { ("column", "is") } else { ("columns", "are") };
        let what = format!(
            "the {column} {} {is} read from the node's own files and kernel: run pvect on the node, as root",
            missing.join(", ")
        );
        Err(Error::Unsupported { what, vmid: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_fields() {
        let cells = Cells {
            node: "pve1".parse().ok(),
            ip: Some(Vec::new()),
            ip6: Some(Vec::new()),
            tags: Some(String::new()),
            memory: Some(0),
            maxmemory: Some(0),
            cpu: Some(0.0),
            cpus: Some(0.0),
            disk: Some(0),
            maxdisk: Some(0),
            uptime: Some(0),
            os: Some(String::new()),
            arch: Some(String::new()),
            unprivileged: Some(false),
            template: Some(false),
            onboot: Some(false),
            protection: Some(false),
            pool: Some(String::new()),
            ha: Some(String::new()),
            description: Some(String::new()),
        };
        let fields = serde_json::to_value(&cells).unwrap();
        let fields: Vec<&str> = fields.as_object().unwrap().keys().map(String::as_str).collect();
        let names: Vec<&str> = Column::ALL.iter().map(|column| column.name()).collect();
        assert_eq!(fields, names);
        assert_eq!(Column::from_name("maxdisk"), Some(Column::MaxDisk));
        assert_eq!(Column::from_name("nosuch"), None);
    }
}
