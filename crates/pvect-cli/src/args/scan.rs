//! Reads the words of a command line.

use std::collections::VecDeque;

use pvect_core::schema::{Kind, Reason, VERBS, Violation};
use pvect_core::{Error, Result, Verb};

use super::elsewhere;
use super::globals::Globals;
use super::options::{ExtraSpec, Found, by_letter, extras, find};
use super::own::OWN;

/// The value of an option as it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Given {
    /// This text.
    Text(String),
    /// No value: a password to be asked for.
    Ask,
    /// `--password-file FILE`.
    File(String),
    /// `--password-stdin`.
    Stdin,
}

/// A verb of pct with its words.
#[derive(Debug, Clone, PartialEq)]
pub struct PctLine {
    /// The verb.
    pub verb: Verb,
    /// The arguments.
    pub args: Vec<String>,
    /// The options by full name, in order.
    pub options: Vec<(String, Given)>,
    /// The words after `--`, or the command of `exec`.
    pub rest: Vec<String>,
    /// Options that pvect adds to the verb, with their values.
    pub extras: Vec<(&'static str, Option<String>)>,
}

impl PctLine {
    /// Returns whether an option that pvect adds was given.
    pub fn has_extra(&self, name: &str) -> bool {
        self.extras.iter().any(|(known, _)| *known == name)
    }

    /// Returns the value of an option that pvect adds.
    pub fn extra(&self, name: &str) -> Option<&str> {
        self.extras.iter().rev().find(|(known, _)| *known == name)?.1.as_deref()
    }

