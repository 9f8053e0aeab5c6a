//! Finds, reads and merges the settings.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use pvect_core::call::shell_quoted;
use pvect_core::{Error, Result};
use serde_json::{Map, Value};

use super::{Problem, Settings, Severity, check};

/// Environment variables that override keys of the file.
pub const ENVIRONMENT: &[(&str, &str)] = &[
    ("PVECT_PCT_PATH", "proxmox.pct_path"),
    ("PVECT_VZDUMP_PATH", "proxmox.vzdump_path"),
    ("PVECT_NODE", "proxmox.node"),
    ("PVECT_TIMEOUT", "proxmox.timeout"),
    ("PVECT_SUDO", "proxmox.sudo"),
    ("PVECT_STANDALONE", "proxmox.standalone"),
    ("PVECT_ROOT", "proxmox.root"),
    ("PVECT_TRANSPORT", "proxmox.transport"),
    ("PVECT_BACKEND", "proxmox.backend"),
    ("PVECT_CONTEXT", "proxmox.context"),
    ("PVECT_LOG_LEVEL", "runtime.log_level"),
    ("PVECT_LOG_PATH", "runtime.log_path"),
    ("PVECT_LOG_FORMAT", "runtime.log_format"),
    ("PVECT_JOURNALD", "runtime.journald"),
];

/// Where settings come from.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// The file that an option named.
    pub file: Option<PathBuf>,
    /// The environment: `PVECT_*`, `XDG_CONFIG_HOME`, `HOME`.
    pub env: BTreeMap<String, String>,
    /// Options: the option as typed, the key path, the value as text.
    pub options: Vec<(&'static str, &'static str, String)>,
    /// The file of the machine; `/etc/pvect/config.json` when unset.
    pub system_file: Option<PathBuf>,
}

/// Where the value of a key came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nowhere: the default.
    Default,
    /// The settings file.
    File(PathBuf),
    /// An environment variable.
    Env(&'static str),
    /// An option of the command.
    Option(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Env(name) => f.write_str(name),
            Self::Option(name) => f.write_str(name),
        }
    }
}

/// Settings with where they came from.
#[derive(Debug, Clone, Default)]
pub struct Loaded {
    /// The settings.
    pub settings: Settings,
    /// The file that was read.
    pub file: Option<PathBuf>,
    /// The origin of each key path that was set.
    pub origins: BTreeMap<String, Origin>,
    /// Problems that do not stop anything.
    pub warnings: Vec<Problem>,
}

