//! Reads case files. `cases/README.md` describes their format.

use std::fs;
use std::path::{Path, PathBuf};

use crate::case::{After, Case, Differs, Exit, Expect, Group, Need, Setup, Step};
use crate::pattern::{self, Item, Lines, Pattern};
use crate::words;

/// Why a case file could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ParseError {
    /// The file, or a text that it includes, cannot be read.
    #[error("{}: cannot be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// A line is wrong.
    #[error("{}:{line}: {text}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        text: String,
    },
}

/// Reads all `*.case` files of a directory, by name.
///
/// # Errors
/// The first file that cannot be read.
pub fn read_all(dir: &Path) -> Result<Vec<Group>, ParseError> {
    let failed = |source| ParseError::Read { path: dir.to_owned(), source };
    let mut paths = Vec::new();
    for entry in fs::read_dir(dir).map_err(failed)? {
        paths.push(entry.map_err(failed)?.path());
    }
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "case"));
    paths.sort();
    paths.iter().map(|path| read(path)).collect()
}

/// Reads one case file.
///
/// # Errors
/// Names file and line.
pub fn read(path: &Path) -> Result<Group, ParseError> {
    let text =
        fs::read_to_string(path).map_err(|source| ParseError::Read { path: path.to_owned(), source })?;
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let texts = path.with_file_name("texts");
    parse(&name, &text, &|include| fs::read_to_string(texts.join(format!("{include}.txt"))).ok())
        .map_err(|(line, text)| ParseError::Line { path: path.to_owned(), line, text })
}

/// Where the lines that begin with `|` go.
enum Target {
    None,
    Setup,
    After,
}

struct Parser<'a> {
    group: Group,
    step: Option<Step>,
    target: Target,
    needs: Vec<Need>,
    changes: Option<bool>,
    within: u64,
    stdin: Vec<u8>,
    include: &'a dyn Fn(&str) -> Option<String>,
}

/// Parses the text of a case file; `include` finds the shared texts.
///
/// # Errors
/// The line, from 1, and what is wrong with it.
pub fn parse(
    name: &str,
    text: &str,
    include: &dyn Fn(&str) -> Option<String>,
) -> Result<Group, (usize, String)> {
    let group = Group {
        name: name.to_owned(),
        title: String::new(),
        source: String::new(),
        needs: Vec::new(),
        steps: Vec::new(),
    };
    let mut parser = Parser {
        group,
        step: None,
        target: Target::None,
        needs: Vec::new(),
        changes: None,
        within: 0,
        stdin: Vec::new(),
        include,
    };
    for (index, line) in text.lines().enumerate() {
        let number = index + 1;
        if line.is_empty() {
            parser.end_block();
        } else if !line.starts_with('#') {
            parser.line(number, line).map_err(|text| (number, text))?;
        }
    }
    parser.end_block();
    if parser.group.title.is_empty() {
        return Err((1, "the title is missing".to_owned()));
    }
    Ok(parser.group)
}

