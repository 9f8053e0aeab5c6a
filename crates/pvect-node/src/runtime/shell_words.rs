//! The command of a hook: LXC hands it to a shell, so each word is quoted.

use pvect_core::Vmid;

use crate::{Failure, Node, NodeResult};

/// Returns the command by which LXC runs one of our helper verbs ([`crate::internal`]) for a container.
///
/// LXC's parser removes quotes that enclose the whole value; the vmid at the end has none, so they stay.
///
/// # Errors
/// When a path is not UTF-8 or holds a line break.
pub(super) fn hook(node: &Node, word: &str, vmid: Vmid) -> NodeResult<String> {
    let quoted = |path: &std::path::Path| match path.to_str() {
        Some(text) if !text.contains(['\n', '\r', '\0']) => Ok(quote(text)),
        _ => Err(Failure::new(format!("the path '{}' cannot be used in a hook", path.display()))),
    };
    let (helper, root) = (quoted(&node.helper)?, quoted(node.layout.root())?);
    Ok(format!("{helper} __node {word} {root} {} {vmid}", quote(node.name.as_str())))
}

/// Quotes a word for a POSIX shell.
fn quote(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// Splits a command as a POSIX shell does, without any expansion; `None` when a quote is not closed, or when there are
/// no words.
pub(super) fn split(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote: Option<char> = None;
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some('"'), '\\') => match characters.next()? {
                c @ ('"' | '\\' | '$' | '`') => word.get_or_insert_default().push(c),
                c => word.get_or_insert_default().extend(['\\', c]),
            },
            (None, '\\') => word.get_or_insert_default().push(characters.next()?),
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, ' ' | '\t') => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    (quote.is_none() && !words.is_empty()).then_some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_split_as_a_shell_splits_them() {
        for (text, words) in [
            ("/sbin/init", &["/sbin/init"][..]),
            (" nginx  -g 'daemon off;'", &["nginx", "-g", "daemon off;"]),
            (r#"a "b \"c\" \d" 'it'\''s' '' e\ f"#, &["a", r#"b "c" \d"#, "it's", "", "e f"]),
            ("sh -c $HOME", &["sh", "-c", "$HOME"]),
        ] {
            assert_eq!(split(text).unwrap(), words, "{text}");
        }
        for text in ["", "  ", "a 'b", "a \"b", "a\\"] {
            assert_eq!(split(text), None, "{text}");
        }
    }

    #[test]
    fn words_are_quoted() {
        let name: pvect_core::NodeName = "vm".parse().unwrap();
        let node = Node {
            layout: crate::Layout::new("/tmp/a b/it's", name.clone()),
            name,
            helper: "/usr/bin/pvect".into(),
        };
        assert_eq!(
            hook(&node, "post-stop", "101".parse().unwrap()).unwrap(),
            r"'/usr/bin/pvect' __node post-stop '/tmp/a b/it'\''s' 'vm' 101"
        );
    }
}
