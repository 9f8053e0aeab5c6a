//! What must be true after a command.

use std::fs;
use std::os::unix::fs::MetadataExt;

use crate::case::After;
use crate::diff::diff;
use crate::pattern::Values;

/// Returns what is not as it must be, or nothing.
pub(crate) fn check(after: &After, values: &mut Values) -> Option<String> {
    match after {
        After::File(path, lines) => {
            let path = values.fill(path);
            match fs::read(&path) {
                Err(error) => Some(format!("afterwards {path} cannot be read: {error}\n")),
                Ok(bytes) => {
                    let text = String::from_utf8_lossy(&bytes);
                    (!lines.matches(&text, values))
                        .then(|| format!("afterwards {path} is:\n{}", diff(lines, &text, values)))
                }
            }
        }
        After::Gone(path) => {
            let path = values.fill(path);
            fs::symlink_metadata(&path).is_ok().then(|| format!("afterwards {path} is still there\n"))
        }
        After::Names(path, names) => {
            let path = values.fill(path);
            let mut wanted: Vec<String> = names.iter().map(|name| values.fill(name)).collect();
            wanted.sort();
            let mut found: Vec<String> = fs::read_dir(&path)
                .into_iter()
                .flatten()
                .flatten()
                .map(|entry| entry.file_name().to_string_lossy().into_owned())
                .collect();
            found.sort();
            (found != wanted)
                .then(|| format!("afterwards {path} holds:\n- {}\n+ {}\n", wanted.join(" "), found.join(" ")))
        }
        After::Owner(path, mode, owner) => {
            let path = values.fill(path);
            match fs::symlink_metadata(&path) {
                Err(error) => Some(format!("afterwards {path} cannot be read: {error}\n")),
                Ok(metadata) => {
                    let wanted = format!("{mode:o} {owner}");
                    let found =
                        format!("{:o} {}:{}", metadata.mode() & 0o7777, metadata.uid(), metadata.gid());
                    (found != wanted).then(|| format!("afterwards {path} has:\n- {wanted}\n+ {found}\n"))
                }
            }
        }
        After::Same(one, other) => {
            let (one, other) = (values.fill(one), values.fill(other));
            match (fs::read(&one), fs::read(&other)) {
                (Ok(first), Ok(second)) if first == second => None,
                _ => Some(format!("afterwards {one} and {other} differ\n")),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pattern::{Item, Lines, Pattern};

    #[test]
    fn each_kind_is_checked() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).to_string_lossy().into_owned();
        fs::write(path("a"), "one\n").unwrap();
        fs::write(path("b"), "one\n").unwrap();
        let line = |text: &str| Lines(vec![Item::Line(Pattern::new(text).unwrap())]);
        let mut values = Values::default();
        values.set("tmp", dir.path().to_string_lossy());
        let good = [
            After::File("{tmp}/a".into(), line("one")),
            After::Gone(path("c")),
            After::Names(path(""), vec!["b".into(), "a".into()]),
            After::Same(path("a"), path("b")),
        ];
        for after in good {
            assert_eq!(check(&after, &mut values), None, "{after:?}");
        }
        let bad = [
            After::File(path("a"), line("two")),
            After::Gone(path("a")),
            After::Names(path(""), vec!["a".into()]),
            After::Owner(path("a"), 0o111, "7:7".into()),
            After::Same(path("a"), path("c")),
        ];
        for after in bad {
            assert!(check(&after, &mut values).is_some(), "{after:?}");
        }
    }
}
