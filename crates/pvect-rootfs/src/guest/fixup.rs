//! What a template of each distribution needs once, after it was unpacked.

use super::{Guest, init};
use crate::NodeResult;

/// Enables services that a container needs, and disables those that do not work in one.
pub fn after_unpacking(guest: &Guest<'_>) -> NodeResult<()> {
    if init::has_systemd(guest) {
        mask_static_units(guest)?;
    }
    match guest.system.ostype.as_str() {
        "alpine" => {
            alpine_services(guest)?;
            securetty(guest)?;
            forget_lxc_name(guest)
        }
        "archlinux" | "gentoo" => {
            securetty(guest)?;
            forget_lxc_name(guest)
        }
        "centos" => {
            // Otherwise systemd-firstboot asks for it on a terminal that nobody sees.
            missing(guest, "/etc/locale.conf", "LANG=C.utf8")?;
            securetty(guest)?;
            forget_lxc_name(guest)
        }
        "fedora" => {
            securetty(guest)?;
            guest.remove("/etc/systemd/system/getty@.service")?;
            forget_lxc_name(guest)
        }
        "openeuler" => {
            forget_lxc_name(guest)?;
            if init::has_systemd(guest) { mask(guest, "dev-mqueue.mount") } else { Ok(()) }
        }
        "opensuse" => {
            missing(guest, "/etc/locale.conf", "LANG=C.utf8")?;
            if guest.files.lstat("/etc/localtime").is_ok_and(|found| found.is_none()) {
                guest.symlink("/usr/share/zoneinfo/UTC", "/etc/localtime")?;
            }
            securetty(guest)?;
            forget_lxc_name(guest)
        }
        "ubuntu" if guest.system.at_least(17, 10) => {
            if !guest.system.at_least(23, 4) && init::has_systemd(guest) {
                for (target, unit) in [("multi-user", "service"), ("socket", "socket")] {
                    let link = format!("/etc/systemd/system/{target}.target.wants/systemd-networkd.{unit}");
                    guest.symlink(&format!("/lib/systemd/system/systemd-networkd.{unit}"), &link)?;
                }
            }
            // It would conflict with what is written for systemd-networkd.
            guest.remove("/etc/netplan/10-lxc.yaml")
        }
        _ => Ok(()),
    }
}

/// Units that no preset can disable and that fail in an unprivileged container, because their file systems belong to
/// the host.
const STATIC_UNITS: [&str; 2] = ["sys-kernel-config.mount", "sys-kernel-debug.mount"];

fn mask_static_units(guest: &Guest<'_>) -> NodeResult<()> {
    STATIC_UNITS.iter().try_for_each(|unit| mask(guest, unit))
}

fn mask(guest: &Guest<'_>, unit: &str) -> NodeResult<()> {
    let path = format!("/etc/systemd/system/{unit}");
    let taken = guest.files.lstat(&path).is_ok_and(|found| found.is_some());
    if taken { Ok(()) } else { guest.symlink("/dev/null", &path) }
}

fn missing(guest: &Guest<'_>, path: &str, text: &str) -> NodeResult<()> {
    if guest.files.is_file(path) { Ok(()) } else { guest.write(path, text, 0o644) }
}

fn alpine_services(guest: &Guest<'_>) -> NodeResult<()> {
    if !guest.files.is_dir("/etc/runlevels") {
        return Ok(());
    }
    for (service, level) in [
        ("networking", "boot"),
        ("bootmisc", "boot"),
        ("hostname", "boot"),
        ("killprocs", "shutdown"),
        ("savecache", "shutdown"),
    ] {
        if guest.files.is_file(format!("/etc/init.d/{service}")) {
            let link = format!("/etc/runlevels/{level}/{service}");
            guest.symlink(&format!("/etc/init.d/{service}"), &link)?;
        }
    }
    Ok(())
}

/// Lets root log in on the container's terminals, if the system checks that. Source: securetty(5).
fn securetty(guest: &Guest<'_>) -> NodeResult<()> {
    const PATH: &str = "/etc/securetty";
    let Some(mut text) = guest.read(PATH)? else { return Ok(()) };
    // LXC puts the terminals of privileged containers into /dev/lxc; these systems do not expect them there.
    let elsewhere =
        guest.config.is_unprivileged() || matches!(guest.system.ostype.as_str(), "alpine" | "gentoo");
    let directory = if elsewhere { "" } else { "lxc/" };
    if !text.ends_with('\n') {
        text.push('\n');
    }
    for name in ["console", "tty1", "tty2", "tty3", "tty4"] {
        let device = format!("{directory}{name}");
        if !text.lines().any(|line| line.trim_end() == device) {
            text += &format!("{device}\n");
        }
    }
    guest.write(PATH, &text, 0o644)
}

/// Removes a line that images of linuxcontainers.org have instead of the container's name.
fn forget_lxc_name(guest: &Guest<'_>) -> NodeResult<()> {
    let Some(text) = guest.read("/etc/hosts")? else { return Ok(()) };
    let is_it = |line: &str| line.split_ascii_whitespace().eq(["127.0.1.1", "LXC_NAME"]);
    let kept: String = text.lines().filter(|line| !is_it(line)).map(|line| format!("{line}\n")).collect();
    guest.write("/etc/hosts", &kept, 0o644)
}
