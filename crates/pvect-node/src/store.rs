//! The configuration files: read, locked, replaced; and the node's root, made on first use.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use pvect_core::config::{ContainerConfig, ParseMode};
use pvect_core::{Lock, Vmid};
use rustix::fs::{FlockOperation, OFlags, flock};

use crate::error::os_text;
use crate::interrupt::Interrupt;
use crate::{Failure, FailureKind, Node, NodeResult, Output, creation, held, ids, links};

/// How long most verbs wait for the lock file, seconds. Source: `lock_config` of pve-guest-common.
pub const LOCK_SECONDS: u64 = 10;
/// How often a held lock file is tried again.
const LOCK_INTERVAL: Duration = Duration::from_millis(50);
/// The mode of configuration files.
const CONFIG_MODE: u32 = 0o640;

/// A configuration as it was read, with the digest of its bytes.
#[derive(Debug, Clone)]
pub struct Stored {
    /// The parsed file.
    pub config: ContainerConfig,
    /// SHA-1 of the raw bytes, hex.
    pub digest: String,
    /// Warnings of the parser, for stderr: `vm <vmid> - <text>`.
    pub warnings: Vec<String>,
}

/// The exclusive lock on one container's configuration (`flock`); dropped, it is released.
///
/// It is not re-entrant: a second [`lock`] of the same container in one process waits for the first.
#[derive(Debug)]
pub struct ConfigLock {
    _file: held::Held,
}

/// Makes the directories of the node's root and a storage.cfg with the storage `local`, where they are missing. A new
/// root gets a range of host ids for its unprivileged containers that nobody has.
///
/// Directories have these modes whatever the umask says: those with volumes, backups, logs and run-time state are
/// closed to others (a set-user-id file in a volume is the host's, too), and the users of unprivileged containers pass
/// through those above `lib/lxc`.
///
/// # Errors
/// When a directory or the file cannot be made, or no range of ids is free.
pub fn ensure_root(node: &Node) -> NodeResult<()> {
    let layout = &node.layout;
    let local = layout.local_storage();
    make_directories(&layout.configs(), 0o755)?;
    links::make(node);
    make_directories(&layout.lxc(), 0o711)?;
    for path in [
        local.join("template/cache"),
        local.join("images"),
        local.join("dump"),
        local.join("snippets"),
        layout.tasks(),
    ] {
        make_directories(&path, 0o700)?;
    }
    // Those of a root that an older version made.
    for path in [local.join("images"), local.join("dump"), layout.tasks()] {
        close_to_others(&path)?;
    }
    let locks = layout.root().join("run/lock/lxc");
    make_directories(&layout.root().join("run"), 0o755)?;
    for path in [layout.root().join("run/lock"), locks, layout.run_dir()] {
        make_directories(&path, 0o700)?;
    }
    let cfg = layout.storage_cfg();
    if fs::symlink_metadata(&cfg).is_ok() {
        return Ok(());
    }
    ids::found(node)?;
    let text = format!(
        "dir: local\n\tpath {}\n\tcontent rootdir,vztmpl,images,iso,backup,snippets\n",
        local.display()
    );
    match write_new(&cfg, text.as_bytes()) {
        // Another process was faster.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        other => other.map_err(|error| Failure::io("can't write", &cfg, &error)),
    }
}

/// Takes from others what the mode of a directory or file gives them.
///
/// # Errors
/// When the mode cannot be read or changed.
pub(crate) fn close_to_others(path: &Path) -> NodeResult<()> {
    let failed = |error| Failure::io("can't close to others", path, &error);
    let mode = fs::metadata(path).map_err(failed)?.permissions().mode() & 0o7777;
    if mode & 0o007 == 0 {
        return Ok(());
    }
    fs::set_permissions(path, fs::Permissions::from_mode(mode & !0o007)).map_err(failed)
}

/// Makes a directory and its parents; each one that is new gets the mode. Below a node's root, [`ensure_root`] comes
/// first: users of unprivileged containers pass through the root itself.
pub(crate) fn make_directories(path: &Path, mode: u32) -> NodeResult<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        make_directories(parent, mode)?;
    }
    match fs::create_dir(path) {
        Ok(()) => fs::set_permissions(path, fs::Permissions::from_mode(mode)),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
    .map_err(|error| Failure::io("can't create", path, &error))
}

