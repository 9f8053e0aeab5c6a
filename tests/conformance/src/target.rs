//! The node that a group of cases runs on.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use pvect_testkit::TestNode;
use tempfile::TempDir;

use crate::case::Group;
use crate::pattern::Values;
use crate::stand_in;

/// What all groups of one run share.
#[derive(Debug)]
pub struct World {
    /// A real pct, or none for the standalone node.
    real: Option<PathBuf>,
    /// The standalone node's program under the name `pct`, where every user can run it.
    bin: TempDir,
    alpine: Result<PathBuf, String>,
    debian: Result<PathBuf, String>,
    cpus: usize,
}

/// The start of the names of bridges; the process's number follows.
const BRIDGE: &str = "pvc";

impl World {
    /// Prepares a run: the program, and the templates that the groups use (kept in `cache`).
    ///
    /// # Errors
    /// Why nothing can be run on this machine.
    pub fn new(
        real: Option<PathBuf>,
        program: &Path,
        cache: &Path,
        groups: &[Group],
    ) -> Result<Self, String> {
        if let Some(reason) = pvect_testkit::missing_requirement() {
            return Err(reason);
        }
        if let Some(path) = &real
            && !path.is_file()
        {
            return Err(format!("PVECT_TEST_PCT names no file: {}", path.display()));
        }
        remove_stale_bridges();
        let failed = |error: std::io::Error| format!("{}: {error}", program.display());
        let bin = tempfile::Builder::new().prefix("pvc").tempdir_in("/var/tmp").map_err(failed)?;
        if real.is_none() {
            fs::set_permissions(bin.path(), fs::Permissions::from_mode(0o755)).map_err(failed)?;
            fs::copy(program, bin.path().join("pct")).map_err(failed)?;
        }
        fs::create_dir_all(cache).map_err(failed)?;
        let wanted = |name: &str| groups.iter().any(|group| group.uses(name));
        let unused = || Err("not made".to_owned());
        let alpine = if wanted("alpine") { stand_in::alpine(cache) } else { unused() };
        let debian = if wanted("debian") { stand_in::debian(cache) } else { unused() };
        let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Ok(Self { real, bin, alpine, debian, cpus })
    }

    /// Returns whether the pct under test is a real one.
    pub fn is_real(&self) -> bool {
        self.real.is_some()
    }
}

/// One node, for one group. Dropped, it takes everything with it.
#[derive(Debug)]
pub struct Target {
    pct: PathBuf,
    env: Vec<(String, String)>,
    root: Option<PathBuf>,
    /// Files to remove from a real node.
    placed: Vec<PathBuf>,
    mounts: Vec<PathBuf>,
    bridge: Option<String>,
    storage_added: bool,
    vmids: Vec<String>,
    /// What the placeholders stand for.
    pub values: Values,
    scratch: TempDir,
    node: Option<TestNode>,
}

impl Target {
    /// Makes a node for a group; `vmids` are those that it uses.
    ///
    /// # Errors
    /// The reason why the group is skipped.
    pub fn new(world: &World, group: &Group, vmids: Vec<String>) -> Result<Self, String> {
        let scratch = tempfile::Builder::new().prefix("pvc").tempdir_in("/var/tmp");
        let scratch = scratch.map_err(|error| format!("no temporary directory: {error}"))?;
        let mut target = match &world.real {
            Some(pct) => Self::real(pct, scratch, vmids)?,
            None => Self::standalone(world, scratch, vmids)?,
        };
        let tmp = target.scratch.path().to_string_lossy().into_owned();
        target.values.set("btrfs", format!("{tmp}/btr"));
        target.values.set("tmp", tmp);
        target.values.set("cpus", world.cpus.to_string());
        for (name, file, made) in
            [("alpine", stand_in::ALPINE, &world.alpine), ("debian", stand_in::DEBIAN, &world.debian)]
        {
            target.values.set(name, format!("local:vztmpl/{file}"));
            if group.uses(name) {
                target.place(made.as_ref().map_err(Clone::clone)?, file)?;
            }
        }
        if group.uses("bridge") {
            target.make_bridge()?;
        }
        Ok(target)
    }