    /// Adds an option. Variables of the environment add up; of everything else the last one counts.
    fn push(&mut self, name: String, value: String) {
        let known =
            self.options.iter_mut().find(|(known, given)| *known == name && matches!(given, Given::Text(_)));
        match known {
            Some((_, Given::Text(text))) if name == "env" => *text += &format!("\0{value}"),
            _ => self.options.push((name, Given::Text(value))),
        }
    }
}

/// What was typed.
#[derive(Debug, Clone, PartialEq)]
pub enum Line {
    /// Nothing but options.
    Nothing,
    /// A verb of pct.
    Pct(PctLine),
    /// A command of pvect: its name and words, to be read by clap.
    Own(&'static str, Vec<String>),
    /// `pvect pct ...`: words for the standalone node's pct, untouched.
    NodePct(Vec<String>),
    /// `pvect node vzdump ...`: words for the standalone node's vzdump, untouched.
    NodeVzdump(Vec<String>),
}

/// Reads the words after `pvect`.
///
/// # Errors
/// `InvalidArgument` with the option or command named, and the nearest one; `Unsupported` for virtual machines.
pub fn read(words: &[String], globals: &mut Globals) -> Result<Line> {
    let line = scan(words.to_vec().into(), globals);
    if line.is_err() && globals.output.is_none() && wants_json(words) {
        globals.output = Some(super::Form::Json);
    }
    line
}

/// Whether errors are to be JSON although the words could not be read to their end.
fn wants_json(words: &[String]) -> bool {
    let glued = words.iter().any(|word| ["-ojson", "-o=json", "--output=json"].contains(&word.as_str()));
    glued || words.windows(2).any(|pair| ["-o", "--output"].contains(&pair[0].as_str()) && pair[1] == "json")
}

fn scan(mut words: VecDeque<String>, globals: &mut Globals) -> Result<Line> {
    while let Some(word) = words.pop_front() {
        if let Some(option) = Dashed::parse(&word) {
            global(globals, &option, &mut words)?;
            continue;
        }
        let line = match command(&word)? {
            Command::Own("pct") => Line::NodePct(words.into()),
            Command::Own("node") if words.front().is_some_and(|word| word == "vzdump") => {
                words.pop_front();
                let words_left = words.make_contiguous();
                let asks_help = matches!(words_left, [only] if ["--help", "-h"].contains(&only.as_str()));
                if asks_help {
                    globals.help = true;
                    return Ok(Line::Own("node", vec!["vzdump".to_owned()]));
                }
                Line::NodeVzdump(words.into())
            }
            Command::Own(name) => own(name, globals, words)?,
            // `template build` is ours, `template 101` is pct's.
            Command::Verb(Verb::Template) if is_template_command(&words) => own("template", globals, words)?,
            Command::Verb(Verb::Help) => own("help", globals, words)?,
            Command::Verb(verb) => Line::Pct(pct(verb, globals, words)?),
        };
        return Ok(line);
    }
    Ok(Line::Nothing)
}

fn is_template_command(words: &VecDeque<String>) -> bool {
    let first = words.iter().find(|word| !word.starts_with('-'));
    first.is_some_and(|word| ["build", "list", "remove"].contains(&word.as_str()))
}

enum Command {
    Verb(Verb),
    Own(&'static str),
}

/// Finds the command that a word means: by its name, or as the only one that begins so, verbs of pct first.
fn command(word: &str) -> Result<Command> {
    if let Some(verb) = Verb::from_name(word) {
        return Ok(Command::Verb(verb));
    }
    if let Some((name, _)) = OWN.iter().find(|(name, _)| *name == word) {
        return Ok(Command::Own(name));
    }
    if ["qm", "vm", "qemu"].contains(&word) {
        let what = "pct manages containers only, and so does pvect; virtual machines are qm's".to_owned();
        return Err(Error::Unsupported { what, vmid: None });
    }
    let refused = |text: String| Err(Error::bad_argument("command", text));
    let verbs: Vec<_> = VERBS.iter().filter(|spec| spec.name.starts_with(word)).collect();
    let own: Vec<_> = OWN.iter().filter(|(name, _)| name.starts_with(word)).collect();
    match (verbs.as_slice(), own.as_slice()) {
        ([], []) | ([_, _, ..], _) | (_, [_, _, ..]) if elsewhere::meant(word).is_some() => {
            let meant = elsewhere::meant(word).unwrap_or_default();
            refused(format!("there is no command '{word}'; `pvect {meant}` does that here"))
        }
        _ if word.is_empty() => refused("is empty".to_owned()),
        ([one], _) => Ok(Command::Verb(one.verb)),
        ([], [(name, _)]) => Ok(Command::Own(name)),
        ([], []) => {
            let known = VERBS.iter().map(|spec| spec.name).chain(OWN.iter().map(|(name, _)| *name));
            match pvect::nearest(word, known) {
                Some(near) => refused(format!("there is no command '{word}'; did you mean '{near}'?")),
                None => refused(format!("there is no command '{word}'; `pvect help` lists them")),
            }
        }
        (verbs, own) => {
            let names: Vec<&str> =
                verbs.iter().map(|spec| spec.name).chain(own.iter().map(|(name, _)| *name)).collect();
            refused(format!("'{word}' can be {}", names.join(" or ")))
        }
    }
}

/// A word that begins with a dash.
struct Dashed {
    name: String,
    value: Option<String>,
    single: bool,
}

impl Dashed {
    fn parse(word: &str) -> Option<Self> {
        let name = word.strip_prefix('-').filter(|rest| !rest.is_empty())?;
        let (name, single) = name.strip_prefix('-').map_or((name, true), |name| (name, false));
        let (name, value) = match name.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (name.to_owned(), None),
        };
        Some(Self { name, value, single })
    }