/// Reads a configuration.
///
/// # Errors
/// `Configuration file ... does not exist` (2), or what the system said; when `ids.cfg` cannot be read.
pub fn load(node: &Node, vmid: Vmid) -> NodeResult<Stored> {
    let path = node.layout.config(vmid);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Err(Failure::missing(&node.name, vmid)),
        Err(error) => return Err(Failure::io("can't read", &path, &error)),
    };
    let (mut config, warnings) = ContainerConfig::parse(&bytes, ParseMode::Lenient)
        .map_err(|error| Failure::new(format!("can't read '{}' - {error}", path.display())))?;
    ids::assign(node, vmid, &mut config)?;
    let warnings = warnings.into_iter().map(|warning| format!("vm {vmid} - {}", warning.text)).collect();
    Ok(Stored { config, digest: ContainerConfig::digest(&bytes), warnings })
}

/// As [`load`]; the parser's warnings go to stderr, as the real pct's do.
///
/// # Errors
/// As [`load`].
pub fn load_telling(node: &Node, vmid: Vmid, output: &mut Output<'_>) -> NodeResult<Stored> {
    let stored = load(node, vmid)?;
    for warning in &stored.warnings {
        output.warn(warning);
    }
    Ok(stored)
}

/// Returns the vmids that have a configuration, ascending. Files with other names are passed over.
///
/// # Errors
/// When the directory cannot be read; a missing one is an empty list.
pub fn vmids(node: &Node) -> NodeResult<Vec<Vmid>> {
    numbers(node).map(|numbers| numbers.vmids)
}

/// What has a configuration, each ascending.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Numbers {
    /// Numbers that are no container's, from 1 to 99.
    pub strays: Vec<u32>,
    /// Containers.
    pub vmids: Vec<Vmid>,
}

/// As [`vmids`], with the numbers that Proxmox VE takes for containers', too.
///
/// # Errors
/// As [`vmids`].
pub(crate) fn numbers(node: &Node) -> NodeResult<Numbers> {
    let directory = node.layout.configs();
    let entries = match fs::read_dir(&directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Numbers::default()),
        Err(error) => return Err(Failure::io("can't read", &directory, &error)),
    };
    let mut numbers = Numbers::default();
    for entry in entries {
        let entry = entry.map_err(|error| Failure::io("can't read", &directory, &error))?;
        let name = entry.file_name();
        let Some(number) = name.to_str().and_then(|name| name.strip_suffix(".conf")) else { continue };
        match number.parse::<Vmid>() {
            Ok(vmid) => numbers.vmids.push(vmid),
            Err(_) if number.starts_with('0') || number.starts_with('+') => {}
            Err(_) => numbers.strays.extend(number.parse::<u32>().ok().filter(|number| *number < 100)),
        }
    }
    numbers.vmids.sort_unstable();
    numbers.strays.sort_unstable();
    Ok(numbers)
}

/// Checks that no container and no virtual machine of the cluster has a vmid.
///
/// # Errors
/// `CT <vmid> already exists on node '<node>'`, `VM ...` for a virtual machine's (2).
pub fn check_unused(node: &Node, vmid: Vmid) -> NodeResult<()> {
    let nodes = node.layout.root().join("etc/pve/nodes");
    let entries = match fs::read_dir(&nodes) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Failure::io("can't read", &nodes, &error)),
    };
    for entry in entries.flatten() {
        for (directory, kind) in [("lxc", "CT"), ("qemu-server", "VM")] {
            let path = entry.path().join(directory).join(format!("{vmid}.conf"));
            if fs::symlink_metadata(path).is_ok() {
                let name = entry.file_name();
                return Err(exists(kind, vmid, &name.to_string_lossy()));
            }
        }
    }
    Ok(())
}

fn exists(kind: &str, vmid: Vmid, node: &str) -> Failure {
    Failure::with_exit(format!("{kind} {vmid} already exists on node '{node}'"), 2)
}

/// Writes a configuration: temporary file beside it, fsync, rename, fsync of the directory.
///
/// # Errors
/// When a value holds a line break or the file cannot be written; the old file is then untouched.
pub fn save(node: &Node, vmid: Vmid, config: &ContainerConfig) -> NodeResult<()> {
    let path = node.layout.config(vmid);
    let text = text_of(config)?;
    replace(&path, text.as_bytes(), CONFIG_MODE)
        .map_err(|error| Failure::io("can't write", &path, &error))?;
    if config.lock() != Some(Lock::Create) {
        creation::end(node, vmid);
    }
    Ok(())
}

