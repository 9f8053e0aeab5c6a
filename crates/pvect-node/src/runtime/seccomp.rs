//! The seccomp profile of unprivileged containers.

use std::path::{Path, PathBuf};

use pvect_core::ContainerConfig;

use super::user_namespace::has_user_namespace;
use crate::{Failure, NodeResult};

/// The sockets of pve-lxc-syscalld, which carries out mknod for containers. Source: pve-container, `LXC.pm`.
const DAEMONS: [&str; 2] = ["/run/pve-lxc-syscalld/socket", "/run/pve/lxc-syscalld.sock"];

/// Returns the socket of pve-lxc-syscalld, where it runs.
pub(super) fn daemon() -> Option<PathBuf> {
    DAEMONS.iter().map(PathBuf::from).find(|path| path.exists())
}

/// Returns which features of a container do not work here, for the log of its start.
pub(super) fn warnings(config: &ContainerConfig, daemon: Option<&Path>) -> Vec<String> {
    let features = config.features();
    let asked: Vec<&str> = [("keyctl", features.keyctl), ("mknod", features.mknod)]
        .into_iter()
        .filter_map(|(name, on)| on.then_some(name))
        .collect();
    if asked.is_empty() {
        Vec::new()
    } else if config.main.raw_values("lxc.seccomp.profile").next().is_some() {
        let list = asked.join(", ");
        vec![format!("explicitly configured lxc.seccomp.profile overrides the following settings: {list}")]
    } else if features.mknod && has_user_namespace(config) && daemon.is_none() {
        let text = "features: 'mknod' has no effect here: it needs pve-lxc-syscalld, which does not run";
        vec![text.to_owned()]
    } else {
        Vec::new()
    }
}

/// The file below `lib/lxc/<vmid>`.
pub(super) const FILE: &str = "rules.seccomp";

/// Returns whether a container gets a profile of its own: unprivileged ones that do not name one. Others have the
/// one that LXC's common configuration names.
pub(super) fn is_generated(config: &ContainerConfig) -> bool {
    has_user_namespace(config) && config.main.raw_values("lxc.seccomp.profile").next().is_none()
}

/// Makes the profile: LXC's common one and further rules. Source: seccomp(7) and LXC's seccomp profiles, version 2.
///
/// The calls that `features: mknod=1` allows are passed to `daemon`, which carries out harmless ones; without a daemon
/// the kernel decides about them as usual.
///
/// # Errors
/// When the common one cannot be read.
pub(super) fn rules(share: &Path, daemon: Option<&Path>, config: &ContainerConfig) -> NodeResult<String> {
    let features = config.features();
    let path = share.join("common.seccomp");
    let mut text =
        std::fs::read_to_string(&path).map_err(|error| Failure::io("can't read", &path, &error))?;
    if !text.ends_with('\n') {
        text.push('\n');
    }
    // Btrfs ioctls (type 0x94) only half work in user namespaces: a snapshot can be made but not removed.
    text.push_str("ioctl errno 1 [1,0x9400,SCMP_CMP_MASKED_EQ,0xff00]\n");
    if !features.keyctl {
        // ENOSYS, so that programs go on without a keyring.
        text.push_str("keyctl errno 38\n");
    }
    if features.mknod && daemon.is_some() {
        for (call, argument) in [("mknod", 1), ("mknodat", 2)] {
            // The file types of character and block devices.
            for kind in [0o020_000, 0o060_000] {
                text.push_str(&format!("{call} notify [{argument},{kind},SCMP_CMP_MASKED_EQ,61440]\n"));
            }
        }
    }
    // AF_ALG: kernel code that containers do not need.
    text.push_str("socket errno 97 [0,38,SCMP_CMP_EQ]\n");
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(options: &[(&str, &str)]) -> ContainerConfig {
        let mut config = ContainerConfig::default();
        for (key, value) in options {
            config.main.set(key, *value);
        }
        config
    }

    #[test]
    fn rules_follow_the_common_ones() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("common.seccomp"), "2\ndenylist\n[all]\nkexec_load errno 1").unwrap();
        assert_eq!(
            rules(dir.path(), None, &config(&[])).unwrap(),
            "2\ndenylist\n[all]\nkexec_load errno 1\n\
             ioctl errno 1 [1,0x9400,SCMP_CMP_MASKED_EQ,0xff00]\n\
             keyctl errno 38\n\
             socket errno 97 [0,38,SCMP_CMP_EQ]\n"
        );
        assert!(!rules(dir.path(), None, &config(&[("features", "keyctl=1")])).unwrap().contains("keyctl"));
        let devices = config(&[("features", "mknod=1"), ("unprivileged", "1")]);
        assert!(!rules(dir.path(), None, &devices).unwrap().contains("mknod"));
        let notified = rules(dir.path(), Some(Path::new("/s")), &devices).unwrap();
        for line in ["mknod notify [1,8192,SCMP_CMP_MASKED_EQ,61440]\n", "mknodat notify [2,24576,"] {
            assert!(notified.contains(line), "{notified}");
        }
        assert_eq!(
            warnings(&devices, None),
            ["features: 'mknod' has no effect here: it needs pve-lxc-syscalld, which does not run"]
        );
        assert_eq!(warnings(&devices, Some(Path::new("/s"))), Vec::<String>::new());
        let mut own = config(&[("features", "keyctl=1,mknod=1"), ("unprivileged", "1")]);
        own.main.raw.push(("lxc.seccomp.profile".into(), "/x".into()));
        assert_eq!(
            warnings(&own, None),
            ["explicitly configured lxc.seccomp.profile overrides the following settings: keyctl, mknod"]
        );
    }

    #[test]
    fn privileged_containers_and_own_profiles_need_none() {
        assert!(!is_generated(&config(&[])));
        let mut unprivileged = config(&[("unprivileged", "1")]);
        assert!(is_generated(&unprivileged));
        unprivileged.main.raw.push(("lxc.seccomp.profile".into(), "/x".into()));
        assert!(!is_generated(&unprivileged));
    }
}
