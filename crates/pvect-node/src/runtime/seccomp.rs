//! The seccomp profile of unprivileged containers.

use std::path::Path;

use pvect_core::ContainerConfig;

use super::lxc_config::is_user_namespace;
use crate::{Failure, NodeResult};

/// The file below `lib/lxc/<vmid>`.
pub(super) const FILE: &str = "rules.seccomp";

/// Returns whether a container gets a profile of its own: unprivileged ones that do not name one. Others have the
/// one that LXC's common configuration names.
pub(super) fn is_generated(config: &ContainerConfig) -> bool {
    is_user_namespace(config) && config.main.raw_values("lxc.seccomp.profile").next().is_none()
}

/// Makes the profile: LXC's common one and further rules. Source: seccomp(7) and LXC's seccomp profiles, version 2.
///
/// # Errors
/// When the common one cannot be read, or the configuration asks for what a standalone node does not have.
pub(super) fn rules(share: &Path, config: &ContainerConfig) -> NodeResult<String> {
    let features = config.features();
    if features.mknod {
        return Err(Failure::new("features: 'mknod' is not supported by the standalone node"));
    }
    let path = share.join("common.seccomp");
    let mut text =
        std::fs::read_to_string(&path).map_err(|error| Failure::io("can't read", &path, &error))?;
    if !text.ends_with('\n') {
        text.push('\n');
    }
    // Btrfs calls (type 0x94) work by halves in user namespaces: a snapshot can be made and not removed.
    text.push_str("ioctl errno 1 [1,0x9400,SCMP_CMP_MASKED_EQ,0xff00]\n");
    if !features.keyctl {
        // ENOSYS: programs then go on without a keyring.
        text.push_str("keyctl errno 38\n");
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
            rules(dir.path(), &config(&[])).unwrap(),
            "2\ndenylist\n[all]\nkexec_load errno 1\n\
             ioctl errno 1 [1,0x9400,SCMP_CMP_MASKED_EQ,0xff00]\n\
             keyctl errno 38\n\
             socket errno 97 [0,38,SCMP_CMP_EQ]\n"
        );
        assert!(!rules(dir.path(), &config(&[("features", "keyctl=1")])).unwrap().contains("keyctl"));
        assert!(rules(dir.path(), &config(&[("features", "mknod=1")])).is_err());
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
