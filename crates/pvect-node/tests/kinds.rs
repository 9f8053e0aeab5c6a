//! Nobody decides by the text of a failure: what the code reads is its kind.
//!
//! The sources are looked at as tokens, so comments, strings and line breaks do not matter. It finds the ways in which
//! people write this; it does not follow a text through functions.

use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// Where failures are passed on.
const SOURCES: [&str; 3] = ["pvect-node/src", "pvect-serve/src", "pvect-cli/src/commands"];
/// Methods that hand on the text, or a part of it.
const HANDS_ON: [&str; 16] = [
    "as_bytes",
    "as_deref",
    "as_ref",
    "as_str",
    "bytes",
    "chars",
    "clone",
    "lines",
    "next",
    "to_ascii_lowercase",
    "to_lowercase",
    "to_owned",
    "to_string",
    "trim",
    "trim_end",
    "trim_start",
];
/// Methods whose answer says something of the text.
const JUDGES: [&str; 22] = [
    "any",
    "cmp",
    "contains",
    "ends_with",
    "eq",
    "eq_ignore_ascii_case",
    "find",
    "get",
    "is_empty",
    "matches",
    "ne",
    "parse",
    "position",
    "rfind",
    "rsplit",
    "rsplit_once",
    "split",
    "split_once",
    "splitn",
    "starts_with",
    "strip_prefix",
    "strip_suffix",
];
/// Methods that take a test.
const TESTS: [&str; 11] = [
    "all",
    "any",
    "filter",
    "find",
    "is_err_and",
    "is_none_or",
    "is_ok_and",
    "is_some_and",
    "position",
    "retain",
    "take_while",
];
/// What an error is called whose `to_string()` is looked at.
const ERRORS: [&str; 4] = ["e", "err", "error", "failure"];

fn word(trees: &[TokenTree], at: usize) -> Option<String> {
    match trees.get(at) {
        Some(TokenTree::Ident(ident)) => Some(ident.to_string()),
        _ => None,
    }
}

fn is_word(trees: &[TokenTree], at: usize, words: &[&str]) -> bool {
    word(trees, at).is_some_and(|found| words.contains(&found.as_str()))
}

fn is_mark(trees: &[TokenTree], at: usize, mark: char) -> bool {
    matches!(trees.get(at), Some(TokenTree::Punct(punct)) if punct.as_char() == mark)
}

fn group(trees: &[TokenTree], at: usize, delimiter: Delimiter) -> Option<Vec<TokenTree>> {
    match trees.get(at) {
        Some(TokenTree::Group(group)) if group.delimiter() == delimiter => {
            Some(group.stream().into_iter().collect())
        }
        _ => None,
    }
}

/// The end of an expression at whose end the text stands: `failure.text.trim()`, `error.to_string()`. `at` is its dot.
fn text_at(trees: &[TokenTree], at: usize) -> Option<usize> {
    if !is_mark(trees, at, '.') || at == 0 || is_mark(trees, at - 1, '.') {
        return None;
    }
    let is_call = |at: usize| group(trees, at, Delimiter::Parenthesis).is_some();
    let is_field = is_word(trees, at + 1, &["text"]) && !is_call(at + 2);
    let is_display =
        is_word(trees, at - 1, &ERRORS) && is_word(trees, at + 1, &["to_string"]) && is_call(at + 2);
    let mut end = match (is_field, is_display) {
        (true, _) => at + 2,
        (_, true) => at + 3,
        _ => return None,
    };
    while is_mark(trees, end, '.') && is_word(trees, end + 1, &HANDS_ON) && is_call(end + 2) {
        end += 3;
    }
    Some(end)
}

/// Where the expression begins whose field or method follows at a dot.
fn beginning(trees: &[TokenTree], dot: usize) -> usize {
    let mut at = dot;
    while at > 0 {
        match &trees[at - 1] {
            TokenTree::Ident(ident) if ident == "let" || ident == "if" || ident == "match" => break,
            TokenTree::Ident(_) => {}
            TokenTree::Group(group) if group.delimiter() != Delimiter::Brace => {}
            TokenTree::Punct(punct) if ".?&*:".contains(punct.as_char()) => {}
            _ => break,
        }
        at -= 1;
    }
    at
}

