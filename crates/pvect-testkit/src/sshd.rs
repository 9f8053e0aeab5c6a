//! A real sshd on the loopback interface, with keys and a configuration of its own.

use std::fs::{self, File, Permissions};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// The programs, all of Debian's `openssh-server` and `openssh-client`.
const PROGRAMS: [&str; 3] = ["/usr/sbin/sshd", "/usr/bin/ssh", "/usr/bin/ssh-keygen"];

/// An sshd that lets its own user in with two keys. Dropped, it ends with all its sessions.
#[derive(Debug)]
pub struct TestSshd {
    dir: TempDir,
    port: u16,
    user: String,
    process: Child,
}

impl TestSshd {
    /// Starts it.
    ///
    /// # Errors
    /// Why it cannot run on this machine.
    pub fn start() -> Result<Self, String> {
        if let Some(missing) = PROGRAMS.iter().find(|path| !Path::new(path).exists()) {
            return Err(format!("there is no {missing} (Debian package openssh-server)"));
        }
        let dir = tempfile::tempdir().map_err(|error| error.to_string())?;
        let user = output(Command::new("/usr/bin/id").arg("-un"))?;
        // Compiled into sshd, which wants it as root only; the service makes it at boot.
        if rustix::process::geteuid().is_root() {
            fs::create_dir_all("/run/sshd").map_err(|error| format!("cannot make /run/sshd: {error}"))?;
        }
        for name in ["host", "other", "key", "forced"] {
            let file = dir.path().join(name);
            output(
                Command::new(PROGRAMS[2]).args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"]).arg(file),
            )?;
        }
        let read = |name: &str| fs::read_to_string(dir.path().join(name)).map_err(|error| error.to_string());
        let (key, forced) = (read("key.pub")?, read("forced.pub")?);
        let command = dir.path().join("forced.sh").display().to_string();
        fs::write(dir.path().join("authorized_keys"), format!("{key}command=\"{command}\" {forced}"))
            .map_err(|error| error.to_string())?;
        let port = free_port()?;
        let path = |name: &str| dir.path().join(name).display().to_string();
        let config = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\n\
             StrictModes no\nUsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n\
             PermitRootLogin yes\nLogLevel VERBOSE\nPrintMotd no\n",
            path("host"),
            path("authorized_keys"),
        );
        fs::write(dir.path().join("sshd_config"), config).map_err(|error| error.to_string())?;
        let log = File::create(dir.path().join("log")).map_err(|error| error.to_string())?;
        let process = Command::new(PROGRAMS[0])
            .args(["-D", "-e", "-f"])
            .arg(dir.path().join("sshd_config"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(|error| error.to_string())?;
        let server = Self { dir, port, user, process };
        server.know("host")?;
        server.wait()
    }

    fn wait(mut self) -> Result<Self, String> {
        for _ in 0..500 {
            if TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
                return Ok(self);
            }
            if let Ok(Some(status)) = self.process.try_wait() {
                return Err(format!("sshd ended ({status}): {}", self.log()));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Err(format!("sshd does not listen: {}", self.log()))
    }

    /// Returns the port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns the user that it lets in.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// Returns its directory: keys, known hosts, log; room for the test's own files.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Returns the private key that it lets in.
    pub fn key(&self) -> PathBuf {
        self.dir().join("key")
    }

    /// Returns the private key of a login that runs the script `forced.sh` in the place of what was asked for, which it
    /// finds in `SSH_ORIGINAL_COMMAND`: for the noise of a login shell and the like.
    pub fn forced_key(&self) -> PathBuf {
        self.dir().join("forced")
    }

    /// Returns the options for a client that looks nowhere but in this directory.
    pub fn options(&self) -> Vec<String> {
        let known = self.dir().join("known_hosts").display().to_string();
        vec![
            format!("UserKnownHostsFile={known}"),
            "GlobalKnownHostsFile=/dev/null".to_owned(),
            "IdentitiesOnly=yes".to_owned(),
            "IdentityAgent=none".to_owned(),
        ]
    }

    /// Makes clients expect this key: `host` is its own, `other` is not.
    ///
    /// # Errors
    /// When the files cannot be read or written.
    pub fn know(&self, name: &str) -> Result<(), String> {
        let key =
            fs::read_to_string(self.dir().join(format!("{name}.pub"))).map_err(|error| error.to_string())?;
        let line = format!("[127.0.0.1]:{} {key}", self.port);
        fs::write(self.dir().join("known_hosts"), line).map_err(|error| error.to_string())
    }

    /// Writes an executable script into the directory and returns its path.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn script(&self, name: &str, text: &str) -> Result<PathBuf, String> {
        let path = self.dir().join(name);
        fs::write(&path, text).map_err(|error| error.to_string())?;
        fs::set_permissions(&path, Permissions::from_mode(0o755)).map_err(|error| error.to_string())?;
        Ok(path)
    }

    /// Returns its log.
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir().join("log")).unwrap_or_default()
    }

    /// Returns how many connections it has let in.
    pub fn logins(&self) -> usize {
        self.log().matches("Accepted publickey").count()
    }

    /// Cuts every connection.
    pub fn cut(&self) {
        let own = i32::try_from(self.process.id()).unwrap_or_default();
        for pid in sessions(own) {
            // It may have ended meanwhile.
            let _ = Pid::from_raw(pid).map(|pid| kill_process(pid, Signal::KILL));
        }
    }
}

impl Drop for TestSshd {
    fn drop(&mut self) {
        self.cut();
        // Both fail only when it has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The processes of sshd below this one. What runs in a session has another name and is left alone: losing a
/// connection does not end it.
fn sessions(top: i32) -> Vec<i32> {
    let mut all: Vec<(i32, i32)> = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let Some((head, tail)) = stat.rsplit_once(')') else { continue };
        let Some((pid, name)) = head.split_once(" (") else { continue };
        let parent = tail.split_ascii_whitespace().nth(1).and_then(|field| field.parse().ok());
        if let (Ok(pid), Some(parent), true) = (pid.parse(), parent, name.starts_with("sshd")) {
            all.push((pid, parent));
        }
    }
    let mut found = vec![top];
    let mut at = 0;
    while let Some(parent) = found.get(at).copied() {
        found.extend(all.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| pid));
        at += 1;
    }
    found.remove(0);
    found
}

fn free_port() -> Result<u16, String> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).map_err(|error| error.to_string())?;
    listener.local_addr().map(|address| address.port()).map_err(|error| error.to_string())
}

fn output(command: &mut Command) -> Result<String, String> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| error.to_string())?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
    }
}
