//! pct's verbs and options: the one table.
//!
//! The client builds argv from it, the command `pvect` its help, the standalone node its parser. Names, types,
//! bounds and the behaviour at exit were read from pve-container 6.1 (Proxmox VE 9); the wording is our own.

pub mod check;
pub mod format;
mod lookup;
pub mod options;
pub(crate) mod pairs;
pub mod properties;
mod scalar;
mod shared;
mod table;
mod verbs;
mod violation;

pub use format::{Format, split_list};
pub use options::CONFIG_OPTIONS;
pub use properties::PropertySchema;
pub use scalar::boolean;
pub use table::VERBS;
pub use verbs::Verb;
pub use violation::{MASK, Reason, Report, Violation};

/// The type of a value, with its bounds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// 1/on/yes/true or 0/off/no/false, in any case.
    Boolean,
    /// A whole number.
    Integer {
        /// Smallest value.
        min: Option<i64>,
        /// Largest value.
        max: Option<i64>,
    },
    /// A decimal number.
    Number {
        /// Smallest value.
        min: Option<f64>,
        /// Largest value.
        max: Option<f64>,
    },
    /// One of these words.
    Enum(&'static [&'static str]),
    /// `rootfs`, `mp0`..`mp255` (and `unused0`..`unused255` if `unused`).
    VolumeKey {
        /// Whether `unused[n]` is allowed too.
        unused: bool,
    },
    /// Text of a format.
    Text(Format),
    /// A list of texts of a format, separated by `,`, `;` or blanks.
    List(Format),
    /// A property string.
    Properties(&'static PropertySchema),
}

/// One option (`--name VALUE`), or one family (`--net[n] VALUE`).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OptionSpec {
    /// The name; without the index for families.
    pub name: &'static str,
    /// For a family, the largest index.
    pub max_index: Option<u16>,
    /// Type and bounds.
    pub kind: Kind,
    /// Shortest and longest length in characters, where limited.
    pub length: (Option<usize>, Option<usize>),
    /// The default, as pct's help words it.
    pub default: Option<&'static str>,
    /// One or two sentences for help.
    pub text: &'static str,
    /// Never shown, never put into argv.
    pub secret: bool,
    /// pct takes a file's path and sends its content.
    pub file: bool,
    /// pct refuses to run without it.
    pub required: bool,
}

/// One positional argument.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ArgSpec {
    /// The name.
    pub name: &'static str,
    /// Type and bounds.
    pub kind: Kind,
    /// Longest length in characters, where limited.
    pub max_length: Option<usize>,
    /// May be left out.
    pub optional: bool,
    /// Takes all remaining words.
    pub rest: bool,
    /// A secret may be in it.
    pub secret: bool,
    /// One sentence for help.
    pub text: &'static str,
}

/// How pct's exit status is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitRule {
    /// 0 when the task succeeded, with or without warnings; else non-zero.
    TaskChecked,
    /// 0 even when the task failed: judge by stderr.
    TaskUnchecked,
    /// Non-zero when the code failed.
    Direct,
    /// The status is that of the program that replaced pct.
    Replaced,
}

/// How long a verb may take before the time-out ends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeClass {
    /// Reads: 30 s.
    Read,
    /// Quick changes: 60 s.
    Quick,
    /// Long tasks: 30 min.
    Long,
    /// No time-out unless one is asked for (`exec`, `enter`, `console`).
    Unbounded,
}

/// The HTTPS API's counterpart of a verb.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ApiTwin {
    /// GET, POST, PUT or DELETE.
    pub method: &'static str,
    /// The path below `/api2/json`.
    pub path: &'static str,
}

/// Everything known about one verb.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VerbSpec {
    /// The verb.
    pub verb: Verb,
    /// Its name after `pct`.
    pub name: &'static str,
    /// Other names that pct accepts.
    pub aliases: &'static [&'static str],
    /// Positional arguments, in order.
    pub args: &'static [ArgSpec],
    /// Its own options, sorted by name.
    pub options: &'static [OptionSpec],
    /// Whether the container options ([`CONFIG_OPTIONS`]) are options of the verb too.
    pub config_options: bool,
    /// The worker type in the UPID, for verbs that run a task.
    pub task: Option<&'static str>,
    /// How to read the exit status.
    pub exit: ExitRule,
    /// How long it may take.
    pub time: TimeClass,
    /// The counterpart in the HTTPS API.
    pub api: Option<ApiTwin>,
    /// Whether it changes anything.
    pub mutates: bool,
    /// One sentence for help.
    pub text: &'static str,
}