impl Parser<'_> {
    fn end_block(&mut self) {
        match self.step.take() {
            Some(step) => self.group.steps.push(step),
            None => self.group.needs.append(&mut self.needs),
        }
        self.target = Target::None;
        self.needs.clear();
        self.changes = None;
        self.within = 0;
        self.stdin.clear();
    }

    fn line(&mut self, number: usize, line: &str) -> Result<(), String> {
        if let Some(rest) = line.strip_prefix("| ").or_else(|| (line == "|").then_some("")) {
            return self.text_line(rest);
        }
        for (prefix, fd) in [("0", 0), ("1", 1), ("2", 2)] {
            if let Some(rest) = line.strip_prefix(prefix)
                && let Some(kind @ ('|' | '~' | '<' | '*')) = rest.chars().next()
            {
                let rest = rest[1..].strip_prefix(' ').unwrap_or(&rest[1..]);
                return self.stream(fd, kind, rest);
            }
        }
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "title:" => rest.clone_into(&mut self.group.title),
            "source:" => rest.clone_into(&mut self.group.source),
            "needs:" => {
                let need = parse_need(rest);
                match self.step.as_mut().and_then(|step| step.case.as_mut()) {
                    Some(case) => case.needs.push(need),
                    None => self.needs.push(need),
                }
            }
            "changes:" => self.changes = Some(yes_or_no(rest)?),
            "within:" => self.within = number_of(rest)?,
            "$" => self.command(number, rest)?,
            "exit" if rest == "failure" => self.expect()?.exit = Exit::Failure,
            "exit" => self.expect()?.exit = Exit::Is(number_of(rest)?),
            "after" => self.after(rest)?,
            "differs:" => {
                let case = self.case()?;
                case.differs = Some(Differs { reason: rest.to_owned(), expect: Expect::default() });
            }
            "file" | "random" | "run" | "btrfs" => self.setup(number, word, rest)?,
            _ => return Err(format!("a line cannot begin with '{word}'")),
        }
        Ok(())
    }

    fn case(&mut self) -> Result<&mut Case, String> {
        let case = self.step.as_mut().and_then(|step| step.case.as_mut());
        case.ok_or_else(|| "this belongs after a command ('$ ...')".to_owned())
    }

    fn expect(&mut self) -> Result<&mut Expect, String> {
        let case = self.case()?;
        Ok(match &mut case.differs {
            Some(differs) => &mut differs.expect,
            None => &mut case.expect,
        })
    }

    fn command(&mut self, number: usize, rest: &str) -> Result<(), String> {
        let argv = words::split(rest)?;
        for word in &argv {
            pattern::check(word)?;
        }
        if argv.is_empty() {
            return Err("the command is missing".to_owned());
        }
        let case = Case {
            line: number,
            argv,
            stdin: std::mem::take(&mut self.stdin),
            needs: std::mem::take(&mut self.needs),
            changes: self.changes.take(),
            within: std::mem::take(&mut self.within),
            expect: Expect::default(),
            differs: None,
        };
        let step = self.step.get_or_insert_with(|| new_step(number));
        if step.case.is_some() {
            return Err("a block has one command; leave a blank line before the next".to_owned());
        }
        step.case = Some(case);
        self.target = Target::None;
        Ok(())
    }

    fn setup(&mut self, number: usize, word: &str, rest: &str) -> Result<(), String> {
        let arguments = words::split(rest)?;
        for argument in &arguments {
            pattern::check(argument)?;
        }
        let mut given = arguments.iter().cloned();
        let mut path = || given.next().ok_or_else(|| format!("'{word}' needs a path"));
        let setup = match word {
            "run" => Setup::Run(arguments),
            "file" => Setup::File { path: path()?, mode: mode_of(given.next())?, text: String::new() },
            "random" => {
                let (path, bytes) = (path()?, number_of(&given.next().unwrap_or_default())?);
                Setup::Random { path, bytes, mode: mode_of(given.next())? }
            }
            _ => Setup::Btrfs { path: path()?, mib: number_of(&given.next().unwrap_or_default())? },
        };
        let step = self.step.get_or_insert_with(|| new_step(number));
        if step.case.is_some() {
            return Err("setup belongs before the command of its block".to_owned());
        }
        step.setup.push(setup);
        self.target = Target::Setup;
        Ok(())
    }

    fn after(&mut self, rest: &str) -> Result<(), String> {
        let (word, rest) = rest.split_once(' ').unwrap_or((rest, ""));
        pattern::check(rest)?;
        let mut given = words::split(rest)?.into_iter();
        let mut next = || given.next().ok_or_else(|| format!("'after {word}' needs more words"));
        let after = match word {
            "file" => After::File(next()?, Lines::default()),
            "gone" => After::Gone(next()?),
            "names" => After::Names(next()?, given.collect()),
            "owner" => {
                let (path, mode) = (next()?, next()?);
                After::Owner(path, mode_of(Some(mode))?, next()?)
            }
            "same" => After::Same(next()?, next()?),
            _ => return Err(format!("there is no 'after {word}'")),
        };
        self.expect()?.after.push(after);
        self.target = Target::After;
        Ok(())
    }

    /// A line that begins with `|`: of a file to write, or of a file to expect.
    fn text_line(&mut self, rest: &str) -> Result<(), String> {
        match self.target {
            Target::Setup => {
                pattern::check(rest)?;
                let setup = self.step.as_mut().and_then(|step| step.setup.last_mut());
                let Some(Setup::File { text, .. }) = setup else {
                    return Err("only 'file' has lines".to_owned());
                };
                text.push_str(rest);
                text.push('\n');
            }
            Target::After => {
                let item = item(rest)?;
                let Some(After::File(_, lines)) = self.expect()?.after.last_mut() else {
                    return Err("only 'after file' has lines".to_owned());
                };
                lines.0.push(item);
            }
            Target::None => return Err("'|' belongs after 'file' or 'after file'".to_owned()),
        }
        Ok(())
    }

    fn stream(&mut self, fd: u8, kind: char, rest: &str) -> Result<(), String> {
        if fd == 0 {
            if self.step.as_ref().is_some_and(|step| step.case.is_some()) {
                return Err("what is read belongs before the command".to_owned());
            }
            if kind == '*' {
                let (count, text) = rest.split_once(' ').ok_or("'0*' needs a count and a text")?;
                self.stdin.extend(text.repeat(number_of(count)?).as_bytes());
            } else {
                self.stdin.extend(rest.as_bytes());
                self.stdin.push(b'\n');
            }
            return Ok(());
        }
        let mut included = Vec::new();
        if kind == '<' {
            let text = included_text(self.include, rest)?;
            for line in text.lines() {
                included.push(item(line)?);
            }
        }
        let expect = self.expect()?;
        let lines = if fd == 1 { &mut expect.stdout.0 } else { &mut expect.stderr.0 };
        match kind {
            '|' => lines.push(item(rest)?),
            '~' => {
                let pattern = Pattern::new(rest)?;
                match lines.last_mut() {
                    Some(Item::AnyOrder(patterns)) => patterns.push(pattern),
                    _ => lines.push(Item::AnyOrder(vec![pattern])),
                }
            }
            '<' => lines.append(&mut included),
            _ => return Err("only '0*' repeats".to_owned()),
        }
        Ok(())
    }
}

