//! What a backup says about its container: `etc/vzdump/pct.conf` and `pct.fw` in the archive.

use std::path::Path;

use pvect_core::config::ParseMode;
use pvect_core::property::{MountSource, NetInterface, RootFs};
use pvect_core::{ContainerConfig, Vmid};

use crate::interrupt::Interrupt;
use crate::setup::Guest;
use crate::verbs::new_volumes::{Mount, index, parse_mount};
use crate::{Failure, Node, NodeResult, files, random, unpack};

/// Where vzdump puts the configuration.
const CONFIG: &str = "etc/vzdump/pct.conf";
/// Where it puts the rules of the firewall; empty when there are none.
const FIREWALL: &str = "etc/vzdump/pct.fw";
/// The largest configuration that is read, in bytes; Proxmox VE's cluster file system takes no larger one.
const CONFIG_LIMIT: u64 = 1 << 20;
const FIREWALL_MODE: u32 = 0o640;

/// The backed-up configuration.
pub(super) struct Backup {
    pub(super) config: ContainerConfig,
}

/// What was in the unpacked root.
pub(super) struct Inside {
    pub(super) config: Option<Backup>,
    pub(super) firewall: Option<Vec<u8>>,
}

/// Volumes to be made, and mounts of the host (`mp0` and its text) that are added afterwards.
type Layout = (Vec<(String, Mount)>, Vec<(String, String)>);

impl Backup {
    /// Reads the configuration out of an archive.
    ///
    /// # Errors
    /// `ERROR: archive contains no configuration file`; when the archive cannot be read, or has much else before;
    /// `interrupted by signal`.
    pub(super) fn read(archive: &Path, interrupt: &Interrupt) -> NodeResult<Self> {
        let search = unpack::Search {
            largest: CONFIG_LIMIT,
            // vzdump puts it first; an archive that was packed again may have it anywhere.
            most: unpack::in_proportion(archive)?,
            interrupted: &|| interrupt.came(),
        };
        let bytes = unpack::read_member(archive, Path::new(CONFIG), &search)?;
        let bytes = bytes.ok_or_else(|| Failure::new("ERROR: archive contains no configuration file"))?;
        Self::parse(&bytes)
    }

    fn parse(bytes: &[u8]) -> NodeResult<Self> {
        let (mut config, _) = ContainerConfig::parse(bytes, ParseMode::Lenient)
            .map_err(|error| Failure::new(format!("can't read the configuration of the backup - {error}")))?;
        config.snapshots.clear();
        config.pending = None;
        Ok(Self { config })
    }

    /// Returns the volumes of the backup as new ones on a storage, and the mounts of the host's directories and
    /// devices.
    ///
    /// # Errors
    /// When the backup does not name the sizes, or has no root file system.
    pub(super) fn volumes(&self, storage: &str, log: &mut dyn FnMut(&str)) -> NodeResult<Layout> {
        let (mut volumes, mut delayed) = (Vec::new(), Vec::new());
        let is_mount = |key: &str| key == "rootfs" || index(key, "mp").is_some();
        for (key, text) in self.config.main.options.iter().filter(|(key, _)| is_mount(key)) {
            let (key, mut mount) = parse_mount(key, text)?;
            if !matches!(mount.source(), MountSource::Volume(_) | MountSource::Allocate { .. }) {
                delayed.push(delay(&key, &mount, log)?);
                continue;
            }
            let fs: &mut RootFs = mount.fs();
            let size = fs.size.take().ok_or_else(|| {
                Failure::new(format!("unable to detect disk size - please specify {key} (size)"))
            })?;
            fs.source = MountSource::Allocate { storage: storage.to_owned(), size };
            volumes.push((key, mount));
        }
        volumes.sort_by_key(|(key, _)| index(key, "mp").map_or(0, |number| number + 1));
        if volumes.first().is_none_or(|(key, _)| key != "rootfs") {
            let text = "rootfs configuration could not be recovered, please check and specify manually!";
            return Err(Failure::new(text));
        }
        Ok((volumes, delayed))
    }

    /// Puts the options of the backup that were not given into a configuration.
    ///
    /// # Errors
    /// When no random bytes can be read for a new MAC address (`unique`).
    pub(super) fn merge_into(&self, config: &mut ContainerConfig, unique: bool) -> NodeResult<()> {
        let old = &self.config.main;
        for key in old.keys() {
            let volume = key == "rootfs" || ["mp", "unused"].iter().any(|name| index(key, name).is_some());
            if volume || ["digest", "unprivileged", "parent", "template", "lock"].contains(&key) {
                continue;
            }
            let value = old.get(key).unwrap_or_default().into_owned();
            if unique && index(key, "net").is_some() {
                let fresh = NetInterface::parse(key, &value).map(|net| (net, random::mac_address()));
                if let Ok((mut net, mac)) = fresh {
                    net.hwaddr = Some(mac?);
                    config.main.set(key, net.to_string());
                    continue;
                }
            }
            if config.main.get(key).is_none() {
                config.main.set(key, value);
            }
        }
        if config.main.raw.is_empty() {
            config.main.raw = old.raw.clone();
        }
        Ok(())
    }
}

