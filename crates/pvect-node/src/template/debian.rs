//! A Debian template, made by mmdebstrap.

use std::path::Path;

use super::Unfinished;
use crate::interrupt::Interrupt;
use crate::storage::Template;
use crate::tool::Tool;
use crate::{Failure, Node, NodeResult};

/// The default suite.
pub const DEFAULT_SUITE: &str = "bookworm";
/// Debian's suites and their numbers.
const SUITES: &[(&str, &str)] = &[
    ("buster", "10"),
    ("bullseye", "11"),
    ("bookworm", "12"),
    ("trixie", "13"),
    ("forky", "14"),
    ("sid", "sid"),
    ("stable", "stable"),
    ("testing", "testing"),
    ("unstable", "sid"),
];
/// Packages in addition to the variant minbase: an init, and what `/etc/network/interfaces` needs.
const PACKAGES: &str = "systemd-sysv,ifupdown,iproute2,udhcpc";
/// Files that containers do not need. Locales and manuals are half of a small system.
const EXCLUDED: &[&str] =
    &["/usr/share/doc/*", "/usr/share/man/*", "/usr/share/info/*", "/usr/share/locale/*"];

/// Builds a Debian template of a suite (`bookworm`, `trixie`, ...) from Debian's mirror.
///
/// Takes about as long as the download and unpacking of some 60 packages: half a minute to two. `progress` gets
/// the lines that mmdebstrap prints.
///
/// # Errors
/// When the suite has an impossible name, mmdebstrap is not installed (`mmdebstrap is not installed: apt-get
/// install mmdebstrap`) or fails, or a signal came; nothing is left then.
pub fn build_debian(node: &Node, suite: &str, progress: &mut dyn FnMut(&str)) -> NodeResult<Template> {
    if suite.is_empty() || !suite.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-') {
        return Err(Failure::new(format!(
            "'{suite}' is not the name of a Debian suite, such as {DEFAULT_SUITE}"
        )));
    }
    let keyring = Path::new("/usr/share/keyrings/debian-archive-keyring.gpg");
    if !keyring.exists() {
        let text = "Debian's keys are not installed: apt-get install debian-archive-keyring";
        return Err(Failure::new(text));
    }
    let number = SUITES.iter().find(|(name, _)| *name == suite).map_or(suite, |(_, number)| number);
    let name = format!("debian-{number}-pvect_{}_{}.tar.zst", today(), architecture());
    let unfinished = Unfinished::begin(node, name)?;
    let interrupt = Interrupt::watch();
    progress(&format!("building Debian {suite} with mmdebstrap"));
    let mut tool = Tool::new("mmdebstrap", "mmdebstrap")
        .args(["--mode=root", "--variant=minbase", "--format=tar"])
        .arg(format!("--include={PACKAGES}"))
        .args(["--aptopt=Acquire::Languages \"none\"", "--aptopt=APT::Install-Recommends \"false\""])
        .args(["--dpkgopt=force-unsafe-io"]);
    for path in EXCLUDED {
        tool = tool.arg(format!("--dpkgopt=path-exclude={path}"));
    }
    for name in ["http_proxy", "https_proxy", "no_proxy", "APT_CONFIG", "TMPDIR"] {
        if let Some(value) = std::env::var_os(name) {
            tool = tool.env(name, value);
        }
    }
    let built = tool.arg(suite).arg(unfinished.path()).until(&interrupt).lines_of_stderr().stream(progress);
    // If we stopped mmdebstrap, its message is not the reason.
    interrupt.check()?;
    built?;
    unfinished.finish()
}

fn today() -> String {
    jiff::Zoned::now().strftime("%Y%m%d").to_string()
}

/// The host's architecture in Debian's words: mmdebstrap builds for it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "i386",
        "arm" => "armhf",
        other => other,
    }
}
