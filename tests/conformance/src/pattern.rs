//! Expected lines: literal text with placeholders for what differs from run to run.

use std::collections::BTreeMap;

/// Values that placeholders stand for, and what `{kind:name}` has bound so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Values {
    fixed: BTreeMap<String, String>,
    bound: BTreeMap<String, String>,
}

impl Values {
    /// Sets a value (`node`, `vz`, ...).
    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        self.fixed.insert(name.to_owned(), value.into());
    }

    /// Returns a value; the names are those of [`VALUES`].
    pub fn get(&self, name: &str) -> &str {
        self.fixed.get(name).map_or("", String::as_str)
    }

    /// Puts the values into a text of a command or a file. Placeholders that match any text stay as they are.
    pub fn fill(&self, text: &str) -> String {
        tokens(text).map_or_else(
            |_| text.to_owned(),
            |tokens| {
                tokens
                    .iter()
                    .map(|token| match token {
                        Token::Text(text) => text.clone(),
                        Token::Value(name) => self.get(name).to_owned(),
                        Token::Some(kind, _) => self.shown(*kind, token),
                    })
                    .collect()
            },
        )
    }

    fn shown(&self, kind: Kind, token: &Token) -> String {
        match token {
            Token::Some(_, Some(name)) => match self.bound.get(name) {
                Some(value) => value.clone(),
                None => format!("{{{}:{name}}}", kind.name()),
            },
            _ => format!("{{{}}}", kind.name()),
        }
    }
}

/// The names of values, with what they stand for.
pub const VALUES: &[(&str, &str)] = &[
    ("node", "the node's name"),
    ("pve", "the directory /etc/pve"),
    ("conf", "the directory of the configurations"),
    ("vz", "the path of the storage local"),
    ("lxc", "the directory /var/lib/lxc"),
    ("lock", "the directory of the lock files"),
    ("tmp", "a directory of the group's own"),
    ("btrfs", "the path of the storage btr"),
    ("bridge", "a bridge of the group's own"),
    ("cpus", "the number of this machine's CPUs"),
    ("alpine", "the template of the Alpine stand-in"),
    ("debian", "the template of the Debian stand-in"),
];

/// What a placeholder matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `{int}`: digits, commas between them allowed.
    Int,
    /// `{num}`: digits with or without a fraction.
    Num,
    /// `{size}`: a number with a unit, `168.1M` or `92MiB/s`.
    Size,
    /// `{mac}`: a MAC address.
    Mac,
    /// `{uuid}`: a UUID.
    Uuid,
    /// `{date}`: `2026-11-23 00:44:27`.
    Date,
    /// `{time}`: the date column of `ls -l`.
    Time,
    /// `{sp}`: one or more blanks.
    Blanks,
    /// `{at}`: nothing, or where in a Perl file a message arose.
    At,
    /// `{any}`: any text.
    Any,
    /// `{eol}`: nothing; guards blanks at the end of a line.
    Eol,
}

const KINDS: &[(&str, Kind)] = &[
    ("int", Kind::Int),
    ("num", Kind::Num),
    ("size", Kind::Size),
    ("mac", Kind::Mac),
    ("uuid", Kind::Uuid),
    ("date", Kind::Date),
    ("time", Kind::Time),
    ("sp", Kind::Blanks),
    ("at", Kind::At),
    ("any", Kind::Any),
    ("eol", Kind::Eol),
];

impl Kind {
    fn name(self) -> &'static str {
        KINDS.iter().find(|(_, kind)| *kind == self).map_or("", |(name, _)| name)
    }

    fn fits(self, text: &str) -> bool {
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        match self {
            Self::Int => text.split(',').all(digits),
            Self::Num => text.splitn(2, '.').all(digits),
            Self::Size => {
                let unit = text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
                Self::Num.fits(&text[..text.len() - unit.len()])
                    && ["", "B", "K", "M", "G", "T", "KiB", "MiB", "GiB"]
                        .contains(&unit.trim_end_matches("/s"))
            }
            Self::Mac => shaped(text, "XX:XX:XX:XX:XX:XX"),
            Self::Uuid => shaped(text, "XXXXXXXX-XXXX-XXXX-XXXX-XXXXXXXXXXXX"),
            Self::Date => shaped(text, "0000-00-00 00:00:00"),
            Self::Time => text.len() == 12 && text.as_bytes()[9] == b':',
            Self::Blanks => !text.is_empty() && text.bytes().all(|b| b == b' '),
            Self::At => {
                text.is_empty()
                    || text.strip_prefix(" at /").is_some_and(|rest| {
                        let number = rest.rsplit_once(" line ").map(|(_, number)| number);
                        number.and_then(|number| number.strip_suffix('.')).is_some_and(digits)
                    })
            }
            Self::Any => true,
            Self::Eol => text.is_empty(),
        }
    }
}

