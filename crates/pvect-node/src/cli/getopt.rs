//! Options as Perl's Getopt::Long takes them with the prefixes `--` and `-`: the parser of every Proxmox tool.
//!
//! Names match in any case and may be cut to a unique beginning; options and words may be mixed; `--` ends the
//! options; a single `-` is a word. Source: Getopt::Long(3perl), default settings.

use std::collections::VecDeque;

/// What follows an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Takes {
    /// A value, whatever it looks like. A later one replaces an earlier one.
    Value,
    /// A value unless the next word looks like an option; empty without one.
    MaybeValue,
    /// A value; all of them are kept.
    Values,
}

/// The options of a command.
#[derive(Debug, Default)]
pub(crate) struct Spec {
    /// Lower-case name, full name and what follows, sorted by the first.
    names: Vec<(String, String, Takes)>,
    /// Options that are found by their full name only, so that they make no abbreviation ambiguous.
    exact: Vec<(&'static str, Takes)>,
}

/// What was found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Scanned {
    /// Option name and values, in the order of the first appearance.
    pub options: Vec<(String, Vec<String>)>,
    /// The words that are not options.
    pub words: Vec<String>,
    /// What is wrong, one line each.
    pub complaints: Vec<String>,
}

impl Spec {
    /// Adds an option.
    pub fn add(&mut self, name: impl Into<String>, takes: Takes) {
        let name = name.into();
        let key = name.to_ascii_lowercase();
        let at = self.names.partition_point(|(known, _, _)| *known < key);
        if self.names.get(at).is_none_or(|(known, _, _)| *known != key) {
            self.names.insert(at, (key, name, takes));
        }
    }

    /// Adds an option that is found by its full name only.
    pub fn add_exact(&mut self, name: &'static str, takes: Takes) {
        self.exact.push((name, takes));
    }

    /// Finds the option that a typed name means; an error is the line to print.
    fn find(&self, typed: &str) -> Result<(&str, &str, Takes), String> {
        if let Some((name, takes)) = self.exact.iter().find(|(name, _)| *name == typed) {
            return Ok((name, name, *takes));
        }
        let key = typed.to_lowercase();
        let start = self.names.partition_point(|(known, _, _)| *known < key);
        let hits = self.names[start..].iter().take_while(|(known, _, _)| known.starts_with(&key));
        let hits: Vec<_> = if key.is_empty() { Vec::new() } else { hits.collect() };
        match hits.as_slice() {
            [] => Err(format!("Unknown option: {key}")),
            [(known, name, takes)] => Ok((known, name, *takes)),
            [(known, name, takes), ..] if *known == key => Ok((known, name, *takes)),
            several => {
                let names: Vec<&str> = several.iter().map(|(known, _, _)| known.as_str()).collect();
                Err(format!("Option {key} is ambiguous ({})", names.join(", ")))
            }
        }
    }

    /// Takes the options out of words.
    pub fn scan(&self, words: &[String]) -> Scanned {
        let mut found = Scanned::default();
        let mut rest: VecDeque<&str> = words.iter().map(String::as_str).collect();
        while let Some(word) = rest.pop_front() {
            if word == "--" {
                found.words.extend(rest.drain(..).map(str::to_owned));
                break;
            }
            match word.strip_prefix("--").or_else(|| word.strip_prefix('-')) {
                Some(typed) if word != "-" => {
                    if let Err(complaint) = self.option(typed, &mut rest, &mut found) {
                        found.complaints.push(complaint);
                    }
                }
                _ => found.words.push(word.to_owned()),
            }
        }
        found
    }

