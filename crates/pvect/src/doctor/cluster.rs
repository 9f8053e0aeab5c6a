//! What the node's own files say.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use pvect_core::config::ParseMode;
use pvect_core::{ContainerConfig, Vmid};

use super::{Check, Host};
use crate::client::host_name;
use crate::{Client, Place};

pub(super) fn node(client: &Client) -> Check {
    const NAME: &str = "node";
    match client.place() {
        Place::Standalone { node, .. } => Check::ok(NAME, node.to_string()),
        Place::Proxmox | Place::Far { .. } | Place::Api { .. } => match host_name() {
            Err(error) => Check::fail(NAME, error.to_string(), "hostnamectl set-hostname NAME"),
            Ok(name) if client.pve().join("nodes").join(name.as_str()).is_dir() => {
                Check::ok(NAME, name.to_string())
            }
            Ok(name) => Check::fail(
                NAME,
                format!("{} has no node '{name}'", client.pve().display()),
                "systemctl start pve-cluster; the host's name must be the node's",
            ),
        },
    }
}

/// What storage.cfg says of a storage.
struct Storage {
    kind: String,
    name: String,
    path: Option<PathBuf>,
    disabled: bool,
    /// The nodes that may use it; `None`: all.
    nodes: Option<String>,
}

impl Storage {
    /// Whether a node uses it.
    fn is_used_by(&self, node: &str) -> bool {
        let listed = |list: &String| list.split([',', ';', ' ']).any(|name| name.trim() == node);
        !self.disabled && (self.name == "local" || self.nodes.as_ref().is_none_or(listed))
    }
}

/// The storages of storage.cfg that this node uses.
fn storage_list(client: &Client) -> Vec<Storage> {
    let text = fs::read_to_string(client.pve().join("storage.cfg")).unwrap_or_default();
    let mut list: Vec<Storage> = Vec::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix([' ', '\t']) {
            let (key, value) = rest.trim().split_once(char::is_whitespace).unwrap_or((rest.trim(), ""));
            let (Some(last), value) = (list.last_mut(), value.trim()) else { continue };
            match key {
                "path" => last.path = Some(PathBuf::from(value)),
                "disable" => last.disabled = pvect_core::property::boolean(value) != Some(false),
                "nodes" => last.nodes = Some(value.to_owned()),
                _ => {}
            }
        } else if let Some((kind, name)) = line.split_once(':').filter(|_| !line.starts_with('#')) {
            let (kind, name) = (kind.trim().to_owned(), name.trim().to_owned());
            list.push(Storage { kind, name, path: None, disabled: false, nodes: None });
        }
    }
    let node = match client.place() {
        Place::Standalone { node, .. } => Some(node.clone()),
        Place::Proxmox | Place::Far { .. } | Place::Api { .. } => host_name().ok(),
    };
    list.retain(|storage| node.as_ref().is_none_or(|node| storage.is_used_by(node.as_str())));
    list
}

pub(super) fn storages(client: &Client) -> Check {
    const NAME: &str = "storages";
    let list = storage_list(client);
    if list.is_empty() {
        return match client.place() {
            Place::Standalone { .. } => Check::ok(NAME, "local (dir), made at first use"),
            Place::Proxmox | Place::Far { .. } | Place::Api { .. } => {
                Check::fail(NAME, "storage.cfg names none", "pvesm add dir local --path /var/lib/vz")
            }
        };
    }
    let gone: Vec<String> = list
        .iter()
        .filter(|storage| storage.path.as_ref().is_some_and(|path| !path.is_dir()))
        .map(|storage| storage.name.clone())
        .collect();
    let names: Vec<String> = list.iter().map(|one| format!("{} ({})", one.name, one.kind)).collect();
    if gone.is_empty() {
        Check::ok(NAME, names.join(", "))
    } else {
        Check::warn(NAME, format!("the directory of {} is missing", gone.join(", ")), "mount or make it")
    }
}

pub(super) fn templates(client: &Client) -> Check {
    const NAME: &str = "templates";
    let mut dirs: Vec<PathBuf> =
        storage_list(client).into_iter().filter_map(|storage| storage.path).collect();
    if let Place::Standalone { root, .. } = client.place() {
        dirs.push(root.join("vz"));
    }
    dirs.sort();
    dirs.dedup();
    let count = dirs
        .iter()
        .flat_map(|dir| fs::read_dir(dir.join("template/cache")).into_iter().flatten().flatten())
        .filter(|entry| entry.file_name().to_string_lossy().contains(".tar"))
        .count();
    match (count, client.place()) {
        (0, Place::Standalone { .. }) => {
            Check::warn(NAME, "there are none", "pvect template build busybox, or debian")
        }
        (0, Place::Proxmox | Place::Far { .. } | Place::Api { .. }) => Check::warn(
            NAME,
            "there are none in the storages that are directories",
            "pveam update; pveam available; pveam download STORAGE TEMPLATE",
        ),
        (count, _) => Check::ok(NAME, format!("{count} there")),
    }
}

/// The configurations of every node that this machine can see.
fn configs(pve: &Path) -> Vec<(Vmid, ContainerConfig)> {
    let nodes = fs::read_dir(pve.join("nodes")).into_iter().flatten().flatten();
    let mut found: Vec<_> = nodes.flat_map(|node| configs_of(&node.path())).collect();
    found.sort_by_key(|(vmid, _)| *vmid);
    found
}

