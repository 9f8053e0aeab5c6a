//! Settings: `config.json`, overridden by the environment, overridden by options.
//!
//! Nothing here reads the environment of the process: callers pass it in as [`Sources`].

mod api;
mod check;
mod load;
mod migrate;
mod nodes;
mod show;

use std::path::PathBuf;
use std::time::Duration;

use pvect_core::NodeName;
use pvect_core::schema::TimeClass;
use schemars::JsonSchema;
use serde::Deserialize;

pub use api::{Api, Backend, Contexts, FastPath};
pub use check::{Problem, Severity, check};
pub use load::{ENVIRONMENT, Loaded, Origin, Sources, find, load, read};
pub use migrate::{Change, Migration, migrate, migrate_file};
pub use nodes::{Node, Nodes, Ssh, Transport};
pub use show::{Entry, entries};

/// All settings. Every key is optional; unknown keys are errors.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// How containers are reached.
    pub proxmox: Proxmox,
    /// How the program itself behaves.
    pub runtime: Runtime,
}

/// How containers are reached.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Proxmox {
    /// The pct to run. Unset: /usr/sbin/pct or /usr/bin/pct, or the standalone node if neither exists.
    pub pct_path: Option<PathBuf>,
    /// The vzdump that makes backups. Unset: the one beside pct.
    pub vzdump_path: Option<PathBuf>,
    /// The name of the node; the host's name when unset.
    #[schemars(with = "Option<String>")]
    pub node: Option<NodeName>,
    /// Seconds that a read or a quick change may take.
    pub timeout: Option<Seconds>,
    /// Seconds by class of verb; these override `timeout`.
    pub timeouts: Timeouts,
    /// Run pct through `sudo -n`.
    pub sudo: bool,
    /// Use the standalone node even where a pct is installed.
    pub standalone: bool,
    /// The root of the standalone node (implies `standalone`); /var/lib/pvect when unset.
    pub root: Option<PathBuf>,
    /// How the node is reached: here, or through ssh.
    pub transport: Transport,
    /// How nodes are reached through ssh.
    pub ssh: Ssh,
    /// How single nodes are reached through ssh, by name.
    #[schemars(with = "std::collections::BTreeMap<String, Node>")]
    pub nodes: Nodes,
    /// What reads and what operates.
    pub backend: Backend,
    /// How the HTTPS API is reached.
    pub legacy_api: Option<Api>,
    /// Changes on the node itself go through its own API daemon where they can. Off when unset.
    pub fast_path: Option<FastPath>,
    /// Further clusters, reached through their APIs, by name.
    pub contexts: Contexts,
    /// Which of `contexts` to use; `backend` is `api` then.
    pub context: Option<String>,
}

/// Seconds by class of verb.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Timeouts {
    /// Reads: list, status, config, pending, listsnapshot, cpusets, df. Default 30 s (df: 60 s).
    pub read: Option<Seconds>,
    /// Quick changes such as set, unlock, mount. Default 60 s.
    pub quick: Option<Seconds>,
    /// Tasks such as create, start, migrate. Default 1800 s.
    pub long: Option<Seconds>,
}

/// A time in seconds, with a fraction if need be; greater than 0.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Deserialize, JsonSchema)]
#[serde(try_from = "f64")]
#[schemars(with = "f64", extend("exclusiveMinimum" = 0))]
pub struct Seconds(f64);

impl Seconds {
    /// The longest time that can be set: a year.
    const MAX: f64 = 366.0 * 86400.0;

    /// Returns the time.
    pub fn duration(self) -> Duration {
        Duration::from_secs_f64(self.0)
    }

    /// Returns the seconds.
    pub fn get(self) -> f64 {
        self.0
    }
}

impl TryFrom<f64> for Seconds {
    type Error = String;

    fn try_from(seconds: f64) -> Result<Self, String> {
        if seconds > 0.0 && seconds <= Self::MAX {
            Ok(Self(seconds))
        } else {
            Err(format!("{seconds} is not a time in seconds: more than 0, at most {}", Self::MAX))
        }
    }
}

impl std::str::FromStr for Seconds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        let seconds: Option<f64> = text.parse().ok().filter(|_| plain);
        Self::try_from(seconds.ok_or_else(|| format!("'{text}' is not a time in seconds"))?)
    }
}

/// How the program itself behaves.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Runtime {
    /// What is logged.
    pub log_level: LogLevel,
    /// The file that log lines are appended to.
    pub log_path: Option<PathBuf>,
    /// The form of the lines in `log_path`.
    pub log_format: LogFormat,
    /// Also log to the systemd journal.
    pub journald: bool,
}

/// What is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Nothing.
    Off,
    /// Failures.
    Error,
    /// Failures and what looks wrong.
    #[default]
    Warn,
    /// Each run of pct.
    Info,
    /// How decisions were made.
    Debug,
    /// Everything.
    Trace,
}

impl LogLevel {
    /// The level's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// The form of log lines in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

impl Settings {
    /// Returns how long a verb of this class may take; `None` for those without a bound.
    pub fn time_limit(&self, class: TimeClass) -> Option<Duration> {
        let proxmox = &self.proxmox;
        let chosen = |own: Option<Seconds>, shared: Option<Seconds>, default: u64| {
            Some(own.or(shared).map_or(Duration::from_secs(default), Seconds::duration))
        };
        match class {
            TimeClass::Read => chosen(proxmox.timeouts.read, proxmox.timeout, 30),
            TimeClass::Quick => chosen(proxmox.timeouts.quick, proxmox.timeout, 60),
            TimeClass::Long => chosen(proxmox.timeouts.long, None, 30 * 60),
            TimeClass::Unbounded => None,
        }
    }

    /// Returns whether the settings ask for the standalone node.
    pub fn wants_standalone(&self) -> bool {
        self.proxmox.standalone || self.proxmox.root.is_some()
    }
}

/// Returns the JSON schema of the settings file.
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(Settings).to_value()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_limits_follow_the_class() {
        let mut settings = Settings::default();
        assert_eq!(settings.time_limit(TimeClass::Read), Some(Duration::from_secs(30)));
        assert_eq!(settings.time_limit(TimeClass::Long), Some(Duration::from_secs(1800)));
        assert_eq!(settings.time_limit(TimeClass::Unbounded), None);
        settings.proxmox.timeout = Some("12.5".parse().unwrap());
        assert_eq!(settings.time_limit(TimeClass::Quick), Some(Duration::from_millis(12_500)));
        assert_eq!(settings.time_limit(TimeClass::Long), Some(Duration::from_secs(1800)));
    }

    #[test]
    fn seconds_are_bounded() {
        for bad in ["", "0", "-1", "1e3", "nan", "abc", "99999999999"] {
            assert!(bad.parse::<Seconds>().is_err(), "{bad:?} was taken");
        }
    }
}
