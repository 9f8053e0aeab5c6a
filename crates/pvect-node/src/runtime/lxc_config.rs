//! The LXC configuration that is generated for each start: `lib/lxc/<vmid>/config`.
//!
//! Source: lxc.container.conf(5), and what pve-container generates.

use std::path::{Path, PathBuf};

use pvect_core::config::{IdMap, Section};
use pvect_core::property::{DeviceEntry, Ipv4Config, Ipv6Config, NetInterface};
use pvect_core::schema::check;
use pvect_core::{ContainerConfig, Vmid};
use pvect_native::{Cgroups, Names, Version};

use super::apparmor::AppArmor;
use super::user_namespace::has_user_namespace;
use super::{devices, environment, limits, seccomp};
use crate::{Failure, NodeResult};

/// What the generated text depends on besides the configuration.
#[derive(Debug, Clone)]
pub(super) struct Host {
    /// The names of cgroups and devices.
    pub(super) names: Names,
    /// The machine's cgroups.
    pub(super) cgroups: Cgroups,
    /// LXC's common configurations.
    pub(super) share: PathBuf,
    /// `/sys/class/net`.
    pub(super) net: PathBuf,
    /// How AppArmor can confine a container.
    pub(super) apparmor: AppArmor,
    /// The hooks of LXCFS, where it runs: kind and program.
    pub(super) lxcfs: Vec<(&'static str, PathBuf)>,
    /// The socket of pve-lxc-syscalld, where it runs.
    pub(super) syscalld: Option<PathBuf>,
}

impl Host {
    /// This machine.
    pub(super) fn of_this_machine(names: Names) -> Self {
        Self {
            names,
            cgroups: Cgroups::new("/sys/fs/cgroup"),
            share: "/usr/share/lxc/config".into(),
            net: "/sys/class/net".into(),
            apparmor: AppArmor::of_this_machine(),
            lxcfs: own_lxcfs_hooks(),
            syscalld: seccomp::daemon(),
        }
    }

    /// The MTU of a bridge.
    ///
    /// # Errors
    /// `bridge '<name>' does not exist`.
    pub(super) fn bridge_mtu(&self, bridge: &str) -> NodeResult<u32> {
        let path = self.net.join(bridge);
        let missing = || Failure::new(format!("bridge '{bridge}' does not exist"));
        // Open vSwitch has bridges without that directory; LXC would not know what to do with other devices.
        if !path.join("bridge").is_dir() {
            return Err(missing());
        }
        let text = std::fs::read_to_string(path.join("mtu")).map_err(|_| missing())?;
        text.trim().parse().map_err(|_| missing())
    }

    /// Sees to it that a bridge knows VLANs.
    ///
    /// # Errors
    /// `net0: bridge '<name>' is not VLAN aware`; that the kernel's bridges know none.
    pub(super) fn check_vlans(&self, index: u16, bridge: &str) -> NodeResult<()> {
        let path = self.net.join(bridge).join("bridge/vlan_filtering");
        match std::fs::read_to_string(path) {
            Ok(text) if text.trim() == "1" => Ok(()),
            Ok(_) => Err(Failure::new(format!("net{index}: bridge '{bridge}' is not VLAN aware"))),
            Err(_) => {
                let failure = crate::network::no_vlans();
                Err(Failure::new(format!(
                    "net{index}: bridge '{bridge}' is not VLAN aware: {}",
                    failure.text
                )))
            }
        }
    }
}

/// The hooks of LXCFS on this machine.
pub(super) fn own_lxcfs_hooks() -> Vec<(&'static str, PathBuf)> {
    lxcfs_hooks(Path::new("/var/lib/lxcfs/proc"), Path::new("/usr/share/lxcfs"))
}

/// The hooks of LXCFS, as its package sets them; none where it does not run. Its post-stop hook sleeps for half a second.
fn lxcfs_hooks(mounted: &Path, share: &Path) -> Vec<(&'static str, PathBuf)> {
    if !mounted.is_dir() {
        return Vec::new();
    }
    let hooks = [("mount", "lxc.mount.hook"), ("post-stop", "lxc.reboot.hook")];
    let hooks = hooks.into_iter().map(|(kind, name)| (kind, share.join(name)));
    hooks.filter(|(_, hook)| hook.is_file()).collect()
}

/// Which of LXC's programs reads a configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reader {
    /// lxc-start. LXC runs hooks, which are programs of the host, with the environment that it reads; the container's own
    /// is for its program only ([`environment`]).
    Start,
    /// All others, such as lxc-attach, which sets the environment right before it becomes the program.
    Other,
}