/// The configurations of one node, by its directory.
pub(super) fn configs_of(node: &Path) -> Vec<(Vmid, ContainerConfig)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(node.join("lxc")).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let id = name.to_str().and_then(|name| name.strip_suffix(".conf")).and_then(|id| id.parse().ok());
        let Some(vmid) = id else { continue };
        let bytes = fs::read(entry.path()).unwrap_or_default();
        if let Ok((config, _)) = ContainerConfig::parse(&bytes, ParseMode::Lenient) {
            found.push((vmid, config));
        }
    }
    found.sort_by_key(|(vmid, _)| *vmid);
    found
}

pub(super) fn bridges(client: &Client, host: &Host) -> Check {
    const NAME: &str = "bridges";
    let wanted: BTreeSet<String> = configs(client.pve())
        .iter()
        .flat_map(|(_, config)| config.main.options.iter())
        .filter(|(key, _)| key.starts_with("net"))
        .filter_map(|(_, value)| {
            value.split(',').find_map(|part| part.strip_prefix("bridge=")).map(str::to_owned)
        })
        .collect();
    let net = host.sys.join("class/net");
    let there =
        |name: &str| net.join(name).join("bridge").is_dir() || net.join(name).join("openvswitch").exists();
    let own = own_bridges(client);
    let missing: Vec<&str> =
        wanted.iter().map(String::as_str).filter(|name| !there(name) && !own.contains(*name)).collect();
    let names = fs::read_dir(&net).into_iter().flatten().flatten();
    let all: BTreeSet<String> =
        names.filter_map(|entry| entry.file_name().into_string().ok()).filter(|name| there(name)).collect();
    if let Some(first) = missing.first() {
        let fix = format!("ip link add {first} type bridge && ip link set {first} up");
        return Check::warn(
            NAME,
            format!("containers use {}, which does not exist", missing.join(", ")),
            fix,
        );
    }
    if all.is_empty() && !own.is_empty() {
        return Check::ok(NAME, "none yet; the node makes its own at first use");
    }
    if all.is_empty() {
        let fix = "ip link add vmbr0 type bridge && ip link set vmbr0 up";
        return Check::warn(NAME, "there is none: containers cannot have a network", fix);
    }
    Check::ok(NAME, all.into_iter().collect::<Vec<_>>().join(", "))
}

/// The bridges that a standalone node makes itself: `vmbr0`, and those of its `network.cfg`.
fn own_bridges(client: &Client) -> BTreeSet<String> {
    if !matches!(client.place(), Place::Standalone { .. }) {
        return BTreeSet::new();
    }
    let text = fs::read_to_string(client.pve().join("network.cfg")).unwrap_or_default();
    let names =
        text.lines().filter_map(|line| line.strip_prefix("bridge:")).map(|name| name.trim().to_owned());
    names.chain(["vmbr0".to_owned()]).collect()
}

/// The locked containers of a node whose processes cannot be inspected.
pub(super) fn locked(name: &'static str, locked: &[(Vmid, String)]) -> Check {
    let Some((first, _)) = locked.first() else { return Check::ok(name, "no container is locked") };
    let list: Vec<String> = locked.iter().map(|(vmid, lock)| format!("{vmid} ({lock})")).collect();
    let fix = format!("if nothing works on it any more: pvect unlock {first}");
    Check::warn(name, format!("locked: {}", list.join(", ")), fix)
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;
    use crate::Settings;

    fn client(root: &Path) -> Client {
        let mut settings = Settings::default();
        settings.proxmox.root = Some(root.to_owned());
        settings.proxmox.node = Some("n".parse().unwrap());
        Client::builder(settings).standalone_program("/none/pvect").connect().unwrap()
    }

    #[test]
    fn an_empty_node_is_told_what_comes_next() {
        let dir = tempfile::tempdir().unwrap();
        let client = client(dir.path());
        let host = Host { sys: dir.path().join("sys"), ..Host::default() };
        assert_eq!(storages(&client).verdict, Verdict::Ok);
        assert_eq!(templates(&client).fix.as_deref(), Some("pvect template build busybox, or debian"));
        assert_eq!(bridges(&client, &host).detail, "none yet; the node makes its own at first use");
    }

    #[test]
    fn files_are_looked_at() {
        let dir = tempfile::tempdir().unwrap();
        let client = client(dir.path());
        let lxc = client.pve().join("nodes/n/lxc");
        fs::create_dir_all(&lxc).unwrap();
        fs::create_dir_all(dir.path().join("sys/class/net/br7/bridge")).unwrap();
        fs::create_dir_all(dir.path().join("vz/template/cache")).unwrap();
        fs::write(dir.path().join("vz/template/cache/a.tar.zst"), "").unwrap();
        let cfg = format!(
            "dir: local\n\tpath {}\n\tcontent vztmpl\n\ndir: usb\n\tpath /none/usb\n",
            dir.path().join("vz").display()
        );
        fs::write(client.pve().join("storage.cfg"), &cfg).unwrap();
        fs::write(lxc.join("101.conf"), "lock: backup\nnet0: name=eth0,bridge=br7\n").unwrap();
        fs::write(lxc.join("102.conf"), "net0: name=eth0,bridge=br8\n").unwrap();
        let host = Host { sys: dir.path().join("sys"), ..Host::default() };
        assert_eq!(storages(&client).detail, "the directory of usb is missing");
        for keys in ["disable", "nodes other,another"] {
            let text =
                format!("dir: local\n\tpath {}\ndir: usb\n\tpath /none/usb\n\t{keys}\n", lxc.display());
            fs::write(client.pve().join("storage.cfg"), text).unwrap();
            assert_eq!(storages(&client), Check::ok("storages", "local (dir)"), "{keys}");
        }
        fs::write(client.pve().join("storage.cfg"), cfg).unwrap();
        assert_eq!(templates(&client), Check::ok("templates", "1 there"));
        assert_eq!(bridges(&client, &host).detail, "containers use br8, which does not exist");
    }
}
