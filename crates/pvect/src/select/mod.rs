//! Containers chosen by number, name, tag, pool, state and node.
//!
//! A selector is a list of words. What one word chooses is added to what the others choose; `!WORD` takes away again,
//! wherever it stands. Within a word, `,` separates words and `+` joins terms that must all hold.
//!
//! | term | chooses |
//! |---|---|
//! | `101` | the container of this number |
//! | `100-120` | those in this range, both ends included |
//! | `web1`, `web*` | the host name; `*`, `?` and `[abc]` are wildcards |
//! | `@prod` | those with the tag; the tag may have `*` |
//! | `pool:dev` | the members of the pool |
//! | `status:running` | those that run; or `stopped` |
//! | `lock:backup` | those with this lock; `lock:*` those with any |
//! | `node:pve2` | those on the node |
//! | `all` | every container |

mod gather;
mod term;

use std::collections::BTreeSet;

use pvect_core::property::Startup;
use pvect_core::{Error, Listing, Lock, NodeName, Result, RunState, Vmid};

use term::Term;

use crate::names;

pub use gather::candidates;

/// Returns whether the word is a plain number or host name, or at least not a word that only a selector can have.
pub fn is_plain(word: &str) -> bool {
    let range = word.split_once('-').is_some_and(|(first, last)| {
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        !first.is_empty() && digits(first) && digits(last)
    });
    word != "all" && !range && !word.contains(['*', '?', '[', ']', '@', ':', ',', '+', '!'])
}

/// A container that may be chosen, with everything that a selector can ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The number.
    pub vmid: Vmid,
    /// The host name, or `CT<vmid>`.
    pub name: String,
    /// Whether it runs.
    pub status: RunState,
    /// The lock of its configuration.
    pub lock: Option<Lock>,
    /// The node that it is on.
    pub node: NodeName,
    /// Its tags; empty if [`Selector::needs_config`] is false.
    pub tags: BTreeSet<String>,
    /// Its pool.
    pub pool: Option<String>,
    /// Its place in the startup order.
    pub startup: Startup,
    /// Whether it is a template, which cannot be started.
    pub template: bool,
}

impl Candidate {
    /// Makes one from a line of the list; tags, pool and so on are empty.
    pub fn new(listing: Listing, node: NodeName) -> Self {
        let Listing { vmid, status, lock, name, .. } = listing;
        Self {
            vmid,
            name,
            status,
            lock,
            node,
            tags: BTreeSet::new(),
            pool: None,
            startup: Startup::default(),
            template: false,
        }
    }
}

/// What the words of a command line choose. See the [module](self) for the language.
#[derive(Debug, Clone, PartialEq)]
pub struct Selector {
    wanted: Vec<Word>,
    unwanted: Vec<Word>,
}

/// Terms that must all be true, and the text they came from.
#[derive(Debug, Clone, PartialEq)]
struct Word {
    text: String,
    terms: Vec<Term>,
}

impl Word {
    fn parse(text: &str) -> Result<Self> {
        let terms = text.split('+').map(Term::parse).collect::<Result<_>>()?;
        Ok(Self { text: text.to_owned(), terms })
    }

    fn chooses(&self, candidate: &Candidate) -> bool {
        self.terms.iter().all(|term| term.chooses(candidate))
    }
}

impl Selector {
    /// Reads the words.
    ///
    /// # Errors
    /// `InvalidArgument` that names the term and what is allowed.
    pub fn parse<S: AsRef<str>>(words: &[S]) -> Result<Self> {
        let mut selector = Self { wanted: Vec::new(), unwanted: Vec::new() };
        for text in words.iter().flat_map(|word| word.as_ref().split(',')) {
            match text.strip_prefix('!') {
                Some(text) => selector.unwanted.push(Word::parse(text)?),
                None => selector.wanted.push(Word::parse(text)?),
            }
        }
        match (selector.wanted.as_slice(), selector.unwanted.as_slice()) {
            ([], []) => Err(wrong("no container is named".to_owned())),
            ([], [first, ..]) => {
                Err(wrong(format!("'!{0}' excludes from nothing: write 'all !{0}'", first.text)))
            }
            _ => Ok(selector),
        }
    }

    /// Returns the number or name when the words are one plain number or name, which choose one container or fail.
    pub fn single(&self) -> Option<&str> {
        match (self.wanted.as_slice(), self.unwanted.as_slice()) {
            ([Word { text, terms }], []) if matches!(terms[..], [Term::Number(_) | Term::Name(_)]) => {
                Some(text)
            }
            _ => None,
        }
    }