/// Returns the settings file to read: the one that an option or `PVECT_CONFIG` names, whether it exists or not;
/// otherwise the user's if it exists, or else the machine's. Never one in the working directory.
pub fn find(sources: &Sources) -> Option<PathBuf> {
    let set = |name: &str| sources.env.get(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(path) = sources.file.clone().or_else(|| set("PVECT_CONFIG")) {
        return Some(path);
    }
    let user = set("XDG_CONFIG_HOME")
        .filter(|dir| dir.is_absolute())
        .or_else(|| set("HOME").filter(|dir| dir.is_absolute()).map(|home| home.join(".config")))
        .map(|dir| dir.join("pvect/config.json"));
    let system = sources.system_file.clone().unwrap_or_else(|| PathBuf::from("/etc/pvect/config.json"));
    [user, Some(system)].into_iter().flatten().find(|path| path.exists())
}

/// Reads and merges the settings.
///
/// # Errors
/// [`Error::Settings`] with every problem, each with file, key path and fix.
pub fn load(sources: &Sources) -> Result<Loaded> {
    let file = find(sources);
    let mut loaded = Loaded { file: file.clone(), ..Loaded::default() };
    let mut value = match &file {
        Some(path) => read(path)?,
        None => Value::Object(Map::new()),
    };
    if let Some(path) = &file {
        let (fatal, warnings): (Vec<_>, Vec<_>) =
            check(path, &value).into_iter().partition(|problem| problem.severity == Severity::Error);
        if !fatal.is_empty() {
            return Err(problems(&fatal));
        }
        loaded.warnings = warnings;
        leaves(&value, "", &mut |key| {
            loaded.origins.insert(key, Origin::File(path.clone()));
        });
    }
    for (name, key) in ENVIRONMENT {
        if let Some(text) = sources.env.get(*name).filter(|text| !text.is_empty()) {
            apply(&mut value, key, text).map_err(|what| wrong(name, &what))?;
            loaded.origins.insert((*key).to_owned(), Origin::Env(name));
        }
    }
    for (name, key, text) in &sources.options {
        apply(&mut value, key, text).map_err(|what| wrong(name, &what))?;
        loaded.origins.insert((*key).to_owned(), Origin::Option(name));
    }
    loaded.settings = serde_json::from_value(value).map_err(|error| wrong("settings", &error.to_string()))?;
    Ok(loaded)
}

fn wrong(name: &str, what: &str) -> Error {
    Error::Settings { what: format!("{name}: {what}") }
}

fn problems(list: &[Problem]) -> Error {
    Error::Settings { what: list.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n") }
}

/// Reads a settings file. Root only reads a file that nobody else owns or may write, because settings name programs to
/// be run.
///
/// # Errors
/// [`Error::Settings`] when it cannot be read, belongs to somebody else, or is not JSON.
pub fn read(path: &Path) -> Result<Value> {
    let failed = |error: std::io::Error| wrong(&path.display().to_string(), &os(&error));
    let mut file = File::open(path).map_err(failed)?;
    if rustix::process::geteuid().is_root() {
        // Check the open file, because the name may lead to another one by now.
        let meta = file.metadata().map_err(failed)?;
        check_owner(path, meta.uid(), meta.mode())?;
    }
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(failed)?;
    serde_json::from_str(&text).map_err(|error| {
        wrong(&format!("{}:{}:{}", path.display(), error.line(), error.column()), &json_words(&error))
    })
}

/// If we are root, refuses a file that others own or may write.
fn check_owner(path: &Path, owner: u32, mode: u32) -> Result<()> {
    let file = path.display();
    let named = shell_quoted(&[file.to_string()]);
    if owner != 0 {
        let what = format!(
            "it belongs to uid {owner}, and root takes no settings from others: \
             `chown root {named}` if you trust it; sudo without -E, or --settings, chooses another file"
        );
        return Err(wrong(&file.to_string(), &what));
    }
    if mode & 0o022 != 0 {
        let what = format!(
            "others may write it (mode {:04o}), and root takes no settings from others: `chmod go-w {named}`",
            mode & 0o7777
        );
        return Err(wrong(&file.to_string(), &what));
    }
    Ok(())
}

fn json_words(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let text = text.split(" at line ").next().unwrap_or_default();
    format!("this is not JSON: {text}")
}

pub(super) fn os(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

/// Sets a key from its text and checks that the value fits.
fn apply(value: &mut Value, key: &str, text: &str) -> Result<(), String> {
    let Some((section, name)) = key.split_once('.') else { return Err(format!("'{key}' is not a key path")) };
    let leaf = match key {
        "proxmox.sudo" | "proxmox.standalone" | "runtime.journald" => Value::Bool(boolean(text)?),
        "proxmox.timeout" => {
            let seconds: super::Seconds = text.parse()?;
            serde_json::Number::from_f64(seconds.get()).map_or(Value::Null, Value::Number)
        }
        _ => Value::String(text.to_owned()),
    };
    check::leaf(section, name, &leaf)?;
    if let Some(object) = value.as_object_mut() {
        let entry = object.entry(section).or_insert_with(|| Value::Object(Map::new()));
        if let Some(section) = entry.as_object_mut() {
            section.insert(name.to_owned(), leaf);
        }
    }
    Ok(())
}

fn boolean(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "yes" | "on" | "true" => Ok(true),
        "0" | "no" | "off" | "false" => Ok(false),
        _ => Err(format!("'{text}' is not a boolean (1/yes/on/true or 0/no/off/false)")),
    }
}

/// Calls `found` with the path of every leaf.
pub(super) fn leaves(value: &Value, path: &str, found: &mut dyn FnMut(String)) {
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                leaves(value, &path, found);
            }
        }
        _ => found(path.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_takes_no_settings_from_others() {
        let path = Path::new("/home/other/.config/pvect/config.json");
        assert!(check_owner(path, 0, 0o100_644).is_ok() && check_owner(path, 0, 0o100_600).is_ok());
        let text = |owner, mode| check_owner(path, owner, mode).unwrap_err().to_string();
        let foreign = text(1000, 0o100_600);
        assert!(
            foreign.contains("belongs to uid 1000") && foreign.contains("`chown root /home/"),
            "{foreign}"
        );
        let writable = text(0, 0o100_664);
        assert!(writable.contains("(mode 0664)") && writable.contains("`chmod go-w /home/"), "{writable}");
        assert!(text(0, 0o100_602).contains("(mode 0602)"));
    }

    #[test]
    fn what_is_read_is_looked_at() {
        use std::os::unix::fs::{PermissionsExt, chown};
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("config.json");
        std::fs::write(&file, "{}").unwrap();
        read(&file).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o666)).unwrap();
        assert!(read(&file).is_err());
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
        chown(&file, Some(1234), None).unwrap();
        assert!(read(&file).unwrap_err().to_string().contains("belongs to uid 1234"));
    }

    fn sources(dir: &Path, text: &str, env: &[(&str, &str)]) -> Sources {
        let file = dir.join("config.json");
        std::fs::write(&file, text).unwrap();
        let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Sources { file: Some(file), env, ..Sources::default() }
    }

    #[test]
    fn options_win_over_the_environment_and_that_over_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let text = r#"{"proxmox": {"node": "pve1", "timeout": 5, "pct_path": "/a"}}"#;
        let mut sources = sources(dir.path(), text, &[("PVECT_NODE", "pve2"), ("PVECT_TIMEOUT", "7")]);
        sources.options.push(("--timeout", "proxmox.timeout", "9".into()));
        let loaded = load(&sources).unwrap();
        let proxmox = &loaded.settings.proxmox;
        assert_eq!(proxmox.node.as_ref().map(ToString::to_string).as_deref(), Some("pve2"));
        assert_eq!(proxmox.timeout.map(super::super::Seconds::get), Some(9.0));
        assert_eq!(proxmox.pct_path.as_deref(), Some(Path::new("/a")));
        assert_eq!(loaded.origins["proxmox.node"], Origin::Env("PVECT_NODE"));
        assert_eq!(loaded.origins["proxmox.timeout"], Origin::Option("--timeout"));
        assert!(matches!(loaded.origins["proxmox.pct_path"], Origin::File(_)));
    }

    #[test]
    fn the_working_directory_is_never_looked_at() {
        let dir = tempfile::tempdir().unwrap();
        let nothing = dir.path().join("none.json");
        let mut sources = Sources { system_file: Some(nothing.clone()), ..Sources::default() };
        sources.env.insert("XDG_CONFIG_HOME".into(), "relative".into());
        assert_eq!(find(&sources), None);
        std::fs::create_dir_all(dir.path().join(".config/pvect")).unwrap();
        let user = dir.path().join(".config/pvect/config.json");
        std::fs::write(&user, "{}").unwrap();
        sources.env.insert("HOME".into(), dir.path().display().to_string());
        assert_eq!(find(&sources), Some(user));
    }

    #[test]
    fn bad_values_name_their_origin() {
        let dir = tempfile::tempdir().unwrap();
        let error = load(&sources(dir.path(), "{}", &[("PVECT_TIMEOUT", "soon")])).unwrap_err();
        assert_eq!(error.to_string(), "PVECT_TIMEOUT: 'soon' is not a time in seconds");
        let error = load(&sources(dir.path(), "{}", &[("PVECT_NODE", "-x")])).unwrap_err();
        assert_eq!(
            error.to_string(),
            "PVECT_NODE: '-x' is not a valid node name: letters, digits and inner hyphens"
        );
        let error = load(&sources(dir.path(), "{\n  nope", &[])).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "{}:2:3: this is not JSON: key must be a string",
                dir.path().join("config.json").display()
            )
        );
    }
}
