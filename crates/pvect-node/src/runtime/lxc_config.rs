//! The LXC configuration that is generated for each start: `lib/lxc/<vmid>/config`.
//!
//! Source: lxc.container.conf(5), and what pve-container generates.

mod apparmor;
pub(super) mod devices;
pub(super) mod host;
mod lines;
mod net;

use std::path::Path;

use pvect_core::config::{IdMap, Section};
use pvect_core::property::NetInterface;
use pvect_core::schema::check;
use pvect_core::{ContainerConfig, Vmid};

use super::apparmor::AppArmor;
use super::user_namespace::has_user_namespace;
use super::{environment, limits, seccomp};
use crate::{Failure, NodeResult};
use apparmor::put_apparmor;
use devices::{CGROUP2, devices_prefix, put_devices};
use host::Host;
use lines::{Lines, fstab, utf8};
use net::put_net;

/// Which of LXC's programs reads a configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reader {
    /// lxc-start. LXC also runs hooks, which are programs of the host, with the environment from the configuration, so
    /// the container's own environment goes to its program only ([`environment`]).
    Start,
    /// All others, such as lxc-attach, which sets the environment right before it executes the program.
    Other,
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

/// Refuses features and devices that cannot be parsed: ignoring them would start a container other than the one that
/// was asked for. Interfaces are parsed where their lines are made.
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
/// `directory` is `lib/lxc/<vmid>`; `hook` is the command of our own post-stop hook, if there is to be one; `reader` is
/// the program that reads the text.
///
/// # Errors
/// When something cannot be expressed, or the host does not have it: `bridge '<name>' does not exist`.
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
    let mut lines = Lines::default();
    put_cgroup(&mut lines, host, vmid)?;
    if let Some(arch) = section.options.get("arch") {
        lines.put("lxc.arch", arch)?;
    }
    put_includes(&mut lines, host, section.ostype(), user_namespace)?;
    if user_namespace && devices_prefix(&host.cgroups) == CGROUP2 {
        // Without rules all devices are allowed, as the included files want it; the first rule would forbid all others.
        lines.put("lxc.cgroup2.devices.allow", "a")?;
    }
    put_hooks(&mut lines, host)?;
    put_seccomp(&mut lines, host, directory, vmid, config)?;
    put_apparmor(&mut lines, host, directory, config)?;
    put_mounts(&mut lines, host, section, user_namespace)?;
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
    put_environment(&mut lines, directory, config, reader)?;
    let left_out = |key: &str| key == "lxc.environment.runtime" || (is_handed_on && key == "lxc.init.cmd");
    for (key, value) in section.raw.iter().filter(|(key, _)| !left_out(key)) {
        lines.put(key, value)?;
    }
    if is_handed_on {
        lines.put("lxc.init.cmd", pvect_init::PROGRAM_PATH)?;
    }
    Ok(lines.0)
}

fn put_seccomp(
    lines: &mut Lines,
    host: &Host,
    directory: &Path,
    vmid: Vmid,
    config: &ContainerConfig,
) -> NodeResult<()> {
    if !seccomp::is_generated(config) {
        return Ok(());
    }
    if let Some(socket) = host.syscalld.as_deref().filter(|_| config.features().mknod) {
        lines.put("lxc.seccomp.notify.proxy", format!("unix:{}", utf8(socket)?))?;
        lines.put("lxc.seccomp.notify.cookie", vmid.to_string())?;
    }
    lines.put("lxc.seccomp.profile", utf8(&directory.join(seccomp::FILE))?)
}

fn put_mounts(lines: &mut Lines, host: &Host, section: &Section, user_namespace: bool) -> NodeResult<()> {
    let features = section.features();
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
    Ok(())
}

fn put_environment(
    lines: &mut Lines,
    directory: &Path,
    config: &ContainerConfig,
    reader: Reader,
) -> NodeResult<()> {
    if environment::is_any(config) {
        for (source, target) in environment::files(directory) {
            let target = target.trim_start_matches('/');
            let options = "bind,ro,nosuid,nodev,create=file 0 0";
            lines.put("lxc.mount.entry", format!("{} {target} none {options}", fstab(utf8(&source)?)))?;
        }
    }
    if reader == Reader::Other {
        for variable in &config.main.env {
            lines.put("lxc.environment", variable)?;
        }
    }
    Ok(())
}

/// The kinds of hooks that an included file can set.
const HOOKS: [&str; 9] =
    ["pre-start", "pre-mount", "mount", "autodev", "start-host", "start", "stop", "post-stop", "destroy"];

/// Clears all hooks of the included files, and sets those of LXCFS again where it runs.
///
/// Such hooks are meant for the containers below `/var/lib/lxc`, and some look at the number alone: those of a Proxmox
/// VE node would mount the disk of *its* container with that number. Source: pve-container's
/// `common.conf.d/01-pve.conf` and LXCFS's `common.conf.d/00-lxcfs.conf`. An empty value clears a list:
/// lxc.container.conf(5).
fn put_hooks(lines: &mut Lines, host: &Host) -> NodeResult<()> {
    for kind in HOOKS {
        lines.put(&format!("lxc.hook.{kind}"), "")?;
    }
    for (kind, hook) in host.lxcfs.iter() {
        lines.put(&format!("lxc.hook.{kind}"), utf8(hook)?)?;
    }
    Ok(())
}

fn put_cgroup(lines: &mut Lines, host: &Host, vmid: Vmid) -> NodeResult<()> {
    lines.put("lxc.cgroup.relative", "0")?;
    lines.put("lxc.cgroup.dir.monitor", host.names.monitor_cgroup(vmid))?;
    lines.put("lxc.cgroup.dir.container", host.names.cgroup(vmid))?;
    // The container sees this cgroup as its root and cannot change the limits of the one above.
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

#[cfg(test)]
mod tests;
