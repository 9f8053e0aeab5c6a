//! What a guest's init needs: terminals, units, identity, time zone.

use super::elf::Systemd;
use super::{Guest, Note};
use pvect_core::property::Features;

use crate::NodeResult;

/// The number of ttys when the configuration has none. Source: pct(1), option `tty`.
const DEFAULT_TTYS: u32 = 2;
/// Where systemd may have its units.
const UNIT_DIRS: [&str; 2] = ["/lib/systemd/system", "/usr/lib/systemd/system"];

fn ttys(guest: &Guest<'_>) -> u32 {
    guest.config.main.options.get("tty").and_then(|text| text.parse().ok()).unwrap_or(DEFAULT_TTYS)
}

pub(super) fn has_systemd(guest: &Guest<'_>) -> bool {
    ["/lib/systemd/systemd", "/usr/lib/systemd/systemd"].iter().any(|path| guest.files.is_file(path))
}

/// Gives each tty a getty.
pub fn setup(guest: &Guest<'_>) -> NodeResult<()> {
    let (system, systemd) = (&guest.system, has_systemd(guest));
    match system.ostype.as_str() {
        "alpine" => {
            inittab(guest, is_alpine_getty, &[], |id| format!("tty{id}::respawn:/sbin/getty 38400 tty{id}\n"))
        }
        "gentoo" => {
            inittab(guest, is_gentoo_getty, &[], |id| format!("{id}::respawn:/sbin/agetty 38400 tty{id}\n"))
        }
        "debian" | "devuan" => {
            if systemd {
                container_gettys(guest)?;
                if system.at_least(12, 0) {
                    // Debian uses ifupdown instead.
                    preset(guest, Some("disable"))?;
                }
            }
            inittab(guest, is_debian_getty, &["p0::powerfail:/sbin/init 0\n"], |id| {
                let levels = if id == 1 { "2345" } else { "23" };
                let option = if system.at_least(7, 0) { "--noclear" } else { "-L" };
                format!("{id}:{levels}:respawn:/sbin/getty {option} 38400 tty{id}\n")
            })
        }
        "archlinux" => {
            // It has no other network configuration.
            preset(guest, Some("enable"))?;
            container_gettys(guest)
        }
        "centos" => {
            container_gettys(guest)?;
            if system.at_least(8, 0) { preset(guest, None) } else { Ok(()) }
        }
        "fedora" => {
            container_gettys(guest)?;
            // From this version on, its own preset prefers NetworkManager.
            if system.at_least(37, 0) { preset(guest, Some("enable")) } else { Ok(()) }
        }
        "openeuler" => {
            container_gettys(guest)?;
            preset(guest, None)
        }
        "opensuse" => container_gettys(guest),
        "ubuntu" => {
            if system.at_least(23, 4) {
                preset(guest, Some("enable"))?;
            }
            if system.at_least(16, 10) { container_gettys(guest) } else { Ok(()) }
        }
        _ => Ok(()),
    }
}

/// `tty1::respawn:/sbin/getty ...`
fn is_alpine_getty(fields: &[&str]) -> bool {
    matches!(fields, [id, _, _, process, ..] if id.starts_with("tty") && process.contains("getty"))
}

/// `c1:12345:respawn:/sbin/agetty ...`
fn is_gentoo_getty(fields: &[&str]) -> bool {
    let is_number = |id: &str| !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit());
    matches!(fields, [id, _, _, process, ..]
        if is_number(id.strip_prefix('c').unwrap_or(id)) && process.contains("getty"))
}

/// `1:2345:respawn:/sbin/getty ...`, and the lines about power failures.
fn is_debian_getty(fields: &[&str]) -> bool {
    match fields {
        [id, _, _, process, ..] if id.bytes().all(|byte| byte.is_ascii_digit()) => process.contains("getty"),
        ["pf" | "pn" | "po" | "p0", ..] => true,
        _ => false,
    }
}

/// Replaces the getty lines of `/etc/inittab`, if there is one.
fn inittab(
    guest: &Guest<'_>,
    is_old: fn(&[&str]) -> bool,
    extra: &[&str],
    line: impl Fn(u32) -> String,
) -> NodeResult<()> {
    let Some(old) = guest.read("/etc/inittab")? else { return Ok(()) };
    let kept = old
        .trim_end_matches('\n')
        .lines()
        .filter(|line| !is_old(&line.trim_start().splitn(4, ':').collect::<Vec<_>>()));
    let mut new: String = kept.map(|line| format!("{line}\n")).collect();
    new.extend(extra.iter().copied());
    new.extend((1..=ttys(guest)).map(line));
    guest.write("/etc/inittab", &new, 0o644)
}