/// The lines of an LXC configuration.
#[derive(Debug, Default)]
struct Lines(String);

impl Lines {
    /// Adds `key = value`.
    fn put(&mut self, key: &str, value: impl AsRef<str>) -> NodeResult<()> {
        let value = value.as_ref();
        if value.contains(['\n', '\r', '\0']) {
            return Err(Failure::new(format!("the value of '{key}' holds a line break")));
        }
        self.0.push_str(&format!("{key} = {value}\n"));
        Ok(())
    }
}

fn put_idmap(lines: &mut Lines, config: &ContainerConfig) -> NodeResult<()> {
    if config.main.is_unprivileged() && config.main.raw_values("lxc.idmap").next().is_none() {
        for IdMap { user, container, host, count } in IdMap::unprivileged(config.first_host_id()) {
            let kind = if user { 'u' } else { 'g' };
            lines.put("lxc.idmap", format!("{kind} {container} {host} {count}"))?;
        }
    }
    Ok(())
}

/// Refuses features and devices that cannot be parsed: without them, the container would not be the one that was asked
/// for. Interfaces are parsed where their lines are made.
///
/// # Errors
/// pct's words, such as `format error`, then `gid: type check ('integer') failed - got 'video'`.
fn check_values(section: &Section) -> NodeResult<()> {
    let features = section.options.get("features").map(|text| ("features", text.as_str()));
    let devices = section.family("dev").into_iter().map(|(_, key, value)| (key, value));
    for (key, value) in features.into_iter().chain(devices) {
        check::stored(key, value).map_err(Failure::new)?;
    }
    Ok(())
}

/// Makes the text of the LXC configuration.
///
/// `directory` is `lib/lxc/<vmid>`; `hook` is the command of our own post-stop hook, if there is to be one; `reader` is who
/// reads it.
///
/// # Errors
/// When something cannot be expressed, or the host lacks it: `bridge '<name>' does not exist`.
pub(super) fn text(
    host: &Host,
    directory: &Path,
    vmid: Vmid,
    config: &ContainerConfig,
    hook: Option<&str>,
    reader: Reader,
) -> NodeResult<String> {
    let section = &config.main;
    check_values(section)?;
    let user_namespace = has_user_namespace(config);
    let features = section.features();
    let mut lines = Lines::default();
    put_cgroup(&mut lines, host, vmid)?;
    if let Some(arch) = section.options.get("arch") {
        lines.put("lxc.arch", arch)?;
    }
    put_includes(&mut lines, host, section.ostype(), user_namespace)?;
    if user_namespace && devices_prefix(&host.cgroups) == CGROUP2 {
        // Without any rule all devices are allowed, as the includes have it; with the first one, no other were.
        lines.put("lxc.cgroup2.devices.allow", "a")?;
    }
    put_hooks(&mut lines, host)?;
    if seccomp::is_generated(config) {
        if let Some(socket) = host.syscalld.as_deref().filter(|_| features.mknod) {
            lines.put("lxc.seccomp.notify.proxy", format!("unix:{}", utf8(socket)?))?;
            lines.put("lxc.seccomp.notify.cookie", vmid.to_string())?;
        }
        lines.put("lxc.seccomp.profile", utf8(&directory.join(seccomp::FILE))?)?;
    }
    put_apparmor(&mut lines, host, directory, config)?;
    if features.fuse {
        lines.put("lxc.mount.entry", "/dev/fuse dev/fuse none bind,create=file 0 0")?;
    }
    if features.nesting && !matches!(host.apparmor, AppArmor::On { .. }) {
        // A nested container may mount these only where they are fully visible; with AppArmor, LXC adds them.
        lines.put("lxc.mount.entry", "proc dev/.lxc/proc proc create=dir,optional 0 0")?;
        lines.put("lxc.mount.entry", "sysfs dev/.lxc/sys sysfs create=dir,optional 0 0")?;
    }
    if user_namespace && !features.force_rw_sys {
        lines.put("lxc.mount.auto", "sys:mixed")?;
    }
    if section.entrypoint() != "/sbin/init" {
        // No init system is there to mount it.
        lines.put("lxc.mount.entry", "shm dev/shm tmpfs rw,nosuid,nodev,create=dir 0 0")?;
    }
    put_devices(&mut lines, host, directory, &section.devices())?;
    put_idmap(&mut lines, config)?;
    if !section.has_console() {
        lines.put("lxc.console.path", "none")?;
    }
    lines.put("lxc.tty.max", section.tty_count().to_string())?;
    lines.put("lxc.environment", "TERM=linux")?;
    lines.put("lxc.uts.name", config.name(vmid))?;
    for setting in limits::of(config, &host.cgroups, vmid.get()) {
        lines.0.push_str(&setting.line());
    }
    lines.put("lxc.rootfs.path", format!("dir:{}", utf8(&directory.join("rootfs"))?))?;
    let is_handed_on = reader == Reader::Start && environment::is_any(config);
    if let Some(command) = section.options.get("entrypoint").filter(|_| !is_handed_on) {
        lines.put("lxc.init.cmd", command)?;
    }
    if let Some(hook) = hook {
        lines.put("lxc.hook.post-stop", hook)?;
    }
    for (index, key, value) in section.family("net") {
        let net = NetInterface::parse(key, value)
            .map_err(|_| Failure::new(format!("unable to parse {key} '{value}'")))?;
        put_net(&mut lines, host, vmid, index, &net)?;
    }
    if environment::is_any(config) {
        for (source, target) in environment::files(directory) {
            let target = target.trim_start_matches('/');
            let options = "bind,ro,nosuid,nodev,create=file 0 0";
            lines.put("lxc.mount.entry", format!("{} {target} none {options}", fstab(utf8(&source)?)))?;
        }
    }
    if reader == Reader::Other {
        for variable in &section.env {
            lines.put("lxc.environment", variable)?;
        }
    }
    let left_out = |key: &str| key == "lxc.environment.runtime" || (is_handed_on && key == "lxc.init.cmd");
    for (key, value) in section.raw.iter().filter(|(key, _)| !left_out(key)) {
        lines.put(key, value)?;
    }
    if is_handed_on {
        lines.put("lxc.init.cmd", pvect_init::PROGRAM_PATH)?;
    }
    Ok(lines.0)
}

