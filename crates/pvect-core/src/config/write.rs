//! Prints the file, and the output of `pct config`.

use std::collections::BTreeSet;
use std::fmt::Write;

use sha1::{Digest, Sha1};

use super::parse::NEVER_KEPT;
use super::pending::{parse_delete, print_delete};
use super::{ConfigError, ContainerConfig, Section, encode};
use crate::property::MountSource;

impl ContainerConfig {
    /// Prints the configuration file, in Proxmox VE's own order.
    ///
    /// Like Proxmox VE, it leaves out: `unused[n]` whose volume is in use again, `snapstate` of the main section, an
    /// empty pending section.
    ///
    /// # Errors
    /// When a value holds a line break.
    pub fn to_text(&self) -> Result<String, ConfigError> {
        let used: BTreeSet<String> = self
            .main
            .volumes()
            .into_iter()
            .filter_map(|(_, volume)| match volume.fs.source {
                MountSource::Volume(volid) => Some(volid),
                source @ MountSource::Allocate { .. } => Some(source.to_string()),
                MountSource::Device(_) | MountSource::Bind(_) => None,
            })
            .collect();
        let skip = |key: &str, value: &str| {
            key == "snapstate" || (key.starts_with("unused") && used.contains(value))
        };
        let mut text = String::new();
        self.main.write(&mut text, &skip)?;
        let keep = |_: &str, _: &str| false;
        if let Some(pending) = self.pending.as_ref().filter(|pending| !pending.is_empty()) {
            text += "\n[pve:pending]\n";
            pending.write(&mut text, &keep)?;
        }
        for (name, section) in &self.snapshots {
            text += &format!("\n[{name}]\n");
            section.write(&mut text, &keep)?;
        }
        Ok(text)
    }

    /// Returns the digest of a file's raw bytes: SHA-1, lower-case hex.
    pub fn digest(bytes: &[u8]) -> String {
        let mut digest = String::with_capacity(40);
        for byte in Sha1::digest(bytes) {
            // Writing to a String cannot fail.
            let _ = write!(digest, "{byte:02x}");
        }
        digest
    }
}

impl Section {
    /// Prints `key: value` lines as `pct config` does: options sorted as bytes, then raw lines in file order.
    ///
    /// The description is percent-encoded on one line; entries of `env` are joined with NUL.
    pub fn to_output(&self) -> String {
        let mut output = String::new();
        for key in self.keys() {
            let value = self.get(key).unwrap_or_default();
            output += &match key {
                "description" => format!("{key}: {}\n", encode(&value)),
                _ => format!("{key}: {value}\n"),
            };
        }
        for (key, value) in &self.raw {
            output += &format!("{key}: {value}\n");
        }
        output
    }

    fn write(&self, text: &mut String, skip: &dyn Fn(&str, &str) -> bool) -> Result<(), ConfigError> {
        let description = self.description.as_deref().unwrap_or_default().trim_end_matches('\n');
        for line in description.split('\n').filter(|_| !description.is_empty()) {
            *text += &format!("#{}\n", encode(line));
        }
        let delete = self.delete_line();
        let mut lines: Vec<(&str, &str)> =
            self.options.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        if let Some(value) = &delete {
            lines.push(("delete", value));
            lines.sort_by_key(|(key, _)| *key);
        }
        let kept = |(key, value): &(&str, &str)| !NEVER_KEPT.contains(key) && !skip(key, value);
        let env = self.env.iter().map(|entry| ("lxc.environment.runtime", entry.as_str()));
        let raw = self.raw.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        for (key, value) in lines.into_iter().filter(kept).chain(env).chain(raw) {
            if value.contains('\n') || key.contains('\n') {
                return Err(ConfigError::LineBreak { key: key.to_owned() });
            }
            *text += &format!("{key}: {value}\n");
        }
        Ok(())
    }

    /// The value of `delete:`, as the file had it if it still means the same.
    fn delete_line(&self) -> Option<String> {
        if self.delete.is_empty() {
            return None;
        }
        match &self.delete_text {
            Some(text) if parse_delete(text) == self.delete => Some(text.clone()),
            _ => Some(print_delete(&self.delete)),
        }
    }
}
