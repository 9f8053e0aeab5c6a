//! What `list` and `status` say about a container.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Lock, NodeName, Vmid};

/// Whether the container's init runs. An unknown word of a newer pct is kept.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum RunState {
    /// The container runs.
    Running,
    /// The container is not running.
    Stopped,
    /// A word that this version does not know.
    Other(String),
}

impl RunState {
    /// Returns pct's word.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Running => "running",
            Self::Stopped => "stopped",
            Self::Other(word) => word,
        }
    }
}

impl From<String> for RunState {
    fn from(word: String) -> Self {
        match word.as_str() {
            "running" => Self::Running,
            "stopped" => Self::Stopped,
            _ => Self::Other(word),
        }
    }
}

impl From<RunState> for String {
    fn from(state: RunState) -> Self {
        state.as_str().to_owned()
    }
}

impl fmt::Display for RunState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One line of `pct list`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listing {
    /// The container's number.
    pub vmid: Vmid,
    /// Whether it runs.
    pub status: RunState,
    /// The `lock:` of its configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lock: Option<Lock>,
    /// The hostname, or `CT<vmid>`.
    pub name: String,
    /// The node that it is on, if the list covers several nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<NodeName>,
}

impl Listing {
    /// Prints lines as `pct list` does: a fixed-width table whose columns are never cut, and nothing at all without
    /// containers.
    pub fn table(list: &[Self]) -> String {
        if list.is_empty() {
            return String::new();
        }
        let line = |vmid: &str, status: &str, lock: &str, name: &str| {
            format!("{vmid:<10} {status:<10} {lock:<12} {name:<20}\n")
        };
        let mut text = line("VMID", "Status", "Lock", "Name");
        for one in list {
            let lock = one.lock.as_ref().map_or("", Lock::as_str);
            text += &line(&one.vmid.to_string(), one.status.as_str(), lock, &one.name);
        }
        text
    }
}

/// The record of `pct status --verbose`. Sizes are in bytes, times in seconds.
///
/// Fields are optional where pct leaves them out; what this version does not know is kept in
/// [`Status::other`]. Source: `vmstatus` of pve-container.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The container's number.
    pub vmid: Vmid,
    /// Whether it runs.
    pub status: RunState,
    /// The hostname, or `CT<vmid>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The `lock:` of its configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lock: Option<Lock>,
    /// The tags, joined with `;`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<String>,
    /// Whether it is a template.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub template: bool,
    /// `cores`, or else `cpulimit`, or else the host's number of CPUs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpus: Option<f64>,
    /// Memory in use, bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mem: Option<u64>,
    /// Memory limit, bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maxmem: Option<u64>,
    /// Swap in use, bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub swap: Option<u64>,
    /// Swap limit, bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maxswap: Option<u64>,
    /// Use of the root file system, bytes; 0 when stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk: Option<u64>,
    /// Size of the root file system, bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maxdisk: Option<u64>,
    /// Read from block devices since start, bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diskread: Option<u64>,
    /// Written to block devices since start, bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diskwrite: Option<u64>,
    /// Received by the container since start, bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub netin: Option<u64>,
    /// Sent by the container since start, bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub netout: Option<u64>,
    /// Seconds since start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uptime: Option<u64>,
    /// The init process, as the host numbers it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// Everything else that pct printed (`pressure*`, `type`, keys of newer versions), by key.
    #[serde(flatten)]
    pub other: BTreeMap<String, String>,
}

impl Status {
    /// Prints the record as `pct status --verbose` does: `key: value` lines by key.
    pub fn to_output(&self) -> String {
        let mut fields: BTreeMap<&str, String> =
            self.other.iter().map(|(key, value)| (key.as_str(), value.clone())).collect();
        let numbers = [
            ("mem", self.mem),
            ("maxmem", self.maxmem),
            ("swap", self.swap),
            ("maxswap", self.maxswap),
            ("disk", self.disk),
            ("maxdisk", self.maxdisk),
            ("diskread", self.diskread),
            ("diskwrite", self.diskwrite),
            ("netin", self.netin),
            ("netout", self.netout),
            ("uptime", self.uptime),
            ("pid", self.pid.map(u64::from)),
        ];
        fields.extend(numbers.into_iter().filter_map(|(key, value)| Some((key, value?.to_string()))));
        fields.insert("vmid", self.vmid.to_string());
        fields.insert("status", self.status.to_string());
        fields.extend(self.name.clone().map(|name| ("name", name)));
        fields.extend(self.lock.as_ref().map(|lock| ("lock", lock.to_string())));
        fields.extend(self.tags.clone().map(|tags| ("tags", tags)));
        fields.extend(self.template.then(|| ("template", "1".to_owned())));
        fields.extend(self.cpus.map(|cpus| ("cpus", cpus.to_string())));
        fields.into_iter().map(|(key, value)| format!("{key}: {value}\n")).collect()
    }
}
