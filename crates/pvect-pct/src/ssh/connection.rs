//! The connection that is kept open, and sessions on it.

pub(super) mod helper;
pub(crate) mod log;
mod private_dir;

use std::fs::{self, File};
use std::hash::{Hash, Hasher};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use pvect_core::error::Unavailable;
use pvect_core::{Error, Result};
use rustix::fs::{FlockOperation, flock};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{SshTarget, script};
use log::Log;
use private_dir::private_dir;

/// The longest directory for sockets: a socket's path has 108 bytes at most (unix(7)), of which ssh needs 17 for a
/// temporary name, and our own name 20.
pub(super) const DIR_LIMIT: usize = 70;
/// Sessions at a time: sshd allows 10 on one connection (`MaxSessions`), and stopping pct needs one more.
const SESSIONS: usize = 8;
/// How long the local process that keeps the connection may take to answer.
const CONTROL_LIMIT: Duration = Duration::from_secs(2);
/// How long a person has to answer what ssh asks.
const ASKING_LIMIT: Duration = Duration::from_secs(300);

/// A way to another node. Clones share it.
#[derive(Debug, Clone)]
pub struct Connection {
    target: Arc<SshTarget>,
    sessions: Arc<Semaphore>,
}

impl PartialEq for Connection {
    fn eq(&self, other: &Self) -> bool {
        self.target == other.target
    }
}

impl Eq for Connection {}

/// Whether the connection existed already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Opened {
    /// It did; it may be broken without having noticed.
    Before,
    /// It was made just now.
    Now,
}

impl Connection {
    /// Prepares a connection; nothing is started.
    pub fn new(target: SshTarget) -> Self {
        Self { target: Arc::new(target), sessions: Arc::new(Semaphore::new(SESSIONS)) }
    }

    /// Returns where it leads.
    pub fn target(&self) -> &SshTarget {
        &self.target
    }

    /// Returns the path of the socket of the kept connection.
    pub fn socket(&self) -> PathBuf {
        let mut hash = Fnv(0xcbf2_9ce4_8422_2325);
        // These do not change where the connection leads; everything else might.
        let rest = SshTarget {
            ask: false,
            sudo: false,
            patience: Duration::ZERO,
            env: Vec::new(),
            ..(*self.target).clone()
        };
        rest.hash(&mut hash);
        self.target.control_dir.join(format!("{:016x}", hash.finish()))
    }

    /// Ends the kept connection and its sessions. It is not an error if there is none.
    ///
    /// # Errors
    /// When ssh cannot be run.
    pub async fn close(&self) -> Result<()> {
        self.control("exit").await
    }

    /// Stops the kept connection from taking new sessions, so that the next one gets a new connection; present sessions
    /// go on.
    pub(crate) async fn retire(&self) -> Result<()> {
        self.control("stop").await
    }

    async fn control(&self, what: &str) -> Result<()> {
        if !self.lives() {
            return Ok(());
        }
        let mut command = self.client(&Log::new()?);
        command.args(["-O", what, "--"]).arg(&self.target.host);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut command = tokio::process::Command::from(command);
        let done = tokio::time::timeout(CONTROL_LIMIT, command.kill_on_drop(true).status()).await;
        if !matches!(done, Ok(Ok(status)) if status.success()) {
            // A process that no longer answers is left alone, but nobody will find it here any more.
            let _ = fs::remove_file(self.socket());
        }
        Ok(())
    }

    /// Waits until a session is free.
    pub(crate) async fn session(&self) -> Option<OwnedSemaphorePermit> {
        // The semaphore is never closed.
        self.sessions.clone().acquire_owned().await.ok()
    }

    /// Whether something listens at the socket.
    pub(crate) fn lives(&self) -> bool {
        UnixStream::connect(self.socket()).is_ok()
    }

    /// Makes sure that there is a connection.
    ///
    /// # Errors
    /// `NotAvailable` with ssh's own message: nothing was sent then.
    pub(crate) async fn open(&self) -> Result<Opened> {
        self.target.check().map_err(|what| Error::Settings { what: format!("proxmox.ssh: {what}") })?;
        if !self.target.program.is_file() {
            return Err(self.unreachable(format!("there is no '{}'", self.target.program.display())));
        }
        let dir = &self.target.control_dir;
        private_dir(dir)?;
        if self.lives() {
            return Ok(Opened::Before);
        }
        let limit = if self.target.ask { ASKING_LIMIT } else { self.target.patience };
        let end = Instant::now() + limit;
        // One at a time: an ssh that finds the name taken would stay behind with a connection that nobody can use.
        let _lock = self.lock(end).await?;
        if self.lives() {
            return Ok(Opened::Before);
        }
        let log = Log::new()?;
        let mut command = tokio::process::Command::from(self.master(&log));
        let status = command.kill_on_drop(true).status();
        match tokio::time::timeout_at(end.into(), status).await {
            Err(_) => Err(self.unreachable(format!("no answer within {} s", limit.as_secs_f64()))),
            Ok(Err(error)) => Err(self.unreachable(error.to_string())),
            Ok(Ok(status)) if status.success() => Ok(Opened::Now),
            Ok(Ok(_)) => Err(self.unreachable(log.text())),
        }
    }

