//! Which command a word means.

use pvect_core::schema::VERBS;
use pvect_core::{Error, Result, Verb};

use crate::args::elsewhere;
use crate::args::own::OWN;

pub(super) enum Command {
    Verb(Verb),
    Own(&'static str),
}

/// Finds the command that a word means: by its name, or as the only one that begins with the word, verbs of pct first.
pub(super) fn command(word: &str) -> Result<Command> {
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
    // Not as a beginning: who types `sh` wants a shell, and no shutdown.
    if let Some(meant) = elsewhere::meant(word) {
        return refused(format!("there is no command '{word}'; `pvect {meant}` does that here"));
    }
    let verbs: Vec<_> = VERBS.iter().filter(|spec| spec.name.starts_with(word)).collect();
    let own: Vec<_> = OWN.iter().filter(|(name, _)| name.starts_with(word)).collect();
    match (verbs.as_slice(), own.as_slice()) {
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
