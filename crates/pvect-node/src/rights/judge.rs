//! What an asker may change: one judgement by the effect, for the API and for every worker.
//!
//! Source: `check_ct_modify_config_perm` and create of pve-container, `check_volume_access` of pve-storage. Stricter
//! than those: a volume that cannot be understood is denied; `unused[n]` counts as the volume that it names; privileged
//! containers are `root@pam`'s alone where the node's setting says so.

use pvect_core::property::{Features, MountPoint, MountSource, NetInterface, RootFs};
use pvect_core::{Vmid, VolumeId};

use super::{Asker, Denied};
use crate::change::is_family;
use crate::storage::dir::Volume;
use crate::{Node, config_volumes, runtime};

/// The text for what only `root@pam` may do.
const PATHS: &str = "Only root can pass arbitrary filesystem paths.";
/// The setting of `etc/pve/datacenter.cfg` that says who may have privileged containers: `root` or `all`.
pub const PRIVILEGED: &str = "privileged-containers";

/// What an archive is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// To make a container from.
    Template,
    /// To restore one.
    Backup,
}

/// The container whose option changes.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its number.
    pub vmid: Vmid,
    /// Whether it is unprivileged, when the change is made.
    pub is_unprivileged: bool,
}

/// Judges the change of one option, by its value before and after (`None`: it is removed).
///
/// # Errors
/// What the asker may not do.
pub fn option(
    asker: &Asker,
    target: Target,
    name: &str,
    old: Option<&str>,
    new: Option<&str>,
) -> Result<(), Denied> {
    if asker.is_root() {
        return Ok(());
    }
    let path = format!("/vms/{}", target.vmid);
    let only_root = |what: &str| Err(Denied::check(&format!("{what} is only allowed for root@pam")));
    match name {
        "cores" | "cpuunits" | "cpulimit" => asker.check(&path, &["VM.Config.CPU"]),
        "memory" | "swap" => asker.check(&path, &["VM.Config.Memory"]),
        "nameserver" | "searchdomain" | "hostname" => asker.check(&path, &["VM.Config.Network"]),
        "hookscript" => only_root("changing the hookscript"),
        "lxc" => only_root("setting raw LXC options"),
        "features" => features(asker, &path, old, new, target.is_unprivileged),
        _ if name.starts_with("lxc.") => only_root("setting raw LXC options"),
        _ if is_family(name, "dev") => only_root("configuring device passthrough"),
        _ if name == "rootfs" || is_family(name, "mp") || is_family(name, "unused") => {
            asker.check(&path, &["VM.Config.Disk"])?;
            new.map_or(Ok(()), |value| mount(asker, target.vmid, name, value))
        }
        _ if is_family(name, "net") => {
            asker.check(&path, &["VM.Config.Network"])?;
            [old, new].into_iter().flatten().try_for_each(|value| bridge(asker, name, value))
        }
        _ => asker.check(&path, &["VM.Config.Options"]),
    }
}

/// Judges the archive that a container is made from.
///
/// # Errors
/// `Only root can pass arbitrary filesystem paths.`; what the asker may not.
pub fn archive(asker: &Asker, vmid: Vmid, text: &str, content: Content) -> Result<(), Denied> {
    if asker.is_root() {
        return Ok(());
    }
    let volume = match text.parse::<VolumeId>() {
        Ok(volume) if !text.starts_with('/') => volume,
        _ => return Err(Denied(PATHS.to_owned())),
    };
    let storage = format!("/storage/{}", volume.storage());
    let missing = || Err(Denied(format!("missing privileges to access {volume}")));
    match (Volume::parse(volume.volume()), content) {
        (Ok(Volume::File { content: "vztmpl", .. }), Content::Template) => {
            asker.check(&storage, &["Datastore.AllocateSpace", "Datastore.Audit", "Datastore.Allocate"])
        }
        (Ok(Volume::File { content: "backup", name }), Content::Backup) => {
            if asker.may(&storage, "Datastore.Allocate") {
                return Ok(());
            }
            match owner_of_backup(&name) {
                Some(owner) if owner == vmid => Ok(()),
                Some(owner) => {
                    asker.check(&storage, &["Datastore.AllocateSpace"])?;
                    asker.check(&format!("/vms/{owner}"), &["VM.Backup"])
                }
                None => missing(),
            }
        }
        _ => missing(),
    }
}