fn delay(key: &str, mount: &Mount, log: &mut dyn FnMut(&str)) -> NodeResult<(String, String)> {
    let kind = if matches!(mount.source(), MountSource::Device(_)) { "device" } else { "bind" };
    let Mount::Point(point) = mount else {
        return Err(Failure::new(format!(
            "restoring rootfs to {kind} mount is only possible by specifying -rootfs manually!"
        )));
    };
    if point.backup {
        log("WARNING - unsupported configuration!");
        log(&format!("backup was enabled for {kind} mount point {key} ('{}')", point.path));
        log("mount point configuration will be restored after archive extraction!");
        log("contained files will be restored to wrong directory!");
    }
    Ok((key.to_owned(), mount.text()))
}

/// Reads and removes vzdump's files in an unpacked root. Symlinks with these names are only followed inside the root.
///
/// # Errors
/// When one exists but cannot be read or removed.
pub(super) fn take_files(guest: &Guest<'_>) -> NodeResult<Inside> {
    let [config, firewall] = guest.read([CONFIG, FIREWALL])?;
    let config = config.map(|bytes| Backup::parse(&bytes)).transpose()?;
    let firewall = firewall.filter(|bytes| config.is_some() && !bytes.is_empty());
    if config.is_some() {
        // The directory belongs to vzdump; if the container had files in it, it stays.
        guest.remove(&[CONFIG, FIREWALL], &["etc/vzdump"])?;
    }
    Ok(Inside { config, firewall })
}

/// Writes `etc/pve/firewall/<vmid>.fw`.
///
/// # Errors
/// When it cannot be written.
pub(super) fn write_firewall(node: &Node, vmid: Vmid, text: &[u8]) -> NodeResult<()> {
    let path = node.layout.firewall(vmid);
    let failed = |error: std::io::Error| Failure::io("can't write", &path, &error);
    std::fs::create_dir_all(path.parent().unwrap_or(Path::new("/"))).map_err(failed)?;
    files::replace(&path, text, FIREWALL_MODE).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backup(text: &str) -> Backup {
        Backup::parse(text.as_bytes()).unwrap()
    }

    const TEXT: &str = "#note\narch: amd64\nhostname: web1\nlock: backup\nmemory: 256\n\
        mp0: local:101/vm-101-disk-1.raw,mp=/data,backup=1,size=2G\nmp1: /srv/x,mp=/x\n\
        net0: name=eth0,bridge=vmbr0,hwaddr=BC:24:11:00:00:01,type=veth\n\
        rootfs: local:101/vm-101-disk-0.raw,size=1G\nunprivileged: 1\nunused0: local:101/vm-101-disk-2.raw\n\
        lxc.cgroup2.memory.max: 1\n\n[snap]\nmemory: 1\n";

    #[test]
    fn the_layout_is_that_of_the_backup() {
        let (volumes, delayed) = backup(TEXT).volumes("fast", &mut |_| {}).unwrap();
        let texts: Vec<_> = volumes.iter().map(|(key, mount)| format!("{key} {}", mount.text())).collect();
        assert_eq!(texts, ["rootfs fast:1", "mp0 fast:2,mp=/data,backup=1"]);
        assert_eq!(delayed, [("mp1".to_owned(), "/srv/x,mp=/x".to_owned())]);
        let text = |config: &str| backup(config).volumes("local", &mut |_| {}).err().unwrap().text;
        for (config, words) in [
            ("rootfs: local:1/x.raw\n", "unable to detect disk size - please specify rootfs (size)"),
            (
                "memory: 1\n",
                "rootfs configuration could not be recovered, please check and specify manually!",
            ),
            (
                "rootfs: /srv/root\n",
                "restoring rootfs to bind mount is only possible by specifying -rootfs manually!",
            ),
        ] {
            assert_eq!(text(config), words);
        }
        let mut said = Vec::new();
        let odd = backup("mp3: /dev/sdz,mp=/y,backup=1\nrootfs: local:1/x.raw,size=1G\n");
        odd.volumes("local", &mut |line| said.push(line.to_owned())).unwrap();
        assert_eq!(said[1], "backup was enabled for device mount point mp3 ('/y')");
    }

    #[test]
    fn given_options_win_and_volumes_are_left_out() {
        let mut config = ContainerConfig::default();
        config.main.set("memory", "64");
        backup(TEXT).merge_into(&mut config, false).unwrap();
        assert_eq!(
            config.to_text().unwrap(),
            "#note\narch: amd64\nhostname: web1\nmemory: 64\n\
             net0: name=eth0,bridge=vmbr0,hwaddr=BC:24:11:00:00:01,type=veth\nlxc.cgroup2.memory.max: 1\n"
        );
        backup(TEXT).merge_into(&mut config, true).unwrap();
        let net = config.main.get("net0").unwrap().into_owned();
        assert!(!net.contains("BC:24:11:00:00:01") && net.contains("hwaddr="), "{net}");
    }
}