    /// Letters of pvect's switches (`-q`, `-vv`, `-ojson`).
    fn letters(&self) -> Option<char> {
        let first = self.name.chars().next().filter(|_| self.single)?;
        let spec = by_letter(first)?;
        let alone = self.name.chars().all(|letter| letter == first);
        (alone || spec.value.is_some() && self.name.len() > 1 && spec.choices.contains(&&self.name[1..]))
            .then_some(first)
    }
}

/// Takes a global option that comes before the verb.
fn global(globals: &mut Globals, option: &Dashed, words: &mut VecDeque<String>) -> Result<()> {
    if let Some(letter) = option.letters() {
        return letters(globals, letter, option, words);
    }
    match find(None, &option.name)? {
        Found::Global(spec) => {
            let value = match spec.value {
                Some(_) => Some(value_of(spec.name, option, words)?),
                None => None,
            };
            globals.take(spec, value)
        }
        // Only a verb has others.
        Found::Verb(..) | Found::Password(..) | Found::Extra(_) | Found::Argument(..) => Ok(()),
    }
}

fn letters(globals: &mut Globals, letter: char, option: &Dashed, words: &mut VecDeque<String>) -> Result<()> {
    let Some(spec) = by_letter(letter) else { return Ok(()) };
    if spec.value.is_none() {
        return option.name.chars().try_for_each(|_| globals.take(spec, None));
    }
    let glued = (option.name.len() > 1).then(|| option.name[1..].to_owned());
    let value = match glued {
        Some(value) => value,
        None => value_of(spec.name, option, words)?,
    };
    globals.take(spec, Some(value))
}

/// The value of an option: after `=`, or the next word, whatever it looks like.
fn value_of(name: &str, option: &Dashed, words: &mut VecDeque<String>) -> Result<String> {
    if let Some(value) = &option.value {
        return Ok(value.clone());
    }
    match words.front() {
        Some(word) if word != "--" => Ok(words.pop_front().unwrap_or_default()),
        _ => Err(Error::bad_option(name, "needs a value")),
    }
}

/// Picks the global options out of the words of a command of pvect; clap reads the rest.
fn own(name: &'static str, globals: &mut Globals, mut words: VecDeque<String>) -> Result<Line> {
    let mut kept = Vec::new();
    while let Some(word) = words.pop_front() {
        if word == "--" {
            kept.push(word);
            kept.extend(words);
            break;
        }
        let known = Dashed::parse(&word).filter(|option| {
            option.letters().is_some()
                || matches!(find(None, &option.name), Ok(Found::Global(spec)) if spec.name == option.name)
        });
        match known {
            Some(option) => global(globals, &option, &mut words)?,
            None => kept.push(word),
        }
    }
    Ok(Line::Own(name, kept))
}

/// Reads the words of a verb of pct.
fn pct(verb: Verb, globals: &mut Globals, mut words: VecDeque<String>) -> Result<PctLine> {
    let spec = verb.spec();
    let mut line =
        PctLine { verb, args: Vec::new(), options: Vec::new(), rest: Vec::new(), extras: Vec::new() };
    let mut named = Vec::new();
    let mut perhaps_value = None;
    while let Some(word) = words.pop_front() {
        if word == "--" {
            line.rest.extend(words);
            break;
        }
        // The words of the command are its own, except the one option that pct takes there, too.
        let in_command = verb == Verb::Exec && !line.rest.is_empty();
        let option =
            Dashed::parse(&word).filter(|option| !in_command || !option.single && option.name == "keep-env");
        let Some(option) = option else {
            if verb == Verb::Exec && !line.args.is_empty() {
                line.rest.push(word);
            } else {
                line.args.push(word);
            }
            continue;
        };
        if let Some(extra) = extra_letter(verb, &option) {
            line.extras.push((extra.name, None));
            continue;
        }
        let verbose = option.name == "v" && spec.option("verbose").is_some();
        if let Some(letter) = option.letters().filter(|_| !verbose) {
            letters(globals, letter, &option, &mut words)?;
            continue;
        }
        match find(Some(spec), &option.name)? {
            Found::Global(_) => global(globals, &option, &mut words)?,
            Found::Extra(extra) => {
                let value = match extra.value {
                    Some(_) => Some(value_of(extra.name, &option, &mut words)?),
                    None => None,
                };
                line.extras.push((extra.name, value));
            }
            Found::Argument(name, index) => named.push((index, value_of(name, &option, &mut words)?)),
            Found::Password("password-stdin", _) => line.options.push(("password".into(), Given::Stdin)),
            Found::Password(name, _) => {
                let file = value_of(name, &option, &mut words)?;
                line.options.push(("password".into(), Given::File(file)));
            }
            Found::Verb(known, name) if known.secret => {
                refuse_secret(&name, &option, &words)?;
                line.options.push((name, Given::Ask));
            }
            Found::Verb(known, name) => {
                let value = match known.kind {
                    Kind::Boolean => {
                        let value = boolean(&option, &mut words);
                        let next =
                            words.front().filter(|word| option.value.is_none() && !word.starts_with('-'));
                        perhaps_value = next.map(|word| (name.clone(), word.clone())).or(perhaps_value);
                        value
                    }
                    _ => value_of(&name, &option, &mut words)?,
                };
                line.push(name, value);
            }
        }
    }
    let too_many = line.args.len() > spec.args.len() && !spec.args.last().is_some_and(|arg| arg.rest);
    if let Some((name, value)) = perhaps_value.filter(|_| too_many) {
        return Err(Error::invalid(Violation::option(name, Reason::Type { expected: "boolean", value })));
    }
    put_in_place(&mut line.args, named);
    Ok(line)
}

/// Puts arguments that were given by name into their places; one that is there already wins, as in pct.
fn put_in_place(args: &mut Vec<String>, named: Vec<(usize, String)>) {
    for (index, value) in named {
        while args.len() < index {
            args.push(String::new());
        }
        if args.len() == index {
            args.push(value);
        } else if args[index].is_empty() {
            args[index] = value;
        }
    }
}

/// The option of a letter that pvect adds to a verb.
fn extra_letter(verb: Verb, option: &Dashed) -> Option<&'static ExtraSpec> {
    let mut letters = option.name.chars();
    let letter =
        letters.next().filter(|_| option.single && letters.next().is_none() && option.value.is_none())?;
    extras(verb).find(|spec| spec.short == Some(letter))
}

/// A password typed into the command line is in the process list and in the shell's history already.
fn refuse_secret(name: &str, option: &Dashed, words: &VecDeque<String>) -> Result<()> {
    let follows = words.front().is_some_and(|word| !word.starts_with('-') || word.len() == 1);
    if option.value.is_none() && !follows {
        return Ok(());
    }
    let text = format!(
        "takes no value, because others could read it in the process list: put --{name} last to be asked for it, \
         or use --{name}-file FILE or --{name}-stdin"
    );
    Err(Error::bad_option(name, &text))
}

/// The value of a switch: after `=`, the next word if it is one of the words for yes and no, else 1.
fn boolean(option: &Dashed, words: &mut VecDeque<String>) -> String {
    const WORDS: &[&str] = &["1", "0", "yes", "no", "on", "off", "true", "false"];
    if let Some(value) = &option.value {
        return value.clone();
    }
    let follows = words.front().is_some_and(|word| WORDS.contains(&word.to_ascii_lowercase().as_str()));
    let next = if follows { words.pop_front() } else { None };
    next.unwrap_or_else(|| "1".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect()
    }

    fn scan(words: &[String]) -> Result<(Globals, Line)> {
        let mut globals = Globals::default();
        let line = read(words, &mut globals)?;
        Ok((globals, line))
    }

    fn line(text: &str) -> PctLine {
        match scan(&words(text)).unwrap().1 {
            Line::Pct(line) => line,
            other => panic!("{text}: {other:?}"),
        }
    }

    fn shown(text: &str) -> String {
        let line = line(text);
        let options: Vec<String> = line
            .options
            .iter()
            .map(|(name, value)| match value {
                Given::Text(text) => format!("--{name}={text}"),
                other => format!("--{name}:{other:?}"),
            })
            .collect();
        format!("{} {:?} {} {:?}", line.verb, line.args, options.join(" "), line.rest)
    }

    #[test]
    fn every_way_to_write_an_option_is_one() {
        let expected = r#"set ["101"] --memory=512 []"#;
        for text in [
            "set 101 --memory 512",
            "set 101 -memory 512",
            "set --memory=512 101",
            "set 101 -memory=512",
            "set --mem 512 101",
            "set 101 --MEMORY 512",
        ] {
            assert_eq!(shown(text), expected, "{text}");
        }
        assert_eq!(shown("set 101 --memory -5"), r#"set ["101"] --memory=-5 []"#);
        assert_eq!(shown("set 101 --net0 a=b --mp12 x"), r#"set ["101"] --net0=a=b --mp12=x []"#);
        assert_eq!(shown("set 101 --NET0 a"), r#"set ["101"] --net0=a []"#);
    }

    #[test]
    fn switches_take_a_word_for_yes_or_no_and_nothing_else() {
        assert_eq!(shown("status --verbose 101"), r#"status ["101"] --verbose=1 []"#);
        assert_eq!(shown("status 101 -v"), r#"status ["101"] --verbose=1 []"#);
        assert_eq!(shown("set 101 --onboot 1 --debug No"), r#"set ["101"] --onboot=1 --debug=No []"#);
        assert_eq!(shown("set 101 --onboot --debug=maybe"), r#"set ["101"] --onboot=1 --debug=maybe []"#);
    }

    #[test]
    fn verbs_may_be_cut() {
        assert_eq!(shown("stat 101"), r#"status ["101"]  []"#);
        assert_eq!(scan(&words("sett show")).unwrap().1, Line::Own("settings", words("show")));
        assert_eq!(
            scan(&words("sta 101")).unwrap_err().to_string(),
            "<command>: 'sta' can be start or status"
        );
        assert_eq!(
            scan(&words("strat 101")).unwrap_err().to_string(),
            "<command>: there is no command 'strat'; did you mean 'start'?"
        );
    }

    #[test]
    fn the_words_of_exec_are_its_own() {
        assert_eq!(shown("exec 101 -- ls -la"), r#"exec ["101"]  ["ls", "-la"]"#);
        assert_eq!(shown("exec 101 ls -la -o json"), r#"exec ["101"]  ["ls", "-la", "-o", "json"]"#);
        assert_eq!(shown("exec 101 --keep-env 0 ls"), r#"exec ["101"] --keep-env=0 ["ls"]"#);
        assert_eq!(shown("exec 101 ls --keep-env 0 -x"), r#"exec ["101"] --keep-env=0 ["ls", "-x"]"#);
        assert_eq!(shown("start 101 -- --new-option 1"), r#"start ["101"]  ["--new-option", "1"]"#);
    }

    #[test]
    fn template_is_two_commands() {
        assert_eq!(shown("template 101"), r#"template ["101"]  []"#);
        assert_eq!(shown("template web1"), r#"template ["web1"]  []"#);
        assert_eq!(
            scan(&words("template build busybox")).unwrap().1,
            Line::Own("template", words("build busybox"))
        );
    }

    #[test]
    fn global_options_stand_anywhere_and_give_way_to_the_verb() {
        let (globals, line) = scan(&words("-q --timeout 5 shutdown 101 --timeout 60 -ojson")).unwrap();
        assert_eq!(globals.timeout.map(pvect::settings::Seconds::get), Some(5.0));
        assert!(globals.quiet);
        assert_eq!(globals.output, Some(super::super::Form::Json));
        let Line::Pct(line) = line else { panic!("{line:?}") };
        assert_eq!(line.options, [("timeout".to_owned(), Given::Text("60".to_owned()))]);
        let (globals, _) = scan(&words("start 101 --timeout 2.5 --dry")).unwrap();
        assert_eq!(globals.timeout.map(pvect::settings::Seconds::get), Some(2.5));
        assert!(globals.dry_run);
        assert_eq!(scan(&words("start 101 -vv")).unwrap().0.verbose, 2);
    }

    #[test]
    fn unknown_options_name_the_nearest() {
        let error = |text: &str| scan(&words(text)).unwrap_err().to_string();
        assert_eq!(
            error("set 101 --memroy 512"),
            "--memroy: pvect set has no such option; did you mean --memory?"
        );
        assert_eq!(error("list --zzzz"), "--zzzz: pvect list has no such option");
        assert_eq!(error("set 101 --net32 x"), "--net32: pvect set has --net0 to --net31");
        assert_eq!(
            error("set 101 --c 5"),
            "--c: can be --cmode or --console or --cores or --cpulimit or --cpuunits"
        );
        assert_eq!(error("set 101 --memory"), "--memory: needs a value");
        assert_eq!(
            error("--output xml list"),
            "--output: 'xml' is not one of: table, json, yaml, csv, plain"
        );
    }

    #[test]
    fn passwords_are_never_words() {
        for text in ["create 101 t --password secret", "create 101 t --password=secret"] {
            let error = scan(&words(text)).unwrap_err().to_string();
            assert_eq!(
                error,
                "--password: takes no value, because others could read it in the process list: put --password last \
                 to be asked for it, or use --password-file FILE or --password-stdin"
            );
        }
        assert_eq!(line("create 101 t --password").options, [("password".to_owned(), Given::Ask)]);
        assert_eq!(line("create 101 t --password --start").options[0].1, Given::Ask);
        assert_eq!(line("create 101 t --password-stdin").options[0].1, Given::Stdin);
        assert_eq!(line("create 101 t --password-file p").options[0].1, Given::File("p".to_owned()));
    }

    #[test]
    fn virtual_machines_are_refused() {
        let error = scan(&words("qm list")).unwrap_err();
        assert_eq!(error.kind().exit_status(), 9);
    }

    proptest::proptest! {
        #[test]
        fn any_words_are_read_or_refused(
            verb in "(set|exec|create|template|help|)",
            words in proptest::collection::vec("(-{0,2}[a-z0-9=]{0,6}|\\PC{0,4}|--|--net0|-o|-v|-q)", 0..6),
        ) {
            let mut all = vec![verb];
            all.extend(words);
            let _ = scan(&all);
        }
    }
}