fn text_of(config: &ContainerConfig) -> NodeResult<String> {
    config.to_text().map_err(|error| Failure::new(format!("can't write the configuration - {error}")))
}

/// Makes a configuration that must not exist yet (`O_EXCL` through link(2)), so that two creates cannot both win.
///
/// With `lock: create` it is noted that the container is being made, until [`save`] writes it without that lock: what
/// a crash leaves of it can then be told apart and removed.
///
/// # Errors
/// `CT <vmid> already exists on node '<node>'` (2) when it exists on any node of the cluster.
pub fn create(node: &Node, vmid: Vmid, config: &ContainerConfig) -> NodeResult<()> {
    check_unused(node, vmid)?;
    let path = node.layout.config(vmid);
    let text = text_of(config)?;
    if config.lock() == Some(Lock::Create) {
        creation::begin(node, vmid)?;
    }
    ids::with_new(node, vmid, || {
        write_new(&path, text.as_bytes()).map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => exists("CT", vmid, node.name.as_str()),
            _ => Failure::io("can't write", &path, &error),
        })
    })
    .inspect_err(|_| creation::end(node, vmid))
}

/// Removes a configuration, and the rules of the container's firewall.
///
/// # Errors
/// When the file cannot be removed; a missing one is fine.
pub fn remove(node: &Node, vmid: Vmid) -> NodeResult<()> {
    // First, so that nobody who takes the number gets the addresses that it allows. What was there before a create that
    // failed is not that container's.
    let rules = node.layout.firewall(vmid);
    let is_older = matches!(creation::note(node, vmid), Ok(Some(note)) if note.rules);
    match if is_older { Ok(()) } else { fs::remove_file(&rules) } {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(Failure::io("can't remove", &rules, &error));
        }
        _ => {}
    }
    let path = node.layout.config(vmid);
    match fs::remove_file(&path) {
        Ok(()) => sync_parent(&path).map_err(|error| Failure::io("can't sync", &path, &error))?,
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => {
            return Err(Failure::new(format!("failed to remove config file: {}", os_text(&error))));
        }
    }
    creation::end(node, vmid);
    ids::forget(node, vmid)
}

/// Takes the lock file of a container; waits up to `seconds`, saying so on stderr as the real one does.
///
/// # Errors
/// `can't lock file '<path>' - got timeout`.
pub fn lock(node: &Node, vmid: Vmid, seconds: u64, output: &mut Output<'_>) -> NodeResult<ConfigLock> {
    let path = node.layout.config_lock(vmid);
    let file = lock_file(&path, seconds, &mut |waiting| {
        let _ = output.err.write_all(waiting.text().as_bytes());
    })?;
    Ok(ConfigLock { _file: held::Held::new(file) })
}

/// How the wait for a lock file goes that somebody else holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waiting {
    Begun,
    Over,
    Failed,
}

impl Waiting {
    /// pct's words on stderr, with their line ends.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Begun => "trying to acquire lock...\n",
            Self::Over => " OK\n",
            Self::Failed => " failed\n",
        }
    }
}

/// Opens and locks a file exclusively; `say` is called when it has to wait, and when that is over. A signal that comes
/// while it waits ends the wait.
///
/// The descriptor is closed in children, so none of them keeps the lock; but see [`crate::tool::Tool::keeping_locks`].
///
/// # Errors
/// `can't lock file '<path>' - <reason>`; `interrupted by signal`.
pub(crate) fn lock_file(path: &Path, seconds: u64, say: &mut dyn FnMut(Waiting)) -> NodeResult<File> {
    let mut watched = None;
    acquire(path, seconds, say, &mut || {
        // What has come before is whoever undoes something to know.
        let (interrupt, before) = watched.get_or_insert_with(|| {
            let interrupt = Interrupt::watch();
            let before = interrupt.came();
            (interrupt, before)
        });
        if *before { Ok(()) } else { interrupt.check() }
    })
}

/// Checks that nobody works on a container under a lock value: its process would hold the file that goes with that.
///
/// # Errors
/// `CT is locked (<value>)` when somebody still holds it after `seconds`; those of [`lock_file`].
pub(crate) fn check_dead(node: &Node, vmid: Vmid, lock: &Lock, seconds: u64) -> NodeResult<()> {
    match lock_file(&node.layout.operation_lock(vmid), seconds, &mut |_| {}) {
        Err(Failure { kind: FailureKind::Held, .. }) => Err(Failure::locked(lock)),
        other => other.map(drop),
    }
}

