//! AppArmor, as this machine's kernel and parser know it.

use std::path::Path;
use std::process::{Command, Stdio};

use super::PATH;

/// How a container can be confined here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AppArmor {
    /// The kernel does not have AppArmor, or it is off.
    Off,
    /// The kernel has it, but profiles cannot be loaded: the parser is missing, or securityfs is not mounted.
    Unloadable,
    /// LXC makes a profile and loads it; these are the rules that both kernel and parser support.
    On {
        /// POSIX message queues.
        mqueue: bool,
        /// New user namespaces.
        userns: bool,
    },
}

impl AppArmor {
    /// Returns what this machine supports.
    ///
    /// A rule only matters if the kernel enforces it, and the parser refuses a whole profile because of one rule that
    /// it does not know. The parser of Debian 12 knows neither of these rules.
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

/// The warning at the start of a container that gets no profile.
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

/// The features of the kernel's AppArmor. Source: apparmor_parser(8), aa_features.
const FEATURES: &str = "/sys/kernel/security/apparmor/features";
const PARSER: &str = "apparmor_parser";

/// Whether the parser accepts a rule. Nothing is loaded, and no cache is written.
fn is_parsed(rule: &str) -> bool {
    let mut command = Command::new(PARSER);
    command.args(["-Q", "-K"]).env_clear().env("PATH", PATH);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let Ok(mut child) = command.spawn() else { return false };
    if let Some(mut stdin) = child.stdin.take() {
        // If the parser has ended already, its status says why.
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
