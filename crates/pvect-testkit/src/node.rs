//! A standalone node for one test.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use tempfile::TempDir;

use crate::Finished;

/// A standalone node below a temporary root. Dropped, it stops its containers and removes everything, then checks
/// nothing: tests that care call [`TestNode::leftovers`].
#[derive(Debug)]
pub struct TestNode {
    root: TempDir,
    bridges: std::sync::Mutex<Vec<String>>,
}

/// Returns why this machine cannot run real containers, or `None`.
pub fn missing_requirement() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("containers need root".to_owned());
    }
    ["lxc-start", "lxc-attach", "mkfs.ext4", "losetup", "busybox"]
        .iter()
        .find(|name| find_program(name).is_none())
        .map(|name| format!("{name} is not installed"))
}

fn find_program(name: &str) -> Option<PathBuf> {
    ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"]
        .iter()
        .map(|dir| Path::new(dir).join(name))
        .find(|path| path.is_file())
}

/// Gives the node below a root the ids of Proxmox VE, which tests expect, whoever else has them on this machine; what it
/// reserves stays below the root.
///
/// # Errors
/// When the files cannot be written.
pub fn pin_ids(root: &Path) -> std::io::Result<()> {
    fs::create_dir_all(root.join("etc/pve"))?;
    fs::write(root.join("etc/pve/ids.cfg"), "base: 100000\nshared: 1\n")?;
    ["subuid", "subgid"].iter().try_for_each(|name| fs::write(root.join("etc").join(name), ""))
}

/// The command `pvect` of this build: beside the test programs.
fn pvect_program() -> PathBuf {
    let mut dir = std::env::current_exe().expect("a test knows its own path");
    dir.pop();
    if dir.ends_with("deps") {
        dir.pop();
    }
    dir.join("pvect")
}

impl TestNode {
    /// Makes a node named `vm` with a root of its own.
    ///
    /// # Errors
    /// The reason why this machine cannot run containers.
    pub fn new() -> Result<Self, String> {
        if let Some(reason) = missing_requirement() {
            return Err(reason);
        }
        let root = tempfile::Builder::new()
            .prefix("pvt")
            .tempdir_in("/var/tmp")
            .map_err(|error| format!("no temporary directory: {error}"))?;
        pin_ids(root.path()).map_err(|error| format!("no range of ids: {error}"))?;
        Ok(Self { root, bridges: std::sync::Mutex::default() })
    }

    /// The root.
    pub fn root(&self) -> &Path {
        self.root.path()
    }

    /// The configuration file of a container.
    pub fn config_file(&self, vmid: u32) -> PathBuf {
        self.root().join(format!("etc/pve/nodes/vm/lxc/{vmid}.conf"))
    }

