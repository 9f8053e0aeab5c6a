//! A value that breaks the schema, and why.

use std::fmt;

/// The text that replaces a secret wherever one is shown.
pub const MASK: &str = "********";

/// One value that breaks the schema.
///
/// `Display` is pvect's own wording (`--memory: '8' is too small: at least 16`); [`Violation::pct_text`] is the
/// line that pct prints for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The option's full name or the positional's name, without dashes; `net0.ip` inside property strings.
    pub name: String,
    /// Whether it is a positional (`<vmid>`) and not an option (`--memory`).
    pub positional: bool,
    /// What is wrong.
    pub reason: Reason,
}

/// What is wrong with a value. Values of secret options are never kept here.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// Not of the type: `expected` is `integer`, `number`, `boolean`.
    Type {
        /// The type's name.
        expected: &'static str,
        /// The value.
        value: String,
    },
    /// Below the smallest value.
    TooSmall {
        /// The bound, as text.
        min: String,
        /// The value.
        value: String,
    },
    /// Above the largest value.
    TooLarge {
        /// The bound, as text.
        max: String,
        /// The value.
        value: String,
    },
    /// Too few characters.
    TooShort {
        /// The bound, in characters.
        min: usize,
    },
    /// Too many characters.
    TooLong {
        /// The bound, in characters.
        max: usize,
    },
    /// Not one of the words.
    NotInEnum {
        /// The words, in pct's order.
        allowed: Vec<String>,
        /// The value.
        value: String,
    },
    /// Breaks the format: `pct` is pct's text after `invalid format - `, `allowed` ours.
    Format {
        /// pct's words.
        pct: String,
        /// What is allowed, in our words.
        allowed: String,
        /// The value.
        value: String,
    },
    /// Does not match a pattern of pct (`value does not match the regex pattern`).
    Pattern {
        /// What is allowed, in our words.
        allowed: String,
        /// The value.
        value: String,
    },
    /// A key that the property string does not have.
    UnknownProperty {
        /// The known keys.
        allowed: Vec<String>,
    },
    /// A required key or option is missing.
    Missing,
    /// The verb has no such option.
    UnknownOption {
        /// The verb.
        verb: &'static str,
        /// The option with the most similar name, if one is similar.
        nearest: Option<String>,
    },
    /// More words than the verb takes.
    TooManyArguments {
        /// The extra words, and how many the verb takes.
        text: String,
    },
    /// pct prints only this text, without the heading of parameter errors and without usage.
    Alone {
        /// pct's line.
        pct: String,
        /// Our words.
        text: String,
    },
    /// Anything else: pct's words and ours.
    Other {
        /// pct's line, without the name.
        pct: String,
        /// Our words.
        text: String,
    },
}

impl Reason {
    /// Makes a reason of pvect's own, for which pct has no text.
    pub fn other(text: impl Into<String>) -> Self {
        let text = text.into();
        Self::Other { pct: text.clone(), text }
    }
}

impl Violation {
    /// Makes a violation of an option.
    pub fn option(name: impl Into<String>, reason: Reason) -> Self {
        Self { name: name.into(), positional: false, reason }
    }

    /// Makes a violation of a positional argument.
    pub fn positional(name: impl Into<String>, reason: Reason) -> Self {
        Self { name: name.into(), positional: true, reason }
    }

    /// Returns the errors by option, as pct's API answers them: what is wrong inside a property string belongs to its
    /// option, line by line.
    pub fn by_option(violations: &[Self]) -> Vec<(String, String)> {
        let mut errors: Vec<(String, String)> = Vec::new();
        for violation in violations {
            let (option, inner) = match violation.name.split_once('.') {
                Some((option, _)) => (option, errors.iter_mut().find(|(name, _)| name == option)),
                None => (violation.name.as_str(), None),
            };
            let end = if matches!(violation.reason, Reason::Format { .. }) { "\n" } else { "" };
            match inner {
                Some((_, text)) => *text += &format!("{}\n{end}", violation.pct_text()),
                None => errors.push((option.to_owned(), violation.pct_reason() + end)),
            }
        }
        errors
    }

    /// Returns the line that pct prints under `400 Parameter verification failed.`, name included.
    pub fn pct_text(&self) -> String {
        match &self.reason {
            Reason::UnknownOption { .. } => format!("Unknown option: {}", self.name),
            Reason::TooManyArguments { .. } | Reason::Alone { .. } => self.pct_reason(),
            _ => format!("{}: {}", self.name, self.pct_reason()),
        }
    }

