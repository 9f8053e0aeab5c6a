//! Which option a word is.

use pvect_core::schema::{ArgSpec, OptionSpec, VerbSpec};
use pvect_core::{Error, Verb};

use super::globals::{GLOBALS, GlobalSpec};

/// Options of pvect for verbs that take a password.
pub const PASSWORD_OPTIONS: &[(&str, Option<&str>, &str)] = &[
    ("password-file", Some("FILE"), "Read root's password from the first line of a file."),
    ("password-stdin", None, "Read root's password from the first line of stdin."),
];

/// An option that pvect adds to verbs of pct. It never goes to pct.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExtraSpec {
    /// The name after `--`.
    pub name: &'static str,
    /// The letter after `-`.
    pub short: Option<char>,
    /// The verbs that have it.
    pub verbs: &'static [Verb],
    /// What its value is called in help; `None` for switches.
    pub value: Option<&'static str>,
    /// The value where none is given after `=`; `None` where one is needed.
    pub without: Option<&'static str>,
    /// One sentence for help.
    pub text: &'static str,
}

const fn extra(name: &'static str, verbs: &'static [Verb], text: &'static str) -> ExtraSpec {
    ExtraSpec { name, short: None, verbs, value: None, without: None, text }
}

/// Verbs whose effect is looked at.
const VERIFIED: &[Verb] = &[Verb::Push, Verb::Pull, Verb::Resize, Verb::Template];

/// The verbs that work on many containers.
pub const BULK: &[Verb] = &[
    Verb::Delsnapshot,
    Verb::Destroy,
    Verb::Exec,
    Verb::Fsck,
    Verb::Fstrim,
    Verb::Migrate,
    Verb::Mount,
    Verb::Push,
    Verb::Reboot,
    Verb::Resize,
    Verb::Resume,
    Verb::Rollback,
    Verb::Set,
    Verb::Shutdown,
    Verb::Snapshot,
    Verb::Start,
    Verb::Stop,
    Verb::Suspend,
    Verb::Template,
    Verb::Unlock,
    Verb::Unmount,
];

/// Every option that pvect adds.
pub const EXTRAS: &[ExtraSpec] = &[
    extra(
        "allow-token-in-argv",
        &[Verb::RemoteMigrate],
        "Hand the token to pct even though every user of the node can read it in the process list.",
    ),
    extra("bytes", &[Verb::Resize], "A plain number means bytes, as pct takes it."),
    extra("fail-fast", BULK, "With many containers, stop starting new ones after the first failure."),
    extra("fill", &[Verb::Pull], "Copy even if less than 5 % of the disk would stay free."),
    extra(
        "force",
        &[Verb::Reboot],
        "Reboot even though the lock will keep the container from starting again.",
    ),
    extra("force", &[Verb::Rollback], "Kill a running container and roll it back."),
    extra("if-changed", &[Verb::Set], "Change only what differs; do nothing if nothing does."),
    extra("mount", &[Verb::Df], "Mount the volumes of a stopped container to measure them."),
    extra("no-verify", VERIFIED, "Trust pct's exit status; do not check whether it was done."),
    extra(
        "no-wait",
        &[Verb::Create, Verb::Restore, Verb::Start, Verb::Stop, Verb::Shutdown, Verb::Migrate],
        "Return when the HA manager has accepted the request, not when it is done.",
    ),
    extra(
        "ordered",
        BULK,
        "With many containers, follow their startup order; verbs that stop them reverse it.",
    ),
    ExtraSpec {
        value: Some("N"),
        ..extra("parallel", BULK, "How many containers to work on at a time; twice the CPUs by default.")
    },
    ExtraSpec {
        short: Some('r'),
        ..extra(
            "recursive",
            &[Verb::Push, Verb::Pull],
            "Copy the contents of a directory into a directory; keep owners and modes.",
        )
    },
    ExtraSpec {
        value: Some("FILE"),
        ..extra("token-file", &[Verb::RemoteMigrate], "Read the API token from the first line of a file.")
    },
    ExtraSpec {
        value: Some("0|1"),
        ..extra(
            "trust-config",
            &[Verb::Restore],
            "With 0, leave out what the backup's configuration would do on the host (standalone node).",
        )
    },
    extra("token-stdin", &[Verb::RemoteMigrate], "Read the API token from the first line of stdin."),
    extra("verify", VERIFIED, "Check whether it was done (the default)."),
    ExtraSpec {
        value: Some("SECONDS"),
        without: Some("60"),
        ..extra(
            "wait-ip",
            &[Verb::Create, Verb::Restore, Verb::Start],
            "Return when the container that was started has an IP address; fail if it has none after 60 seconds, or as \
             many as are given.",
        )
    },
    extra("yes", BULK, "Do not ask before a destructive verb on many containers."),
];

/// Returns the options that pvect adds to a verb.
pub fn extras(verb: Verb) -> impl Iterator<Item = &'static ExtraSpec> {
    EXTRAS.iter().filter(move |spec| spec.verbs.contains(&verb))
}

