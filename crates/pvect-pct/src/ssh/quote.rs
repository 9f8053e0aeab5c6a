//! Words for the POSIX shell at the other end of ssh.

/// Quotes one word so that a POSIX shell reads exactly this word back.
///
/// This is the only place where a word meets a shell: ssh hands one text to the login shell of the other side. Only
/// letters, digits and `_-./` are left unquoted; everything else goes between single quotes, where only the quote
/// itself is special (POSIX, Shell Command Language, 2.2.2). A word with a NUL byte cannot be passed to a process at
/// all; callers refuse it before.
pub(crate) fn quote(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-./".contains(&byte);
    if !word.is_empty() && word.bytes().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// Quotes each word and joins them.
pub(crate) fn line<S: AsRef<str>>(words: &[S]) -> String {
    words.iter().map(|word| quote(word.as_ref())).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;

    /// What a shell makes of the quoted words.
    fn read_back(shell: &[&str], words: &[String]) -> Vec<u8> {
        let text = format!(r"printf '%s\0' {}", line(words));
        let output = Command::new(shell[0]).args(&shell[1..]).arg("-c").arg(text).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    fn joined(words: &[String]) -> Vec<u8> {
        words.iter().flat_map(|word| word.bytes().chain([0])).collect()
    }

    #[test]
    fn quotes_only_where_a_shell_would_read_more() {
        assert_eq!(line(&["pct", "exec", "101", "--", "a b"]), "pct exec 101 -- 'a b'");
        assert_eq!(line(&["it's", "", "=x", "~", "a=b"]), r"'it'\''s' '' '=x' '~' 'a=b'");
    }

    #[test]
    fn shells_read_odd_words_back() {
        let words = [
            "", " ", "-n", "--", "'", "''", "\"", "\\", "\\'", "$HOME", "$(id)", "`id`", "!!", "a\nb", "\n",
            "*", "?", "[a]", "{a,b}", "~root", "#x", "a;b", "&", "|", "<", ">", "(", ")", "\t", "\r",
            "\u{1e}", "é", "日本", "\u{202e}", "%s", "=ls", "a=b", "\u{7f}",
        ];
        let words: Vec<String> = words.map(str::to_owned).to_vec();
        for shell in [&["/bin/sh"][..], &["/bin/bash"], &["/bin/bash", "--posix"], &["/bin/busybox", "sh"]] {
            if std::path::Path::new(shell[0]).exists() {
                assert_eq!(read_back(shell, &words), joined(&words), "{shell:?}");
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(96))]

        #[test]
        fn any_words_without_nul_are_read_back(words in prop::collection::vec("[^\0]{0,40}", 1..20)) {
            prop_assert_eq!(read_back(&["/bin/sh"], &words), joined(&words));
        }

        #[test]
        fn any_words_of_special_characters_are_read_back(
            words in prop::collection::vec("['\"\\\\$`!\n\t *?~#=;&|<>(){}\\[\\]a-]{0,12}", 1..20)
        ) {
            prop_assert_eq!(read_back(&["/bin/sh"], &words), joined(&words));
        }
    }
}
