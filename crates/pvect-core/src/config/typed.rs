//! Typed access to the options of a section.

use super::{ContainerConfig, Section};
use crate::property::{self, DeviceEntry, Features, MountPoint, NetInterface, RootFs, Startup};
use crate::shape;

/// One range of ids: in the container, on the host, how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdMap {
    /// `true` for user ids, `false` for group ids.
    pub user: bool,
    /// First id in the container.
    pub container: u32,
    /// First id on the host.
    pub host: u32,
    /// How many.
    pub count: u32,
}

/// The value of a raw `lxc.idmap` line cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("failed to parse idmap: {0}")]
pub struct InvalidIdMap(pub String);

impl IdMap {
    /// The first host id of unprivileged containers. Source: Proxmox VE's default map `0 100000 65536`.
    pub const BASE: u32 = 100_000;
    /// How many ids an unprivileged container has.
    pub const COUNT: u32 = 65_536;

    /// The map of unprivileged containers, from a host id on.
    pub fn unprivileged(host: u32) -> [Self; 2] {
        [true, false].map(|user| Self { user, container: 0, host, count: Self::COUNT })
    }

    /// Parses the value of `lxc.idmap`: `u 0 100000 65536`.
    ///
    /// # Errors
    /// When it is not of that form, or a number is beyond 32 bits.
    pub fn parse(text: &str) -> Result<Self, InvalidIdMap> {
        let words: Vec<&str> = text.split(shape::is_blank).filter(|word| !word.is_empty()).collect();
        let number = |word: &str| if shape::is_digits(word) { word.parse().ok() } else { None };
        let parsed = match words[..] {
            [kind @ ("u" | "g"), container, host, count] => number(container)
                .zip(number(host))
                .zip(number(count))
                .map(|((container, host), count)| Self { user: kind == "u", container, host, count }),
            _ => None,
        };
        parsed.ok_or_else(|| InvalidIdMap(text.to_owned()))
    }
}

/// Values that do not parse count as absent here, as in Proxmox VE's own getters.
impl Section {
    /// Returns whether a boolean option is set to true; absent means false.
    pub fn is_set(&self, key: &str) -> bool {
        self.options.get(key).is_some_and(|value| property::boolean(value) == Some(true))
    }

    fn number<T: std::str::FromStr>(&self, key: &str) -> Option<T> {
        self.options.get(key)?.parse().ok()
    }

    /// Returns the memory in MiB; 512 when absent.
    pub fn memory_mib(&self) -> u64 {
        self.number("memory").unwrap_or(512)
    }

    /// Returns the swap in MiB. Absent means none, although `create` writes 512.
    pub fn swap_mib(&self) -> u64 {
        self.number("swap").unwrap_or(0)
    }

    /// Returns the number of cores; `None` means all of the host's.
    pub fn cores(&self) -> Option<u32> {
        self.number("cores")
    }

    /// Returns the limit of CPU time in CPUs; `None` means no limit.
    pub fn cpulimit(&self) -> Option<f64> {
        self.number::<f64>("cpulimit").filter(|limit| limit.is_finite() && *limit > 0.0)
    }

    /// Returns the CPU weight, if one is set.
    pub fn cpuunits(&self) -> Option<u32> {
        self.number("cpuunits")
    }

    /// Returns the distribution, if it is known.
    pub fn ostype(&self) -> Option<&str> {
        self.options.get("ostype").map(String::as_str)
    }

    /// Returns whether the container runs in a user namespace. Absent means privileged.
    pub fn is_unprivileged(&self) -> bool {
        self.is_set("unprivileged")
    }

    /// Returns the number of ttys; 2 when absent.
    pub fn tty_count(&self) -> u32 {
        self.number("tty").unwrap_or(2)
    }

    /// Returns what `console` opens: `tty` when absent, else `console` or `shell`.
    pub fn cmode(&self) -> &str {
        self.options.get("cmode").map_or("tty", String::as_str)
    }

    /// Returns whether the container has a /dev/console; true when absent.
    pub fn has_console(&self) -> bool {
        self.options.get("console").is_none_or(|value| property::boolean(value) != Some(false))
    }

    /// Returns the command that runs as init; `/sbin/init` when absent.
    pub fn entrypoint(&self) -> &str {
        self.options.get("entrypoint").map_or("/sbin/init", String::as_str)
    }

    /// Returns the features; none when absent.
    pub fn features(&self) -> Features {
        self.options.get("features").and_then(|text| Features::parse(text).ok()).unwrap_or_default()
    }

    /// Returns order and delays at start and shutdown of the node.
    pub fn startup(&self) -> Option<Startup> {
        Startup::parse(self.options.get("startup")?)
    }

    /// Returns the root file system.
    pub fn rootfs(&self) -> Option<RootFs> {
        RootFs::parse(self.options.get("rootfs")?).ok()
    }

