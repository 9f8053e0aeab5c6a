//! The host's ids of unprivileged containers: which range the node has, and who else.
//!
//! Whoever else may map the range into a user namespace is root in all these containers: reads and writes their files,
//! ends their processes. On Debian that is the first ordinary user, who is given the range that Proxmox VE uses. So a
//! new node takes a range that nobody has, and a container whose range somebody else has does not start.
//!
//! `etc/pve/ids.cfg` says which range it is. Without the file it is that of Proxmox VE, as it was with older versions:
//!
//! ```text
//! base: 165536
//! shared: 0
//! ct 101: 100000
//! ct 102: 100000 to 165536
//! ```
//!
//! `ct` lines are containers on another range than the node's: not moved yet, or just being moved.
//! All numbers are those of users and groups alike.

mod host;
mod moving;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::ErrorKind;

use pvect_core::config::IdMap;
use pvect_core::{ContainerConfig, Vmid};

pub(crate) use host::{HostFiles, Range};
pub(crate) use moving::go_on;
pub use moving::{Moving, move_ids};

use crate::{Failure, Layout, Node, NodeResult, files, lock_files, vmids};

/// How long another command may hold the file, seconds: it only reads and writes it.
const WAIT: u64 = 10;
const MODE: u32 = 0o644;
/// The first lines of the file.
const HEAD: &str =
    "# The host's ids of this node's unprivileged containers. Change it with 'pvect node move-ids'.\n";

/// The lines that the file may have.
const KINDS: &str = "'base: ID', 'shared: 0|1', 'ct N: ID' or 'ct N: ID to ID', with ids from 65536 on";

/// The range of a container whose files are not, or not all, on the node's range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// All files are on the range that begins here.
    At(u32),
    /// The files are being moved: some are on one range, some on the other.
    Between {
        /// The first id of the old range.
        from: u32,
        /// The first id of the new range.
        to: u32,
    },
}

/// The file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ids {
    /// The first id of the node's range.
    pub(crate) base: u32,
    /// Whether a container may start even if others have its ids, too.
    pub(crate) shared: bool,
    /// The containers on other ranges.
    pub(crate) elsewhere: BTreeMap<Vmid, Place>,
}

impl Default for Ids {
    fn default() -> Self {
        Self { base: IdMap::BASE, shared: false, elsewhere: BTreeMap::new() }
    }
}

impl Ids {
    /// Reads the file; a missing one is the default.
    ///
    /// # Errors
    /// When it cannot be read, or has a line that is not understood: a wrong guess would give a container the ids of
    /// another.
    pub(crate) fn load(layout: &Layout) -> NodeResult<Self> {
        let path = layout.ids_cfg();
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(Failure::io("can't read", &path, &error)),
        };
        Self::parse(&text).map_err(|line| {
            Failure::new(format!("can't read '{}' - line '{line}' is not {KINDS}", path.display()))
        })
    }

    /// Parses the text; fails with the line that cannot be understood.
    fn parse(text: &str) -> Result<Self, &str> {
        let mut ids = Self::default();
        for line in text.lines().map(str::trim) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            ids.take(line).ok_or(line)?;
        }
        Ok(ids)
    }

    fn take(&mut self, line: &str) -> Option<()> {
        let (key, value) = line.split_once(':')?;
        let value = value.trim();
        match key.trim() {
            "base" => self.base = base(value)?,
            "shared" => self.shared = pvect_core::property::boolean(value)?,
            key => {
                let vmid = key.strip_prefix("ct ")?.trim().parse().ok()?;
                let place = match value.split_once(" to ") {
                    Some((from, to)) => Place::Between { from: base(from.trim())?, to: base(to.trim())? },
                    None => Place::At(base(value)?),
                };
                self.elsewhere.insert(vmid, place);
            }
        }
        Some(())
    }

    fn to_text(&self) -> String {
        let mut text = format!("{HEAD}base: {}\nshared: {}\n", self.base, u8::from(self.shared));
        for (vmid, place) in &self.elsewhere {
            let _ = match place {
                Place::At(base) => writeln!(text, "ct {vmid}: {base}"),
                Place::Between { from, to } => writeln!(text, "ct {vmid}: {from} to {to}"),
            };
        }
        text
    }

    fn save(&self, layout: &Layout) -> NodeResult<()> {
        let path = layout.ids_cfg();
        files::replace(&path, self.to_text().as_bytes(), MODE)
            .map_err(|error| Failure::io("can't write", &path, &error))
    }

    /// Returns the first id of a container's range: of the new one while it is being moved.
    pub(crate) fn of(&self, vmid: Vmid) -> u32 {
        match self.elsewhere.get(&vmid) {
            None => self.base,
            Some(Place::At(base) | Place::Between { to: base, .. }) => *base,
        }
    }

    /// Returns all ranges that containers have, the node's own first.
    pub(crate) fn bases(&self) -> Vec<u32> {
        let mut bases = vec![self.base];
        for place in self.elsewhere.values() {
            match place {
                Place::At(base) => bases.push(*base),
                Place::Between { from, to } => bases.extend([*from, *to]),
            }
        }
        let mut known = std::collections::BTreeSet::new();
        bases.retain(|base| known.insert(*base));
        bases
    }
}