/// Judges whether the asker may create a privileged container. Users who may change an existing one still may.
///
/// # Errors
/// Names the setting.
pub fn privileged(asker: &Asker, node: &Node) -> Result<(), Denied> {
    if asker.is_root() || setting(node).unwrap_or_else(runtime::is_confining) {
        return Ok(());
    }
    Err(Denied(format!(
        "only root@pam may make privileged containers on this node (leave out 'unprivileged=0'; \
         root allows them to others with '{PRIVILEGED}: all' in {})",
        node.layout.datacenter_cfg().display()
    )))
}

/// Whether the setting lets everybody have privileged containers; `None` when it is missing. An invalid value allows
/// nothing.
fn setting(node: &Node) -> Option<bool> {
    let text = match std::fs::read_to_string(node.layout.datacenter_cfg()) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
        Err(_) => return Some(false),
    };
    let mut values = text.lines().filter_map(|line| line.split_once(':'));
    values.find(|(key, _)| key.trim() == PRIVILEGED).map(|(_, value)| value.trim() == "all")
}

/// The container that a backup belongs to: `vzdump-lxc-101-2026_11_28-12_00_00.tar.zst`.
fn owner_of_backup(name: &str) -> Option<Vmid> {
    name.strip_prefix("vzdump-lxc-")?.split('-').next()?.parse().ok()
}

fn mount(asker: &Asker, vmid: Vmid, name: &str, value: &str) -> Result<(), Denied> {
    let unreadable = || Denied::check(&format!("unable to parse {name} '{value}'"));
    let source = if name == "rootfs" {
        RootFs::parse(value).map_err(|_| unreadable())?.source
    } else if is_family(name, "unused") {
        MountSource::Volume(config_volumes::unused_volume(value).to_owned())
    } else {
        MountPoint::parse(name, value).map_err(|_| unreadable())?.fs.source
    };
    let kind = match source {
        MountSource::Bind(_) => "bind",
        MountSource::Device(_) => "device",
        MountSource::Allocate { storage, .. } => {
            return asker.check(&format!("/storage/{storage}"), &["Datastore.AllocateSpace"]);
        }
        MountSource::Volume(text) => return volume(asker, vmid, &text),
    };
    Err(Denied::check(&format!("mount point type {kind} is only allowed for root@pam")))
}

/// Judges the use of an existing volume.
fn volume(asker: &Asker, vmid: Vmid, text: &str) -> Result<(), Denied> {
    let missing = || Denied(format!("missing privileges to access {text}"));
    let volume: VolumeId = text.parse().map_err(|_| missing())?;
    let (Volume::Image { vmid: owner, .. } | Volume::Directory { vmid: owner, .. }) =
        Volume::parse(volume.volume()).map_err(|_| missing())?
    else {
        return Err(missing());
    };
    let storage = format!("/storage/{}", volume.storage());
    if owner == vmid || asker.may(&storage, "Datastore.Allocate") {
        return Ok(());
    }
    asker.check(&storage, &["Datastore.Audit"])?;
    asker.check(&format!("/vms/{owner}"), &["VM.Config.Disk"])
}

fn bridge(asker: &Asker, name: &str, value: &str) -> Result<(), Denied> {
    let net = NetInterface::parse(name, value)
        .map_err(|_| Denied::check(&format!("unable to parse {name} '{value}'")))?;
    match net.bridge {
        Some(bridge) => asker.check(&format!("/sdn/zones/localnetwork/{bridge}"), &["SDN.Use"]),
        None => Ok(()),
    }
}

fn features(
    asker: &Asker,
    path: &str,
    old: Option<&str>,
    new: Option<&str>,
    is_unprivileged: bool,
) -> Result<(), Denied> {
    let denied = |what: &str| Err(Denied::check(&format!("changing feature flags {what} root@pam")));
    if !is_unprivileged {
        return denied("for privileged container is only allowed for");
    }
    let parse = |text: Option<&str>| text.map_or(Ok(Features::default()), Features::parse);
    let (Ok(old), Ok(new)) = (parse(old), parse(new)) else {
        return denied("that cannot be understood is only allowed for");
    };
    let bare = |features: &Features| Features { nesting: false, written: Vec::new(), ..features.clone() };
    if bare(&old) != bare(&new) {
        return denied("(except nesting) is only allowed for");
    }
    if old.nesting == new.nesting { Ok(()) } else { asker.check(path, &["VM.Allocate"]) }
}

#[cfg(test)]
mod tests {
    use super::super::UserConfig;
    use super::*;

