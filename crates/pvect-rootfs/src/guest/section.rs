//! The part of a file that belongs to Proxmox VE, between two comment lines.

/// The line before.
const BEGIN: &str = "# --- BEGIN PVE ---";
/// The line after.
const END: &str = "# --- END PVE ---";

/// What to do with a file that has no such part yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Otherwise {
    /// The part is put at its end.
    Append,
    /// The part is put at its beginning.
    Prepend,
    /// The part replaces all of it.
    Replace,
}

/// Returns the positions of the two comment lines.
fn find(lines: &[&str]) -> Option<(usize, usize)> {
    let begin = lines.iter().position(|line| is_mark(line, "BEGIN"))?;
    let end = lines[begin..].iter().position(|line| is_mark(line, "END"))?;
    Some((begin, begin + end))
}

fn is_mark(line: &str, word: &str) -> bool {
    let mut words = line.trim_start_matches('#').split_ascii_whitespace();
    line.starts_with('#')
        && words.next() == Some("---")
        && words.next() == Some(word)
        && words.next() == Some("PVE")
}

/// Puts `text` (whole lines) into a file's part; `None` when there is nothing to be written.
pub fn set(old: Option<&str>, text: &str, otherwise: Otherwise) -> Option<String> {
    let part = format!("{BEGIN}\n{text}{END}\n");
    let Some(old) = old else { return (!text.is_empty()).then_some(part) };
    let lines: Vec<&str> = old.lines().collect();
    let Some((begin, end)) = find(&lines) else {
        return match otherwise {
            _ if text.is_empty() => None,
            Otherwise::Replace => Some(part),
            Otherwise::Append | Otherwise::Prepend if old.trim().is_empty() => Some(part),
            Otherwise::Prepend => Some(format!("{part}{}\n", old.trim_end_matches('\n'))),
            Otherwise::Append => Some(format!("{}\n{part}", old.trim_end_matches('\n'))),
        };
    };
    let whole = |lines: &[&str]| lines.iter().map(|line| format!("{line}\n")).collect::<String>();
    Some(format!("{}{part}{}", whole(&lines[..begin]), whole(&lines[end + 1..])))
}

/// Returns a file's text without its part.
pub fn without(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let outside = |index: usize| find(&lines).is_none_or(|(begin, end)| index < begin || index > end);
    lines
        .iter()
        .enumerate()
        .filter(|(index, _)| outside(*index))
        .map(|(_, line)| format!("{line}\n"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PART: &str = "# --- BEGIN PVE ---\nnew\n# --- END PVE ---\n";

    #[test]
    fn the_part_is_made_replaced_and_kept_apart() {
        assert_eq!(set(None, "new\n", Otherwise::Append).unwrap(), PART);
        assert_eq!(set(None, "", Otherwise::Append), None);
        assert_eq!(set(Some("a\n"), "new\n", Otherwise::Append).unwrap(), format!("a\n{PART}"));
        assert_eq!(set(Some("a\n"), "new\n", Otherwise::Replace).unwrap(), PART);
        let old = "a\n# --- BEGIN PVE ---\nold\n# --- END PVE ---\nb\n";
        for otherwise in [Otherwise::Append, Otherwise::Replace] {
            assert_eq!(set(Some(old), "new\n", otherwise).unwrap(), format!("a\n{PART}b\n"));
        }
        assert_eq!(without(old), "a\nb\n");
    }

    #[test]
    fn an_unfinished_part_is_ordinary_text() {
        let old = "a\n# --- BEGIN PVE ---\nx\n";
        assert_eq!(set(Some(old), "new\n", Otherwise::Append).unwrap(), format!("{old}{PART}"));
        assert_eq!(without(old), old);
    }
}
