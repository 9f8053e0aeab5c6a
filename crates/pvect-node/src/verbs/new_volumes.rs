//! The volumes of a container that is being made: as they are given, checked, and made.

use pvect_core::property::{MountPoint, MountSource, RootFs};
use pvect_core::{ContainerConfig, Verb, Vmid, VolumeId};

use crate::idmap::IdMap;
use crate::interrupt::Interrupt;
use crate::{Failure, Node, NodeResult, storage};

/// A parsed `rootfs` or `mp[n]`.
#[derive(Clone)]
pub(super) enum Mount {
    Root(RootFs),
    Point(MountPoint),
}

impl Mount {
    pub(super) fn source(&self) -> &MountSource {
        match self {
            Self::Root(fs) => &fs.source,
            Self::Point(point) => &point.fs.source,
        }
    }

    /// The storage that it is on, or is to be made on.
    pub(super) fn storage(&self) -> Option<String> {
        match self.source() {
            MountSource::Allocate { storage, .. } => Some(storage.clone()),
            MountSource::Volume(text) => Some(volume_id(text).ok()?.storage().to_owned()),
            MountSource::Device(_) | MountSource::Bind(_) => None,
        }
    }

    pub(super) fn fs(&mut self) -> &mut RootFs {
        match self {
            Self::Root(fs) => fs,
            Self::Point(point) => &mut point.fs,
        }
    }

    pub(super) fn text(&self) -> String {
        match self {
            Self::Root(fs) => fs.to_string(),
            Self::Point(point) => point.to_string(),
        }
    }
}

/// Returns the number of a key that is one of a family: 3 of `mp3` in `mp`.
pub(super) fn index(key: &str, family: &str) -> Option<u32> {
    key.strip_prefix(family)?.parse().ok()
}

pub(super) fn parse_mount(key: &str, text: &str) -> NodeResult<(String, Mount)> {
    let bad = |_| Failure::new(format!("unable to parse {key} '{text}'"));
    let mount = if key == "rootfs" {
        Mount::Root(RootFs::parse(text).map_err(bad)?)
    } else {
        Mount::Point(MountPoint::parse(key, text).map_err(bad)?)
    };
    Ok((key.to_owned(), mount))
}

/// Checks what is known about a volume's storage.
pub(super) fn check_source(node: &Node, verb: Verb, source: &MountSource) -> NodeResult<()> {
    match source {
        MountSource::Allocate { storage, .. } => storage::check_rootdir(node, verb, storage),
        MountSource::Volume(text) => storage::check_rootdir(node, verb, volume_id(text)?.storage()),
        MountSource::Device(_) | MountSource::Bind(_) => Ok(()),
    }
}

pub(super) fn volume_id(text: &str) -> NodeResult<VolumeId> {
    text.parse().map_err(|_| Failure::new(format!("unable to parse volume ID '{text}'")))
}

/// Makes the volumes that are to be new, and writes all volumes into the configuration. `made` has what was made, even
/// when it fails.
pub(super) fn make_volumes(
    node: &Node,
    vmid: Vmid,
    volumes: &[(String, Mount)],
    config: &mut ContainerConfig,
    made: &mut Vec<VolumeId>,
    interrupt: &Interrupt,
    log: &mut dyn FnMut(&str),
) -> NodeResult<()> {
    // What must exist is looked for before anything is made.
    for (_, mount) in volumes {
        if let MountSource::Volume(text) = mount.source() {
            storage::volume_path(node, &volume_id(text)?)?;
        }
    }
    let owner = IdMap::of(config).root();
    for (key, mount) in volumes {
        interrupt.check()?;
        let mut mount = mount.clone();
        let fs = mount.fs();
        match fs.source.clone() {
            MountSource::Allocate { storage, size } => {
                let volume = storage::allocate(node, &storage, vmid, size, owner, log)?;
                made.push(volume.clone());
                fs.source = MountSource::Volume(volume.to_string());
                fs.size = Some(size);
            }
            MountSource::Volume(_) | MountSource::Device(_) | MountSource::Bind(_) => {}
        }
        config.main.set(key, mount.text());
    }
    Ok(())
}
