//! The effective settings, key by key.

use std::path::Path;

use pvect_core::call::MASK;
use serde::Serialize;

use super::{Loaded, Origin, Settings};

/// One key with its value and the origin of the value.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Entry {
    /// The key path.
    pub key: String,
    /// The value; secrets are masked, `null` means unset.
    pub value: serde_json::Value,
    /// Where it came from.
    pub origin: String,
}

/// Returns every key with its effective value; secrets are masked.
pub fn entries(loaded: &Loaded) -> Vec<Entry> {
    values(&loaded.settings)
        .into_iter()
        .map(|(key, value)| {
            // Lists are leaves; an origin is kept for the exact path.
            let origin = loaded.origins.get(&key).unwrap_or(&Origin::Default).to_string();
            Entry { key, value, origin }
        })
        .collect()
}

fn values(settings: &Settings) -> Vec<(String, serde_json::Value)> {
    let Settings { proxmox, runtime } = settings;
    let path = |path: &Option<std::path::PathBuf>| text(path.as_deref().map(Path::to_string_lossy));
    let seconds = |seconds: Option<super::Seconds>| seconds.map(super::Seconds::get).into();
    let mut list: Vec<(&str, serde_json::Value)> = vec![
        ("proxmox.pct_path", path(&proxmox.pct_path)),
        ("proxmox.vzdump_path", path(&proxmox.vzdump_path)),
        ("proxmox.node", text(proxmox.node.as_ref())),
        ("proxmox.timeout", seconds(proxmox.timeout)),
        ("proxmox.timeouts.read", seconds(proxmox.timeouts.read)),
        ("proxmox.timeouts.quick", seconds(proxmox.timeouts.quick)),
        ("proxmox.timeouts.long", seconds(proxmox.timeouts.long)),
        ("proxmox.sudo", proxmox.sudo.into()),
        ("proxmox.standalone", proxmox.standalone.into()),
        ("proxmox.root", path(&proxmox.root)),
        ("proxmox.transport", proxmox.transport.as_str().into()),
        ("proxmox.ssh.host", proxmox.ssh.host.clone().into()),
        ("proxmox.ssh.user", proxmox.ssh.user.clone().into()),
        ("proxmox.ssh.port", proxmox.ssh.port.into()),
        ("proxmox.ssh.identity_file", path(&proxmox.ssh.identity_file)),
        ("proxmox.ssh.options", proxmox.ssh.options.clone().into()),
        ("proxmox.ssh.sudo", proxmox.ssh.sudo.into()),
        ("proxmox.ssh.pct_path", path(&proxmox.ssh.pct_path)),
        ("proxmox.ssh.root", path(&proxmox.ssh.root)),
        ("proxmox.ssh.connect_timeout", seconds(proxmox.ssh.connect_timeout)),
        ("proxmox.ssh.control_dir", path(&proxmox.ssh.control_dir)),
        ("proxmox.ssh.program", path(&proxmox.ssh.program)),
    ];
    list.push(("proxmox.backend", proxmox.backend.as_str().into()));
    list.push(("proxmox.context", proxmox.context.clone().into()));
    let format = match runtime.log_format {
        super::LogFormat::Text => "text",
        super::LogFormat::Json => "json",
    };
    list.extend([
        ("runtime.log_level", runtime.log_level.as_str().into()),
        ("runtime.log_path", path(&runtime.log_path)),
        ("runtime.log_format", format.into()),
        ("runtime.journald", runtime.journald.into()),
    ]);
    let mut list: Vec<(String, serde_json::Value)> =
        list.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    let after = list.iter().rposition(|(key, _)| key.starts_with("proxmox.ssh."));
    let before = after.map_or(list.len(), |last| last + 1);
    list.splice(before..before, nodes(&proxmox.nodes));
    let after = list.iter().rposition(|(key, _)| key.starts_with("proxmox."));
    let before = after.map_or(list.len(), |last| last + 1);
    let mut apis: Vec<_> =
        proxmox.legacy_api.iter().flat_map(|one| api("proxmox.legacy_api", one, false)).collect();
    let each = |(name, one): (&String, &super::Api)| api(&format!("proxmox.contexts.{name}"), one, true);
    apis.extend(proxmox.contexts.iter().flat_map(each));
    let fast = proxmox.fast_path.clone().unwrap_or_default();
    apis.extend([
        ("proxmox.fast_path.token_file".to_owned(), path(&fast.token_file)),
        ("proxmox.fast_path.port".to_owned(), fast.port.into()),
    ]);
    if proxmox.contexts.is_empty() {
        apis.push(("proxmox.contexts".to_owned(), serde_json::Value::Null));
    }
    list.splice(before..before, apis);
    list
}

