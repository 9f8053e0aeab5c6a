//! pct on another node, through `/usr/bin/ssh`.
//!
//! **One connection.** The first run starts an ssh that connects and stays in the background (a ControlMaster); every
//! run after it, of this process and of later ones of the same user, is a session on that connection, until nothing
//! has used it for a minute. Its socket has a name made of everything that decides where it leads, in a directory
//! that only its owner may enter. Configuration, keys, agent and host key checking are ssh's own affair: nothing here
//! touches `StrictHostKeyChecking` or a file of known hosts. (That is why the crate `openssh` is not used: it always
//! sets `StrictHostKeyChecking`, and gives neither options nor the text of ssh's errors through.)
//!
//! **One line.** ssh hands one text to the login shell at the other end, which must be a POSIX shell. Each word in it
//! went through [`quote`](quote::quote). The text runs a constant script under `/bin/sh` with everything variable in
//! its arguments, so the shell sees words and never code.
//!
//! **Never sent, or may have run.** The script writes a mark with a random number to stdout and stderr, then waits
//! for one line on stdin, and only then runs pct. So a command whose line was not written yet has certainly not run,
//! and may be tried again on a new connection; one whose line was written may have run. When pct has ended, the script
//! writes the mark again with the status: a status of 255 is pct's when it stands there, and ssh's when it does not.
//! What comes before the first mark is the noise of a login shell and is left out.
//!
//! **Stopping.** ssh passes no signals on. The first mark names pct's process, so a second session on the connection
//! reads the other side's process table, and signals are sent as on this side: SIGTERM to pct, then SIGKILL to all
//! that belongs to it.
//!
//! **Secrets** travel on stdin, after the line that starts pct; they are in no argv on either side.

mod connection;
mod files;
mod frame;
pub(crate) mod quote;
mod script;

pub use connection::Connection;
pub(crate) use connection::Opened;
pub(crate) use connection::log::Log;
pub(crate) use files::{Parcel, Trouble, sha256};
pub(crate) use frame::Frame;
pub(crate) use script::{GO, nonce};

use std::path::PathBuf;
use std::time::Duration;

/// Where ssh leads, and how.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SshTarget {
    /// The program.
    pub program: PathBuf,
    /// The host: a name, an address, or a `Host` of ssh's configuration.
    pub host: String,
    /// The user at the other end.
    pub user: String,
    /// The port; ssh's own default when unset.
    pub port: Option<u16>,
    /// A private key to try first.
    pub identity_file: Option<PathBuf>,
    /// Options of ssh_config(5), each `Name=value`. Options that pvect needs for itself take precedence.
    pub options: Vec<String>,
    /// Where the sockets of kept connections are. Made when missing; must be the caller's own, mode 0700.
    pub control_dir: PathBuf,
    /// Variables of ssh's own environment, such as `SSH_AUTH_SOCK`. Nothing else is inherited.
    pub env: Vec<(String, String)>,
    /// Whether ssh may ask on the terminal for a passphrase, a password or a host key.
    pub ask: bool,
    /// Whether pct is run through `sudo -n` at the other end.
    pub sudo: bool,
    /// How long connecting may take, and how long the other end may stay silent before pct is started there.
    pub patience: Duration,
}

/// How long connecting may take when nothing else is set.
pub const DEFAULT_PATIENCE: Duration = Duration::from_secs(20);

impl SshTarget {
    /// Makes a target: root at this host, everything else at its default.
    pub fn new(host: impl Into<String>) -> Self {
        Self {
            program: "/usr/bin/ssh".into(),
            host: host.into(),
            user: "root".into(),
            port: None,
            identity_file: None,
            options: Vec::new(),
            control_dir: default_control_dir(),
            env: Vec::new(),
            ask: false,
            sudo: false,
            patience: DEFAULT_PATIENCE,
        }
    }

    /// Returns `user@host`.
    pub fn destination(&self) -> String {
        format!("{}@{}", self.user, self.host)
    }

