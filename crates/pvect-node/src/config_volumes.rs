//! Which volumes a configuration names, and the list of those that it does not use.

use pvect_core::config::Section;
use pvect_core::property::MountSource;
use pvect_core::{ContainerConfig, Vmid, VolumeId};

use crate::{Failure, NodeResult};

/// How many `unused[n]` a configuration can have. Source: pve-container, as many as mount points.
const UNUSED_MAX: u16 = 256;

/// Returns whether a key is `unused[n]`.
pub(crate) fn is_unused(key: &str) -> bool {
    key.strip_prefix("unused").is_some_and(|number| number.parse::<u16>().is_ok())
}

/// Returns the volume that the value of an `unused[n]` names.
pub(crate) fn unused_volume(value: &str) -> &str {
    let first = value.split(',').next().unwrap_or_default();
    first.strip_prefix("volume=").unwrap_or(first)
}

/// Returns the container that a volume belongs to; `None` when it does not belong to one.
pub(crate) fn owner(volume: &VolumeId) -> Option<Vmid> {
    volume.volume().split_once('/')?.0.parse().ok()
}

/// Returns the volumes that are in use in a section, each with its key: rootfs and mount points. Bind mounts and
/// devices are not volumes.
pub(crate) fn in_use(section: &Section) -> Vec<(String, VolumeId)> {
    let volume = |(key, mount): (String, pvect_core::property::MountPoint)| match mount.fs.source {
        MountSource::Volume(text) => Some((key, text.parse().ok()?)),
        MountSource::Allocate { .. } | MountSource::Device(_) | MountSource::Bind(_) => None,
    };
    section.volumes().into_iter().filter_map(volume).collect()
}

/// Returns the volumes that a section names, each with its key: those in use, then those listed as unused.
pub(crate) fn all(section: &Section) -> Vec<(String, VolumeId)> {
    let unused = section.family("unused").into_iter();
    let unused =
        unused.filter_map(|(_, key, value)| Some((key.to_owned(), unused_volume(value).parse().ok()?)));
    in_use(section).into_iter().chain(unused).collect()
}

/// Returns the sections of a configuration: the main one, what is pending, the snapshots.
pub(crate) fn sections(config: &ContainerConfig) -> impl Iterator<Item = &Section> {
    std::iter::once(&config.main).chain(&config.pending).chain(config.snapshots.values())
}

/// Lists a volume as unused, unless anything names it: an option, a pending change, a snapshot.
///
/// # Errors
/// As [`list_as_unused`].
pub(crate) fn add_unused(config: &mut ContainerConfig, volume: &VolumeId) -> NodeResult<()> {
    let is_listed = all(&config.main).iter().any(|(_, known)| known == volume);
    if is_listed || sections(config).any(|section| in_use(section).iter().any(|(_, known)| known == volume)) {
        return Ok(());
    }
    list_as_unused(config, volume.as_str()).map(drop)
}

/// Lists a volume as unused and returns its key.
///
/// # Errors
/// `Too many unused volumes - please delete them first.`
pub(crate) fn list_as_unused(config: &mut ContainerConfig, volume: &str) -> NodeResult<String> {
    let key = (0..UNUSED_MAX)
        .map(|number| format!("unused{number}"))
        .find(|key| !config.main.options.contains_key(key))
        .ok_or_else(|| Failure::new("Too many unused volumes - please delete them first."))?;
    config.main.set(&key, volume);
    Ok(key)
}

#[cfg(test)]
mod tests {
    use pvect_core::config::ParseMode;

    use super::*;

    fn parsed(text: &str) -> ContainerConfig {
        ContainerConfig::parse(text.as_bytes(), ParseMode::Lenient).unwrap().0
    }

    #[test]
    fn volumes_are_told_from_binds_and_devices() {
        let config = parsed(
            "mp0: /srv,mp=/a\nmp1: btr:401/vm-401-disk-1.raw,mp=/b\nmp2: /dev/sdb,mp=/c\nmpx: btr:401/x.raw\n\
             rootfs: btr:401/vm-401-disk-0.raw\nunused3: volume=btr:401/vm-401-disk-3.raw\n",
        );
        let keys = |found: Vec<(String, VolumeId)>| -> Vec<String> {
            found.into_iter().map(|(key, _)| key).collect()
        };
        assert_eq!(keys(in_use(&config.main)), ["rootfs", "mp1"]);
        assert_eq!(keys(all(&config.main)), ["rootfs", "mp1", "unused3"]);
    }

    #[test]
    fn a_volume_that_nothing_names_is_listed_once() {
        let volume = |text: &str| text.parse::<VolumeId>().unwrap();
        let mut config =
            parsed("rootfs: btr:401/vm-401-disk-0.raw\n\n[s1]\nmp0: btr:401/vm-401-disk-1.raw,mp=/a\n");
        for name in ["btr:401/vm-401-disk-0.raw", "btr:401/vm-401-disk-1.raw"] {
            add_unused(&mut config, &volume(name)).unwrap();
        }
        assert!(!config.main.options.contains_key("unused0"));
        for _ in 0..2 {
            add_unused(&mut config, &volume("btr:401/vm-401-disk-2.raw")).unwrap();
        }
        assert_eq!(config.main.options["unused0"], "btr:401/vm-401-disk-2.raw");
        assert!(!config.main.options.contains_key("unused1"));
        for _ in 1..UNUSED_MAX {
            list_as_unused(&mut config, "btr:401/x.raw").unwrap();
        }
        assert_eq!(
            list_as_unused(&mut config, "btr:401/x.raw").unwrap_err().text,
            "Too many unused volumes - please delete them first."
        );
    }
}