/// `==` or `!=`.
fn is_comparison(trees: &[TokenTree], at: usize) -> bool {
    (is_mark(trees, at, '=') || is_mark(trees, at, '!')) && is_mark(trees, at + 1, '=')
}

fn has_text(trees: &[TokenTree]) -> bool {
    (0..trees.len()).any(|at| text_at(trees, at).is_some())
        || trees.iter().any(|tree| match tree {
            TokenTree::Group(group) => has_text(&group.stream().into_iter().collect::<Vec<_>>()),
            _ => false,
        })
}

/// What is asked after `if`, `while` or `match`, up to the block or the arrow.
fn condition(trees: &[TokenTree], at: usize) -> &[TokenTree] {
    let end = (at..trees.len()).find(|at| {
        group(trees, *at, Delimiter::Brace).is_some()
            || is_mark(trees, *at, '=') && is_mark(trees, at + 1, '>')
    });
    &trees[at..end.unwrap_or(trees.len())]
}

fn decides(trees: &[TokenTree], at: usize) -> bool {
    if let Some(end) = text_at(trees, at) {
        let start = beginning(trees, at);
        let is_compared = is_comparison(trees, end) || start >= 2 && is_comparison(trees, start - 2);
        // Another name for the text, by which it could be asked.
        let is_renamed = start >= 3
            && !is_word(trees, start, &["error"])
            && is_mark(trees, start - 1, '=')
            && is_word(trees, start - 3, &["let", "mut"])
            && is_mark(trees, end, ';');
        let is_asked = is_mark(trees, end, '.') && is_word(trees, end + 1, &JUDGES);
        return is_compared || is_renamed || is_asked;
    }
    if is_comparison(trees, at) {
        let next = if is_mark(trees, at + 2, '&') { at + 3 } else { at + 2 };
        return is_word(trees, next, &["Failure"]);
    }
    let Some(word) = word(trees, at) else { return false };
    let given = group(trees, at + 1, Delimiter::Parenthesis);
    match word.as_str() {
        "if" | "while" | "match" => has_text(condition(trees, at + 1)),
        "matches" if is_mark(trees, at + 1, '!') => {
            group(trees, at + 2, Delimiter::Parenthesis).is_some_and(|given| has_text(&given))
        }
        // `Failure { text, .. }`.
        "Failure" if at == 0 || !is_mark(trees, at - 1, '>') => group(trees, at + 1, Delimiter::Brace)
            .is_some_and(|fields| {
                (0..fields.len()).any(|at| is_word(&fields, at, &["text"]) && !is_mark(&fields, at + 1, ':'))
            }),
        _ if JUDGES.contains(&word.as_str()) || TESTS.contains(&word.as_str()) => {
            given.is_some_and(|given| has_text(&given))
        }
        _ if word.starts_with("is_") || word.starts_with("has_") => {
            given.is_some_and(|given| has_text(&given))
        }
        _ => false,
    }
}

/// Whether a test begins here: `#[cfg(test)]`.
fn is_test(trees: &[TokenTree], at: usize) -> bool {
    is_mark(trees, at, '#')
        && group(trees, at + 1, Delimiter::Bracket).is_some_and(|inside| {
            is_word(&inside, 0, &["cfg"])
                && group(&inside, 1, Delimiter::Parenthesis)
                    .is_some_and(|inside| is_word(&inside, 0, &["test"]))
        })
}

