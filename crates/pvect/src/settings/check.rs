//! Finds every problem in a settings file.

use std::fmt;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::{Settings, schema};

/// How bad a problem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The file is not used.
    Error,
    /// Worth knowing.
    Warning,
}

/// One problem in a settings file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// The file.
    pub file: PathBuf,
    /// The key path, such as `proxmox.node`; empty when it is about the whole file.
    pub key: String,
    /// What is wrong.
    pub what: String,
    /// What fixes it.
    pub fix: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.file.display())?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.what)?;
        match &self.fix {
            Some(fix) => write!(f, "; {fix}"),
            None => Ok(()),
        }
    }
}

/// Keys of the old flat form, directly below `proxmox`.
pub(super) const FLAT_KEYS: &[&str] = &[
    "hosts",
    "host",
    "port",
    "token",
    "token_file",
    "token_command",
    "fingerprint",
    "verify_ssl",
    "node_cache_duration",
];

/// Finds every problem in a file's content, and checks the mode of the file itself.
pub fn check(file: &Path, value: &Value) -> Vec<Problem> {
    let mut found = Vec::new();
    let mut problem = |severity, key: &str, what: String, fix: Option<String>| {
        found.push(Problem { severity, file: file.to_owned(), key: key.to_owned(), what, fix });
    };
    let Some(top) = value.as_object() else {
        problem(Severity::Error, "", "the file must hold one JSON object".into(), None);
        return found;
    };
    let schema = schema();
    let mut errors = Vec::new();
    for (section, content) in top {
        errors.extend(check_section(&schema, section, content));
    }
    let readable = errors.is_empty();
    for (key, what, fix) in errors {
        problem(Severity::Error, &key, what, fix);
    }
    if let Some(settings) = Some(value).filter(|_| readable) {
        for (key, what) in unreachable(settings) {
            problem(Severity::Error, &key, what, None);
        }
    }
    if has_secret(top) && readable_by_others(file) {
        let fix = format!("chmod 600 {}", file.display());
        let what = "holds a token and can be read by others".to_owned();
        problem(Severity::Warning, "proxmox.legacy_api.token", what, Some(fix));
    }
    found
}

/// A key path, what is wrong, what repairs it.
type Wrong = (String, String, Option<String>);

fn check_section(schema: &Value, section: &str, content: &Value) -> Vec<Wrong> {
    let mut found = Vec::new();
    if !keys(schema, &[]).iter().any(|known| known == section) {
        let (what, fix) = unknown(section, &keys(schema, &[]));
        return vec![(section.to_owned(), what, fix)];
    }
    let known = keys(schema, &[section]);
    let Some(content) = content.as_object() else {
        return vec![(section.to_owned(), "must be an object".into(), None)];
    };
    for (name, value) in content {
        let path = format!("{section}.{name}");
        if section == "proxmox" && FLAT_KEYS.contains(&name.as_str()) {
            let fix = "`pvect settings migrate` moves it to proxmox.legacy_api";
            found.push((path, "this is the old form".into(), Some(fix.into())));
        } else if !known.contains(name) {
            let (what, fix) = unknown(name, &known);
            found.push((path, what, fix));
        } else if let (Some(named), "proxmox", "nodes" | "contexts") =
            (value.as_object(), section, name.as_str())
        {
            let definition = if name == "nodes" { "Node" } else { "Api" };
            let known = properties(schema, &schema["$defs"][definition]);
            for (key, value) in named {
                let leaf_of = |value: Value| leaf(section, name, &json!({ key: value }));
                let path = format!("{path}.{key}");
                match (leaf_of(json!({})), value.as_object()) {
                    (Err(what), _) => found.push((path, what, None)),
                    (_, None) => found.push((path, "must be an object".into(), None)),
                    (_, Some(nested)) => found.extend(check_nested(&path, &known, nested, &leaf_of)),
                }
            }
        } else if let Some(nested) = value.as_object() {
            let known = keys(schema, &[section, name]);
            found.extend(check_nested(&path, &known, nested, &|value| leaf(section, name, &value)));
        } else if let Err(what) = leaf(section, name, value) {
            found.push((path, what, None));
        }
    }
    found
}

