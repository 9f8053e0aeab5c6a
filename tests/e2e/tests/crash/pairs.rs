//! Two commands at once on one container: no configuration is damaged, no change is lost, and what fails says why in
//! pct's own words.
//!
//! `PVECT_TEST_PAIRS` is the number of rounds, `PVECT_TEST_SEED` repeats a run.

use std::collections::BTreeMap;
use std::fs;
use std::process::Stdio;

use pvect_core::ContainerConfig;
use pvect_core::config::ParseMode;
use pvect_testkit::{TestNode, node_or_skip};

use crate::random::{Random, rounds};

const VICTIM: &str = "101";

/// A command of a pair. The number makes the values of each round and side other ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Verb {
    Start,
    Stop,
    SetSame,
    SetOwn,
    Destroy,
}

const VERBS: [Verb; 5] = [Verb::Start, Verb::Stop, Verb::SetSame, Verb::SetOwn, Verb::Destroy];

/// The two sides of a pair set different options. Both come into force at once, also while the container runs.
const OWN_KEYS: [&str; 2] = ["tags", "hostname"];

impl Verb {
    fn words(self, side: usize, round: usize) -> Vec<String> {
        let value = |key: &str| match key {
            "hostname" => format!("r{round}.example.org"),
            _ => format!("side-{side}-round-{round}"),
        };
        let words: &[&str] = match self {
            Self::Start => &["start", VICTIM],
            Self::Stop => &["stop", VICTIM],
            Self::Destroy => &["destroy", VICTIM],
            Self::SetSame => &["set", VICTIM, "--description", &value("description")],
            Self::SetOwn => &["set", VICTIM, &format!("--{}", OWN_KEYS[side]), &value(OWN_KEYS[side])],
        };
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    /// What may be the last line of stderr when it fails, beside another one.
    fn is_documented(self, text: &str) -> bool {
        let texts: &[&str] = match self {
            Self::Start => &["CT 101 already running"],
            Self::Stop => &["CT 101 not running"],
            Self::Destroy => &["unable to destroy CT 101 - container is running"],
            Self::SetSame | Self::SetOwn => &[],
        };
        // Removed by the other one, or about to be.
        let common =
            ["Configuration file 'nodes/vm/lxc/101.conf' does not exist", "CT is locked (destroyed)"];
        texts.iter().chain(&common).any(|known| *known == text)
    }
}

struct Ended {
    verb: Verb,
    words: Vec<String>,
    status: i32,
    stderr: String,
}

/// Runs two commands at once, to their ends.
fn together(node: &TestNode, pair: [Verb; 2], round: usize) -> [Ended; 2] {
    let started = [0, 1].map(|side| {
        let words = pair[side].words(side, round);
        let mut all = vec!["pct".to_owned()];
        all.extend(words.iter().cloned());
        let child = node
            .command(all)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("pvect can be started; build it first");
        (words, child)
    });
    let mut started = started.into_iter().zip(pair).map(|((words, child), verb)| {
        let output = child.wait_with_output().expect("the child ends");
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        Ended { verb, words, status: output.status.code().unwrap_or(-1), stderr }
    });
    [started.next().expect("the first"), started.next().expect("the second")]
}

fn config(node: &TestNode, context: &str) -> Option<ContainerConfig> {
    let path = node.config_file(101);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
        Err(error) => panic!("{context}: {error}"),
    };
    let (config, _) = ContainerConfig::parse(&bytes, ParseMode::Strict)
        .unwrap_or_else(|error| panic!("{context}: {error}: {}", String::from_utf8_lossy(&bytes)));
    assert_eq!(config.to_text().expect("it can be printed").as_bytes(), bytes, "{context}");
    Some(config)
}

