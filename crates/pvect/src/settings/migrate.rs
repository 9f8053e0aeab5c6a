//! Turns the old flat form of the settings into the present one.

use std::fmt;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use pvect_core::{Error, Result};
use serde_json::{Map, Value};

use super::check::FLAT_KEYS;
use super::load::read;

/// One thing that a migration changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The old key path.
    pub from: String,
    /// The new one.
    pub to: String,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} -> {}", self.from, self.to)
    }
}

/// The result of migrating a settings file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migration {
    /// The file.
    pub file: PathBuf,
    /// What was changed; empty when the file had the present form already, and was not touched.
    pub changes: Vec<Change>,
    /// Where the old content is kept.
    pub backup: Option<PathBuf>,
}

/// Moves the keys of the old form to their places; values, including secrets, are kept as they are.
///
/// `proxmox.node` keeps its place. If a new key exists already, it wins and the old one stays, and the check reports
/// it. `proxmox.timeout` was a request's time-out in the old form: it moves too, but only if the file has the old form.
/// Migrating twice changes nothing.
pub fn migrate(value: &mut Value) -> Vec<Change> {
    let Some(proxmox) = value.get_mut("proxmox").and_then(Value::as_object_mut) else { return Vec::new() };
    if !FLAT_KEYS.iter().any(|key| proxmox.contains_key(*key)) {
        return Vec::new();
    }
    let mut api = match proxmox.remove("legacy_api") {
        Some(Value::Object(api)) => api,
        Some(other) => {
            proxmox.insert("legacy_api".into(), other);
            return Vec::new();
        }
        None => Map::new(),
    };
    let mut changes = Vec::new();
    for key in FLAT_KEYS.iter().copied().chain(["timeout"]) {
        let target = if key == "host" { "hosts" } else { key };
        if api.contains_key(target) {
            continue;
        }
        let Some(old) = proxmox.remove(key) else { continue };
        let new = match old {
            Value::String(host) if target == "hosts" => Value::Array(vec![Value::String(host)]),
            other => other,
        };
        api.insert(target.to_owned(), new);
        changes.push(Change { from: format!("proxmox.{key}"), to: format!("proxmox.legacy_api.{target}") });
    }
    if !api.is_empty() {
        proxmox.insert("legacy_api".into(), Value::Object(api));
    }
    changes
}

/// Migrates a file in place: the old content is kept beside it as `.bak`, the new one replaces it atomically
/// with the same mode.
///
/// # Errors
/// When the file cannot be read, is not JSON, or cannot be written; it is unchanged then.
pub fn migrate_file(file: &Path) -> Result<Migration> {
    let mut value = read(file)?;
    let changes = migrate(&mut value);
    if changes.is_empty() {
        return Ok(Migration { file: file.to_owned(), changes, backup: None });
    }
    let failed = |what: &str, path: &Path, source: std::io::Error| Error::Io {
        what: format!("cannot {what} {}", path.display()),
        source,
    };
    // If the file is a symlink, its target is replaced, not the link.
    let file = &file.canonicalize().map_err(|error| failed("read", file, error))?;
    let old_file = fs::metadata(file).map_err(|error| failed("read", file, error))?;
    let old = fs::read(file).map_err(|error| failed("read", file, error))?;
    let backup = free_name(file);
    write_new(&backup, &old, &old_file).map_err(|error| failed("write", &backup, error))?;
    let mut text = serde_json::to_string_pretty(&value)
        .map_err(|error| Error::Settings { what: format!("{}: {error}", file.display()) })?;
    text.push('\n');
    let next = beside(file, &format!("tmp.{}", std::process::id()));
    write_new(&next, text.as_bytes(), &old_file)
        .and_then(|()| fs::rename(&next, file))
        .and_then(|()| fs::File::open(file.parent().unwrap_or(Path::new("/")))?.sync_all())
        .map_err(|error| {
            let _ = fs::remove_file(&next);
            failed("write", file, error)
        })?;
    Ok(Migration { file: file.to_owned(), changes, backup: Some(backup) })
}

/// `config.json.bak`, or the first free of `config.json.bak.1`, ...: an older backup is never overwritten.
fn free_name(file: &Path) -> PathBuf {
    let first = beside(file, "bak");
    if !first.exists() {
        return first;
    }
    (1..u32::MAX).map(|n| beside(file, &format!("bak.{n}"))).find(|path| !path.exists()).unwrap_or(first)
}

fn beside(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    PathBuf::from(name)
}

/// Writes a file that must not exist yet, with owner and mode of another.
fn write_new(path: &Path, bytes: &[u8], like: &fs::Metadata) -> std::io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    fchown(&file, Some(like.uid()), Some(like.gid()))?;
    file.set_permissions(fs::Permissions::from_mode(like.mode() & 0o7777))?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = r#"{"proxmox": {"hosts": ["pve1", "pve2"], "port": 8006, "token": "root@pam!x=hunter22",
        "node": "pve1", "verify_ssl": false, "timeout": 10}, "runtime": {"log_level": "info"}}"#;

    #[test]
    fn the_old_form_becomes_the_new_one() {
        let mut value: Value = serde_json::from_str(OLD).unwrap();
        let changes: Vec<_> = migrate(&mut value).iter().map(ToString::to_string).collect();
        assert_eq!(
            changes,
            [
                "proxmox.hosts -> proxmox.legacy_api.hosts",
                "proxmox.port -> proxmox.legacy_api.port",
                "proxmox.token -> proxmox.legacy_api.token",
                "proxmox.verify_ssl -> proxmox.legacy_api.verify_ssl",
                "proxmox.timeout -> proxmox.legacy_api.timeout",
            ]
        );
        assert_eq!(
            value,
            serde_json::json!({
                "proxmox": {
                    "node": "pve1",
                    "legacy_api": {"hosts": ["pve1", "pve2"], "port": 8006, "token": "root@pam!x=hunter22",
                        "verify_ssl": false, "timeout": 10},
                },
                "runtime": {"log_level": "info"},
            })
        );
        let once = value.clone();
        assert_eq!(migrate(&mut value), []);
        assert_eq!(value, once);
        assert_eq!(super::super::check(Path::new("/none"), &value), []);
    }

    #[test]
    fn a_file_keeps_its_mode_and_a_backup() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("config.json");
        fs::write(&file, OLD).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        let done = migrate_file(&file).unwrap();
        assert_eq!(done.changes.len(), 5);
        let backup = done.backup.unwrap();
        assert_eq!(backup, dir.path().join("config.json.bak"));
        assert_eq!(fs::read_to_string(&backup).unwrap(), OLD);
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
        let text = fs::read(&file).unwrap();
        assert_eq!(migrate_file(&file).unwrap().changes, []);
        assert_eq!(fs::read(&file).unwrap(), text);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }

    #[test]
    fn one_host_becomes_a_list() {
        let mut value = serde_json::json!({"proxmox": {"host": "pve1"}});
        migrate(&mut value);
        assert_eq!(value, serde_json::json!({"proxmox": {"legacy_api": {"hosts": ["pve1"]}}}));
    }
}