/// Checks the keys of an object inside a section; `leaf` takes an object with one of them.
fn check_nested(
    path: &str,
    known: &[String],
    nested: &Map<String, Value>,
    leaf: &dyn Fn(Value) -> Result<(), String>,
) -> Vec<Wrong> {
    let mut found = Vec::new();
    for (key, value) in nested {
        let path = format!("{path}.{key}");
        if !known.contains(key) {
            let (what, fix) = unknown(key, known);
            found.push((path, what, fix));
        } else if let Err(what) = leaf(json!({ key: value })) {
            found.push((path, what, None));
        }
    }
    found
}

/// Values that ssh cannot be given: the key path of the object, and what is wrong in it.
fn unreachable(value: &Value) -> Vec<(String, String)> {
    let Ok(settings) = serde_json::from_value::<Settings>(value.clone()) else { return Vec::new() };
    let proxmox = &settings.proxmox;
    let check = |name: Option<&pvect_core::NodeName>, key: String| {
        let mut node = proxmox.node_through_ssh(name, true);
        node.host.get_or_insert_with(|| "node".to_owned());
        proxmox.ssh_target(&node).check().err().map(|what| (key, what))
    };
    // What an object in `nodes` takes over from `ssh` has been checked already.
    match check(None, "proxmox.ssh".to_owned()) {
        Some(wrong) => vec![wrong],
        None => {
            let names = proxmox.nodes.keys();
            names.filter_map(|name| check(Some(name), format!("proxmox.nodes.{name}"))).collect()
        }
    }
}

fn unknown(name: &str, known: &[String]) -> (String, Option<String>) {
    let nearest = crate::nearest(name, known.iter().map(String::as_str));
    (format!("there is no key '{name}'"), nearest.map(|near| format!("did you mean '{near}'?")))
}

/// Checks one key by reading settings that hold nothing else.
///
/// # Errors
/// Why the value does not fit the key.
pub(super) fn leaf(section: &str, name: &str, value: &Value) -> Result<(), String> {
    let mut inner = Map::new();
    inner.insert(name.to_owned(), value.clone());
    match serde_json::from_value::<Settings>(json!({ section: inner })) {
        Ok(_) => Ok(()),
        // The value itself may be a secret.
        Err(_) if holds_token(value) => Err("must be a string".to_owned()),
        Err(error) => Err(plain_words(&error.to_string())),
    }
}

/// Whether an object has a token, or one of the named objects in it has.
fn holds_token(value: &Value) -> bool {
    let inside = |value: &Value| value.get("token").is_some();
    inside(value) || value.as_object().is_some_and(|named| named.values().any(inside))
}

/// Replaces serde's names of Rust types by words that everybody understands.
fn plain_words(text: &str) -> String {
    let (front, expected) = text.rsplit_once(", expected ").unwrap_or((text, ""));
    let expected = match expected {
        "" => return text.to_owned(),
        "f64" => "a number",
        "u16" => "a whole number from 0 to 65535",
        "u64" => "a whole number",
        "a string" | "path string" => "a text",
        other => other,
    };
    format!("{front}, expected {expected}").replace('`', "'")
}

/// The keys of the object at a path of the schema.
pub(super) fn keys(schema: &Value, path: &[&str]) -> Vec<String> {
    let mut at = schema;
    for step in path {
        at = follow(schema, &at["properties"][step]);
    }
    properties(schema, at)
}

fn properties(schema: &Value, at: &Value) -> Vec<String> {
    let at = follow(schema, at);
    at["properties"].as_object().map(|object| object.keys().cloned().collect()).unwrap_or_default()
}

/// Follows `$ref`, also inside `anyOf` (optional objects).
fn follow<'a>(schema: &'a Value, at: &'a Value) -> &'a Value {
    let at = at["anyOf"]
        .as_array()
        .and_then(|list| list.iter().find(|choice| choice["$ref"].is_string()))
        .unwrap_or(at);
    match at["$ref"].as_str().and_then(|path| path.strip_prefix('#')) {
        Some(pointer) => schema.pointer(pointer).unwrap_or(&Value::Null),
        None => at,
    }
}

fn has_secret(top: &Map<String, Value>) -> bool {
    let proxmox = top.get("proxmox");
    let token =
        |value: Option<&Value>| value.and_then(|value| value.get("token")).is_some_and(Value::is_string);
    let contexts = proxmox.and_then(|value| value.get("contexts")).and_then(Value::as_object);
    token(proxmox)
        || token(proxmox.and_then(|value| value.get("legacy_api")))
        || contexts.is_some_and(|contexts| contexts.values().any(|one| token(Some(one))))
}