    async fn lock(&self, end: Instant) -> Result<File> {
        let path = self.socket().with_extension("lock");
        let failed =
            |source: io::Error| Error::Io { what: format!("cannot lock '{}'", path.display()), source };
        let file = File::options().create(true).append(true).mode(0o600).open(&path).map_err(failed)?;
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(file),
                Err(rustix::io::Errno::WOULDBLOCK) if Instant::now() < end => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                Err(rustix::io::Errno::WOULDBLOCK) => {
                    return Err(self.unreachable("another process has been connecting all the time".into()));
                }
                Err(errno) => return Err(failed(errno.into())),
            }
        }
    }

    /// Returns how a program on the other side is named here: `user@host:program`.
    pub(crate) fn place(&self, program: &Path) -> PathBuf {
        format!("{}:{}", self.target.destination(), program.display()).into()
    }

    /// The error for a node that cannot be reached.
    pub(crate) fn unreachable(&self, text: String) -> Error {
        let text = if text.is_empty() { "ssh said nothing".to_owned() } else { text };
        Error::NotAvailable {
            path: format!("{}:pct", self.target.destination()).into(),
            reason: Unavailable::Unreachable(text),
        }
    }

    fn base(&self, log: &Log) -> Command {
        let mut command = Command::new(&self.target.program);
        pvect_sys::child::inherit_only(&mut command, Vec::new());
        command
            .env_clear()
            .env("LC_ALL", "C.UTF-8")
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .envs(self.target.env.iter().map(|(name, value)| (name, value)))
            .arg("-E")
            .arg(log.path())
            .arg("-S")
            // ssh expands what follows a percent sign.
            .arg(self.socket().display().to_string().replace('%', "%%"));
        command
    }

    /// The command that connects and goes to the background. ssh uses the first value that is given for an option.
    fn master(&self, log: &Log) -> Command {
        let target = &self.target;
        let mut command = self.base(log);
        command.args(["-M", "-f", "-N", "-T"]);
        let mut fixed = vec!["ClearAllForwardings=yes", "PermitLocalCommand=no", "RemoteCommand=none"];
        if !target.ask {
            fixed.push("BatchMode=yes");
        }
        let connect = format!("ConnectTimeout={}", target.patience.as_secs().max(1));
        let defaults =
            [connect.as_str(), "ControlPersist=60", "ServerAliveInterval=15", "ServerAliveCountMax=3"];
        command.args(fixed.iter().flat_map(|option| ["-o", option]));
        command.args(target.own_options());
        command.args(defaults.iter().flat_map(|option| ["-o", option]));
        command.args(["-l", &target.user, "--", &target.host]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// The command for a session. It only uses the socket: it does not read a configuration, and if nothing listens at
    /// the socket, it does not connect by itself.
    fn client(&self, log: &Log) -> Command {
        let mut command = self.base(log);
        let options = ["ControlMaster=no", "ProxyCommand=/bin/false", "BatchMode=yes", "LogLevel=ERROR"];
        command.args(["-F", "/dev/null"]);
        command.args(options.iter().flat_map(|option| ["-o", option]));
        command
    }

    fn on_session(&self, log: &Log, terminal: bool, line: String) -> Command {
        let mut command = self.client(log);
        command.arg(if terminal { "-tt" } else { "-T" }).arg("--").arg(&self.target.host).arg(line);
        command
    }

    /// The command that runs words at the other end between marks.
    pub(crate) fn marked(
        &self,
        log: &Log,
        nonce: &str,
        env: &[(String, String)],
        words: &[String],
    ) -> Command {
        self.on_session(log, false, script::marked(&self.target, nonce, env, words))
    }

    /// The command that runs words on a terminal at the other end.
    pub(crate) fn plain(&self, log: &Log, env: &[(String, String)], words: &[String]) -> Command {
        self.on_session(log, true, script::plain(&self.target, env, words))
    }

    /// The command for a helper; the caller sets its streams.
    pub(super) fn helper(&self, log: &Log, nonce: &str, text: &str, args: &[String]) -> Command {
        self.on_session(log, false, script::helper(&self.target, nonce, text, args))
    }
}

/// FNV-1a: the name of a socket must be the same in every process.
struct Fnv(u64);

impl Hasher for Fnv {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn sockets_are_where_nobody_else_can_put_any() {
        let place = tempfile::tempdir().unwrap();
        let set = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        let (above, dir) = (place.path().join("above"), place.path().join("above/ssh"));
        private_dir(&dir).unwrap();
        let said = || private_dir(&dir).unwrap_err().to_string();
        set(&above, 0o777);
        assert!(said().contains("above' (mode 0777)"), "{}", said());
        // Like /tmp: users cannot rename each other's files.
        set(&above, 0o1777);
        private_dir(&dir).unwrap();
        set(&dir, 0o750);
        assert!(said().contains("must be a directory of this user alone"), "{}", said());
        set(&dir, 0o700);
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(&above, Some(1234), None).unwrap();
            assert!(said().contains("belongs to uid 1234, which could replace it"), "{}", said());
            std::os::unix::fs::chown(&above, Some(0), None).unwrap();
        }
        std::os::unix::fs::symlink(&dir, place.path().join("link")).unwrap();
        assert!(private_dir(&place.path().join("link")).is_err());
        private_dir(&dir).unwrap();
    }

    #[test]
    fn the_socket_is_named_by_where_it_leads() {
        let socket = |change: fn(&mut SshTarget)| {
            let mut target = SshTarget::new("pve2");
            change(&mut target);
            Connection::new(target).socket()
        };
        let same = socket(|_| {});
        assert_eq!(socket(|t| t.ask = true), same);
        assert_ne!(socket(|t| t.host = "pve3".into()), same);
        assert_ne!(socket(|t| t.user = "admin".into()), same);
        assert_ne!(socket(|t| t.port = Some(22)), same);
        assert_ne!(socket(|t| t.options = vec!["HostKeyAlias=x".into()]), same);
        assert_eq!(same.file_name().unwrap().len(), 16);
    }
}