    /// Checks for values that ssh would misread, for example as an option.
    ///
    /// # Errors
    /// What is wrong, naming the field.
    pub fn check(&self) -> Result<(), String> {
        let odd = |text: &str| {
            text.is_empty()
                || text.starts_with('-')
                || text.contains(|c: char| {
                    c.is_whitespace() || c.is_control() || "@'\"`$\\;&<>|(){}/".contains(c)
                })
        };
        if odd(&self.host) {
            return Err(format!("host: '{}' is not a host name or address", self.host));
        }
        if odd(&self.user) {
            return Err(format!("user: '{}' is not a user name", self.user));
        }
        for option in &self.options {
            let name = option.split_once('=').map(|(name, _)| name).unwrap_or_default();
            if name.is_empty()
                || !name.bytes().all(|b| b.is_ascii_alphanumeric())
                || option.contains(['\n', '\0'])
            {
                return Err(format!("options: '{option}' is not of the form Name=value"));
            }
            let taken =
                ["ControlMaster", "ControlPath", "RemoteCommand", "RequestTTY", "SessionType", "LogLevel"];
            if let Some(taken) = taken.iter().find(|taken| taken.eq_ignore_ascii_case(name)) {
                return Err(format!("options: {taken} is set by pvect itself"));
            }
        }
        let dir = self.control_dir.to_string_lossy();
        if !self.control_dir.is_absolute() || dir.contains("${") {
            return Err(format!("control_dir: '{dir}' is not an absolute path"));
        }
        if dir.len() > connection::DIR_LIMIT {
            return Err(format!("control_dir: '{dir}' is longer than {} bytes", connection::DIR_LIMIT));
        }
        Ok(())
    }

    /// The command line that a person would type: ssh, its options, the destination.
    pub(crate) fn shown(&self) -> Vec<String> {
        let mut words = vec![self.program.display().to_string()];
        words.extend(self.own_options());
        words.extend(["--".to_owned(), self.destination()]);
        words
    }

    /// The options that the settings add to ssh's command line.
    fn own_options(&self) -> Vec<String> {
        let mut words = Vec::new();
        for option in &self.options {
            words.extend(["-o".to_owned(), option.clone()]);
        }
        if let Some(port) = self.port {
            words.extend(["-p".to_owned(), port.to_string()]);
        }
        if let Some(file) = &self.identity_file {
            words.extend(["-i".to_owned(), file.display().to_string()]);
        }
        words
    }
}

/// The default directory for sockets: below `/run`, where nothing survives a reboot.
fn default_control_dir() -> PathBuf {
    let uid = rustix::process::geteuid();
    let user = PathBuf::from(format!("/run/user/{}", uid.as_raw()));
    match () {
        () if uid.is_root() => "/run/pvect/ssh".into(),
        () if user.is_dir() => user.join("pvect/ssh"),
        () => format!("/tmp/pvect-{}/ssh", uid.as_raw()).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_ssh_would_take_for_an_option_goes_through() {
        let check = |change: fn(&mut SshTarget)| {
            let mut target = SshTarget::new("pve2");
            change(&mut target);
            target.check().err().unwrap_or_default()
        };
        assert_eq!(check(|_| {}), "");
        assert_eq!(check(|t| t.host = "fe80::1%eth0".into()), "");
        assert_eq!(
            check(|t| t.host = "-oProxyCommand=x".into()),
            "host: '-oProxyCommand=x' is not a host name or address"
        );
        assert_eq!(check(|t| t.host = String::new()), "host: '' is not a host name or address");
        assert_eq!(check(|t| t.user = "a b".into()), "user: 'a b' is not a user name");
        assert_eq!(
            check(|t| t.options = vec!["Port".into()]),
            "options: 'Port' is not of the form Name=value"
        );
        assert_eq!(
            check(|t| t.options = vec!["controlpath=/x".into()]),
            "options: ControlPath is set by pvect itself"
        );
        assert_eq!(check(|t| t.options = vec!["StrictHostKeyChecking=yes".into()]), "");
        assert_eq!(check(|t| t.control_dir = "x".into()), "control_dir: 'x' is not an absolute path");
        assert_eq!(
            check(|t| t.control_dir = format!("/{}", "x".repeat(80)).into()),
            format!("control_dir: '/{}' is longer than 70 bytes", "x".repeat(80))
        );
    }
}
