//! Words of a command line in a case file: a small part of the shell's quoting, and nothing else of a shell.

/// Splits a line into words. `'...'` is taken literally; `"..."` knows `\"` and `\\`; `$'...'` knows `\n`, `\t`,
/// `\'`, `\"` and `\\`. There are no variables, no globs, no operators.
///
/// # Errors
/// A quote that is not closed, or an escape that is not known.
pub fn split(line: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            ' ' | '\t' => words.extend(word.take()),
            '\'' => quoted(&mut chars, '\'', "", word.get_or_insert_default())?,
            '"' => quoted(&mut chars, '"', "\"\\", word.get_or_insert_default())?,
            '$' if chars.peek() == Some(&'\'') => {
                chars.next();
                quoted(&mut chars, '\'', "nt'\"\\", word.get_or_insert_default())?;
            }
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Ok(words)
}

fn quoted(
    chars: &mut impl Iterator<Item = char>,
    end: char,
    escapes: &str,
    word: &mut String,
) -> Result<(), String> {
    loop {
        match chars.next() {
            None => return Err(format!("a quote {end} is not closed")),
            Some(c) if c == end => return Ok(()),
            Some('\\') if !escapes.is_empty() => match chars.next() {
                Some('n') if escapes.contains('n') => word.push('\n'),
                Some('t') if escapes.contains('t') => word.push('\t'),
                Some(c) if escapes.contains(c) => word.push(c),
                other => return Err(format!("the escape \\{} is not known", other.unwrap_or(' '))),
            },
            Some(c) => word.push(c),
        }
    }
}

/// Joins words to a line that [`split`] takes apart again.
pub fn join(words: &[String]) -> String {
    words.iter().map(|word| quote(word)).collect::<Vec<_>>().join(" ")
}

fn quote(word: &str) -> String {
    let plain = |c: char| !c.is_whitespace() && !"'\"$\\".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else if word.contains(['\n', '\t', '\'']) {
        let mut text = word.replace('\\', "\\\\").replace('\'', "\\'");
        text = text.replace('\n', "\\n").replace('\t', "\\t");
        format!("$'{text}'")
    } else {
        format!("'{word}'")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_split_and_joined() {
        let cases: &[(&str, &[&str])] = &[
            ("", &[]),
            ("pct list", &["pct", "list"]),
            ("pct status ' 101'  ''", &["pct", "status", " 101", ""]),
            (r#"a "b \" \\ c" d\e"#, &["a", "b \" \\ c", "d\\e"]),
            (r"x $'l1\nl2 \'q\''", &["x", "l1\nl2 'q'"]),
            ("sh -c 'kill -9 $$'", &["sh", "-c", "kill -9 $$"]),
        ];
        for (line, expected) in cases {
            let words = split(line).unwrap();
            assert_eq!(words, *expected, "{line}");
            assert_eq!(split(&join(&words)).unwrap(), words, "{line}");
        }
    }

    #[test]
    fn an_open_quote_is_an_error() {
        assert_eq!(split("a 'b").unwrap_err(), "a quote ' is not closed");
        assert_eq!(split(r"a $'\x'").unwrap_err(), r"the escape \x is not known");
    }
}