/// Enables `container-getty@N` for each tty, and makes it use the right device.
fn container_gettys(guest: &Guest<'_>) -> NodeResult<()> {
    let unit = UNIT_DIRS.iter().map(|dir| format!("{dir}/container-getty@.service"));
    let Some(unit) = unit.into_iter().find(|path| guest.files.is_file(path)) else { return Ok(()) };
    let text = guest.read(&unit)?.unwrap_or_default();
    // An unprivileged container has its ttys in /dev itself; for privileged ones LXC puts them into /dev/lxc.
    let tty = if guest.config.is_set("unprivileged") { "tty%I" } else { "lxc/tty%I" };
    let fixed = text.replace("lxc/tty%I", "pts/%I").replace("pts/%I", tty);
    if fixed != text {
        guest.write(&unit, &fixed, 0o644)?;
    }
    let wants = "/etc/systemd/system/getty.target.wants";
    for number in 1..=6 {
        guest.remove(&format!("{wants}/getty@tty{number}.service"))?;
        let link = format!("{wants}/container-getty@{number}.service");
        if number <= ttys(guest) {
            guest.symlink(&unit, &link)?;
        } else {
            guest.remove(&link)?;
        }
    }
    if guest.files.read_link("/etc/systemd/system/getty.target").is_some() {
        guest.remove("/etc/systemd/system/getty.target")?;
    }
    Ok(())
}

/// Writes which units the first boot enables and disables. Source: systemd.preset(5).
fn preset(guest: &Guest<'_>, networkd: Option<&str>) -> NodeResult<()> {
    let mut text =
        "# Added by PVE at create-time for first-boot configuration.\nenable container-getty@.service\n\
         disable getty@.service\ndisable sys-kernel-config.mount\ndisable sys-kernel-debug.mount\n"
            .to_owned();
    if let Some(word) = networkd {
        text += &format!("{word} systemd-networkd.service\n");
    }
    guest.write("/etc/systemd/system-preset/00-pve.preset", &text, 0o644)
}

/// Removes the machine id, which must be unique to each machine.
pub fn forget_identity(guest: &Guest<'_>) -> NodeResult<()> {
    let dbus = "/var/lib/dbus/machine-id";
    if has_systemd(guest) && guest.files.read_link(dbus).is_none() {
        guest.remove(dbus)?;
    }
    guest.remove("/etc/machine-id")
}

/// Points `/etc/localtime` at the configured time zone, or notes that the container does not have it. For `host`, the
/// caller has filled in the host's zone.
pub fn set_timezone(guest: &Guest<'_>) -> NodeResult<Option<Note>> {
    // NixOS sets it in its own configuration.
    let zone = guest.config.main.options.get("timezone").filter(|_| guest.system.ostype != "nixos");
    let Some(zone) = zone else { return Ok(None) };
    let path = format!("/usr/share/zoneinfo/{zone}");
    if !guest.files.is_file(&path) {
        let text = format!("container does not have {path}, timezone can not be modified");
        return Ok(Some(Note::Line(text)));
    }
    guest.symlink(&path, "/etc/localtime")?;
    if guest.files.is_file("/etc/timezone") {
        guest.write("/etc/timezone", &format!("{zone}\n"), 0o644)?;
    }
    Ok(None)
}

/// The newest systemd that does not need nesting: Debian 10's.
const WITHOUT_NESTING: u32 = 241;
/// The first systemd that runs on a host with cgroup v2 only.
const FIRST_CGROUP2: u32 = 232;

/// What is to be said of a systemd that is newer than the container's features allow for.
pub fn check_nesting(guest: &Guest<'_>) -> Option<Note> {
    let features = guest.config.main.options.get("features").map(|text| Features::parse(text));
    if guest.system.is_unmanaged() || matches!(features, Some(Ok(features)) if features.nesting) {
        return None;
    }
    let version = Systemd::of(&guest.files).and_then(|systemd| systemd.version);
    version
        .filter(|version| *version > WITHOUT_NESTING)
        .map(|version| Note::Warning(format!("Systemd {version} detected. You may need to enable nesting.")))
}

/// What is to be said of a systemd that is too old for a host with nothing but cgroup v2.
pub fn check_cgroup2(guest: &Guest<'_>) -> Option<Note> {
    if matches!(guest.system.ostype.as_str(), "unmanaged" | "alpine" | "devuan") {
        return None;
    }
    let systemd = Systemd::of(&guest.files);
    let is_old = systemd.is_some_and(|systemd| systemd.version.is_none_or(|version| version < FIRST_CGROUP2));
    is_old.then(|| {
        Note::Warning(
            "old systemd (< v232) detected, container won't run in a pure cgroupv2 environment! Please see \
             documentation -> container -> cgroup version."
                .to_owned(),
        )
    })
}

/// The time zone of this host.
pub(super) fn host_zone() -> Option<String> {
    let target = std::fs::canonicalize("/etc/localtime").ok()?;
    Some(target.strip_prefix("/usr/share/zoneinfo").ok()?.to_str()?.to_owned())
}