/// As [`lock_file`], for a file that others hold for a moment only: signals change nothing.
///
/// # Errors
/// `can't lock file '<path>' - <reason>`.
pub(crate) fn lock_file_for_a_moment(path: &Path, seconds: u64) -> NodeResult<File> {
    acquire(path, seconds, &mut |_| {}, &mut || Ok(()))
}

/// `between` is asked whether to wait on.
fn acquire(
    path: &Path,
    seconds: u64,
    say: &mut dyn FnMut(Waiting),
    between: &mut dyn FnMut() -> NodeResult<()>,
) -> NodeResult<File> {
    let cannot = |reason: &str| Failure::new(format!("can't lock file '{}' - {reason}", path.display()));
    if let Some(parent) = path.parent() {
        make_directories(parent, 0o700)?;
    }
    let file = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
        .open(path)
        .map_err(|error| cannot(&format!("can't open file - {}", os_text(&error))))?;
    // One that somebody else made, or has made a hard link of, is his to hold.
    let owner = file.metadata().map_err(|error| cannot(&os_text(&error)))?.uid();
    if ![0, rustix::process::geteuid().as_raw()].contains(&owner) {
        return Err(cannot(&format!("it belongs to uid {owner}: remove it")));
    }
    let deadline = Instant::now() + Duration::from_secs(seconds);
    let mut told = false;
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {
                if told {
                    say(Waiting::Over);
                }
                return Ok(file);
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                // Before it is said: who reads that may send a signal at once.
                between()?;
                if !told {
                    say(Waiting::Begun);
                    told = true;
                }
                if Instant::now() >= deadline {
                    return Err(cannot("got timeout").of_kind(FailureKind::Held));
                }
                std::thread::sleep(LOCK_INTERVAL);
            }
            Err(errno) => {
                if told {
                    say(Waiting::Failed);
                }
                return Err(cannot(&os_text(&errno.into())));
            }
        }
    }
}

/// Replaces a file: temporary file beside it, fsync, rename, fsync of the directory.
///
/// # Errors
/// What the system said; the old file is then untouched and no temporary one is left.
pub fn replace(path: &Path, bytes: &[u8], mode: u32) -> std::io::Result<()> {
    temporary(path, bytes, mode)?.persist(path).map_err(|error| error.error)?;
    sync_parent(path)
}

