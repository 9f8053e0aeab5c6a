//! The configuration files: read, locked, replaced; and the node's root, made on first use.

use std::fs;
use std::io::ErrorKind;

use pvect_core::config::{ContainerConfig, ParseMode};
use pvect_core::{Lock, Vmid};

use crate::error::os_text;
use crate::files::{close_to_others, make_directories, sync_parent};
use crate::lock_files::HeldLock;
use crate::{Failure, FailureKind, Node, NodeResult, Output, creation, files, ids, links, lock_files, vmids};

/// How long most verbs wait for the lock file, seconds. Source: `lock_config` of pve-guest-common.
pub const LOCK_SECONDS: u64 = 10;
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
    _file: HeldLock,
}

/// Makes missing directories of the node's root, and a storage.cfg with the storage `local` if there is none. A new
/// root gets an unused range of host ids for its unprivileged containers.
///
/// Directories have these modes whatever the umask says: those with volumes, backups, logs and run-time state are
/// closed to other users (a set-user-id file in a volume would work on the host), and users of unprivileged containers
/// can pass through those above `lib/lxc`.
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
    // For a root that an older version made.
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
    match files::write_new(&cfg, text.as_bytes(), CONFIG_MODE) {
        // Another process has just made it.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        other => other.map_err(|error| Failure::io("can't write", &cfg, &error)),
    }
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

/// Writes a configuration: temporary file beside it, fsync, rename, fsync of the directory.
///
/// # Errors
/// When a value holds a line break or the file cannot be written; the old file is then untouched.
pub fn save(node: &Node, vmid: Vmid, config: &ContainerConfig) -> NodeResult<()> {
    let path = node.layout.config(vmid);
    let text = text_of(config)?;
    files::replace(&path, text.as_bytes(), CONFIG_MODE)
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
/// With `lock: create`, a note says that the container is being made, until [`save`] writes it without that lock. So
/// what a crash leaves of it can be recognised and removed.
///
/// # Errors
/// `CT <vmid> already exists on node '<node>'` (2) when it exists on any node of the cluster.
pub fn create(node: &Node, vmid: Vmid, config: &ContainerConfig) -> NodeResult<()> {
    vmids::check_unused(node, vmid)?;
    let path = node.layout.config(vmid);
    let text = text_of(config)?;
    if config.lock() == Some(Lock::Create) {
        creation::begin(node, vmid)?;
    }
    ids::with_new(node, vmid, || {
        files::write_new(&path, text.as_bytes(), CONFIG_MODE).map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => vmids::exists("CT", vmid, node.name.as_str()),
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
    // Remove the rules first, so that the next container with this number does not get the addresses that they allow.
    // Rules from before a failed create do not belong to that container.
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
    let file = lock_files::take(&path, seconds, &mut |waiting| {
        let _ = output.err.write_all(waiting.text().as_bytes());
    })?;
    Ok(ConfigLock { _file: HeldLock::new(file) })
}

/// Checks that no process is working on a container under a lock value: it would hold the lock file for that.
///
/// # Errors
/// `CT is locked (<value>)` when somebody still holds it after `seconds`; those of [`lock_files::take`].
pub(crate) fn check_dead(node: &Node, vmid: Vmid, lock: &Lock, seconds: u64) -> NodeResult<()> {
    match lock_files::take(&node.layout.operation_lock(vmid), seconds, &mut |_| {}) {
        Err(Failure { kind: FailureKind::Held, .. }) => Err(Failure::locked(lock)),
        other => other.map(drop),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn node() -> (tempfile::TempDir, Node) {
        let dir = tempfile::tempdir().unwrap();
        let node = crate::fixture::node(dir.path());
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
        assert_eq!(create(&node, vmid("101"), &config).unwrap_err(), vmids::exists("CT", vmid("101"), "vm"));
        config.main.set("memory", "256");
        save(&node, vmid("101"), &config).unwrap();
        let stored = load(&node, vmid("101")).unwrap();
        assert_eq!(stored.config, config);
        assert_eq!(stored.digest, ContainerConfig::digest(b"hostname: web1\nmemory: 256\n"));
        let names: Vec<_> = fs::read_dir(node.layout.configs()).unwrap().flatten().collect();
        assert_eq!(names.len(), 1, "{names:?}");
        remove(&node, vmid("101")).unwrap();
        remove(&node, vmid("101")).unwrap();
        assert_eq!(vmids::all(&node).unwrap(), []);
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
