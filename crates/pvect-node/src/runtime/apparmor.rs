//! AppArmor, as this machine's kernel and parser know it.

use std::path::Path;
use std::process::{Command, Stdio};

use super::PATH;

/// How a container can be confined here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AppArmor {
    /// The kernel has it not, or it is off.
    Off,
    /// The kernel has it, and nobody can load a profile: the parser is missing, or securityfs is not mounted.
    Unloadable,
    /// LXC makes a profile and loads it; with it come the rules that kernel and parser know.
    On {
        /// POSIX message queues.
        mqueue: bool,
        /// New user namespaces.
        userns: bool,
    },
}

impl AppArmor {
    /// This machine's.
    ///
    /// A rule matters only where the kernel decides by it, and the parser refuses a whole profile for the sake of one
    /// that it does not know: that of Debian 12 knows neither.
    pub(super) fn of_this_machine() -> Self {
        if !is_on() {
            return Self::Off;
        }
        if !is_loadable() {
            return Self::Unloadable;
        }
        let knows = |feature: &str, rule| Path::new(FEATURES).join(feature).exists() && is_parsed(rule);
        Self::On {
            mqueue: knows("ipc/posix_mqueue", "mqueue,"),
            userns: knows("namespaces/userns_create", "userns,"),
        }
    }
}

/// What is to be said at the start of a container that has no profile of its own.
pub(super) fn warning() -> Option<&'static str> {
    let text = "WARNING: AppArmor is on, but no profile can be loaded: the container runs without one \
                (apt-get install apparmor)";
    (is_on() && !is_loadable()).then_some(text)
}

/// Whether containers get a profile here.
pub(super) fn is_confining() -> bool {
    is_on() && is_loadable()
}

fn is_on() -> bool {
    std::fs::read_to_string("/sys/module/apparmor/parameters/enabled").is_ok_and(|text| text.trim() == "Y")
}

fn is_loadable() -> bool {
    Path::new(FEATURES).is_dir()
        && PATH.split(':').any(|directory| Path::new(directory).join(PARSER).is_file())
}

/// What the kernel's AppArmor can. Source: apparmor_parser(8), aa_features.
const FEATURES: &str = "/sys/kernel/security/apparmor/features";
const PARSER: &str = "apparmor_parser";

/// Whether the parser takes a rule; nothing is loaded, no cache is written.
fn is_parsed(rule: &str) -> bool {
    let mut command = Command::new(PARSER);
    command.args(["-Q", "-K"]).env_clear().env("PATH", PATH);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let Ok(mut child) = command.spawn() else { return false };
    if let Some(mut stdin) = child.stdin.take() {
        // A parser that has ended says so by its status.
        let _ =
            std::io::Write::write_all(&mut stdin, format!("profile pvect-asks {{\n {rule}\n}}\n").as_bytes());
    }
    child.wait().is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parser_is_asked() {
        if !PATH.split(':').any(|directory| Path::new(directory).join(PARSER).is_file()) {
            pvect_testkit::skipped(module_path!(), "apparmor_parser is not installed");
            return;
        }
        assert!(is_parsed("mount fstype=ext4,"));
        assert!(!is_parsed("no such rule,"));
    }
}