/// An option that was found.
#[derive(Debug, Clone, PartialEq)]
pub enum Found {
    /// An option of the verb, by its full name.
    Verb(&'static OptionSpec, String),
    /// An argument of the verb, given by its name: its place.
    Argument(&'static str, usize),
    /// An option that pvect adds to the verb.
    Extra(&'static ExtraSpec),
    /// An option of pvect.
    Global(&'static GlobalSpec),
    /// `--password-file` or `--password-stdin`: its name, and whether it has a value.
    Password(&'static str, bool),
}

/// Finds the option that a name means: exactly, else in any case, else as the only one that begins so. Options of
/// the verb go before those of pvect, so that nothing that pct takes is lost.
pub fn find(verb: Option<&'static VerbSpec>, name: &str) -> Result<Found, Error> {
    if let Some(found) = exact(verb, name) {
        return Ok(found);
    }
    let lower = name.to_lowercase();
    let begins = |known: &str| known.to_lowercase().starts_with(&lower);
    let of_verb: Vec<Found> = verb.map(|spec| candidates(spec, &begins)).unwrap_or_default();
    let of_extras: Vec<Found> = verb
        .into_iter()
        .flat_map(|spec| extras(spec.verb))
        .filter(|spec| begins(spec.name))
        .map(Found::Extra)
        .collect();
    let of_pvect: Vec<Found> = GLOBALS.iter().filter(|spec| begins(spec.name)).map(Found::Global).collect();
    for mut found in [of_verb, of_extras, of_pvect] {
        match found.len() {
            0 => {}
            1 => return Ok(found.remove(0)),
            _ => {
                let names: Vec<String> =
                    found.iter().map(|option| format!("--{}", name_of(option))).collect();
                return Err(Error::bad_option(name, format!("can be {}", names.join(" or "))));
            }
        }
    }
    Err(unknown(verb, name))
}

/// Finds a global option by its letter.
pub fn by_letter(letter: char) -> Option<&'static GlobalSpec> {
    GLOBALS.iter().find(|spec| spec.short == Some(letter))
}

/// An optional argument may be given by its name, which is how pct takes one behind another that is left out.
fn by_name(arg: &ArgSpec, name: &str) -> bool {
    arg.optional && !arg.rest && arg.name == name
}

fn takes_password(spec: &VerbSpec) -> bool {
    spec.options.iter().any(|option| option.name == "password")
}

fn exact(verb: Option<&'static VerbSpec>, name: &str) -> Option<Found> {
    if let Some(spec) = verb {
        if let Some((option, _)) = spec.option(name) {
            return Some(Found::Verb(option, name.to_owned()));
        }
        let password = PASSWORD_OPTIONS.iter().find(|(known, ..)| takes_password(spec) && *known == name);
        if let Some((known, value, _)) = password {
            return Some(Found::Password(known, value.is_some()));
        }
        if let Some(found) = extras(spec.verb).find(|extra| extra.name == name) {
            return Some(Found::Extra(found));
        }
        if let Some((index, arg)) = spec.args.iter().enumerate().find(|(_, arg)| by_name(arg, name)) {
            return Some(Found::Argument(arg.name, index));
        }
        let lower = name.to_lowercase();
        for option in spec.all_options() {
            let full = match option.max_index {
                None => option.name.eq_ignore_ascii_case(name).then(|| option.name.to_owned()),
                Some(_) => option.matches(&lower).map(|_| lower.clone()),
            };
            if let Some(full) = full {
                return Some(Found::Verb(option, full));
            }
        }
    }
    GLOBALS.iter().find(|spec| spec.name == name).map(Found::Global)
}

fn candidates(spec: &'static VerbSpec, begins: &dyn Fn(&str) -> bool) -> Vec<Found> {
    let plain =
        spec.all_options().into_iter().filter(|option| option.max_index.is_none() && begins(option.name));
    let mut found: Vec<Found> = plain.map(|option| Found::Verb(option, option.name.to_owned())).collect();
    if takes_password(spec) {
        let extra = PASSWORD_OPTIONS.iter().filter(|(name, ..)| begins(name));
        found.extend(extra.map(|(name, value, _)| Found::Password(name, value.is_some())));
    }
    found
}

fn name_of(found: &Found) -> &str {
    match found {
        Found::Verb(_, name) => name,
        Found::Extra(spec) => spec.name,
        Found::Global(spec) => spec.name,
        Found::Argument(name, _) | Found::Password(name, _) => name,
    }
}

/// The error for an option that nothing knows; it names the nearest.
fn unknown(verb: Option<&'static VerbSpec>, name: &str) -> Error {
    let shown = |verb: Verb| if verb == Verb::Help { "help".to_owned() } else { verb.name().to_owned() };
    let of = verb.map_or_else(|| "pvect".to_owned(), |spec| format!("pvect {}", shown(spec.verb)));
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
    let mut known: Vec<String> = GLOBALS.iter().map(|spec| spec.name.to_owned()).collect();
    known.extend(verb.into_iter().flat_map(|spec| extras(spec.verb)).map(|spec| spec.name.to_owned()));
    for option in verb.map(VerbSpec::all_options).unwrap_or_default() {
        if let (Some(max), true) = (option.max_index, option.name.eq_ignore_ascii_case(stem)) {
            return Error::bad_option(name, format!("{of} has --{0}0 to --{0}{max}", option.name));
        }
        known.push(option.display_name());
    }
    let text = match pvect::nearest(name, known.iter().map(String::as_str)) {
        Some(near) => format!("{of} has no such option; did you mean --{near}?"),
        None => format!("{of} has no such option"),
    };
    Error::bad_option(name, text)
}