    /// Returns the values of a family in the order of their indices.
    pub fn family<'a>(&'a self, name: &str) -> Vec<(u16, &'a str, &'a str)> {
        let mut found: Vec<_> = self
            .options
            .iter()
            .filter_map(|(key, value)| {
                let digits = key.strip_prefix(name).filter(|digits| shape::is_digits(digits))?;
                Some((digits.parse().ok()?, key.as_str(), value.as_str()))
            })
            .collect();
        found.sort_unstable();
        found
    }

    /// Returns the mount points by index: index, key, value.
    pub fn mount_points(&self) -> Vec<(u16, String, MountPoint)> {
        self.family("mp")
            .into_iter()
            .filter_map(|(index, key, text)| {
                Some((index, key.to_owned(), MountPoint::parse(key, text).ok()?))
            })
            .collect()
    }

    /// Returns `rootfs` (as a mount point at `/`) and the mount points, in mounting order.
    pub fn volumes(&self) -> Vec<(String, MountPoint)> {
        let rootfs = self.rootfs().map(|fs| {
            ("rootfs".to_owned(), MountPoint { fs, path: "/".to_owned(), backup: false, keep_attrs: false })
        });
        let mount_points = self.mount_points().into_iter().map(|(_, key, mount_point)| (key, mount_point));
        rootfs.into_iter().chain(mount_points).collect()
    }

    /// Returns the network interfaces by index: key, value.
    pub fn nets(&self) -> Vec<(String, NetInterface)> {
        self.family("net")
            .into_iter()
            .filter_map(|(_, key, text)| Some((key.to_owned(), NetInterface::parse(key, text).ok()?)))
            .collect()
    }

    /// Returns the passed-through devices by index: key, value.
    pub fn devices(&self) -> Vec<(String, DeviceEntry)> {
        self.family("dev")
            .into_iter()
            .filter_map(|(_, key, text)| Some((key.to_owned(), DeviceEntry::parse(key, text).ok()?)))
            .collect()
    }

    /// Returns the values of one raw key, in order.
    pub fn raw_values<'a>(&'a self, key: &str) -> impl Iterator<Item = &'a str> {
        self.raw.iter().filter(move |(known, _)| known == key).map(|(_, value)| value.as_str())
    }
}

/// The getters of [`Section`], for the main section.
impl ContainerConfig {
    /// See [`Section::memory_mib`].
    pub fn memory_mib(&self) -> u64 {
        self.main.memory_mib()
    }

    /// See [`Section::swap_mib`].
    pub fn swap_mib(&self) -> u64 {
        self.main.swap_mib()
    }

    /// See [`Section::cores`].
    pub fn cores(&self) -> Option<u32> {
        self.main.cores()
    }

    /// See [`Section::cpulimit`].
    pub fn cpulimit(&self) -> Option<f64> {
        self.main.cpulimit()
    }

    /// See [`Section::cpuunits`].
    pub fn cpuunits(&self) -> Option<u32> {
        self.main.cpuunits()
    }

    /// See [`Section::ostype`].
    pub fn ostype(&self) -> Option<&str> {
        self.main.ostype()
    }

    /// See [`Section::is_unprivileged`].
    pub fn is_unprivileged(&self) -> bool {
        self.main.is_unprivileged()
    }

    /// See [`Section::features`].
    pub fn features(&self) -> Features {
        self.main.features()
    }

    /// See [`Section::rootfs`].
    pub fn rootfs(&self) -> Option<RootFs> {
        self.main.rootfs()
    }

    /// See [`Section::mount_points`].
    pub fn mount_points(&self) -> Vec<(u16, String, MountPoint)> {
        self.main.mount_points()
    }

    /// See [`Section::volumes`].
    pub fn volumes(&self) -> Vec<(String, MountPoint)> {
        self.main.volumes()
    }

    /// See [`Section::nets`].
    pub fn nets(&self) -> Vec<(String, NetInterface)> {
        self.main.nets()
    }

    /// See [`Section::devices`].
    pub fn devices(&self) -> Vec<(String, DeviceEntry)> {
        self.main.devices()
    }

    /// Returns the id maps: those of raw `lxc.idmap` lines, else the default one of unprivileged containers, else
    /// none (a privileged container).
    ///
    /// # Errors
    /// For the first line that cannot be understood.
    pub fn id_maps(&self) -> Result<Vec<IdMap>, InvalidIdMap> {
        let maps: Vec<IdMap> =
            self.main.raw_values("lxc.idmap").map(IdMap::parse).collect::<Result<_, _>>()?;
        Ok(match maps.is_empty() {
            true if self.is_unprivileged() => IdMap::unprivileged(self.first_host_id()).into(),
            _ => maps,
        })
    }

    /// Returns the first host id of the default map of unprivileged containers on this container's node.
    pub fn first_host_id(&self) -> u32 {
        self.id_base.unwrap_or(IdMap::BASE)
    }
}