/// The kinds of hooks that an included file can bring.
const HOOKS: [&str; 9] =
    ["pre-start", "pre-mount", "mount", "autodev", "start-host", "start", "stop", "post-stop", "destroy"];

/// Clears all hooks of the included files, and sets those of LXCFS again where it runs.
///
/// Such hooks are for the containers below `/var/lib/lxc`, and some act by the number alone: those of a Proxmox VE node
/// mount the disk of *its* container of that number. Source: pve-container's `common.conf.d/01-pve.conf` and LXCFS's
/// `common.conf.d/00-lxcfs.conf`. An empty value clears a list: lxc.container.conf(5).
fn put_hooks(lines: &mut Lines, host: &Host) -> NodeResult<()> {
    for kind in HOOKS {
        lines.put(&format!("lxc.hook.{kind}"), "")?;
    }
    for (kind, hook) in host.lxcfs.iter() {
        lines.put(&format!("lxc.hook.{kind}"), utf8(hook)?)?;
    }
    Ok(())
}

/// A path as it can stand in a configuration.
fn utf8(path: &Path) -> NodeResult<&str> {
    path.to_str().ok_or_else(|| Failure::new(format!("the path '{}' is not UTF-8", path.display())))
}

fn put_cgroup(lines: &mut Lines, host: &Host, vmid: Vmid) -> NodeResult<()> {
    lines.put("lxc.cgroup.relative", "0")?;
    lines.put("lxc.cgroup.dir.monitor", host.names.monitor_cgroup(vmid))?;
    lines.put("lxc.cgroup.dir.container", host.names.cgroup(vmid))?;
    // The container sees this one as its root, and cannot change the limits of the one above.
    lines.put("lxc.cgroup.dir.container.inner", "ns")
}

fn put_includes(lines: &mut Lines, host: &Host, ostype: Option<&str>, userns: bool) -> NodeResult<()> {
    let kinds = if userns { &["common", "userns"][..] } else { &["common"][..] };
    for kind in kinds {
        let own = ostype.map(|ostype| host.share.join(format!("{ostype}.{kind}.conf")));
        let path =
            own.filter(|path| path.is_file()).unwrap_or_else(|| host.share.join(format!("{kind}.conf")));
        if !path.is_file() {
            let text = format!("'{}' does not exist: apt-get install lxc", path.display());
            return Err(Failure::new(text));
        }
        lines.put("lxc.include", utf8(&path)?)?;
    }
    Ok(())
}