fn readable_by_others(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(file).is_ok_and(|meta| meta.permissions().mode() & 0o044 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(value: &Value) -> Vec<String> {
        check(Path::new("/none/c.json"), value).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_problem_is_found_at_once() {
        let value = json!({
            "proxmox": {
                "pct_pth": "/usr/sbin/pct",
                "node": "-bad",
                "hosts": ["a"],
                "timeouts": { "raed": 3, "long": "x" },
                "legacy_api": { "port": 99999, "token": 5 },
            },
            "runtme": {},
            "runtime": { "log_level": "loud" },
        });
        insta::assert_snapshot!(texts(&value).join("\n"), @r#"
        /none/c.json: proxmox.pct_pth: there is no key 'pct_pth'; did you mean 'pct_path'?
        /none/c.json: proxmox.node: '-bad' is not a valid node name: letters, digits and inner hyphens
        /none/c.json: proxmox.hosts: this is the old form; `pvect settings migrate` moves it to proxmox.legacy_api
        /none/c.json: proxmox.timeouts.raed: there is no key 'raed'; did you mean 'read'?
        /none/c.json: proxmox.timeouts.long: invalid type: string "x", expected a number
        /none/c.json: proxmox.legacy_api.port: invalid value: integer '99999', expected a whole number from 0 to 65535
        /none/c.json: proxmox.legacy_api.token: must be a string
        /none/c.json: runtme: there is no key 'runtme'; did you mean 'runtime'?
        /none/c.json: runtime.log_level: unknown variant 'loud', expected one of 'off', 'error', 'warn', 'info', 'debug', 'trace'
        "#);
    }

    #[test]
    fn good_settings_have_no_problem() {
        let value = json!({
            "proxmox": { "pct_path": "/usr/bin/pct", "node": "pve1", "timeout": 30,
                "legacy_api": { "hosts": ["pve1.example.com"], "port": 8006, "token": "user@realm!id=secret",
                    "fingerprint": "AA:BB", "node_cache_duration": 60 } },
            "runtime": { "log_level": "info", "log_path": "/var/log/pvect/pvect.log" },
        });
        assert_eq!(texts(&value), Vec::<String>::new());
    }

    #[test]
    fn nodes_are_checked_key_by_key() {
        let value = json!({
            "proxmox": {
                "transport": "telnet",
                "ssh": { "port": "22", "optins": [] },
                "nodes": { "-x": {}, "pve2": 5, "pve3": { "hst": "h", "user": 1 } },
            },
        });
        insta::assert_snapshot!(texts(&value).join("\n"), @r#"
        /none/c.json: proxmox.transport: unknown variant 'telnet', expected one of 'auto', 'local', 'ssh'
        /none/c.json: proxmox.ssh.port: invalid type: string "22", expected a whole number from 0 to 65535
        /none/c.json: proxmox.ssh.optins: there is no key 'optins'; did you mean 'options'?
        /none/c.json: proxmox.nodes.-x: '-x' is not a valid node name: letters, digits and inner hyphens
        /none/c.json: proxmox.nodes.pve2: must be an object
        /none/c.json: proxmox.nodes.pve3.hst: there is no key 'hst'; did you mean 'host'?
        /none/c.json: proxmox.nodes.pve3.user: invalid type: integer '1', expected a text
        "#);
        let value = json!({
            "proxmox": {
                "ssh": { "user": "admin", "connect_timeout": 5 },
                "nodes": { "pve2": { "host": "-oProxyCommand=x" }, "pve3": { "options": ["ControlPath=/x"] } },
            },
        });
        insta::assert_snapshot!(texts(&value).join("\n"), @r"
        /none/c.json: proxmox.nodes.pve2: host: '-oProxyCommand=x' is not a host name or address
        /none/c.json: proxmox.nodes.pve3: options: ControlPath is set by pvect itself
        ");
    }

    #[test]
    fn a_readable_token_is_a_warning() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("c.json");
        std::fs::write(&file, "{}").unwrap();
        let value = json!({"proxmox": {"legacy_api": {"token": "x"}}});
        for (mode, count) in [(0o600, 0), (0o640, 1), (0o644, 1)] {
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(check(&file, &value).len(), count, "mode {mode:o}");
        }
    }
}