/// Whether a text has a shape: `X` is a hexadecimal digit, `0` a decimal one.
fn shaped(text: &str, shape: &str) -> bool {
    text.len() == shape.len()
        && text.bytes().zip(shape.bytes()).all(|(byte, wanted)| match wanted {
            b'X' => byte.is_ascii_hexdigit(),
            b'0' => byte.is_ascii_digit(),
            other => byte == other,
        })
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Text(String),
    Value(String),
    Some(Kind, Option<String>),
}

/// One expected line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    text: String,
    tokens: Vec<Token>,
}

/// Takes a text apart. `{{` is a literal brace.
fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut found = Vec::new();
    let mut rest = text;
    let mut literal = String::new();
    while let Some(at) = rest.find('{') {
        literal.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('{') {
            literal.push('{');
            rest = after;
            continue;
        }
        let end = rest.find('}').ok_or("a { is not closed; a literal one is written {{")?;
        let (kind, bound) = match rest[..end].split_once(':') {
            Some((kind, bound)) => (kind, Some(bound.to_owned())),
            None => (&rest[..end], None),
        };
        if !literal.is_empty() {
            found.push(Token::Text(std::mem::take(&mut literal)));
        }
        if let Some((_, kind)) = KINDS.iter().find(|(name, _)| *name == kind) {
            found.push(Token::Some(*kind, bound));
        } else if VALUES.iter().any(|(name, _)| *name == kind) && bound.is_none() {
            found.push(Token::Value(kind.to_owned()));
        } else {
            return Err(format!("the placeholder {{{}}} is not known", &rest[..end]));
        }
        rest = &rest[end + 1..];
    }
    literal.push_str(rest);
    if !literal.is_empty() {
        found.push(Token::Text(literal));
    }
    Ok(found)
}

/// Checks that all placeholders of a text are known.
///
/// # Errors
/// Names the one that is not.
pub fn check(text: &str) -> Result<(), String> {
    tokens(text).map(|_| ())
}

impl Pattern {
    /// Parses an expected line.
    ///
    /// # Errors
    /// Names the placeholder that is not known.
    pub fn new(text: &str) -> Result<Self, String> {
        Ok(Self { text: text.to_owned(), tokens: tokens(text)? })
    }

    /// Returns whether a line is as expected; binds names only when it is.
    pub fn matches(&self, line: &str, values: &mut Values) -> bool {
        let mut trial = values.clone();
        let found = matches(&self.tokens, line, &mut trial);
        if found {
            *values = trial;
        }
        found
    }

    /// Returns the line as far as it is known.
    pub fn shown(&self, values: &Values) -> String {
        values.fill(&self.text)
    }
}

fn matches(tokens: &[Token], line: &str, values: &mut Values) -> bool {
    let Some((first, rest)) = tokens.split_first() else { return line.is_empty() };
    match first {
        Token::Text(text) => line.strip_prefix(text.as_str()).is_some_and(|line| matches(rest, line, values)),
        Token::Value(name) => {
            let value = values.get(name).to_owned();
            line.strip_prefix(value.as_str()).is_some_and(|line| matches(rest, line, values))
        }
        Token::Some(kind, bound) => {
            let ends = (0..=line.len()).rev().filter(|end| line.is_char_boundary(*end));
            for end in ends {
                let part = &line[..end];
                if !kind.fits(part) {
                    continue;
                }
                let mut trial = values.clone();
                if let Some(name) = bound {
                    match trial.bound.get(name) {
                        Some(known) if known != part => continue,
                        _ => trial.bound.insert(name.clone(), part.to_owned()),
                    };
                }
                if matches(rest, &line[end..], &mut trial) {
                    *values = trial;
                    return true;
                }
            }
            false
        }
    }
}

/// One expected line, several in any order, or any lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// This line.
    Line(Pattern),
    /// These lines, in any order.
    AnyOrder(Vec<Pattern>),
    /// `{lines}`: any number of lines.
    Lines,
}

/// Expected lines.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Lines(pub Vec<Item>);

impl Lines {
    /// Returns whether a text is as expected; binds names only when it is.
    pub fn matches(&self, text: &str, values: &mut Values) -> bool {
        let lines: Vec<&str> = split_lines(text);
        let mut trial = values.clone();
        let found = all_match(&self.0, &lines, &mut trial);
        if found {
            *values = trial;
        }
        found
    }
}

