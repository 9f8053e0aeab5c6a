//! Line wrapping as Perl's Text::Wrap does it, by which pct's help is laid out.
//!
//! Lines have at most 75 characters. Runs of blanks that end at a tab stop are printed as a tab, which is why
//! pct's help is full of tabs. Source: Text::Wrap(3perl) and Text::Tabs(3perl), default settings.

const COLUMNS: usize = 76;
const TAB: usize = 8;

/// Wraps text; the first line gets `first` before it, the others `rest`.
pub(super) fn wrap(first: &str, rest: &str, text: &str) -> String {
    let text: Vec<char> = expand(text).chars().collect();
    let (mut lead, mut at, mut result) = (first, 0, String::new());
    let (mut remainder, mut line_end) = (String::new(), "");
    while text[at..].iter().any(|c| !c.is_whitespace()) {
        let room = COLUMNS.saturating_sub(expand(lead).chars().count() + 1).max(1);
        let (length, skipped) = cut(&text[at..], room);
        let line: String = text[at..at + length].iter().collect();
        result += line_end;
        result += &unexpand(&format!("{lead}{line}"));
        at += length;
        remainder = match skipped {
            // A word longer than a line was cut.
            0 if at < text.len() => "\n".to_owned(),
            _ => text[at..at + skipped].iter().collect(),
        };
        at += skipped;
        lead = rest;
        line_end = "\n";
    }
    result + &remainder
}

/// Returns how many characters go on the line, and whether a blank after them is skipped.
fn cut(text: &[char], room: usize) -> (usize, usize) {
    let line_length = text.iter().position(|c| *c == '\n').unwrap_or(text.len());
    for length in (0..=line_length.min(room)).rev() {
        match text.get(length) {
            None => return (length, 0),
            Some(c) if c.is_whitespace() => return (length, 1),
            Some(_) => {}
        }
    }
    (room.min(line_length), 0)
}

/// Replaces tabs by blanks.
fn expand(text: &str) -> String {
    let mut expanded = String::with_capacity(text.len());
    let mut column = 0;
    for c in text.chars() {
        match c {
            '\t' => {
                let width = TAB - column % TAB;
                expanded.extend(std::iter::repeat_n(' ', width));
                column += width;
            }
            c => {
                expanded.push(c);
                column = if c == '\n' { 0 } else { column + 1 };
            }
        }
    }
    expanded
}

/// Replaces two or more blanks at the end of each eight columns by a tab; the last, partial ones stay.
fn unexpand(line: &str) -> String {
    let characters: Vec<char> = line.chars().collect();
    let mut result = String::with_capacity(line.len());
    for chunk in characters.chunks(TAB) {
        let text: String = chunk.iter().collect();
        let trimmed = text.trim_end_matches(' ');
        if chunk.len() == TAB && text.len() - trimmed.len() >= 2 {
            result += trimmed;
            result.push('\t');
        } else {
            result += &text;
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    const INDENT: &str = "             ";

    #[test]
    fn lines_are_cut_and_tabs_put_in() {
        for (first, rest, text, wrapped) in [
            ("", INDENT, "  --current  <boolean>   (default=0)\n", "  --current  <boolean>\t (default=0)\n"),
            (INDENT, INDENT, "The number.", "\t     The number."),
            ("  ", "  ", "Print it.", "  Print it."),
            (
                "",
                INDENT,
                "  --arch     <amd64 | arm64 | armhf | i386 | riscv32 | riscv64>   (default=amd64)\n",
                "  --arch     <amd64 | arm64 | armhf | i386 | riscv32 | riscv64>  \n\t     (default=amd64)\n",
            ),
            (
                INDENT,
                INDENT,
                "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab",
                "\t     aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n\t     aaaaaaaaaaab",
            ),
            ("", "", "a\n\nb", "a\n\nb"),
            ("", "", "", ""),
        ] {
            assert_eq!(wrap(first, rest, text), wrapped);
        }
    }
}