    fn standalone(world: &World, scratch: TempDir, vmids: Vec<String>) -> Result<Self, String> {
        let node = TestNode::new()?;
        let root = node.root().to_owned();
        let mut values = Values::default();
        let below = |path: &str| root.join(path).to_string_lossy().into_owned();
        values.set("node", "vm");
        values.set("pve", below("etc/pve"));
        values.set("conf", below("etc/pve/nodes/vm/lxc"));
        values.set("vz", below("vz"));
        values.set("lxc", below("lib/lxc"));
        values.set("lock", below("run/lock/lxc"));
        let mut env = clean_environment();
        env.push(("PVECT_ROOT".to_owned(), root.to_string_lossy().into_owned()));
        env.push(("PVECT_NODE".to_owned(), "vm".to_owned()));
        Ok(Self {
            pct: world.bin.path().join("pct"),
            env,
            root: Some(root),
            placed: Vec::new(),
            mounts: Vec::new(),
            bridge: None,
            storage_added: false,
            vmids,
            values,
            scratch,
            node: Some(node),
        })
    }

    fn real(pct: &Path, scratch: TempDir, vmids: Vec<String>) -> Result<Self, String> {
        let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let name = name.trim().split('.').next().unwrap_or_default().to_owned();
        let mut values = Values::default();
        values.set("conf", format!("/etc/pve/nodes/{name}/lxc"));
        values.set("node", name);
        for (name, path) in
            [("pve", "/etc/pve"), ("vz", "/var/lib/vz"), ("lxc", "/var/lib/lxc"), ("lock", "/run/lock/lxc")]
        {
            values.set(name, path);
        }
        if let Ok(entries) = fs::read_dir(values.get("conf"))
            && entries.flatten().any(|entry| entry.path().extension().is_some_and(|ending| ending == "conf"))
        {
            return Err("the real node has containers; the cases want one without any".to_owned());
        }
        Ok(Self {
            pct: pct.to_owned(),
            env: clean_environment(),
            root: None,
            placed: Vec::new(),
            mounts: Vec::new(),
            bridge: None,
            storage_added: false,
            vmids,
            values,
            scratch,
            node: None,
        })
    }

    /// Returns the words to run: values put in, `pct` replaced by the pct under test.
    pub fn argv(&self, words: &[String]) -> Vec<String> {
        let mut argv: Vec<String> = words.iter().map(|word| self.values.fill(word)).collect();
        if let Some(word) = argv.iter_mut().find(|word| *word == "pct") {
            *word = self.pct.to_string_lossy().into_owned();
        }
        // An emptied environment must still say which node is meant.
        if let (Some(root), [env, empty, ..]) = (&self.root, argv.as_slice())
            && env == "env"
            && empty == "-i"
        {
            let node = [format!("PVECT_ROOT={}", root.display()), "PVECT_NODE=vm".to_owned()];
            argv.splice(2..2, node);
        }
        argv
    }

    /// The environment of commands.
    pub fn env(&self) -> &[(String, String)] {
        &self.env
    }

    fn place(&mut self, template: &Path, name: &str) -> Result<(), String> {
        let dir = Path::new(self.values.get("vz")).join("template/cache");
        let path = dir.join(name);
        if path.exists() {
            return Ok(());
        }
        fs::create_dir_all(&dir)
            .and_then(|()| fs::hard_link(template, &path).or_else(|_| fs::copy(template, &path).map(|_| ())))
            .map_err(|error| format!("{}: {error}", path.display()))?;
        self.placed.push(path);
        Ok(())
    }