    /// Returns `pvect` in a hermetic environment, on this node.
    pub fn command<I, S>(&self, words: I) -> Command
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        let mut command = Command::new(pvect_program());
        command
            .args(words)
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", self.root())
            .env("LC_ALL", "C.UTF-8")
            .env("TZ", "UTC")
            .env("PVECT_ROOT", self.root())
            .env("PVECT_NODE", "vm")
            .current_dir("/")
            .stdin(Stdio::null());
        command
    }

    /// Runs `pvect` to its end.
    ///
    /// # Panics
    /// When the program cannot be started.
    pub fn pvect(&self, words: &[&str]) -> Finished {
        let output = self.command(words).output().expect("pvect can be started; build it first");
        Finished::new(format!("pvect {}", words.join(" ")), &output)
    }

    /// Runs the node's own `pct` to its end.
    ///
    /// # Panics
    /// When the program cannot be started.
    pub fn pct(&self, words: &[&str]) -> Finished {
        let mut all = vec!["pct"];
        all.extend_from_slice(words);
        self.pvect(&all)
    }

    /// Builds the busybox template and returns its volume id.
    ///
    /// # Panics
    /// When it cannot be built.
    pub fn busybox(&self) -> String {
        self.pvect(&["template", "build", "busybox", "--quiet"]).ok();
        let list = self.pvect(&["template", "list", "-o", "json"]).ok();
        let start = list.find("local:vztmpl/").expect("the template is listed");
        list[start..].chars().take_while(|c| *c != '"').collect()
    }

    /// Makes a storage of the type `btrfs`: a file system of so many MiB in a file, mounted below the root.
    ///
    /// # Errors
    /// Why this machine has none: no `mkfs.btrfs`, no such file system in the kernel.
    ///
    /// # Panics
    /// When the node's own files cannot be written.
    pub fn btrfs(&self, name: &str, mib: u64) -> Result<(), String> {
        let (image, place) = (self.root().join(format!("{name}.img")), self.root().join(name));
        fs::create_dir_all(&place).expect("a directory");
        fs::File::create(&image).and_then(|file| file.set_len(mib << 20)).expect("a sparse file");
        for (program, words) in [("mkfs.btrfs", vec!["-q"]), ("mount", vec!["-o", "loop"])] {
            let mut command = Command::new(program);
            command.args(words).arg(&image);
            if program == "mount" {
                command.arg(&place);
            }
            let output = command.output().map_err(|error| format!("{program}: {error}"))?;
            if !output.status.success() {
                return Err(format!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim()));
            }
        }
        let cfg = self.root().join("etc/pve/storage.cfg");
        // The node writes its own at first use.
        self.pct(&["list"]).ok();
        let text = fs::read_to_string(&cfg).expect("storage.cfg");
        let section = format!("\nbtrfs: {name}\n\tpath {}\n\tcontent rootdir,images\n", place.display());
        fs::write(&cfg, text + &section).expect("storage.cfg");
        Ok(())
    }

    fn bridges(&self) -> std::sync::MutexGuard<'_, Vec<String>> {
        self.bridges.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Makes a bridge for this test; it is removed with the node.
    ///
    /// # Panics
    /// When `ip` cannot make it.
    pub fn bridge(&self) -> String {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("pvt{:x}b{count}", std::process::id() & 0xffff);
        for words in [["link", "add", &name, "type", "bridge"].as_slice(), &["link", "set", &name, "up"]] {
            let status = Command::new("ip").args(words).status().expect("ip can be started");
            assert!(status.success(), "ip {words:?} failed");
        }
        self.bridges().push(name.clone());
        name
    }

    /// Names a bridge that no other test has; the node makes it itself, and it goes with the node.
    pub fn own_bridge(&self) -> String {
        let letters: String = self.root().to_string_lossy().chars().rev().take(6).collect();
        format!("pvn{}", letters.to_lowercase())
    }

    /// Returns what of this node is still in the system: mounts, loop devices, processes, bridges, packet filter rules.
    pub fn leftovers(&self) -> Vec<String> {
        // mount(8) of another test opens every loop device to look at it, and so holds it for a moment.
        for _ in 0..50 {
            let left = self.left_now();
            if !left.iter().any(|one| one.starts_with("loop device: "))
                || left.iter().any(|one| !one.starts_with("loop device: "))
            {
                return left;
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        self.left_now()
    }

    fn left_now(&self) -> Vec<String> {
        let root = self.root().to_string_lossy().into_owned();
        let mut found = Vec::new();
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        found.extend(mounts.lines().filter(|line| line.contains(&root)).map(|line| format!("mount: {line}")));
        for entry in fs::read_dir("/sys/block").into_iter().flatten().flatten() {
            let file = fs::read_to_string(entry.path().join("loop/backing_file")).unwrap_or_default();
            if file.contains(&root) {
                found.push(format!("loop device: {} {}", entry.file_name().to_string_lossy(), file.trim()));
            }
        }
        found.extend(self.processes().into_iter().map(|(pid, line)| format!("process {pid}: {line}")));
        found.extend(self.networks());
        found
    }

    /// The bridges and the table of rules that the node made.
    fn networks(&self) -> Vec<String> {
        let root = self.root().to_string_lossy().into_owned();
        let mut found = Vec::new();
        for entry in fs::read_dir("/sys/class/net").into_iter().flatten().flatten() {
            let alias = fs::read_to_string(entry.path().join("ifalias")).unwrap_or_default();
            if alias.trim() == format!("pvect {root}") {
                found.push(format!("bridge: {}", entry.file_name().to_string_lossy()));
            }
        }
        let rules = fs::read_to_string(self.root().join("run/network/nft.conf")).unwrap_or_default();
        let tables = Command::new("nft").args(["list", "tables"]).output();
        let tables =
            tables.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
        for table in rules.lines().filter(|line| line.starts_with("table ") && !line.ends_with('{')) {
            if tables.lines().any(|line| line == table) {
                found.push(format!("rules: {table}"));
            }
        }
        found
    }

    fn processes(&self) -> Vec<(i32, String)> {
        let root = self.root().to_string_lossy().into_owned();
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let Ok(pid) = entry.file_name().to_string_lossy().parse::<i32>() else { continue };
            let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            if line.contains(&root) {
                found.push((pid, line));
            }
        }
        found
    }
}

impl Drop for TestNode {
    fn drop(&mut self) {
        for entry in fs::read_dir(self.root().join("lib/lxc")).into_iter().flatten().flatten() {
            let _ = Command::new("lxc-stop")
                .arg("-P")
                .arg(self.root().join("lib/lxc"))
                .arg("-n")
                .arg(entry.file_name())
                .args(["-k", "-W"])
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status();
        }
        if self.root().join("etc/pve/network.cfg").exists() {
            let _ = self.command(["node", "network", "down", "--force"]).stderr(Stdio::null()).status();
        }
        for (pid, _) in self.processes() {
            if let Some(pid) = rustix::process::Pid::from_raw(pid) {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        }
        let root = self.root().to_string_lossy().into_owned();
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        for line in mounts.lines().rev() {
            if let Some(point) = line.split(' ').nth(4).filter(|point| point.starts_with(&root)) {
                let _ = Command::new("umount").args(["-l", point]).status();
            }
        }
        for bridge in self.bridges().iter() {
            let _ = Command::new("ip").args(["link", "del", bridge]).status();
        }
        // The volumes of templates are immutable; else the root could not be removed.
        let images = self.root().join("vz/images");
        if images.is_dir() {
            let _ =
                Command::new("chattr").args(["-R", "-f", "-i"]).arg(images).stderr(Stdio::null()).status();
        }
    }
}