    /// Returns whether configurations must be read, for tags.
    pub fn needs_config(&self) -> bool {
        self.terms().any(|term| matches!(term, Term::Tag(_)))
    }

    /// Returns whether the cluster's pools must be known.
    pub fn needs_pools(&self) -> bool {
        self.terms().any(|term| matches!(term, Term::Pool(_)))
    }

    /// Returns the nodes that are named.
    pub fn nodes(&self) -> BTreeSet<NodeName> {
        self.terms()
            .filter_map(|term| if let Term::Node(node) = term { Some(node.clone()) } else { None })
            .collect()
    }

    fn terms(&self) -> impl Iterator<Item = &Term> {
        self.wanted.iter().chain(&self.unwanted).flat_map(|word| &word.terms)
    }

    /// Chooses, in the order of `all`, each container once.
    ///
    /// # Errors
    /// `NotFound` for a number or plain name that does not exist or is ambiguous, and when a wanted word chooses
    /// nothing: a misspelt tag must not look like success. It is not an error if `all` chooses nothing on a node
    /// without containers.
    pub fn choose<'a>(&self, all: &'a [Candidate]) -> Result<Vec<&'a Candidate>> {
        for word in &self.wanted {
            self.check(word, all)?;
        }
        let chosen: Vec<&Candidate> = all
            .iter()
            .filter(|one| self.wanted.iter().any(|word| word.chooses(one)))
            .filter(|one| !self.unwanted.iter().any(|word| word.chooses(one)))
            .collect();
        if chosen.is_empty() && !all.is_empty() {
            return Err(not_found("nothing is left: '!' excludes everything that was chosen".to_owned()));
        }
        Ok(chosen)
    }

    fn check(&self, word: &Word, all: &[Candidate]) -> Result<()> {
        for term in &word.terms {
            match term {
                Term::Number(vmid) if !all.iter().any(|one| one.vmid == *vmid) => {
                    return Err(Error::no_container(*vmid));
                }
                Term::Name(name) => names::resolve(name, &listings(all)).map(drop)?,
                _ => {}
            }
        }
        let everything = word.terms.iter().all(|term| *term == Term::All);
        if everything || all.iter().any(|one| word.chooses(one)) {
            return Ok(());
        }
        Err(not_found(format!("no container matches '{}'", word.text)))
    }
}

fn listings(all: &[Candidate]) -> Vec<Listing> {
    all.iter()
        .map(|one| Listing {
            vmid: one.vmid,
            status: one.status.clone(),
            lock: one.lock.clone(),
            name: one.name.clone(),
            node: None,
        })
        .collect()
}

fn not_found(what: String) -> Error {
    Error::NotFound { what, vmid: None }
}

fn wrong(text: String) -> Error {
    Error::bad_argument("container", text)
}