impl VerbSpec {
    /// Returns all options, the verb's own and the container's, sorted by name.
    pub fn all_options(&self) -> Vec<&'static OptionSpec> {
        let shared: &'static [OptionSpec] = if self.config_options { CONFIG_OPTIONS } else { &[] };
        let mut all: Vec<&'static OptionSpec> = self.options.iter().chain(shared).collect();
        all.sort_by_key(|option| option.name);
        all
    }

    /// Finds the option with this full name (`memory`, `net0`), and the index for families.
    pub fn option(&self, name: &str) -> Option<(&'static OptionSpec, Option<u16>)> {
        let shared: &'static [OptionSpec] = if self.config_options { CONFIG_OPTIONS } else { &[] };
        self.options.iter().chain(shared).find_map(|option| option.matches(name).map(|index| (option, index)))
    }

    /// Returns the option with the most similar name, if one is similar: at most two letters differ, or one name begins
    /// with the other.
    pub fn nearest_option(&self, name: &str) -> Option<String> {
        let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
        let index = &name[stem.len()..];
        let likeness = |option: &&'static OptionSpec| {
            let known = option.name;
            let prefix = stem.len() >= 3 && (known.starts_with(stem) || stem.starts_with(known));
            let apart = distance(stem, known);
            (prefix || (apart <= 2 && apart < known.len())).then_some((apart, known))
        };
        let options = self.all_options();
        let nearest = options
            .iter()
            .filter_map(|option| Some((likeness(option)?, option)))
            .min_by_key(|(key, _)| *key)?
            .1;
        Some(match nearest.max_index {
            Some(max) if index.parse::<u16>().is_ok_and(|index| index <= max) => {
                format!("{}{index}", nearest.name)
            }
            Some(_) => nearest.display_name(),
            None => nearest.name.to_owned(),
        })
    }

    /// Returns whether the first positional is a vmid.
    pub fn takes_vmid(&self) -> bool {
        self.args.first().is_some_and(|arg| arg.name == "vmid")
    }
}

impl OptionSpec {
    /// Returns `Some(index)` when `name` is this option's full name; the index is `None` for plain options.
    ///
    /// An index has no leading zero and does not exceed the family's largest.
    pub fn matches(&self, name: &str) -> Option<Option<u16>> {
        match self.max_index {
            None => (name == self.name).then_some(None),
            Some(max) => {
                let digits = name.strip_prefix(self.name)?;
                if digits.is_empty() || (digits.len() > 1 && digits.starts_with('0')) {
                    return None;
                }
                if !digits.bytes().all(|b| b.is_ascii_digit()) {
                    return None;
                }
                let index: u16 = digits.parse().ok()?;
                (index <= max).then_some(Some(index))
            }
        }
    }

    /// Returns the name as help shows it: `memory`, `net[n]`.
    pub fn display_name(&self) -> String {
        if self.max_index.is_some() { format!("{}[n]", self.name) } else { self.name.to_owned() }
    }
}

/// Counts the letters to insert, remove or replace to get from one word to the other (Levenshtein).
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    // The distances between the letters of `from` so far and each prefix of `to`; the one to the empty prefix is kept
    // separately.
    let mut row: Vec<usize> = (1..=to.len()).collect();
    for (line, letter) in from.chars().enumerate() {
        let (mut diagonal, mut left) = (line, line + 1);
        for (above, other) in row.iter_mut().zip(&to) {
            let replaced = diagonal + usize::from(*other != letter);
            diagonal = *above;
            left = replaced.min(*above + 1).min(left + 1);
            *above = left;
        }
    }
    row.last().copied().unwrap_or_else(|| from.chars().count())
}
