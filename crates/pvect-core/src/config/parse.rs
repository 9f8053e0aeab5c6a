//! Parses the file, and the output of `pct config`.

use super::pending::parse_delete;
use super::raw::deprecation;
use super::text::decode;
use super::{ConfigError, ContainerConfig, RawKey, Section, raw_key};
use crate::schema::check;
use crate::shape;

/// What to do with lines that break the grammar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParseMode {
    /// Collect a warning and carry on, as Proxmox VE does with its own files.
    Lenient,
    /// Refuse.
    Strict,
}

/// A line that breaks the grammar or the schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// Its number, from 1.
    pub line: usize,
    /// pct's text for it, without the `vm N - ` before it; perhaps of several lines.
    pub text: String,
}

/// Keys that would break Proxmox VE's own record of a configuration, and that it never writes.
pub(super) const NEVER_KEPT: [&str; 5] = ["digest", "lxc", "pending", "snapname", "snapshots"];

impl ContainerConfig {
    /// Parses a configuration file.
    ///
    /// Source: `config_file` rules of pve-container's `PVE::LXC::Config`. What breaks the schema is kept, with a
    /// warning; what breaks the grammar is left out, with a warning.
    ///
    /// # Errors
    /// In lenient mode only for bytes that are not UTF-8; in strict mode for the first bad line.
    pub fn parse(bytes: &[u8], mode: ParseMode) -> Result<(Self, Vec<Warning>), ConfigError> {
        let mut parser = Parser::new(mode);
        for (index, line) in utf8(bytes)?.split('\n').enumerate() {
            parser.number = index + 1;
            parser.line(line)?;
        }
        parser.close_section();
        let mut config = parser.config;
        config.main.options.remove("snapstate");
        if config.pending.as_ref().is_some_and(|pending| *pending == Section::default()) {
            config.pending = None;
        }
        Ok((config, parser.warnings))
    }

    /// Parses what `pct config` prints: `key: value` lines, the description percent-encoded on one line, `env`
    /// with its NULs, then raw `lxc.*` lines.
    ///
    /// # Errors
    /// For the first line that is not `key: value`.
    pub fn parse_output(bytes: &[u8]) -> Result<Self, ConfigError> {
        let mut config = Self::default();
        for (index, line) in utf8(bytes)?.split('\n').enumerate() {
            if line.is_empty() {
                continue;
            }
            let Some((key, value)) = line.split_once(':').filter(|(key, _)| is_output_key(key)) else {
                return Err(ConfigError::Line { line: index + 1, what: "no 'key: value'".to_owned() });
            };
            let value = value.strip_prefix(' ').unwrap_or(value);
            if key.starts_with("lxc.") {
                config.main.raw.push((key.to_owned(), value.to_owned()));
            } else if key == "description" {
                config.main.description = Some(decode(value));
            } else {
                config.main.set(key, value);
            }
        }
        Ok(config)
    }
}

fn utf8(bytes: &[u8]) -> Result<&str, ConfigError> {
    std::str::from_utf8(bytes).map_err(|error| ConfigError::NotUtf8 { offset: error.valid_up_to() })
}

fn is_output_key(key: &str) -> bool {
    key.starts_with(|c: char| c.is_ascii_alphabetic())
        && key.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b))
}

/// The section that lines are added to.
enum Place {
    Main,
    Pending,
    Snapshot(String),
}

struct Parser {
    mode: ParseMode,
    config: ContainerConfig,
    warnings: Vec<Warning>,
    number: usize,
    place: Place,
    section: Section,
    description: String,
}

impl Parser {
    fn new(mode: ParseMode) -> Self {
        Self {
            mode,
            config: ContainerConfig::default(),
            warnings: Vec::new(),
            number: 0,
            place: Place::Main,
            section: Section::default(),
            description: String::new(),
        }
    }

    fn line(&mut self, line: &str) -> Result<(), ConfigError> {
        let trimmed = line.trim_end_matches(shape::is_blank);
        if trimmed.is_empty() {
            return Ok(());
        }
        if let Some(place) = header(trimmed) {
            self.close_section();
            self.place = place;
            return Ok(());
        }
        if let Some(comment) = line.strip_prefix('#') {
            self.description += &decode(comment);
            self.description.push('\n');
            return Ok(());
        }
        if let Some((key, value)) = raw_line(line) {
            return self.raw(line, key, value);
        }
        if let Some(text) = value_of(trimmed, "description:") {
            self.description += &decode(text);
            return Ok(());
        }
        if let Some(state) = snapstate(trimmed) {
            self.section.options.insert("snapstate".to_owned(), state.to_owned());
            return Ok(());
        }
        if let Some(text) = value_of(trimmed, "delete:") {
            if !matches!(self.place, Place::Pending) {
                return self.bad("property 'delete' is only allowed in [pve:pending]".to_owned());
            }
            self.section.delete = parse_delete(text);
            self.section.delete_text = Some(text.to_owned());
            return Ok(());
        }
        match option_line(line) {
            Some(("description", _)) => Ok(()),
            Some((key, value)) => self.option(key, value),
            None => self.bad(format!("unable to parse config: {line}")),
        }
    }

