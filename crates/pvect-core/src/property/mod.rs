//! Property strings: `key=value` pairs joined with commas, one of them perhaps without its key.

mod dev;
mod features;
mod mount;
mod net;
mod startup;

pub use dev::DeviceEntry;
pub use features::Features;
pub use mount::{MountIdmap, MountPoint, MountSource, RootFs};
pub use net::{Ipv4Config, Ipv6Config, NetInterface};
pub use startup::Startup;

pub use crate::schema::boolean;
pub use crate::schema::pairs::{Pairs, parse, print, update};
use crate::schema::{PropertySchema, Reason, Violation};

/// The pairs of a property string with typed access, for the types of this module.
struct Reader {
    name: String,
    pairs: Pairs,
    written: Vec<&'static str>,
}

impl Reader {
    fn new(schema: &PropertySchema, name: &str, text: &str) -> Result<Self, Vec<Violation>> {
        Ok(Self { name: name.to_owned(), pairs: parse(schema, name, text)?, written: Vec::new() })
    }

    fn text(&self, key: &str) -> Option<&str> {
        self.pairs.iter().find(|(known, _)| known == key).map(|(_, value)| value.as_str())
    }

    fn owned(&self, key: &str) -> Option<String> {
        self.text(key).map(str::to_owned)
    }

    /// Reads a boolean, and remembers if it was written out although it has its default.
    fn switch(&mut self, key: &'static str, default: bool) -> bool {
        let on = self.text(key).and_then(boolean);
        if on == Some(default) {
            self.written.push(key);
        }
        on.unwrap_or(default)
    }

    /// Parses a value that the schema accepts; it may still be too large for the type.
    fn parsed<T>(&self, key: &str, parse: impl Fn(&str) -> Option<T>) -> Result<Option<T>, Vec<Violation>> {
        let Some(text) = self.text(key) else { return Ok(None) };
        parse(text).map(Some).ok_or_else(|| {
            let allowed = "a smaller number".to_owned();
            let reason = Reason::Pattern { allowed, value: text.to_owned() };
            vec![Violation::option(format!("{}.{key}", self.name), reason)]
        })
    }

    fn number<T: std::str::FromStr>(&self, key: &str) -> Result<Option<T>, Vec<Violation>> {
        self.parsed(key, |text| text.parse().ok())
    }

    fn list(&self, key: &str, separators: &[char]) -> Vec<String> {
        let entries = self.text(key).unwrap_or_default().split(separators);
        entries.filter(|entry| !entry.is_empty()).map(str::to_owned).collect()
    }
}

/// Collects pairs for [`print`].
#[derive(Default)]
struct Writer {
    pairs: Pairs,
}

impl Writer {
    fn put(&mut self, key: &str, value: &dyn std::fmt::Display) {
        self.pairs.push((key.to_owned(), value.to_string()));
    }

    fn maybe(&mut self, key: &str, value: Option<impl std::fmt::Display>) {
        if let Some(value) = value {
            self.put(key, &value);
        }
    }

    fn join(&mut self, key: &str, values: &[impl ToString]) {
        if !values.is_empty() {
            self.put(key, &values.iter().map(ToString::to_string).collect::<Vec<_>>().join(";"));
        }
    }

    /// Puts a boolean where it differs from its default or was written out.
    fn switch(&mut self, key: &str, on: bool, default: bool, written: &[&'static str]) {
        if on != default || written.contains(&key) {
            self.put(key, &u8::from(on));
        }
    }
}

#[cfg(test)]
mod tests;
