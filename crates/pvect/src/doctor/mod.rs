//! Checks whether everything that containers need is there; each says what would fix it.

mod api;
mod cluster;
mod kernel;
mod lines;
mod locks;
mod programs;
mod remote;

use std::path::PathBuf;

use pvect_core::Result;
use serde::Serialize;

pub use programs::pct_version;

use crate::settings::Loaded;
use crate::{Client, Place};

/// The result of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// All is well.
    Ok,
    /// Something will not work, or looks wrong.
    Warn,
    /// Containers cannot be run.
    Fail,
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// How it ended.
    pub verdict: Verdict,
    /// What was checked.
    pub name: &'static str,
    /// What was found.
    pub detail: String,
    /// What would fix it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

impl Check {
    fn ok(name: &'static str, detail: impl Into<String>) -> Self {
        Self { verdict: Verdict::Ok, name, detail: detail.into(), fix: None }
    }

    fn warn(name: &'static str, detail: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { verdict: Verdict::Warn, name, detail: detail.into(), fix: Some(fix.into()) }
    }

    fn fail(name: &'static str, detail: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { verdict: Verdict::Fail, name, detail: detail.into(), fix: Some(fix.into()) }
    }
}

/// Where the host's own files are; parameters, so that tests need not read the host's.
#[derive(Debug, Clone)]
pub struct Host {
    /// `/proc`.
    pub proc: PathBuf,
    /// `/sys`.
    pub sys: PathBuf,
    /// `/dev`.
    pub dev: PathBuf,
    /// `/var/log/pve/tasks`, the tasks of Proxmox VE.
    pub tasks: PathBuf,
    /// `/run/lock/lxc`, the lock files of Proxmox VE.
    pub locks: PathBuf,
    /// Where programs are.
    pub programs: Vec<PathBuf>,
}

impl Default for Host {
    fn default() -> Self {
        let dirs = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];
        Self {
            proc: "/proc".into(),
            sys: "/sys".into(),
            dev: "/dev".into(),
            tasks: "/var/log/pve/tasks".into(),
            locks: "/run/lock/lxc".into(),
            programs: dirs.iter().map(PathBuf::from).collect(),
        }
    }
}

/// Runs every check; for another node, those that are possible from here. `client` is the result of connecting: a
/// failure is the first finding. `loaded` are the settings in force.
pub async fn run(client: &Result<Client>, loaded: &Loaded, host: &Host) -> Vec<Check> {
    if let Some(client) = client.as_ref().ok().filter(|client| client.api().is_some()) {
        let mut checks = vec![settings(loaded)];
        checks.extend(api::all(client).await);
        return checks;
    }
    if let Some((client, Place::Far { node, destination, root })) =
        client.as_ref().ok().map(|client| (client, client.place()))
    {
        let mut checks = vec![settings(loaded)];
        checks.extend(remote::all(client, node.as_ref(), destination).await);
        let of_proxmox =
            root.is_none() && checks.iter().all(|check| check.name != "ssh" || check.verdict == Verdict::Ok);
        if let Some(version) = pct_version(client).await.filter(|_| of_proxmox) {
            checks.push(Check::ok("version", version));
        }
        return checks;
    }
    let mut checks = vec![programs::pct(client).await, root(loaded), settings(loaded)];
    if let Ok(client) = client {
        if let Some(version) = pct_version(client).await {
            checks.push(Check::ok("version", version));
        }
        checks.push(cluster::node(client));
        checks.extend(api::fast_path(client).await);
        checks.push(cluster::storages(client));
        checks.push(cluster::templates(client));
        checks.push(cluster::bridges(client, host));
        // What a crash left on a standalone node, including locks, is reported by `pvect_node::health`.
        if matches!(client.place(), Place::Proxmox) {
            checks.push(locks::check(client, host));
            checks.extend(lines::check(client));
        }
        if matches!(client.place(), Place::Standalone { .. }) {
            checks.extend(programs::tools(host));
            checks.push(programs::lxcfs(host));
        }
    }
    checks.extend(kernel::all(host));
    checks
}

fn settings(loaded: &Loaded) -> Check {
    const NAME: &str = "settings";
    match (loaded.warnings.as_slice(), &loaded.file) {
        ([], None) => Check::ok(NAME, "no file; the defaults are in force"),
        ([], Some(file)) => Check::ok(NAME, file.display().to_string()),
        ([first, ..], _) => {
            let detail = format!("{}: {}: {}", first.file.display(), first.key, first.what);
            Check::warn(NAME, detail, first.fix.clone().unwrap_or_else(|| "pvect settings check".to_owned()))
        }
    }
}

fn root(loaded: &Loaded) -> Check {
    const NAME: &str = "root";
    if rustix::process::geteuid().is_root() {
        Check::ok(NAME, "this is root")
    } else if loaded.settings.proxmox.sudo {
        // The first check reports whether sudo allows it.
        Check::ok(NAME, "this is not root; pct runs through sudo")
    } else {
        Check::fail(NAME, "this is not root", "run pvect as root, or with --sudo")
    }
}
