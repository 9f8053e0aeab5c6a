//! Which pct is run, and how.

use std::path::PathBuf;
use std::time::Duration;

use pvect_core::Call;
use pvect_core::schema::TimeClass;

use crate::ssh::{Connection, quote};

/// How long a stopped pct has to end by itself before it is killed.
pub const DEFAULT_GRACE: Duration = Duration::from_secs(10);
/// How much of each of stdout and stderr is kept.
pub const DEFAULT_OUTPUT_LIMIT: usize = 16 << 20;

/// How a pct process is started.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Transport {
    /// As the caller's own user, who must be root.
    #[default]
    Local,
    /// Through `sudo -n --`, which never asks for a password.
    Sudo {
        /// The path of sudo.
        program: PathBuf,
    },
    /// On another node, through ssh.
    Ssh(Connection),
}

impl Transport {
    /// Returns the transport through `/usr/bin/sudo`.
    pub fn sudo() -> Self {
        Self::Sudo { program: "/usr/bin/sudo".into() }
    }

    /// Returns the connection to another node, if that is where pct runs.
    pub fn ssh(&self) -> Option<&Connection> {
        match self {
            Self::Ssh(connection) => Some(connection),
            _ => None,
        }
    }
}

/// Which pct is run, and how.
#[derive(Debug, Clone)]
pub struct PctConfig {
    /// The program: `/usr/bin/pct`, or pvect itself for the standalone node.
    pub program: PathBuf,
    /// Words between the program and the verb: `pct` when the program is pvect.
    pub prefix_args: Vec<String>,
    /// Variables on top of the clean environment (`PVECT_ROOT`, `TERM`). Nothing else is inherited.
    pub env: Vec<(String, String)>,
    /// How the process is started.
    pub transport: Transport,
    /// Whether this pct knows `list --output-format json`: ours does, the real one does not.
    pub json_list: bool,
    /// Replaces the time-outs of all verbs; `None` keeps each verb's own.
    pub timeout: Option<Duration>,
    /// How long a stopped pct has to end by itself before it is killed.
    pub grace: Duration,
    /// How many bytes of each of stdout and stderr are kept.
    pub output_limit: usize,
    /// Whether to refuse to start when the caller is not root ([`Transport::Local`] only).
    pub require_root: bool,
}

impl PctConfig {
    /// Makes the configuration for a program, everything else at its default.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            prefix_args: Vec::new(),
            env: Vec::new(),
            transport: Transport::Local,
            json_list: false,
            timeout: None,
            grace: DEFAULT_GRACE,
            output_limit: DEFAULT_OUTPUT_LIMIT,
            require_root: true,
        }
    }

    /// Returns how long the call may take; `None` means no limit.
    ///
    /// The verb's class decides: reads 30 s, quick changes 60 s, long tasks 30 min, `exec`, `enter` and `console` no
    /// limit. A call with an option `timeout` of its own (`shutdown`) gets that time and 30 s more if this is longer.
    /// [`PctConfig::timeout`] replaces all of these.
    pub fn limit(&self, call: &Call) -> Option<Duration> {
        let class = self.limit_of(call.verb().spec().time)?;
        if self.timeout.is_some() {
            return self.timeout;
        }
        let own = call.get("timeout").and_then(|text| text.parse::<u32>().ok());
        let own = own.map(|seconds| Duration::from_secs(u64::from(seconds) + 30));
        Some(own.map_or(class, |own| own.max(class)))
    }

    /// Returns how long a verb of a class may take; `None` means no limit.
    pub(crate) fn limit_of(&self, class: TimeClass) -> Option<Duration> {
        let own = match class {
            TimeClass::Read => Some(Duration::from_secs(30)),
            TimeClass::Quick => Some(Duration::from_secs(60)),
            TimeClass::Long => Some(Duration::from_secs(30 * 60)),
            TimeClass::Unbounded => None,
        };
        self.timeout.or(own)
    }

    /// Returns the whole command line for the words of a call, program first.
    ///
    /// sudo resets the environment, so variables that were given explicitly go through `env`; without any, sudo starts
    /// pct itself, so that a rule that allows only pct is enough. sudo keeps TERM by itself. For ssh the line is what a
    /// person would type; what pvect really runs also has its marks and the clean environment around it.
    pub fn command_line(&self, words: Vec<String>) -> Vec<String> {
        if let Transport::Ssh(connection) = &self.transport {
            let mut line = connection.target().shown();
            let sudo = if connection.target().sudo { &["sudo", "-n", "--"][..] } else { &[] };
            let far: Vec<String> =
                sudo.iter().map(|word| (*word).to_owned()).chain(self.words(words)).collect();
            line.push(quote::line(&far));
            return line;
        }
        let mut line = Vec::new();
        if let Transport::Sudo { program } = &self.transport {
            line.extend([program.display().to_string(), "-n".into(), "--".into()]);
            let mut given = self.env.iter().filter(|(name, _)| name != "TERM").peekable();
            if given.peek().is_some() {
                line.push("/usr/bin/env".into());
                line.extend(given.map(|(name, value)| format!("{name}={value}")));
            }
        }
        line.extend(self.words(words));
        line
    }

    /// Returns the program, its first arguments and the words of a call.
    pub(crate) fn words(&self, words: Vec<String>) -> Vec<String> {
        let mut line = vec![self.program.display().to_string()];
        line.extend(self.prefix_args.iter().cloned());
        line.extend(words);
        line
    }
}