    fn option(&self, typed: &str, rest: &mut VecDeque<&str>, found: &mut Scanned) -> Result<(), String> {
        // `=` as the first character belongs to the name.
        let at = typed.char_indices().skip(1).find(|(_, c)| *c == '=').map(|(at, _)| at);
        let (typed, attached) = match at {
            Some(at) => (&typed[..at], Some(&typed[at + 1..])),
            None => (typed, None),
        };
        let (key, name, takes) = self.find(typed)?;
        let missing = attached.map_or(rest.is_empty(), str::is_empty);
        let value = match takes {
            Takes::Value | Takes::Values if missing => {
                return Err(format!("Option {key} requires an argument"));
            }
            Takes::MaybeValue if missing => "",
            _ if attached.is_some() => attached.unwrap_or_default(),
            Takes::MaybeValue if rest.front().is_some_and(|next| looks_like_option(next)) => "",
            _ => rest.pop_front().unwrap_or_default(),
        };
        let values = match found.options.iter_mut().find(|(known, _)| known == name) {
            Some((_, values)) => values,
            None => {
                found.options.push((name.to_owned(), Vec::new()));
                // Just pushed.
                let Some((_, values)) = found.options.last_mut() else { return Ok(()) };
                values
            }
        };
        if takes != Takes::Values {
            values.clear();
        }
        values.push(value.to_owned());
        Ok(())
    }
}

fn looks_like_option(word: &str) -> bool {
    word.len() > 1 && word.starts_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> Spec {
        let mut spec = Spec::default();
        spec.add("memory", Takes::Value);
        spec.add("mp0", Takes::Value);
        spec.add("mp1", Takes::Value);
        spec.add("mp10", Takes::Value);
        spec.add("forceStop", Takes::MaybeValue);
        spec.add("tags", Takes::Values);
        spec.add_exact("output-format", Takes::Value);
        spec
    }

    fn scan(line: &str) -> Scanned {
        spec().scan(&line.split(' ').map(str::to_owned).collect::<Vec<_>>())
    }

    fn options(line: &str) -> Vec<(String, String)> {
        let found = scan(line);
        assert_eq!(found.complaints, Vec::<String>::new(), "{line}");
        found.options.into_iter().map(|(name, values)| (name, values.join("+"))).collect()
    }

    #[test]
    fn values_are_found() {
        for (line, name, value) in [
            ("--memory 5", "memory", "5"),
            ("-memory=5", "memory", "5"),
            ("--MEM -5", "memory", "-5"),
            ("--memory --", "memory", "--"),
            ("--memory 1 --memory 2", "memory", "2"),
            ("--mp1 x", "mp1", "x"),
            ("--memory a=b", "memory", "a=b"),
            ("--memory=a=b", "memory", "a=b"),
            ("--force", "forceStop", ""),
            ("--force -", "forceStop", "-"),
            ("--forcestop=", "forceStop", ""),
            ("--force 0", "forceStop", "0"),
            ("--tags a --tags b", "tags", "a+b"),
            ("--output-format json", "output-format", "json"),
        ] {
            assert_eq!(options(line), [(name.to_owned(), value.to_owned())], "{line}");
        }
    }

    #[test]
    fn words_and_options_mix() {
        let found = scan("101 --force --memory 5 - x -- --tags y");
        assert_eq!(found.words, ["101", "-", "x", "--tags", "y"]);
        assert_eq!(found.options.len(), 2);
        assert_eq!(scan("--force 101").words, Vec::<String>::new());
    }

    #[test]
    fn complaints_have_the_words_of_getopt() {
        for (line, complaint) in [
            ("-5", "Unknown option: 5"),
            ("--Bogus=1", "Unknown option: bogus"),
            ("---memory 1", "Unknown option: -memory"),
            ("--=x", "Unknown option: =x"),
            ("--memory", "Option memory requires an argument"),
            ("--mem=", "Option memory requires an argument"),
            ("--m 1", "Option m is ambiguous (memory, mp0, mp1, mp10)"),
            ("--output json", "Unknown option: output"),
        ] {
            assert_eq!(scan(line).complaints, [complaint], "{line}");
        }
        assert_eq!(scan("-x --memory 1 -y").complaints, ["Unknown option: x", "Unknown option: y"]);
    }
}
