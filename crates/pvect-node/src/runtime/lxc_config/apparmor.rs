//! The lines of AppArmor's profile.

use std::path::Path;

use pvect_core::ContainerConfig;

use super::host::Host;
use super::lines::{Lines, utf8};
use crate::runtime::apparmor::AppArmor;
use crate::{Failure, NodeResult};

pub(super) fn put_apparmor(
    lines: &mut Lines,
    host: &Host,
    directory: &Path,
    config: &ContainerConfig,
) -> NodeResult<()> {
    if config.main.raw_values("lxc.apparmor.profile").next().is_some() {
        return Ok(());
    }
    let (mqueue, userns) = match host.apparmor {
        AppArmor::Off => return Ok(()),
        // Otherwise LXC would ask for a profile that is not loaded.
        AppArmor::Unloadable => return lines.put("lxc.apparmor.profile", "unconfined"),
        AppArmor::On { mqueue, userns } => (mqueue, userns),
    };
    let path = utf8(directory)?;
    if path.contains('"') {
        // LXC puts the path, in quotes, into the profile's name.
        return Err(Failure::new(format!(
            "an AppArmor profile cannot have the path '{path}': it has a quote"
        )));
    }
    let features = config.features();
    lines.put("lxc.apparmor.profile", "generated")?;
    if mqueue {
        lines.put("lxc.apparmor.raw", "allow mqueue,")?;
    }
    if features.nesting {
        lines.put("lxc.apparmor.allow_nesting", "1")?;
        if userns {
            lines.put("lxc.apparmor.raw", "allow userns,")?;
        }
    } else {
        lines.put("lxc.apparmor.raw", "deny mount -> /proc/,")?;
        lines.put("lxc.apparmor.raw", "deny mount -> /sys/,")?;
    }
    let fuse = features.fuse.then(|| "fuse".to_owned());
    for kind in features.mount.into_iter().chain(fuse) {
        lines.put("lxc.apparmor.raw", format!("mount fstype={kind},"))?;
    }
    Ok(())
}