    fn joe() -> Asker {
        let text = "user:joe@pve:1:0::::::\nacl:1:/vms/105:joe@pve:PVEVMAdmin:\n\
                    acl:1:/storage/local:joe@pve:PVEDatastoreUser:\nacl:1:/vms/107:joe@pve:PVEVMUser:\n\
                    token:root@pam!ci:0:0::\n";
        Asker::new("joe@pve", UserConfig::parse(text))
    }

    fn on_105(is_unprivileged: bool) -> Target {
        Target { vmid: "105".parse().unwrap(), is_unprivileged }
    }

    #[test]
    fn what_reaches_the_host_or_others_is_denied() {
        for (name, value, words) in [
            ("mp0", "/etc,mp=/x", "mount point type bind is only allowed for root@pam"),
            ("mp0", "/dev/sda,mp=/x", "mount point type device is only allowed for root@pam"),
            ("mp0", "volume=volume=/etc,mp=/x", "missing privileges to access volume=/etc"),
            ("mp0", "local:102/vm-102-disk-0.raw,mp=/x", "/vms/102, VM.Config.Disk"),
            ("rootfs", "local:102/vm-102-disk-0.raw", "/vms/102, VM.Config.Disk"),
            ("mp0", "other:102/vm-102-disk-0.raw,mp=/x", "/storage/other, Datastore.Audit"),
            ("unused5", "local:102/vm-102-disk-0.raw", "/vms/102, VM.Config.Disk"),
            ("unused5", "volume=local:102/vm-102-disk-0.raw", "/vms/102, VM.Config.Disk"),
            ("mp0", "local:backup/x.tar,mp=/x", "missing privileges"),
            ("dev0", "/dev/kmsg", "device passthrough"),
            ("hookscript", "local:snippets/x", "hookscript"),
            ("lxc.hook.pre-start", "/bin/sh", "raw LXC options"),
            ("features", "nesting=1,fuse=1", "except nesting"),
            ("net0", "name=eth0,bridge=vmbr0", "SDN.Use"),
        ] {
            let denied = option(&joe(), on_105(true), name, None, Some(value)).unwrap_err();
            assert!(denied.0.contains(words), "{name}={value}: {}", denied.0);
        }
        for (name, value) in [
            ("mp0", "local:105/vm-105-disk-3.raw,mp=/x"),
            ("unused5", "local:105/vm-105-disk-3.raw"),
            ("mp0", "local:1,mp=/x"),
            ("features", "nesting=1"),
            ("memory", "64"),
        ] {
            assert_eq!(option(&joe(), on_105(true), name, None, Some(value)), Ok(()), "{name}={value}");
        }
        assert!(option(&joe(), on_105(false), "features", None, Some("nesting=1")).is_err());
    }

    #[test]
    fn archives_are_judged_by_their_owner() {
        let judge = |text: &str, content| archive(&joe(), "105".parse().unwrap(), text, content);
        for path in ["/abs/evil.tar", "./evil.tar", "evil.tar", "/x:y"] {
            for content in [Content::Backup, Content::Template] {
                assert_eq!(judge(path, content), Err(Denied(PATHS.to_owned())), "{path}");
            }
        }
        for (owner, may) in [("105", true), ("107", true), ("104", false), ("x", false)] {
            let text = format!("local:backup/vzdump-lxc-{owner}-2026_11_28-12_00_00.tar");
            assert_eq!(judge(&text, Content::Backup).is_ok(), may, "{owner}");
            assert!(judge(&text, Content::Template).is_err());
        }
        assert!(judge("local:vztmpl/a.tar", Content::Template).is_ok());
        assert!(judge("local:vztmpl/a.tar", Content::Backup).is_err());
        assert!(judge("local:105/vm-105-disk-0.raw", Content::Template).is_err());
    }

    #[test]
    fn a_token_of_root_is_not_root() {
        let rights = UserConfig::parse("token:root@pam!ci:0:0::\n");
        let token = Asker::new("root@pam!ci", rights);
        assert!(option(&token, on_105(true), "mp0", None, Some("/etc,mp=/x")).is_err());
        assert!(archive(&token, "105".parse().unwrap(), "/a.tar", Content::Template).is_err());
        let root = Asker::new("root@pam", UserConfig::default());
        assert_eq!(option(&root, on_105(true), "mp0", None, Some("/etc,mp=/x")), Ok(()));
    }
}