    fn raw(&mut self, line: &str, key: &str, value: &str) -> Result<(), ConfigError> {
        if key == "lxc.environment.runtime" {
            self.section.env.extend((!value.is_empty()).then(|| value.to_owned()));
            return Ok(());
        }
        match raw_key(key) {
            RawKey::Allowed => {}
            RawKey::Deprecated(instead) => self.warn(deprecation(key, &instead)),
            RawKey::Refused(why) => return self.bad(format!("{key}: {why}")),
            RawKey::Unknown => return self.bad(format!("unable to parse config: {line}")),
        }
        self.section.raw.push((key.to_owned(), value.to_owned()));
        Ok(())
    }

    fn option(&mut self, key: &str, value: &str) -> Result<(), ConfigError> {
        if NEVER_KEPT.contains(&key) || key == "delete" {
            return self.bad(format!("unable to parse value of '{key}' - unknown setting '{key}'"));
        }
        if key == "env" {
            // pct itself writes one raw line for each entry; read this as if it were that.
            let entries = value.split('\0').map(|entry| entry.trim_matches(shape::is_blank));
            self.section.set(key, entries.collect::<Vec<_>>().join("\0"));
            return Ok(());
        }
        match check::stored(key, value) {
            Ok(canonical) => self.section.set(key, canonical),
            Err(words) => {
                self.bad(format!("unable to parse value of '{key}' - {words}"))?;
                self.section.set(key, value);
            }
        }
        Ok(())
    }

    fn warn(&mut self, text: String) {
        self.warnings.push(Warning { line: self.number, text });
    }

    /// Something that makes pct's strict reader fail.
    fn bad(&mut self, text: String) -> Result<(), ConfigError> {
        if self.mode == ParseMode::Strict {
            return Err(ConfigError::Line { line: self.number, what: text });
        }
        self.warn(text);
        Ok(())
    }

    fn close_section(&mut self) {
        let mut section = std::mem::take(&mut self.section);
        let description = std::mem::take(&mut self.description);
        section.description = (!description.is_empty()).then_some(description);
        match std::mem::replace(&mut self.place, Place::Main) {
            Place::Main => self.config.main = section,
            Place::Pending => self.config.pending = Some(section),
            Place::Snapshot(name) => {
                self.config.snapshots.insert(name, section);
            }
        }
    }
}

fn header(line: &str) -> Option<Place> {
    let name = line.strip_prefix('[')?.strip_suffix(']')?;
    if name.eq_ignore_ascii_case("pve:pending") {
        return Some(Place::Pending);
    }
    crate::schema::format::is_config_id(name).then(|| Place::Snapshot(name.to_owned()))
}

/// Splits `lxc.key: value` or `lxc.key = value`; the value may be empty.
fn raw_line(line: &str) -> Option<(&str, &str)> {
    let in_key = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-.".contains(&b);
    let end = line.bytes().position(|b| !in_key(b))?;
    let (key, rest) = line.split_at(end);
    if !key.starts_with("lxc.") || key.len() == 4 {
        return None;
    }
    let value =
        rest.strip_prefix(':').or_else(|| rest.trim_start_matches(shape::is_blank).strip_prefix('='))?;
    Some((key, value.trim_matches(shape::is_blank)))
}

/// Returns what follows `name` and blanks, if anything does.
fn value_of<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let value = line.strip_prefix(name)?.trim_start_matches(shape::is_blank);
    (!value.is_empty()).then_some(value)
}

/// Finds `snapstate: prepare` or `snapstate: delete` at the end of a line, whatever comes before it, as pct does.
fn snapstate(line: &str) -> Option<&'static str> {
    ["prepare", "delete"].into_iter().find(|state| {
        line.strip_suffix(state)
            .is_some_and(|rest| rest.trim_end_matches(shape::is_blank).ends_with("snapstate:"))
    })
}

/// Splits `key: value` where the key is lower-case letters and `_`, then digits.
///
/// Of a value with only blanks, the last blank is kept: that is how pct reads it, so it keeps the line.
fn option_line(line: &str) -> Option<(&str, &str)> {
    let (key, value) = line.split_once(':')?;
    let stem = key.trim_end_matches(|c: char| c.is_ascii_digit());
    let fits = stem.starts_with(|c: char| c.is_ascii_lowercase())
        && stem.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    let trimmed = value.trim_matches(shape::is_blank);
    let value = if trimmed.is_empty() { &value[value.len().saturating_sub(1)..] } else { trimmed };
    (fits && !value.is_empty()).then_some((key, value))
}
