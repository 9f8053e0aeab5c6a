//! The environment of a container: for its program, and for nothing else.
//!
//! LXC 5 and 6.0 set `lxc.environment` before they run hooks, with the host's programs and the guest's files in view. So
//! lxc-start gets none of it: it starts [`pvect_init`], which takes environment and words from a file.

use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

use pvect_core::ContainerConfig;

use super::shell_words;
use crate::idmap::IdMap;
use crate::{Failure, NodeResult};

/// The program of a container whose configuration does not name one.
const INIT: &str = "/sbin/init";

/// Returns whether a container has an environment of its own.
pub(super) fn is_any(config: &ContainerConfig) -> bool {
    !config.main.env.is_empty()
}

/// The files of a container's directory, and where the container has them.
pub(super) fn files(directory: &Path) -> [(PathBuf, &'static str); 2] {
    [(directory.join("init"), pvect_init::PROGRAM_PATH), (directory.join("init.spec"), pvect_init::SPEC_PATH)]
}

/// Writes the init program and what it is to start; without an environment, removes what an earlier start wrote.
///
/// Only the user that the program runs as can read the environment.
///
/// # Errors
/// When a file cannot be written, or the user is not in the container's map.
pub(super) fn prepare(directory: &Path, config: &ContainerConfig) -> NodeResult<()> {
    let [(program, _), (spec, _)] = files(directory);
    if !is_any(config) {
        for path in [&program, &spec] {
            match std::fs::remove_file(path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(Failure::io("can't remove", path, &error));
                }
                _ => {}
            }
        }
        return Ok(());
    }
    let (user, group) = owner(config)?;
    let variables = config.main.env.iter().map(|variable| variable.as_bytes().to_vec()).collect();
    let words = words(config).into_iter().map(String::into_bytes).collect();
    write(&program, pvect_init::PROGRAM, 0o555, (0, 0))?;
    write(&spec, &pvect_init::Spec { words, variables }.to_bytes(), 0o400, (user, group))
}

/// The host's ids of the user that the program runs as.
fn owner(config: &ContainerConfig) -> NodeResult<(u32, u32)> {
    let id = |key: &str| match config.main.raw_values(key).last() {
        None => Ok(0),
        Some(text) => {
            text.parse().map_err(|_| Failure::new(format!("the value '{text}' of '{key}' is not an id")))
        }
    };
    let (user, group): (u32, u32) = (id("lxc.init.uid")?, id("lxc.init.gid")?);
    let map = IdMap::of(config);
    let missing =
        |key: &str, id: u32| Failure::new(format!("the id {id} of '{key}' is not in the container's id map"));
    let user = map.user(user).ok_or_else(|| missing("lxc.init.uid", user))?;
    let group = map.group(group).ok_or_else(|| missing("lxc.init.gid", group))?;
    Ok((user, group))
}

/// The words of the container's program.
fn words(config: &ContainerConfig) -> Vec<String> {
    let section = &config.main;
    let command = section
        .raw_values("lxc.init.cmd")
        .last()
        .or_else(|| section.options.get("entrypoint").map(String::as_str));
    let command = command.unwrap_or(INIT);
    shell_words::split(command)
        .unwrap_or_else(|| command.split_ascii_whitespace().map(str::to_owned).collect())
}

/// Writes a temporary file, which gets its mode and owner before any content, and renames it.
fn write(path: &Path, bytes: &[u8], mode: u32, (user, group): (u32, u32)) -> NodeResult<()> {
    let failed = |error: std::io::Error| Failure::io("can't write", path, &error);
    let directory = path.parent().unwrap_or(Path::new("/"));
    let mut file = tempfile::NamedTempFile::new_in(directory).map_err(failed)?;
    std::io::Write::write_all(&mut file, bytes).map_err(failed)?;
    chown(file.path(), Some(user), Some(group)).map_err(failed)?;
    file.as_file().set_permissions(std::fs::Permissions::from_mode(mode)).map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    Ok(())
}