    /// Returns what pct's API says is wrong, without the name.
    pub fn pct_reason(&self) -> String {
        match &self.reason {
            Reason::Type { expected, value } => format!("type check ('{expected}') failed - got '{value}'"),
            Reason::TooSmall { min, .. } => format!("value must have a minimum value of {min}"),
            Reason::TooLarge { max, .. } => format!("value must have a maximum value of {max}"),
            Reason::TooShort { min } => format!("value must be at least {min} characters long"),
            Reason::TooLong { max } => format!("value may only be {max} characters long"),
            Reason::NotInEnum { allowed, value } => {
                format!("value '{value}' does not have a value in the enumeration '{}'", allowed.join(", "))
            }
            Reason::Format { pct, .. } => format!("invalid format - {pct}"),
            Reason::Pattern { .. } => "value does not match the regex pattern".to_owned(),
            Reason::UnknownProperty { .. } | Reason::UnknownOption { .. } => {
                "property is not defined in schema and the schema does not allow additional properties"
                    .to_owned()
            }
            Reason::Missing => "property is missing and it is not optional".to_owned(),
            Reason::TooManyArguments { .. } => "too many arguments".to_owned(),
            Reason::Alone { pct, .. } | Reason::Other { pct, .. } => pct.clone(),
        }
    }
}

/// What pct prints on stderr when it refuses a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The lines, each with its line end.
    pub text: String,
    /// Whether the verb's usage line follows.
    pub usage: bool,
}

impl Report {
    /// Makes pct's report of violations.
    ///
    /// pct checks option names first, then the number of arguments, then booleans, then everything else together; it
    /// reports only the first kind that it finds.
    pub fn new(violations: &[Violation]) -> Self {
        let is = |test: fn(&Violation) -> bool| violations.iter().any(test);
        let lines = |test: fn(&Violation) -> bool| -> String {
            violations.iter().filter(|v| test(v)).map(|v| v.pct_text() + "\n").collect()
        };
        let unknown: fn(&Violation) -> bool = |v| matches!(v.reason, Reason::UnknownOption { .. });
        let alone: fn(&Violation) -> bool = |v| matches!(v.reason, Reason::Alone { .. });
        let text = if is(unknown) {
            lines(unknown) + "400 unable to parse option\n"
        } else if is(|v| v.positional && matches!(v.reason, Reason::Missing)) {
            "400 not enough arguments\n".to_owned()
        } else if is(|v| matches!(v.reason, Reason::TooManyArguments { .. })) {
            "400 too many arguments\n".to_owned()
        } else if is(Violation::is_option_boolean) {
            "400 unable to parse boolean option\n".to_owned()
        } else if violations.iter().all(alone) {
            // pct stops at the first one.
            let text = violations.first().map_or_else(String::new, |v| v.pct_text() + "\n");
            return Self { text, usage: false };
        } else {
            format!(
                "400 Parameter verification failed.\n{}",
                lines(|v| !matches!(v.reason, Reason::Alone { .. }))
            )
        };
        Self { text, usage: true }
    }
}

impl Violation {
    /// A boolean option itself; one inside a property string is reported with the other values.
    fn is_option_boolean(&self) -> bool {
        !self.name.contains('.') && matches!(self.reason, Reason::Type { expected: "boolean", .. })
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.positional {
            write!(f, "<{}>: ", self.name)?;
        } else {
            write!(f, "--{}: ", self.name)?;
        }
        match &self.reason {
            Reason::Type { expected, value } => write!(f, "'{value}' is not {}", kind_words(expected)),
            Reason::TooSmall { min, value } => write!(f, "{value} is too small: at least {min}"),
            Reason::TooLarge { max, value } => write!(f, "{value} is too large: at most {max}"),
            Reason::TooShort { min } => write!(f, "too short: at least {min} characters"),
            Reason::TooLong { max } => write!(f, "too long: at most {max} characters"),
            Reason::NotInEnum { allowed, value } => {
                write!(f, "'{value}' is not one of: {}", summary(allowed))
            }
            Reason::Format { allowed, value, .. } | Reason::Pattern { allowed, value } => {
                write!(f, "'{value}' is not allowed: {allowed}")
            }
            Reason::UnknownProperty { allowed } => {
                write!(f, "there is no such key; the keys are: {}", allowed.join(", "))
            }
            Reason::Missing => f.write_str("is missing and required"),
            Reason::UnknownOption { verb, nearest: Some(nearest) } => {
                write!(f, "pct {verb} has no such option; did you mean --{nearest}?")
            }
            Reason::UnknownOption { verb, nearest: None } => write!(f, "pct {verb} has no such option"),
            Reason::TooManyArguments { text } | Reason::Alone { text, .. } | Reason::Other { text, .. } => {
                f.write_str(text)
            }
        }
    }
}

fn kind_words(kind: &str) -> &str {
    match kind {
        "integer" => "a whole number",
        "number" => "a number",
        "boolean" => "a boolean (1/yes/on/true or 0/no/off/false)",
        other => other,
    }
}

/// Long enumerations (mp0 to mp255) are not printed whole.
fn summary(allowed: &[String]) -> String {
    match allowed {
        [first, second, .., last] if allowed.len() > 20 => format!("{first}, {second} ... {last}"),
        all => all.join(", "),
    }
}