    fn make_bridge(&mut self) -> Result<(), String> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{BRIDGE}{:x}x{number:x}", std::process::id());
        ip(&["link", "add", &name, "type", "bridge"])?;
        self.values.set("bridge", &name);
        self.bridge = Some(name.clone());
        ip(&["link", "set", &name, "up"])
    }

    /// Mounts a btrfs file system of its own.
    ///
    /// # Errors
    /// Why that is not possible.
    pub fn btrfs(&mut self, path: &str, mib: u64) -> Result<(), String> {
        let path = PathBuf::from(self.values.fill(path));
        let image = self.scratch.path().join("btrfs.img");
        let made = fs::create_dir_all(&path)
            .and_then(|()| fs::File::create(&image))
            .and_then(|file| file.set_len(mib << 20));
        made.map_err(|error| format!("{}: {error}", image.display()))?;
        let (image, point) = (image.to_string_lossy(), path.to_string_lossy());
        quiet("mkfs.btrfs", &["-q", &image])?;
        quiet("mount", &["-o", "loop", &image, &point])?;
        self.mounts.push(path.clone());
        self.add_storage(&point)
    }

    /// Makes the storage `btr` of a mounted btrfs file system.
    fn add_storage(&mut self, path: &str) -> Result<(), String> {
        if self.node.is_none() {
            quiet("pvesm", &["add", "btrfs", "btr", "--path", path, "--content", "rootdir,images"])?;
            self.storage_added = true;
            return Ok(());
        }
        let text = format!(
            "dir: local\n\tpath {}\n\tcontent rootdir,vztmpl,images,iso,backup\n\n\
             btrfs: btr\n\tpath {path}\n\tcontent rootdir,images\n",
            self.values.get("vz")
        );
        let file = Path::new(self.values.get("pve")).join("storage.cfg");
        fs::create_dir_all(self.values.get("pve"))
            .and_then(|()| fs::write(&file, text))
            .map_err(|error| format!("{}: {error}", file.display()))
    }

    /// On a real node, removes the group's containers; it had none before.
    fn remove_containers(&self) {
        for vmid in &self.vmids {
            let config = Path::new(self.values.get("conf")).join(format!("{vmid}.conf"));
            if !config.exists() {
                continue;
            }
            for words in [["unlock", vmid, ""], ["stop", vmid, ""], ["set", vmid, "--protection=0"]] {
                let words = words.iter().filter(|word| !word.is_empty());
                let _ =
                    Command::new(&self.pct).args(words).stdout(Stdio::null()).stderr(Stdio::null()).status();
            }
            let destroyed = Command::new(&self.pct)
                .args(["destroy", vmid, "--force", "1", "--purge", "1"])
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status();
            if !destroyed.is_ok_and(|status| status.success()) {
                // A configuration that a case wrote by hand may have no volumes to destroy.
                let _ = fs::remove_file(config);
            }
        }
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        if self.node.is_none() {
            self.remove_containers();
            for path in &self.placed {
                let _ = fs::remove_file(path);
            }
            if self.storage_added {
                let _ = quiet("pvesm", &["remove", "btr"]);
            }
        }
        // The node first: it stops what still uses bridge and mounts.
        drop(self.node.take());
        for path in &self.mounts {
            let _ = quiet("umount", &["-l", &path.to_string_lossy()]);
        }
        if let Some(bridge) = &self.bridge {
            let _ = ip(&["link", "del", bridge]);
        }
    }
}

fn clean_environment() -> Vec<(String, String)> {
    [("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"), ("HOME", "/root"), ("LC_ALL", "C.UTF-8"), ("TZ", "UTC")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec()
}

fn ip(words: &[&str]) -> Result<(), String> {
    quiet("ip", words)
}

fn quiet(program: &str, words: &[&str]) -> Result<(), String> {
    let output = Command::new(program)
        .args(words)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{program} cannot be run: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{program} {}: {}", words.join(" "), String::from_utf8_lossy(&output.stderr).trim()))
}

/// Removes bridges that an earlier run left behind because it was killed.
fn remove_stale_bridges() {
    for entry in fs::read_dir("/sys/class/net").into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let pid = name.strip_prefix(BRIDGE).and_then(|rest| rest.split_once('x'));
        let pid = pid.and_then(|(pid, _)| u32::from_str_radix(pid, 16).ok());
        if pid.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
            let _ = ip(&["link", "del", &name]);
        }
    }
}