/// As [`replace`], without waiting for the disk: for what means nothing after a crash of the machine.
///
/// # Errors
/// As [`replace`].
pub(crate) fn replace_unsynced(path: &Path, bytes: &[u8], mode: u32) -> std::io::Result<()> {
    written(path, bytes, mode)?.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// Makes a file that must not exist yet, whole or not at all.
fn write_new(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    temporary(path, bytes, CONFIG_MODE)?.persist_noclobber(path).map_err(|error| error.error)?;
    sync_parent(path)
}

fn temporary(path: &Path, bytes: &[u8], mode: u32) -> std::io::Result<tempfile::NamedTempFile> {
    let file = written(path, bytes, mode)?;
    file.as_file().sync_all()?;
    Ok(file)
}

fn written(path: &Path, bytes: &[u8], mode: u32) -> std::io::Result<tempfile::NamedTempFile> {
    let parent = path.parent().unwrap_or(Path::new("/"));
    let mut file = tempfile::Builder::new().prefix(".tmp-").tempfile_in(parent)?;
    file.write_all(bytes)?;
    file.as_file().set_permissions(fs::Permissions::from_mode(mode))?;
    Ok(file)
}

fn sync_parent(path: &Path) -> std::io::Result<()> {
    File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node() -> (tempfile::TempDir, Node) {
        let dir = tempfile::tempdir().unwrap();
        let name: pvect_core::NodeName = "vm".parse().unwrap();
        let layout = crate::Layout::new(dir.path(), name.clone());
        let node = Node { layout, name, helper: "/bin/false".into() };
        ensure_root(&node).unwrap();
        (dir, node)
    }

    fn vmid(text: &str) -> Vmid {
        text.parse().unwrap()
    }

    #[test]
    fn the_root_is_made_once() {
        let (dir, node) = node();
        let cfg = fs::read_to_string(node.layout.storage_cfg()).unwrap();
        assert_eq!(
            cfg,
            format!(
                "dir: local\n\tpath {}/vz\n\tcontent rootdir,vztmpl,images,iso,backup,snippets\n",
                dir.path().display()
            )
        );
        fs::write(node.layout.storage_cfg(), "mine\n").unwrap();
        ensure_root(&node).unwrap();
        assert_eq!(fs::read_to_string(node.layout.storage_cfg()).unwrap(), "mine\n");
        let mode = |path: std::path::PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        assert_eq!((mode(node.layout.lxc()), mode(node.layout.run_dir())), (0o711, 0o700));
        let local = node.layout.local_storage();
        for path in [local.clone(), local.join("images"), local.join("dump"), node.layout.tasks()] {
            assert_eq!(mode(path.clone()), 0o700, "{}", path.display());
        }
        // A root of an older version.
        fs::set_permissions(local.join("images"), fs::Permissions::from_mode(0o755)).unwrap();
        ensure_root(&node).unwrap();
        assert_eq!(mode(local.join("images")), 0o750);
    }

    #[test]
    fn a_configuration_is_saved_loaded_and_removed() {
        let (_dir, node) = node();
        assert_eq!(
            load(&node, vmid("101")).unwrap_err(),
            Failure::with_exit("Configuration file 'nodes/vm/lxc/101.conf' does not exist", 2)
                .of_kind(FailureKind::NoContainer { vmid: vmid("101") })
        );
        let mut config = ContainerConfig::default();
        config.main.set("hostname", "web1");
        create(&node, vmid("101"), &config).unwrap();
        assert_eq!(create(&node, vmid("101"), &config).unwrap_err(), exists("CT", vmid("101"), "vm"));
        config.main.set("memory", "256");
        save(&node, vmid("101"), &config).unwrap();
        let stored = load(&node, vmid("101")).unwrap();
        assert_eq!(stored.config, config);
        assert_eq!(stored.digest, ContainerConfig::digest(b"hostname: web1\nmemory: 256\n"));
        let names: Vec<_> = fs::read_dir(node.layout.configs()).unwrap().flatten().collect();
        assert_eq!(names.len(), 1, "{names:?}");
        remove(&node, vmid("101")).unwrap();
        remove(&node, vmid("101")).unwrap();
        assert_eq!(vmids(&node).unwrap(), []);
    }

    #[test]
    fn a_value_with_a_line_break_leaves_the_old_file() {
        let (_dir, node) = node();
        let mut config = ContainerConfig::default();
        create(&node, vmid("101"), &config).unwrap();
        config.main.set("hostname", "a\nlxc.hook.start: /bin/evil");
        assert!(save(&node, vmid("101"), &config).is_err());
        assert_eq!(fs::read(node.layout.config(vmid("101"))).unwrap(), b"");
    }

    #[test]
    fn ids_are_unique_in_the_cluster() {
        let (dir, node) = node();
        for path in ["other/lxc/201.conf", "vm/qemu-server/202.conf"] {
            let path = dir.path().join("etc/pve/nodes").join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let text = |id: &str| check_unused(&node, vmid(id)).unwrap_err().text;
        assert_eq!(text("201"), "CT 201 already exists on node 'other'");
        assert_eq!(text("202"), "VM 202 already exists on node 'vm'");
        assert!(check_unused(&node, vmid("203")).is_ok());
    }

    #[test]
    fn only_configurations_are_listed() {
        let (_dir, node) = node();
        for name in
            ["1000.conf", "101.conf", "99.conf", "0101.conf", "x.conf", ".tmp-1", "102", "103.conf.bak"]
        {
            fs::write(node.layout.configs().join(name), "").unwrap();
        }
        assert_eq!(
            numbers(&node).unwrap(),
            Numbers { strays: vec![99], vmids: vec![vmid("101"), vmid("1000")] }
        );
    }

    #[test]
    fn a_held_lock_times_out() {
        let (_dir, node) = node();
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut output = Output::new(&mut out, &mut err);
        let held = lock(&node, vmid("101"), 1, &mut output).unwrap();
        let failure = lock(&node, vmid("101"), 0, &mut output).unwrap_err();
        let path = node.layout.config_lock(vmid("101"));
        assert_eq!(failure.text, format!("can't lock file '{}' - got timeout", path.display()));
        drop(held);
        lock(&node, vmid("101"), 0, &mut output).unwrap();
        assert_eq!(err, b"trying to acquire lock...\n");
    }
}