impl Default for PctConfig {
    fn default() -> Self {
        Self::new("/usr/bin/pct")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pvect_core::{Verb, Vmid};

    fn on(verb: Verb) -> Call {
        Call::on(verb, Vmid::MIN)
    }

    #[test]
    fn limits_follow_the_class_the_option_and_the_override() {
        let mut config = PctConfig::default();
        assert_eq!(config.limit(&on(Verb::Status)), Some(Duration::from_secs(30)));
        assert_eq!(config.limit(&on(Verb::Set)), Some(Duration::from_secs(60)));
        assert_eq!(config.limit(&on(Verb::Create)), Some(Duration::from_secs(1800)));
        assert_eq!(config.limit(&on(Verb::Exec)), None);
        let patient = on(Verb::Shutdown).option("timeout", "7200");
        assert_eq!(config.limit(&patient), Some(Duration::from_secs(7230)));
        config.timeout = Some(Duration::from_secs(5));
        assert_eq!(config.limit(&patient), Some(Duration::from_secs(5)));
        assert_eq!(config.limit(&on(Verb::Exec)), Some(Duration::from_secs(5)));
    }

    #[test]
    fn ssh_goes_in_front_and_what_runs_there_is_one_word() {
        let mut target = crate::SshTarget::new("pve2");
        target.port = Some(2222);
        let mut config =
            PctConfig { transport: Transport::Ssh(Connection::new(target.clone())), ..PctConfig::new("pct") };
        let words = || ["exec", "101", "--", "echo", "it's"].map(str::to_owned).to_vec();
        assert_eq!(
            config.command_line(words()),
            ["/usr/bin/ssh", "-p", "2222", "--", "root@pve2", r"pct exec 101 -- echo 'it'\''s'"]
        );
        target.sudo = true;
        config.transport = Transport::Ssh(Connection::new(target));
        assert_eq!(config.command_line(vec!["list".into()])[5], "sudo -n -- pct list");
    }

    #[test]
    fn sudo_goes_in_front_and_carries_given_variables() {
        let mut config = PctConfig { transport: Transport::sudo(), ..PctConfig::default() };
        assert_eq!(
            config.command_line(vec!["list".into()]),
            ["/usr/bin/sudo", "-n", "--", "/usr/bin/pct", "list"]
        );
        config.env = vec![("TERM".into(), "xterm".into())];
        assert_eq!(config.command_line(vec!["list".into()])[2..], ["--", "/usr/bin/pct", "list"]);
        config.env = vec![("PVECT_ROOT".into(), "/srv/a b".into())];
        config.prefix_args = vec!["pct".into()];
        assert_eq!(
            config.command_line(vec!["list".into()])[2..],
            ["--", "/usr/bin/env", "PVECT_ROOT=/srv/a b", "/usr/bin/pct", "pct", "list"]
        );
    }
}
