//! Raw `lxc.*` keys: which ones Proxmox VE keeps.

/// What Proxmox VE does with a raw key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RawKey {
    /// Kept.
    Allowed,
    /// Kept, with a warning: what to use instead.
    Deprecated(String),
    /// Refused, and why.
    Refused(&'static str),
    /// Not a key of lxc.container.conf(5).
    Unknown,
}

/// The keys that are kept, sorted. Source: pve-container's `PVE::LXC::Config`.
const ALLOWED: &[&str] = &[
    "lxc.apparmor.allow_incomplete",
    "lxc.apparmor.allow_nesting",
    "lxc.apparmor.profile",
    "lxc.apparmor.raw",
    "lxc.arch",
    "lxc.autodev",
    "lxc.cap.drop",
    "lxc.cap.keep",
    "lxc.console.logfile",
    "lxc.console.path",
    "lxc.devtty.dir",
    "lxc.environment",
    "lxc.environment.hooks",
    "lxc.environment.runtime",
    "lxc.group",
    "lxc.hook.autodev",
    "lxc.hook.clone",
    "lxc.hook.destroy",
    "lxc.hook.mount",
    "lxc.hook.post-stop",
    "lxc.hook.pre-mount",
    "lxc.hook.pre-start",
    "lxc.hook.start",
    "lxc.hook.stop",
    "lxc.hook.version",
    "lxc.idmap",
    "lxc.include",
    "lxc.init.cmd",
    "lxc.init.cwd",
    "lxc.init.gid",
    "lxc.init.groups",
    "lxc.init.uid",
    "lxc.kmsg",
    "lxc.log.file",
    "lxc.log.level",
    "lxc.mount.auto",
    "lxc.mount.entry",
    "lxc.mount.fstab",
    "lxc.pty.max",
    "lxc.rootfs.mount",
    "lxc.seccomp.notify.cookie",
    "lxc.seccomp.notify.proxy",
    "lxc.seccomp.profile",
    "lxc.selinux.context",
    "lxc.signal.halt",
    "lxc.signal.reboot",
    "lxc.signal.stop",
    "lxc.start.auto",
    "lxc.start.delay",
    "lxc.start.order",
    "lxc.sysctl.fs.mqueue",
    "lxc.sysctl.kernel.msgmax",
    "lxc.sysctl.kernel.msgmnb",
    "lxc.sysctl.kernel.msgmni",
    "lxc.sysctl.kernel.sem",
    "lxc.sysctl.kernel.shm_rmid_forced",
    "lxc.sysctl.kernel.shmall",
    "lxc.sysctl.kernel.shmmax",
    "lxc.sysctl.kernel.shmmni",
    "lxc.tty.max",
    "lxc.uts.name",
];

/// Names from before LXC 3, with the new ones, sorted.
const RENAMED: &[(&str, &str)] = &[
    ("lxc.aa_allow_incomplete", "lxc.apparmor.allow_incomplete"),
    ("lxc.aa_profile", "lxc.apparmor.profile"),
    ("lxc.console", "lxc.console.path"),
    ("lxc.devttydir", "lxc.tty.dir"),
    ("lxc.haltsignal", "lxc.signal.halt"),
    ("lxc.id_map", "lxc.idmap"),
    ("lxc.init_cmd", "lxc.init.cmd"),
    ("lxc.logfile", "lxc.log.file"),
    ("lxc.loglevel", "lxc.log.level"),
    ("lxc.mount", "lxc.mount.fstab"),
    ("lxc.network.flags", "lxc.net.INDEX.flags"),
    ("lxc.network.hwaddr", "lxc.net.INDEX.hwaddr"),
    ("lxc.network.ipv4", "lxc.net.INDEX.ipv4.address"),
    ("lxc.network.ipv4.gateway", "lxc.net.INDEX.ipv4.gateway"),
    ("lxc.network.ipv6", "lxc.net.INDEX.ipv6.address"),
    ("lxc.network.ipv6.gateway", "lxc.net.INDEX.ipv6.gateway"),
    ("lxc.network.link", "lxc.net.INDEX.link"),
    ("lxc.network.mtu", "lxc.net.INDEX.mtu"),
    ("lxc.network.name", "lxc.net.INDEX.name"),
    ("lxc.network.script.down", "lxc.net.INDEX.script.down"),
    ("lxc.network.script.up", "lxc.net.INDEX.script.up"),
    ("lxc.network.type", "lxc.net.INDEX.type"),
    ("lxc.pts", "lxc.pty.max"),
    ("lxc.rebootsignal", "lxc.signal.reboot"),
    ("lxc.se_context", "lxc.selinux.context"),
    ("lxc.seccomp", "lxc.seccomp.profile"),
    ("lxc.stopsignal", "lxc.signal.stop"),
    ("lxc.tty", "lxc.tty.max"),
    ("lxc.utsname", "lxc.uts.name"),
];

/// Classifies a raw key.
pub fn raw_key(key: &str) -> RawKey {
    if key.starts_with("lxc.limit.") {
        return RawKey::Deprecated(key.replacen("lxc.limit.", "lxc.prlimit.", 1));
    }
    if let Some((_, new)) = RENAMED.iter().find(|(old, _)| *old == key) {
        return RawKey::Deprecated((*new).to_owned());
    }
    match key {
        "lxc.rootfs.path" => return RawKey::Refused("lxc.rootfs.path is auto generated from rootfs"),
        "lxc.rootfs.options" => {
            return RawKey::Refused(
                "lxc.rootfs.options is not supported, please use mount point options in the \"rootfs\" key",
            );
        }
        _ => {}
    }
    if key.starts_with("lxc.cgroup.") {
        return RawKey::Deprecated(key.replacen("lxc.cgroup.", "lxc.cgroup2.", 1));
    }
    let by_prefix = ["lxc.cgroup2.", "lxc.prlimit.", "lxc.net."].iter().any(|prefix| key.starts_with(prefix));
    if by_prefix || ALLOWED.binary_search(&key).is_ok() { RawKey::Allowed } else { RawKey::Unknown }
}

/// Returns pct's warning about a deprecated key that it keeps.
pub(super) fn deprecation(key: &str, instead: &str) -> String {
    if key.starts_with("lxc.limit.") {
        format!("{key}: lxc.limit.* was renamed to lxc.prlimit.*")
    } else if key.starts_with("lxc.cgroup.") {
        format!("{key} is deprecated, this will be a hard error in the future!")
    } else {
        format!("{key} is deprecated and was renamed to {instead}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_are_sorted() {
        assert!(ALLOWED.is_sorted());
        assert!(RENAMED.is_sorted());
    }

    #[test]
    fn keys_are_classified() {
        let deprecated = |instead: &str| RawKey::Deprecated(instead.to_owned());
        assert_eq!(raw_key("lxc.apparmor.profile"), RawKey::Allowed);
        assert_eq!(raw_key("lxc.cgroup2.memory.max"), RawKey::Allowed);
        assert_eq!(raw_key("lxc.net.0.type"), RawKey::Allowed);
        assert_eq!(
            raw_key("lxc.cgroup.memory.limit_in_bytes"),
            deprecated("lxc.cgroup2.memory.limit_in_bytes")
        );
        assert_eq!(raw_key("lxc.limit.nofile"), deprecated("lxc.prlimit.nofile"));
        assert_eq!(raw_key("lxc.id_map"), deprecated("lxc.idmap"));
        assert!(matches!(raw_key("lxc.rootfs.path"), RawKey::Refused(_)));
        assert_eq!(raw_key("lxc.bogus"), RawKey::Unknown);
        assert_eq!(raw_key(""), RawKey::Unknown);
    }
}