fn put_apparmor(
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
        // Otherwise LXC would ask for a profile that nobody has loaded.
        AppArmor::Unloadable => return lines.put("lxc.apparmor.profile", "unconfined"),
        AppArmor::On { mqueue, userns } => (mqueue, userns),
    };
    let path = utf8(directory)?;
    if path.contains('"') {
        // LXC names the profile by it, between quotes.
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

/// How the keys of device rules begin for the cgroups of version 2.
const CGROUP2: &str = "lxc.cgroup2";

/// How the keys of device rules begin.
fn devices_prefix(cgroups: &Cgroups) -> &'static str {
    match cgroups.controller("devices") {
        Some(controller) if controller.version == Version::V1 => "lxc.cgroup",
        _ => CGROUP2,
    }
}

fn put_devices(
    lines: &mut Lines,
    host: &Host,
    directory: &Path,
    entries: &[(String, DeviceEntry)],
) -> NodeResult<()> {
    let prefix = devices_prefix(&host.cgroups);
    for (key, entry) in entries {
        let device = devices::Device::find(key, entry)?;
        let access = if entry.deny_write { "r" } else { "rw" };
        lines.put(&format!("{prefix}.devices.allow"), format!("{} {access}", device.rule()))?;
        if entry.deny_write {
            lines.put(&format!("{prefix}.devices.deny"), format!("{} w", device.rule()))?;
        }
        let source = devices::node_path(directory, key);
        let target = entry.path.trim_start_matches('/');
        let line = format!("{} {} none bind,create=file 0 0", fstab(utf8(&source)?), fstab(target));
        lines.put("lxc.mount.entry", line)?;
    }
    Ok(())
}

/// The lines that let a container use a device (`rule`, `access`) whose node is at `source`, as `target` inside.
///
/// # Errors
/// When the path is not UTF-8.
pub(super) fn device_lines(rule: &str, access: &str, source: &Path, target: &str) -> NodeResult<String> {
    let prefix = devices_prefix(&Cgroups::new("/sys/fs/cgroup"));
    let mut lines = Lines::default();
    lines.put(&format!("{prefix}.devices.allow"), format!("{rule} {access}"))?;
    let entry = format!("{} {} none bind,create=file 0 0", fstab(utf8(source)?), fstab(target));
    lines.put("lxc.mount.entry", entry)?;
    Ok(lines.0)
}

/// Escapes a path for a line of fstab(5).
fn fstab(path: &str) -> String {
    path.replace('\\', "\\134").replace(' ', "\\040").replace('\t', "\\011")
}

fn put_net(lines: &mut Lines, host: &Host, vmid: Vmid, index: u16, net: &NetInterface) -> NodeResult<()> {
    let mut put = |key: &str, value: &str| lines.put(&format!("lxc.net.{index}.{key}"), value);
    put("type", "veth")?;
    put("veth.pair", &host.names.device(vmid, index))?;
    if let Some(hwaddr) = &net.hwaddr {
        put("hwaddr", hwaddr)?;
    }
    put("name", &net.name)?;
    if let Some(bridge) = &net.bridge {
        let bridge_mtu = host.bridge_mtu(bridge)?;
        let mtu = net.mtu.map_or(bridge_mtu, u32::from);
        if mtu > bridge_mtu {
            let text = format!("net{index}: MTU size '{mtu}' is bigger than bridge MTU '{bridge_mtu}'");
            return Err(Failure::new(text));
        }
        put("mtu", &mtu.to_string())?;
        if !net.link_down {
            put("link", bridge)?;
            if net.tag.is_some() || !net.trunks.is_empty() {
                host.check_vlans(index, bridge)?;
                if let Some(tag) = net.tag {
                    put("veth.vlan.id", &tag.to_string())?;
                }
                for trunk in &net.trunks {
                    put("veth.vlan.tagged.id", &trunk.to_string())?;
                }
            }
        }
    } else if let Some(mtu) = net.mtu {
        put("mtu", &mtu.to_string())?;
    }
    if net.host_managed && !net.link_down {
        if let Some(Ipv4Config::Static(address, prefix)) = net.ip {
            put("ipv4.address", &format!("{address}/{prefix}"))?;
        }
        if let Some(gateway) = net.gw {
            put("ipv4.gateway", &gateway.to_string())?;
        }
        match net.ip6 {
            Some(Ipv6Config::Static(address, prefix)) => put("ipv6.address", &format!("{address}/{prefix}"))?,
            Some(Ipv6Config::Auto) => {
                let text =
                    format!("net{index}: SLAAC is not supported for host-managed network configuration");
                return Err(Failure::new(text));
            }
            _ => {}
        }
        if let Some(gateway) = net.gw6 {
            put("ipv6.gateway", &gateway.to_string())?;
        }
        put("flags", "up")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