/// One API; with `only_set`, the keys that are set.
fn api(prefix: &str, api: &super::Api, only_set: bool) -> Vec<(String, serde_json::Value)> {
    let path = |path: &Option<std::path::PathBuf>| text(path.as_deref().map(Path::to_string_lossy));
    [
        ("hosts", api.hosts.clone().into()),
        ("port", api.port.into()),
        ("token", text(api.token.as_ref().map(|_| MASK))),
        ("token_file", path(&api.token_file)),
        ("token_command", api.token_command.clone().into()),
        ("user", api.user.clone().into()),
        ("password_file", path(&api.password_file)),
        ("password_command", api.password_command.clone().into()),
        ("fingerprint", api.fingerprint.clone().into()),
        ("ca_file", path(&api.ca_file)),
        ("node_cache_duration", api.node_cache_duration.into()),
        ("verify_ssl", api.verify_ssl.into()),
        ("timeout", api.timeout.into()),
    ]
    .into_iter()
    .filter(|(_, value): &(_, serde_json::Value)| !only_set || !value.is_null())
    .map(|(key, value)| (format!("{prefix}.{key}"), value))
    .collect()
}

/// What is set for each node; without any, one line that says so.
fn nodes(nodes: &super::Nodes) -> Vec<(String, serde_json::Value)> {
    if nodes.is_empty() {
        return vec![("proxmox.nodes".to_owned(), serde_json::Value::Null)];
    }
    let path = |path: &Option<std::path::PathBuf>| text(path.as_deref().map(Path::to_string_lossy));
    let one = |(name, node): (&pvect_core::NodeName, &super::Node)| {
        let options = if node.options.is_empty() { None } else { Some(node.options.clone()) };
        [
            ("host", node.host.clone().into()),
            ("user", node.user.clone().into()),
            ("port", node.port.into()),
            ("identity_file", path(&node.identity_file)),
            ("options", options.into()),
            ("sudo", node.sudo.into()),
            ("pct_path", path(&node.pct_path)),
            ("root", path(&node.root)),
        ]
        .into_iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(key, value)| (format!("proxmox.nodes.{name}.{key}"), value))
        .collect::<Vec<_>>()
    };
    nodes.iter().flat_map(one).collect()
}

fn text<T: ToString>(value: Option<T>) -> serde_json::Value {
    value.map(|value| value.to_string()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_of_the_schema_is_shown_and_secrets_are_masked() {
        let mut loaded = Loaded::default();
        let api = serde_json::from_str(r#"{"token": "root@pam!x=hunter22"}"#).unwrap();
        loaded.settings.proxmox.legacy_api = Some(api);
        loaded.origins.insert("proxmox.legacy_api.token".into(), Origin::Env("X"));
        let shown = entries(&loaded);
        let json = serde_json::to_string(&shown).unwrap();
        assert!(!json.contains("hunter22"));
        assert!(json.contains(r#"{"key":"proxmox.legacy_api.token","value":"********","origin":"X"}"#));

        let schema = super::super::schema();
        let mut keys = Vec::new();
        for section in super::super::check::keys(&schema, &[]) {
            for key in super::super::check::keys(&schema, &[&section]) {
                let nested = super::super::check::keys(&schema, &[&section, &key]);
                match nested.is_empty() {
                    true => keys.push(format!("{section}.{key}")),
                    false => keys.extend(nested.iter().map(|name| format!("{section}.{key}.{name}"))),
                }
            }
        }
        let mut names: Vec<_> = shown.into_iter().map(|entry| entry.key).collect();
        keys.sort();
        names.sort();
        assert_eq!(names, keys);
    }

    #[test]
    fn what_is_set_for_a_node_is_shown() {
        let mut loaded = Loaded::default();
        let text = r#"{"nodes": {"pve2": {"host": "h", "options": ["A=b"]}, "pve3": {"sudo": false}}}"#;
        loaded.settings.proxmox = serde_json::from_str(text).unwrap();
        let shown: Vec<String> = entries(&loaded)
            .into_iter()
            .filter(|entry| entry.key.starts_with("proxmox.nodes"))
            .map(|entry| format!("{}={}", entry.key, entry.value))
            .collect();
        assert_eq!(
            shown,
            [
                r#"proxmox.nodes.pve2.host="h""#,
                r#"proxmox.nodes.pve2.options=["A=b"]"#,
                "proxmox.nodes.pve3.sudo=false"
            ]
        );
    }
}
