//! Host keys for the sshd of a guest, made on the host.

use std::path::Path;

use pvect_rootfs::guest::HostKey;

use crate::tool::Tool;
use crate::{Failure, NodeResult};

/// Makes a host key by ssh-keygen(1), in a directory that only root can read.
///
/// # Errors
/// When ssh-keygen is missing or fails.
pub(crate) fn make(kind: &str, comment: &str) -> NodeResult<HostKey> {
    let scratch = tempfile::Builder::new()
        .prefix("pvect-keys-")
        .tempdir()
        .map_err(|error| Failure::io("can't make a directory in", &std::env::temp_dir(), &error))?;
    let file = scratch.path().join("key");
    let mut fingerprint = String::new();
    Tool::new("ssh-keygen", "openssh-client")
        .arg("-f")
        .arg(&file)
        .args(["-t", kind, "-N", "", "-E", "sha256", "-C", comment])
        .stream(&mut |line| {
            if line.starts_with("SHA256:") {
                line.clone_into(&mut fingerprint);
            }
        })?;
    let read =
        |path: &Path| std::fs::read_to_string(path).map_err(|error| Failure::io("can't read", path, &error));
    Ok(HostKey { private: read(&file)?, public: read(&file.with_extension("pub"))?, fingerprint })
}