#[test]
fn two_commands_at_once_on_one_container() {
    let node = node_or_skip!();
    let mut random = Random::new("pairs");
    let rounds = rounds("PVECT_TEST_PAIRS", 50);
    let template = node.busybox();
    let pairs: Vec<[Verb; 2]> =
        VERBS.iter().flat_map(|one| VERBS.iter().map(move |other| [*one, *other])).collect();
    let mut tally: BTreeMap<String, u32> = BTreeMap::new();
    // What the container's options must be: nothing of it is ever lost.
    let mut known: BTreeMap<String, String> = BTreeMap::new();
    for round in 0..rounds {
        let pair = if round < pairs.len() { pairs[round] } else { *random.choose(&pairs) };
        if config(&node, "before").is_none() {
            node.pct(&["create", VICTIM, &template, "--rootfs", "local:0", "--memory", "64"]).ok();
            known.clear();
        }
        let runs = node.pct(&["status", VICTIM]).ok().contains("running");
        // A destroy meets a stopped container mostly, a stop a running one.
        let wants = pair.contains(&Verb::Stop) || (!pair.contains(&Verb::Destroy) && random.below(2) == 0);
        if runs != wants {
            node.pct(&[if wants { "start" } else { "stop" }, VICTIM]).ok();
        }
        let ended = together(&node, pair, round);
        let context = format!("round {round}: {pair:?}, running before: {wants}");
        check(&node, &ended, &mut known, &context, &mut tally);
    }
    println!("{rounds} rounds: {tally:#?}");
    if config(&node, "end").is_some() {
        node.pct(&["destroy", VICTIM, "--force", "1"]).ok();
    }
    assert_eq!(node.leftovers(), Vec::<String>::new());
    let doctor = node.pvect(&["doctor", "--fix", "--yes"]).ok();
    assert_eq!(doctor, "killed commands left nothing behind\n");
}

fn check(
    node: &TestNode,
    ended: &[Ended; 2],
    known: &mut BTreeMap<String, String>,
    context: &str,
    tally: &mut BTreeMap<String, u32>,
) {
    for one in ended {
        // That it had to wait is not an error.
        let stderr = one.stderr.replace("trying to acquire lock...\n OK\n", "");
        let text = stderr.trim_end();
        let what = if one.status == 0 { "done" } else { text };
        *tally.entry(format!("{:?}: {what}", one.verb)).or_default() += 1;
        assert!(
            one.status == 0 && text.is_empty() || one.status > 0 && one.verb.is_documented(text),
            "{context}: {:?} ended with {}: {text}",
            one.words,
            one.status
        );
    }
    let is_done = |verb: Verb| ended.iter().any(|one| one.verb == verb && one.status == 0);
    let Some(config) = config(node, context) else {
        assert!(is_done(Verb::Destroy), "{context}: the configuration is gone");
        assert!(!node.root().join("vz/images/101").exists(), "{context}: volumes are left");
        return;
    };
    assert!(!is_done(Verb::Destroy), "{context}: destroyed, and there it is");
    assert!(config.lock().is_none() && config.pending.is_none(), "{context}: {config:?}");
    let mut possible: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for one in ended.iter().filter(|one| one.status == 0 && one.words.len() == 4) {
        possible.entry(one.words[2][2..].to_owned()).or_default().push(one.words[3].clone());
    }
    for (key, values) in possible {
        let value = match key.as_str() {
            "description" => config.main.description.as_deref().unwrap_or_default().trim_end().to_owned(),
            _ => config.main.options.get(&key).cloned().unwrap_or_default(),
        };
        assert!(values.contains(&value), "{context}: {key} is '{value}', not one of {values:?}");
        known.insert(key, value);
    }
    for (key, value) in known.iter().filter(|(key, _)| *key != "description") {
        assert_eq!(config.main.options.get(key), Some(value), "{context}: {key} was lost");
    }
    let runs = node.pct(&["status", VICTIM]).ok().contains("running");
    let started = is_done(Verb::Start) && !is_done(Verb::Stop);
    let stopped = is_done(Verb::Stop) && !is_done(Verb::Start);
    assert!((runs || !started) && (!runs || !stopped), "{context}: running now: {runs}");
}