/// The first id of a range, which has none of the system's own ids and ends within 32 bits.
fn base(text: &str) -> Option<u32> {
    text.parse().ok().filter(|base| is_base(*base))
}

/// The ids with which a range may begin, so that it has no ids of the host's own users and ends within 32 bits.
const BASES: std::ops::RangeInclusive<u32> = IdMap::COUNT..=u32::MAX - IdMap::COUNT;

fn is_base(base: u32) -> bool {
    BASES.contains(&base)
}

/// Keeps others from changing the file until it is dropped.
fn lock(layout: &Layout) -> NodeResult<File> {
    lock_files::take_for_a_moment(&layout.ids_lock(), WAIT)
}

/// Changes the file under its lock.
fn change<T>(layout: &Layout, make: impl FnOnce(&mut Ids) -> NodeResult<T>) -> NodeResult<T> {
    let _held = lock(layout)?;
    let mut ids = Ids::load(layout)?;
    let old = ids.clone();
    let made = make(&mut ids)?;
    if ids != old {
        ids.save(layout)?;
    }
    Ok(made)
}

/// Writes the container's first host id into its configuration, as the node has it.
///
/// # Errors
/// When `ids.cfg` cannot be read.
pub(crate) fn assign(node: &Node, vmid: Vmid, config: &mut ContainerConfig) -> NodeResult<()> {
    let base = Ids::load(&node.layout)?.of(vmid);
    config.id_base = (base != IdMap::BASE).then_some(base);
    Ok(())
}

/// Makes a configuration known under the lock of `ids.cfg`: a container that is created while the node's range changes
/// is on one of the two ranges, and the file says on which.
///
/// # Errors
/// When `ids.cfg` cannot be read or written, or `make` fails.
pub(crate) fn with_new<T>(node: &Node, vmid: Vmid, make: impl FnOnce() -> NodeResult<T>) -> NodeResult<T> {
    change(&node.layout, |ids| {
        let made = make()?;
        // An entry of an earlier container with this number.
        ids.elsewhere.remove(&vmid);
        Ok(made)
    })
}

/// Notes the range of a new container whose files are copies of another's.
///
/// # Errors
/// When `ids.cfg` cannot be read or written.
pub(crate) fn keep(node: &Node, vmid: Vmid, config: &ContainerConfig) -> NodeResult<()> {
    if Ids::load(&node.layout)?.of(vmid) == config.first_host_id() {
        return Ok(());
    }
    change(&node.layout, |ids| {
        ids.elsewhere.insert(vmid, Place::At(config.first_host_id()));
        Ok(())
    })
}

/// Forgets a container that is gone.
///
/// # Errors
/// When `ids.cfg` cannot be read or written.
pub(crate) fn forget(node: &Node, vmid: Vmid) -> NodeResult<()> {
    if !Ids::load(&node.layout)?.elsewhere.contains_key(&vmid) {
        return Ok(());
    }
    change(&node.layout, |ids| {
        ids.elsewhere.remove(&vmid);
        Ok(())
    })
}

/// Checks that all files of a container are on one range: the others would belong to nobody inside it.
///
/// # Errors
/// The command that finishes the move.
pub(crate) fn check_whole(node: &Node, vmid: Vmid) -> NodeResult<()> {
    match Ids::load(&node.layout)?.elsewhere.get(&vmid) {
        Some(Place::Between { from, to }) => Err(Failure::new(format!(
            "the files of CT {vmid} are on their way from the ids at {from} to those at {to}: \
             'pvect node move-ids {vmid}' continues the move"
        ))),
        _ => Ok(()),
    }
}

/// Whether the node chooses the container's ids: it is unprivileged and has no `lxc.idmap` lines.
pub(crate) fn is_ours(config: &ContainerConfig) -> bool {
    config.is_unprivileged() && config.main.raw_values("lxc.idmap").next().is_none()
}

