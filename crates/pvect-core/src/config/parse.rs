//! Parses the file, and the output of `pct config`.

use super::{ConfigError, ContainerConfig};

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
    /// pct's words for it.
    pub text: String,
}

impl ContainerConfig {
    /// Parses a configuration file.
    ///
    /// Source: `config_file` rules of pve-container's `PVE::LXC::Config`.
    ///
    /// # Errors
    /// In lenient mode only for bytes that are not UTF-8; in strict mode for the first bad line.
    pub fn parse(_bytes: &[u8], _mode: ParseMode) -> Result<(Self, Vec<Warning>), ConfigError> {
        Err(ConfigError::NotUtf8 { offset: 0 })
    }

    /// Parses what `pct config` prints: `key: value` lines, the description percent-encoded on one line, `env`
    /// with its NULs, then raw `lxc.*` lines.
    ///
    /// # Errors
    /// For the first line that is no `key: value`.
    pub fn parse_output(_bytes: &[u8]) -> Result<Self, ConfigError> {
        Err(ConfigError::NotUtf8 { offset: 0 })
    }
}