/// Splits an output into lines; a last line without a line feed gets a mark that no expected line has.
pub(crate) fn split_lines(text: &str) -> Vec<&str> {
    text.strip_suffix('\n').map_or_else(
        || {
            if text.is_empty() {
                Vec::new()
            } else {
                text.split('\n').chain(["\\ no line feed at the end"]).collect()
            }
        },
        |text| text.split('\n').collect(),
    )
}

fn all_match(items: &[Item], lines: &[&str], values: &mut Values) -> bool {
    let Some((first, rest)) = items.split_first() else { return lines.is_empty() };
    match first {
        Item::Line(pattern) => lines
            .split_first()
            .is_some_and(|(line, lines)| pattern.matches(line, values) && all_match(rest, lines, values)),
        Item::AnyOrder(patterns) => {
            let Some((these, lines)) = lines.split_at_checked(patterns.len()) else { return false };
            let mut open: Vec<&Pattern> = patterns.iter().collect();
            for line in these {
                let Some(at) = open.iter().position(|pattern| pattern.matches(line, values)) else {
                    return false;
                };
                open.remove(at);
            }
            all_match(rest, lines, values)
        }
        Item::Lines => (0..=lines.len()).any(|count| {
            let mut trial = values.clone();
            let found = all_match(rest, &lines[count..], &mut trial);
            if found {
                *values = trial;
            }
            found
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(pattern: &str, line: &str) -> bool {
        let mut values = Values::default();
        values.set("node", "vm");
        Pattern::new(pattern).unwrap().matches(line, &mut values)
    }

    #[test]
    fn placeholders_match_what_they_name() {
        let cases = [
            ("nodes/{node}/lxc", "nodes/vm/lxc", true),
            ("nodes/{node}/lxc", "nodes/pve/lxc", false),
            ("UUID: {uuid}", "UUID: 8f5be20b-0503-43e9-88fd-5c14122d63ff", true),
            ("hwaddr={mac},ip", "hwaddr=BC:24:11:AA:BB:01,ip", true),
            ("hwaddr={mac},ip", "hwaddr=BC:24:11:AA:BB,ip", false),
            ("read: {int} ({size}, {size})", "read: 2150400 (2.1MiB, 92MiB/s)", true),
            ("{int} bytes", "1,986,355 bytes", true),
            ("pressure: {num}", "pressure: 0.24", true),
            ("missing command{at}", "missing command", true),
            ("missing command{at}", "missing command at /usr/share/perl5/PVE/CLI/pct.pm line 246.", true),
            ("missing command{at}", "missing command at all", false),
            ("Name  {eol}", "Name  ", true),
            ("Name  {eol}", "Name", false),
            ("a {{b}", "a {b}", true),
            ("{date} x", "2026-11-23 00:44:27 x", true),
            ("a{sp}b", "a   b", true),
            ("a{sp}b", "ab", false),
        ];
        for (pattern, line, expected) in cases {
            assert_eq!(fits(pattern, line), expected, "{pattern} on {line}");
        }
    }

    #[test]
    fn a_bound_name_keeps_its_text() {
        let pattern = Pattern::new("hwaddr={mac:ct}").unwrap();
        let mut values = Values::default();
        assert!(pattern.matches("hwaddr=BC:24:11:AA:BB:01", &mut values));
        assert!(!pattern.matches("hwaddr=BC:24:11:AA:BB:02", &mut values));
        assert_eq!(pattern.shown(&values), "hwaddr=BC:24:11:AA:BB:01");
    }

    #[test]
    fn unknown_placeholders_are_named() {
        assert_eq!(Pattern::new("{nosuch}").unwrap_err(), "the placeholder {nosuch} is not known");
    }

    #[test]
    fn lines_match_as_a_whole() {
        let line = |text: &str| Item::Line(Pattern::new(text).unwrap());
        let mut values = Values::default();
        let lines = Lines(vec![line("a"), Item::Lines, line("z")]);
        assert!(lines.matches("a\nb\nc\nz\n", &mut values));
        assert!(lines.matches("a\nz\n", &mut values));
        assert!(!lines.matches("a\nz", &mut values), "no line feed at the end");
        assert!(!lines.matches("a\n", &mut values));
        let any = Lines(vec![
            Item::AnyOrder(vec![Pattern::new("x").unwrap(), Pattern::new("y").unwrap()]),
            line("e"),
        ]);
        assert!(any.matches("y\nx\ne\n", &mut values));
        assert!(!any.matches("y\ny\ne\n", &mut values));
        assert!(Lines::default().matches("", &mut values));
        assert!(!Lines::default().matches("\n", &mut values));
    }
}