/// Returns the pool of each container, from the text of `user.cfg`.
///
/// Lines are `pool:NAME:COMMENT:VMIDS:STORAGES:`. Source: user.cfg of pve-access-control.
pub fn pools(user_cfg: &str) -> std::collections::BTreeMap<Vmid, String> {
    let mut found = std::collections::BTreeMap::new();
    for line in user_cfg.lines() {
        let mut fields = line.trim_end().split(':');
        if fields.next() != Some("pool") {
            continue;
        }
        let (Some(name), Some(members)) = (fields.next(), fields.nth(1)) else { continue };
        for vmid in members.split([',', ';', ' ']).filter_map(|word| word.parse().ok()) {
            found.insert(vmid, name.to_owned());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(vmid: u32, name: &str, status: &str, tags: &[&str]) -> Candidate {
        let listing = Listing {
            vmid: Vmid::try_from(vmid).unwrap(),
            status: RunState::from(status.to_owned()),
            lock: None,
            name: name.to_owned(),
            node: None,
        };
        let tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
        Candidate { tags, ..Candidate::new(listing, "pve1".parse().unwrap()) }
    }

    fn all() -> Vec<Candidate> {
        let mut all = vec![
            candidate(100, "web1", "running", &["prod", "web"]),
            candidate(101, "web2", "stopped", &["web"]),
            candidate(105, "db", "running", &["prod"]),
            candidate(120, "CT120", "stopped", &[]),
            candidate(200, "twin", "stopped", &[]),
            candidate(201, "twin", "running", &[]),
        ];
        all[2].pool = Some("dev".to_owned());
        all[3].lock = Some("backup".parse().unwrap());
        all[5].node = "pve2".parse().unwrap();
        all
    }

    fn chosen(words: &str) -> std::result::Result<Vec<u32>, String> {
        let words: Vec<&str> = words.split(' ').collect();
        let all = all();
        let selector = Selector::parse(&words).map_err(|error| error.to_string())?;
        let chosen = selector.choose(&all).map_err(|error| error.to_string())?;
        Ok(chosen.iter().map(|one| one.vmid.get()).collect())
    }

    #[test]
    fn words_choose() {
        for (words, ids) in [
            ("101", &[101][..]),
            ("105 100", &[100, 105]),
            ("100,101", &[100, 101]),
            ("100-110", &[100, 101, 105]),
            ("100-", &[100, 101, 105, 120, 200, 201]),
            ("web1", &[100]),
            ("web*", &[100, 101]),
            ("web[2-9]", &[101]),
            ("?b", &[105]),
            ("@prod", &[100, 105]),
            ("@PROD", &[100, 105]),
            ("@w*", &[100, 101]),
            ("pool:dev", &[105]),
            ("status:stopped", &[101, 120, 200]),
            ("lock:backup", &[120]),
            ("lock:*", &[120]),
            ("node:pve2", &[201]),
            ("all", &[100, 101, 105, 120, 200, 201]),
            ("all !@prod", &[101, 120, 200, 201]),
            ("@web+status:running", &[100]),
            ("@web+status:running db", &[100, 105]),
            ("100-110 !web*+status:stopped", &[100, 105]),
            ("tw*", &[200, 201]),
        ] {
            assert_eq!(chosen(words).as_deref(), Ok(ids), "{words}");
        }
    }

    #[test]
    fn what_is_not_there_is_told() {
        for (words, text) in [
            ("999", "there is no container 999"),
            ("100 999", "there is no container 999"),
            ("@nosuch", "no container matches '@nosuch'"),
            ("300-310", "no container matches '300-310'"),
            ("web* !100-200", "nothing is left: '!' excludes everything that was chosen"),
            ("twin", "the name 'twin' means more than one container: 200 (stopped), 201 (running)"),
            ("!web1", "<container>: '!web1' excludes from nothing: write 'all !web1'"),
            ("status:off", "<container>: 'status:off': the state is 'running' or 'stopped'"),
            ("120-100", "<container>: '120-100': the range ends before it begins"),
            ("pool:", "<container>: 'pool:': a name is missing"),
            (
                "a_b",
                "<container>: 'a_b' is not a number, range, host name, @TAG, pool:, status:, lock:, node: or 'all'",
            ),
            (
                "tag:x",
                "<container>: 'tag:x' is not a number, range, host name, @TAG, pool:, status:, lock:, node: or 'all'",
            ),
            ("12", "<container>: '12': a whole number from 100 to 999999999"),
            ("web[", "<container>: 'web[': the bracket is not closed"),
        ] {
            assert_eq!(chosen(words), Err(text.to_owned()), "{words}");
        }
    }

    #[test]
    fn all_of_nothing_is_nothing() {
        let chosen = |words: &[&str]| {
            let selector = Selector::parse(words).unwrap();
            selector.choose(&[]).map(|chosen| chosen.len()).map_err(|error| error.to_string())
        };
        assert_eq!(chosen(&["all"]), Ok(0));
        assert_eq!(chosen(&["@prod"]), Err("no container matches '@prod'".to_owned()));
    }

    #[test]
    fn plain_words_stay_what_they_are() {
        for (words, single) in [
            (&["101"][..], Some("101")),
            (&["web1"], Some("web1")),
            (&["web*"], None),
            (&["101", "102"], None),
        ] {
            assert_eq!(Selector::parse(words).unwrap().single(), single, "{words:?}");
        }
    }

    #[test]
    fn selectors_are_told_from_plain_words() {
        for (word, plain) in [
            ("101", true),
            ("web-1", true),
            ("1web", true),
            ("abc", true),
            ("-5", true),
            ("all", false),
            ("100-120", false),
            ("100-", false),
            ("web*", false),
            ("@prod", false),
            ("status:running", false),
            ("101,102", false),
        ] {
            assert_eq!(is_plain(word), plain, "{word}");
        }
    }

    #[test]
    fn pools_are_read() {
        let text = "user:root@pam:1:0:::a@b::\npool:dev:for all:101,102:local:\npool:empty:::\n";
        let found = pools(text);
        assert_eq!(found.get(&"101".parse().unwrap()).map(String::as_str), Some("dev"));
        assert_eq!(found.len(), 2);
    }
}