/// Checks before a start that nobody else has the container's ids.
///
/// # Errors
/// Who has them, where that is written, and the command that repairs it.
pub(crate) fn check_start(node: &Node, vmid: Vmid, config: &ContainerConfig) -> NodeResult<()> {
    check_whole(node, vmid)?;
    if !is_ours(config) {
        return Ok(());
    }
    let ids = Ids::load(&node.layout)?;
    let base = config.first_host_id();
    let taken = HostFiles::of(&node.layout).taken()?;
    let Some(other) = taken.iter().find(|other| other.range.overlaps(Range::at(base))) else { return Ok(()) };
    if ids.shared {
        return Ok(());
    }
    Err(Failure::new(format!(
        "{}, and is root in this container: stop the containers, then 'pvect node move-ids --all' gives them ids that \
         nobody else has ('shared: 1' in {} lets them start as they are)",
        other.words(base),
        node.layout.ids_cfg().display()
    )))
}

/// Reserves the node's range.
///
/// # Errors
/// When the files cannot be written, or somebody has taken the range meanwhile.
pub(crate) fn reserve(node: &Node) -> NodeResult<()> {
    let _held = lock(&node.layout)?;
    HostFiles::of(&node.layout).reserve(Ids::load(&node.layout)?.base)
}

/// Chooses the range of a new node, and reserves it where the node is the machine's.
///
/// A node below another root than the default may be short-lived, so it does not change the host's files: it takes a
/// free range, and reserves it in its own `etc/subuid` and `etc/subgid` if they exist.
///
/// # Errors
/// When the host's files cannot be read, or no range is free.
pub(crate) fn found(node: &Node) -> NodeResult<()> {
    let layout = &node.layout;
    let host = HostFiles::of(layout);
    let _held = lock(layout)?;
    // Existing containers use the range that applies without the file.
    if layout.ids_cfg().exists() || !vmids::all(node)?.is_empty() {
        return Ok(());
    }
    let base = host.choose(&[])?;
    if host.reserves() {
        if let Err(failure) = host.reserve(base) {
            // Each start checks who has the range, and doctor reports that it is not reserved.
            tracing::warn!("the range of ids is not reserved: {}", failure.text);
        }
    }
    if base == IdMap::BASE {
        return Ok(());
    }
    Ids { base, ..Ids::default() }.save(layout)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vmid(text: &str) -> Vmid {
        text.parse().unwrap()
    }

    #[test]
    fn the_file_says_where_each_container_is() {
        let text = "# mine\nbase: 165536\nshared: 1\nct 101: 100000\nct 102: 100000 to 165536\n";
        let ids = Ids::parse(text).unwrap();
        assert_eq!((ids.base, ids.shared), (165_536, true));
        assert_eq!([101, 102, 103].map(|id| ids.of(vmid(&id.to_string()))), [100_000, 165_536, 165_536]);
        assert_eq!(ids.bases(), [165_536, 100_000]);
        assert_eq!(Ids::parse(&ids.to_text()), Ok(ids));
        assert_eq!(Ids::parse(""), Ok(Ids::default()));
    }

    #[test]
    fn what_is_not_understood_is_not_passed_over() {
        for line in [
            "base: 0",
            "base: 65535",
            "base: 4294901761",
            "base: x",
            "bse: 1",
            "shared: maybe",
            "ct 1: 165536",
            "ct 101: ",
            "ct 101: 100000 to 5",
            "ct 101: 100000 to 165536 to 1",
            "base 100000",
        ] {
            assert_eq!(Ids::parse(&format!("base: 100000\n{line}\n")), Err(line.trim()), "{line}");
        }
    }

    #[test]
    fn containers_come_and_go() {
        let dir = tempfile::tempdir().unwrap();
        let node = crate::fixture::node(dir.path());
        std::fs::create_dir_all(node.layout.root().join("etc/pve")).unwrap();
        let mut config = ContainerConfig::default();
        assign(&node, vmid("101"), &mut config).unwrap();
        assert_eq!(config.id_base, None);
        std::fs::write(node.layout.ids_cfg(), "base: 300000\nct 101: 200000\n").unwrap();
        for (id, base) in [("101", 200_000), ("102", 300_000)] {
            assign(&node, vmid(id), &mut config).unwrap();
            assert_eq!(config.id_base, Some(base));
        }
        // A copy of 101's files.
        config.id_base = Some(200_000);
        keep(&node, vmid("103"), &config).unwrap();
        with_new(&node, vmid("101"), || Ok(())).unwrap();
        let text = std::fs::read_to_string(node.layout.ids_cfg()).unwrap();
        assert_eq!(text, format!("{HEAD}base: 300000\nshared: 0\nct 103: 200000\n"));
        forget(&node, vmid("103")).unwrap();
        assert_eq!(Ids::load(&node.layout).unwrap().elsewhere.len(), 0);
        std::fs::write(node.layout.ids_cfg(), "ct 101: 200000 to 300000\n").unwrap();
        let failure = check_whole(&node, vmid("101")).unwrap_err();
        assert!(failure.text.contains("pvect node move-ids 101"), "{failure}");
    }
}
