//! The options that every command takes.

use std::path::PathBuf;

use pvect::settings::Seconds;
use pvect_core::schema::{Reason, Violation};
use pvect_core::{Error, Result};

/// One global option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GlobalSpec {
    /// The name after `--`.
    pub name: &'static str,
    /// The letter after `-`.
    pub short: Option<char>,
    /// What its value is called in help; `None` for switches.
    pub value: Option<&'static str>,
    /// The words it takes, where they are few.
    pub choices: &'static [&'static str],
    /// One sentence for help.
    pub text: &'static str,
}

const fn switch(name: &'static str, short: Option<char>, text: &'static str) -> GlobalSpec {
    GlobalSpec { name, short, value: None, choices: &[], text }
}

const fn valued(name: &'static str, value: &'static str, text: &'static str) -> GlobalSpec {
    GlobalSpec { name, short: None, value: Some(value), choices: &[], text }
}

/// Every global option, in the order of help.
pub const GLOBALS: &[GlobalSpec] = &[
    GlobalSpec {
        short: Some('o'),
        choices: &["table", "json", "yaml", "csv", "plain"],
        ..valued("output", "FORM", "The form of results; 'plain' is pct's own, byte for byte.")
    },
    valued(
        "columns",
        "NAMES",
        "The columns to show, in this order, separated by commas; of list also 'all'.",
    ),
    valued("sort", "NAME", "The column to sort by; -NAME sorts in descending order."),
    switch("no-header", None, "Leave out the line of column names."),
    valued(
        "timeout",
        "SECONDS",
        "How long one pct may take. If the verb has an option of this name, put it before the verb.",
    ),
    switch("dry-run", None, "Print the command that would run, and run nothing that changes anything."),
    switch("quiet", Some('q'), "No progress and no task log; results, warnings and errors only."),
    valued("settings", "FILE", "The settings file."),
    valued("node", "NAME", "The node to work on; pvect reaches any other node than this one through ssh."),
    GlobalSpec {
        choices: &["auto", "pct", "native", "api"],
        ..valued(
            "backend",
            "WHICH",
            "What reads and operates: pct, the node's own files (reads only), the HTTPS API.",
        )
    },
    valued("context", "NAME", "The cluster of the settings to work on, through its HTTPS API."),
    valued("root", "DIR", "Use the standalone node below this directory."),
    switch("standalone", None, "Use the standalone node even where a pct is installed."),
    valued("pct-path", "FILE", "The pct to run."),
    switch("sudo", None, "Run pct through sudo -n."),
    GlobalSpec {
        choices: &["off", "error", "warn", "info", "debug", "trace"],
        ..valued("log-level", "LEVEL", "What to log, also to stderr.")
    },
    switch("verbose", Some('v'), "Log more to stderr: -v info, -vv debug, -vvv trace."),
    switch("no-check", None, "Hand values to pct unchecked."),
    GlobalSpec {
        choices: &["auto", "always", "never"],
        ..valued("color", "WHEN", "Colours; 'auto' means on a terminal unless NO_COLOR is set.")
    },
    switch("help", Some('h'), "Explain the command."),
    switch("version", Some('V'), "Print the version."),
];

/// The form of results.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// For people.
    Table,
    /// JSON.
    Json,
    /// YAML.
    Yaml,
    /// CSV with a header.
    Csv,
    /// As pct prints it.
    Plain,
}

/// When to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Color {
    /// On a terminal.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// The global options of one command line.
#[derive(Debug, Clone, Default)]
pub struct Globals {
    /// `--output`; each command has its own default.
    pub output: Option<Form>,
    /// `--columns`.
    pub columns: Option<Vec<String>>,
    /// `--sort`.
    pub sort: Option<String>,
    /// `--no-header`.
    pub no_header: bool,
    /// `--timeout`.
    pub timeout: Option<Seconds>,
    /// `--dry-run`.
    pub dry_run: bool,
    /// `--quiet`.
    pub quiet: bool,
    /// `--settings`.
    pub settings: Option<PathBuf>,
    /// Options that override settings: the option, the key path, the value.
    pub overrides: Vec<(&'static str, &'static str, String)>,
    /// How often `--verbose` was given.
    pub verbose: u8,
    /// `--no-check`.
    pub no_check: bool,
    /// `--color`.
    pub color: Color,
    /// `--help`.
    pub help: bool,
    /// `--version`.
    pub version: bool,
}

impl Globals {
    /// Returns whether a list is to keep its own columns and order.
    pub fn is_unshaped(&self) -> bool {
        self.columns.is_none() && self.sort.is_none()
    }

    /// Takes one option.
    ///
    /// # Errors
    /// When it does not take the value.
    pub fn take(&mut self, spec: &'static GlobalSpec, value: Option<String>) -> Result<()> {
        let text = value.unwrap_or_default();
        if !spec.choices.is_empty() && !spec.choices.contains(&text.as_str()) {
            let allowed = spec.choices.iter().map(|word| (*word).to_owned()).collect();
            return Err(wrong(spec.name, Reason::NotInEnum { allowed, value: text }));
        }
        match spec.name {
            "output" => self.output = Some(form(&text)),
            "columns" => {
                self.columns = Some(text.split(',').map(|name| name.trim().to_lowercase()).collect());
            }
            "sort" => self.sort = Some(text.to_lowercase()),
            "no-header" => self.no_header = true,
            "timeout" => {
                let wrong = |text: String| Error::bad_option("timeout", text);
                self.timeout = Some(text.parse().map_err(wrong)?);
            }
            "dry-run" => self.dry_run = true,
            "quiet" => self.quiet = true,
            "settings" => self.settings = Some(text.into()),
            "node" => self.overrides.push(("--node", "proxmox.node", text)),
            "backend" => self.overrides.push(("--backend", "proxmox.backend", text)),
            "context" => self.overrides.push(("--context", "proxmox.context", text)),
            "root" => self.overrides.push(("--root", "proxmox.root", text)),
            "standalone" => self.overrides.push(("--standalone", "proxmox.standalone", "1".into())),
            "pct-path" => self.overrides.push(("--pct-path", "proxmox.pct_path", text)),
            "sudo" => self.overrides.push(("--sudo", "proxmox.sudo", "1".into())),
            "log-level" => self.overrides.push(("--log-level", "runtime.log_level", text)),
            "verbose" => self.verbose = self.verbose.saturating_add(1),
            "no-check" => self.no_check = true,
            "color" => {
                self.color = match text.as_str() {
                    "always" => Color::Always,
                    "never" => Color::Never,
                    _ => Color::Auto,
                }
            }
            "help" => self.help = true,
            _ => self.version = true,
        }
        Ok(())
    }
}

fn form(text: &str) -> Form {
    match text {
        "json" => Form::Json,
        "yaml" => Form::Yaml,
        "csv" => Form::Csv,
        "plain" => Form::Plain,
        _ => Form::Table,
    }
}

fn wrong(name: &str, reason: Reason) -> Error {
    Error::invalid(Violation::option(name, reason))
}
