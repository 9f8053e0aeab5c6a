//! The container options: keys of the configuration file that create, restore and set take.

use super::Kind::{Boolean, Enum, Integer, List, Number, Properties, Text};
use super::{Format, Kind, OptionSpec, properties};
use crate::Lock;

pub(super) const fn option(name: &'static str, kind: Kind, text: &'static str) -> OptionSpec {
    OptionSpec {
        name,
        max_index: None,
        kind,
        length: (None, None),
        default: None,
        text,
        secret: false,
        file: false,
        required: false,
    }
}

pub(super) const fn flag(
    name: &'static str,
    default: Option<&'static str>,
    text: &'static str,
) -> OptionSpec {
    OptionSpec { default, ..option(name, Boolean, text) }
}

const fn with_default(spec: OptionSpec, default: &'static str) -> OptionSpec {
    OptionSpec { default: Some(default), ..spec }
}

const fn family(name: &'static str, max: u16, kind: Kind, text: &'static str) -> OptionSpec {
    OptionSpec { max_index: Some(max), ..option(name, kind, text) }
}

/// The values of `arch`.
pub const ARCHES: &[&str] = &["amd64", "i386", "arm64", "armhf", "riscv32", "riscv64"];
/// The values of `ostype`.
pub const OSTYPES: &[&str] = &[
    "debian",
    "devuan",
    "ubuntu",
    "centos",
    "fedora",
    "opensuse",
    "archlinux",
    "alpine",
    "gentoo",
    "nixos",
    "unmanaged",
];

/// Every option that create, restore and set take, sorted by name.
///
/// `parent` and `snaptime` are keys of the file but not options; see [`INTERNAL_KEYS`].
pub static CONFIG_OPTIONS: &[OptionSpec] = &[
    with_default(option("arch", Enum(ARCHES), "The architecture of the container."), "amd64"),
    with_default(
        option(
            "cmode",
            Enum(&["shell", "console", "tty"]),
            "What the verb console opens: a tty, /dev/console, or a shell without login.",
        ),
        "tty",
    ),
    flag("console", Some("1"), "Give the container a /dev/console."),
    option(
        "cores",
        Integer { min: Some(1), max: Some(8192) },
        "Number of CPU cores that the container may use; all of the host's if unset.",
    ),
    with_default(
        option(
            "cpulimit",
            Number { min: Some(0.0), max: Some(8192.0) },
            "CPU time that the container may use, in CPUs (1.5 is one and a half); 0 means no limit.",
        ),
        "0",
    ),
    with_default(
        option(
            "cpuunits",
            Integer { min: Some(0), max: Some(500_000) },
            "Weight of the container if CPU time is short; at most 10000 on cgroup v2.",
        ),
        "cgroup v1: 1024, cgroup v2: 100",
    ),
    flag("debug", Some("0"), "Write verbose logs at start."),
    OptionSpec {
        length: (None, Some(8192)),
        ..option("description", Text(Format::Any), "Free text, kept as comment lines of the configuration.")
    },
    family("dev", 255, Properties(&properties::DEV), "A device of the host to pass through."),
    with_default(
        option("entrypoint", Text(Format::Entrypoint), "The command that runs as init, with its arguments."),
        "/sbin/init",
    ),
    option("env", Text(Format::Environment), "Environment of init: NAME=value, separated by NUL."),
    option("features", Properties(&properties::FEATURES), "What the container may do beyond the usual."),
    option(
        "hookscript",
        Text(Format::VolumeId),
        "A script of a snippets storage, run at phases of the container's life.",
    ),
    OptionSpec { length: (None, Some(255)), ..option("hostname", Text(Format::DnsName), "The host name.") },
    option("lock", Enum(&Lock::NAMES), "Set the lock of the configuration."),
    with_default(option("memory", Integer { min: Some(16), max: None }, "Memory in MiB."), "512"),
    family(
        "mp",
        255,
        Properties(&properties::MOUNT_POINT),
        "Another volume, bind mount or device; STORAGE:GIB makes a new volume.",
    ),
    option(
        "nameserver",
        List(Format::IpWithInterface),
        "DNS servers; the host's if neither this nor searchdomain is set.",
    ),
    family("net", 31, Properties(&properties::NET), "A network interface."),
    flag("onboot", Some("0"), "Start the container when the node starts."),
    option(
        "ostype",
        Enum(OSTYPES),
        "The distribution, which decides how files are set up inside; 'unmanaged' leaves them alone.",
    ),
    flag("protection", Some("0"), "Refuse to remove the container or its volumes."),
    option(
        "rootfs",
        Properties(&properties::ROOTFS),
        "The root file system; STORAGE:GIB makes a new volume.",
    ),
    option(
        "searchdomain",
        List(Format::DnsName),
        "DNS search domains; the host's if neither this nor nameserver is set.",
    ),
    option(
        "startup",
        Text(Format::Startup),
        "Order and delays at start and shutdown of the node: [[order=]N][,up=S][,down=S].",
    ),
    with_default(option("swap", Integer { min: Some(0), max: None }, "Swap in MiB."), "512"),
    option("tags", List(Format::Tag), "Tags, for humans and selectors."),
    flag("template", Some("0"), "Mark the container as a template."),
    option("timezone", Text(Format::TimeZone), "Time zone, or 'host' for the host's."),
    with_default(option("tty", Integer { min: Some(0), max: Some(6) }, "Number of ttys."), "2"),
    flag("unprivileged", Some("0"), "Run in a user namespace; fixed when the container is made."),
    family(
        "unused",
        255,
        Properties(&properties::UNUSED),
        "A volume that is not in use; set by Proxmox VE itself.",
    ),
];

/// Keys of the file that no verb takes.
pub const INTERNAL_KEYS: &[&str] = &["parent", "snaptime", "snapstate"];

/// Options that `set --delete` refuses.
pub const REQUIRED_OPTIONS: &[&str] = &["memory", "rootfs", "ostype", "unprivileged"];

/// Finds the container option of this full name (`memory`, `net0`), with the index of families.
pub fn config_option(name: &str) -> Option<(&'static OptionSpec, Option<u16>)> {
    CONFIG_OPTIONS.iter().find_map(|option| option.matches(name).map(|index| (option, index)))
}