fn new_step(line: usize) -> Step {
    Step { line, setup: Vec::new(), case: None }
}

fn item(text: &str) -> Result<Item, String> {
    if text == "{lines}" {
        return Ok(Item::Lines);
    }
    Pattern::new(text).map(Item::Line)
}

/// `NAME key=value ...`: the text NAME with each `{key}` replaced.
fn included_text(include: &dyn Fn(&str) -> Option<String>, rest: &str) -> Result<String, String> {
    let words = words::split(rest)?;
    let (name, pairs) = words.split_first().ok_or("'<' needs the name of a text")?;
    let mut text = include(name).ok_or_else(|| format!("there is no text '{name}'"))?;
    for pair in pairs {
        let (key, value) = pair.split_once('=').ok_or("'<' takes key=value")?;
        text = text.replace(&format!("{{{key}}}"), value);
    }
    Ok(text)
}

fn parse_need(text: &str) -> Need {
    match text.split_once(' ') {
        Some(("storage", kind)) => Need::Storage(kind.to_owned()),
        Some(("program", name)) => Need::Program(name.to_owned()),
        _ => Need::Verb(text.to_owned()),
    }
}

fn yes_or_no(text: &str) -> Result<bool, String> {
    match text {
        "yes" => Ok(true),
        "no" => Ok(false),
        _ => Err(format!("'{text}' is neither yes nor no")),
    }
}

fn number_of<N: std::str::FromStr>(text: &str) -> Result<N, String> {
    text.parse().map_err(|_| format!("'{text}' is no number"))
}

fn mode_of(text: Option<String>) -> Result<u32, String> {
    match text {
        None => Ok(0o644),
        Some(text) => u32::from_str_radix(&text, 8).map_err(|_| format!("'{text}' is no mode")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "title: Two things\nsource: our own\nneeds: program tar\n\n# a comment\nfile {conf}/101.conf\n\
        | arch: amd64\n| #x\nrun pct start 101\n\nrandom {tmp}/r 10 600\n0| from stdin\n0* 3 ab\nneeds: clone\n\
        changes: yes\n$ pct clone 101 102\n1| created\n1|\n2~ b\n2~ a\n2< use word=x\nexit 7\nafter gone {tmp}/x\n\
        after file {tmp}/y\n| line {int}\n| {lines}\ndiffers: because\nexit failure\n1| other\n\n$ pct list\n";

    #[test]
    fn every_kind_of_line_is_read() {
        let group = parse("t", TEXT, &|name| (name == "use").then(|| "usage {word}\n".to_owned())).unwrap();
        assert_eq!((group.title.as_str(), group.source.as_str()), ("Two things", "our own"));
        assert_eq!(group.needs, [Need::Program("tar".to_owned())]);
        assert_eq!(group.steps.len(), 3);
        assert_eq!(
            group.steps[0].setup,
            [
                Setup::File { path: "{conf}/101.conf".into(), mode: 0o644, text: "arch: amd64\n#x\n".into() },
                Setup::Run(vec!["pct".into(), "start".into(), "101".into()]),
            ]
        );
        let case = group.steps[1].case.as_ref().unwrap();
        assert_eq!(case.stdin, b"from stdin\nababab");
        assert_eq!((case.needs.as_slice(), case.changes), (&[Need::Verb("clone".into())][..], Some(true)));
        assert_eq!(
            (case.expect.exit, case.expect.stdout.0.len(), case.expect.after.len()),
            (Exit::Is(7), 2, 2)
        );
        assert_eq!(case.expect.stderr.0.len(), 2, "one set of two lines, one included line");
        let differs = case.differs.as_ref().unwrap();
        assert_eq!((differs.reason.as_str(), differs.expect.exit), ("because", Exit::Failure));
        assert_eq!(group.cases().count(), 2);
    }

    #[test]
    fn wrong_lines_are_named() {
        let cases = [
            ("$ pct list\n", 1, "the title is missing"),
            ("title: t\n\nexit 2\n", 3, "this belongs after a command ('$ ...')"),
            ("title: t\n\n$ pct list\nexit x\n", 4, "'x' is no number"),
            ("title: t\n\n$ pct list\n1| {bad}\n", 4, "the placeholder {bad} is not known"),
            (
                "title: t\n\n$ pct a\n$ pct b\n",
                4,
                "a block has one command; leave a blank line before the next",
            ),
            ("title: t\n\nfrobnicate\n", 3, "a line cannot begin with 'frobnicate'"),
            ("title: t\n\n$ pct a\n2< nosuch\n", 4, "there is no text 'nosuch'"),
            ("title: t\n\n$ pct a\n0| late\n", 4, "what is read belongs before the command"),
        ];
        for (text, line, message) in cases {
            assert_eq!(parse("t", text, &|_| None).unwrap_err(), (line, message.to_owned()));
        }
    }
}
