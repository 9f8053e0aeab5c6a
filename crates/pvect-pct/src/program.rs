//! Whether there is a pct to run.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use pvect_core::error::Unavailable;
use pvect_core::{Error, Result};

use crate::config::{PctConfig, Transport};

/// Checks that the program is an executable file and that the caller may run it.
///
/// A program that only root can see is not missing for sudo, so a directory that may not be read is not an error there.
///
/// A program on another node cannot be checked from here; running it shows whether it exists.
pub(crate) fn check(config: &PctConfig) -> Result<()> {
    if matches!(config.transport, Transport::Ssh(_)) {
        return Ok(());
    }
    executable(&config.program, matches!(config.transport, Transport::Sudo { .. }))?;
    match &config.transport {
        Transport::Local if config.require_root && !rustix::process::geteuid().is_root() => {
            Err(Error::PermissionDenied {
                what: format!("only root may run '{}', and this is not root", config.program.display()),
            })
        }
        Transport::Sudo { program } if executable(program, false).is_err() => Err(Error::NotAvailable {
            path: config.program.clone(),
            reason: Unavailable::Sudo(format!("there is no '{}'", program.display())),
        }),
        _ => Ok(()),
    }
}

/// Returns where another program of the node is: beside pct, or else where the node keeps its programs. A path is used
/// as it is.
pub(crate) fn find_beside(pct: &Path, name: &str) -> Option<PathBuf> {
    if name.contains('/') {
        return Some(name.into());
    }
    let beside = pct.parent().filter(|dir| dir.is_absolute());
    let usual = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"].into_iter().map(Path::new);
    beside.into_iter().chain(usual).map(|dir| dir.join(name)).find(|path| executable(path, false).is_ok())
}

fn executable(path: &Path, hidden_is_fine: bool) -> Result<()> {
    let unavailable = |reason| Err(Error::NotAvailable { path: path.to_owned(), reason });
    match path.metadata() {
        Ok(data) if data.is_file() && data.permissions().mode() & 0o111 != 0 => Ok(()),
        Ok(_) => unavailable(Unavailable::NotExecutable),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied && hidden_is_fine => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(Error::PermissionDenied {
            what: format!("'{}' cannot be looked at: {error}", path.display()),
        }),
        Err(_) => unavailable(Unavailable::Missing),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_and_not_executable_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pct");
        let error = |path: &Path| executable(path, false).unwrap_err().to_string();
        assert_eq!(error(&path), format!("there is no pct at '{}'", path.display()));
        std::fs::write(&path, "").unwrap();
        assert_eq!(error(&path), format!("'{}' is not an executable file", path.display()));
        assert_eq!(error(dir.path()), format!("'{}' is not an executable file", dir.path().display()));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        assert!(executable(&path, false).is_ok());
    }

    #[test]
    fn another_program_is_looked_for_beside_pct_first() {
        let dir = tempfile::tempdir().unwrap();
        let pct = dir.path().join("pct");
        assert_eq!(find_beside(&pct, "no-such-program"), None);
        assert!(find_beside(&pct, "sh").is_some_and(|path| !path.starts_with(dir.path())));
        let beside = dir.path().join("sh");
        std::fs::write(&beside, "").unwrap();
        assert!(find_beside(&pct, "sh").is_some_and(|path| path != beside), "it cannot be run");
        std::fs::set_permissions(&beside, std::fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(find_beside(&pct, "sh"), Some(beside));
        assert_eq!(find_beside(&pct, "/opt/sh"), Some("/opt/sh".into()));
    }

    #[test]
    fn missing_sudo_names_sudo() {
        let config = PctConfig {
            transport: Transport::Sudo { program: "/no/such/sudo".into() },
            ..PctConfig::new("/bin/sh")
        };
        assert_eq!(
            check(&config).unwrap_err().to_string(),
            "sudo cannot run '/bin/sh': there is no '/no/such/sudo'"
        );
    }
}