/// The lines at which something is decided by a text, tests aside.
fn decided(stream: TokenStream) -> Vec<usize> {
    let trees: Vec<TokenTree> = stream.into_iter().collect();
    let (mut found, mut at) = (Vec::new(), 0);
    while at < trees.len() {
        if is_test(&trees, at) {
            let is_end =
                |at: &usize| is_mark(&trees, *at, ';') || group(&trees, *at, Delimiter::Brace).is_some();
            at = (at..trees.len()).find(is_end).unwrap_or(trees.len());
        } else if decides(&trees, at) {
            found.push(trees[at].span().start().line);
        } else if let TokenTree::Group(group) = &trees[at] {
            found.extend(decided(group.stream()));
        }
        at += 1;
    }
    found
}

fn decided_in(text: &str) -> Vec<usize> {
    decided(text.parse().expect("it is Rust"))
}

fn sources(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).expect("it is there") {
        let path = entry.expect("it can be listed").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|end| end == "rs") && !path.ends_with("tests.rs") {
            found.push(path);
        }
    }
}

#[test]
fn nobody_decides_by_the_text_of_a_failure() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut found = Vec::new();
    for directory in SOURCES {
        let mut files = Vec::new();
        sources(&crates.join(directory), &mut files);
        assert!(files.len() > 10, "{directory}");
        for file in files {
            let mut lines = decided_in(&std::fs::read_to_string(&file).unwrap());
            lines.dedup();
            found.extend(lines.into_iter().map(|line| format!("{}:{line}", file.display())));
        }
    }
    assert!(
        found.is_empty(),
        "decided by the text of a failure; ask its kind (FailureKind in pvect-rootfs/src/error.rs):\n{}",
        found.join("\n")
    );
}

#[test]
fn decisions_by_a_text_are_found() {
    for code in [
        r#"if failure.text.contains("not installed") {}"#,
        r#"let exit = failure.text\n    .ends_with(" does not exist");"#,
        r#"match failure.text.as_str() { "x" => {} }"#,
        r#"Err(failure) if is_busy(&failure.text) && tried < 3 => {}"#,
        r#"let busy = is_busy(&failure.text);"#,
        r#"x.is_err_and(|failure| failure.text == format!("volume '{volume}' does not exist"))"#,
        r#"Err(failure) if failure == Failure::missing(&node.name, vmid) => {}"#,
        r#"let found = "busy" == failure.text;"#,
        r#"let found = "busy" != result.unwrap_err().text;"#,
        r#"if let Some(rest) = failure.text.trim().strip_prefix("400 ") {}"#,
        r#"let status = failure.text.split_once(' ');"#,
        r#"let found = error.to_string().starts_with("no ");"#,
        r#"let text = failure.text.clone();"#,
        r#"Err(Failure { text, .. }) => {}"#,
        r#"let found = known.contains(&failure.text);"#,
        r#"let found = matches!(failure.text.as_str(), "a" | "b");"#,
        r#"let found = str::starts_with(&failure.text, "a");"#,
        r#"let found = failure.text.lines().any(|line| line == "a");"#,
    ] {
        let code = code.replace("\\n", "\n");
        assert!(!decided_in(&format!("fn x() {{ {code} }}")).is_empty(), "{code}");
    }
}

#[test]
fn other_uses_of_a_text_are_left_alone() {
    for code in [
        r#"output.warn(&failure.text);"#,
        r#"if let Err(failure) = done { log(&failure.text); }"#,
        r#"let text = format!("clone failed: {}", failure.text);"#,
        r#"journal.say(failure.text.replace('\n', " "));"#,
        r#"match failure.kind { FailureKind::Busy => {} _ => {} }"#,
        r#"Err(failure) => { output.line(failure.text); }"#,
        r#"Failure { text: format!("{key}: {}", failure.text), ..failure };"#,
        r#"fn refused() -> Failure { let text = String::new(); text }"#,
        r#"let text = error.to_string();"#,
        r#"output.text(text); if output.text("x") {}"#,
        r##"// if failure.text.contains("x")"##,
        r#"#[cfg(test)] mod tests { fn x() { assert!(failure.text.contains("x")); } }"#,
    ] {
        assert_eq!(decided_in(&format!("fn x() {{\n{code}\n}}")), [] as [usize; 0], "{code}");
    }
}
