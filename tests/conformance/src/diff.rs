//! Shows how an output differs from what was expected.

use crate::pattern::{Item, Lines, Values, split_lines};

/// Returns both side by side, a line each: `  ` as expected, `- ` expected and missing, `+ ` not expected.
pub(crate) fn diff(expected: &Lines, actual: &str, values: &Values) -> String {
    let wanted = flatten(expected, values);
    let lines = split_lines(actual);
    let (rows, columns) = (wanted.len(), lines.len());
    // Longest common subsequence, from the end.
    let mut common = vec![vec![0usize; columns + 1]; rows + 1];
    for row in (0..rows).rev() {
        for column in (0..columns).rev() {
            common[row][column] = if wanted[row].fits(lines[column], values) {
                common[row + 1][column + 1] + 1
            } else {
                common[row + 1][column].max(common[row][column + 1])
            };
        }
    }
    let (mut row, mut column) = (0, 0);
    let mut text = String::new();
    let mut put = |mark: &str, line: &str| {
        text.push_str(mark);
        text.push_str(line);
        text.push('\n');
    };
    while row < rows || column < columns {
        if row < rows && column < columns && wanted[row].fits(lines[column], values) {
            put("  ", lines[column]);
            (row, column) = (row + 1, column + 1);
        } else if column == columns || (row < rows && common[row + 1][column] >= common[row][column + 1]) {
            put("- ", &wanted[row].text);
            row += 1;
        } else {
            put("+ ", lines[column]);
            column += 1;
        }
    }
    text
}

struct Wanted {
    text: String,
    pattern: Option<crate::pattern::Pattern>,
}

impl Wanted {
    fn fits(&self, line: &str, values: &Values) -> bool {
        self.pattern.as_ref().is_some_and(|pattern| pattern.matches(line, &mut values.clone()))
    }
}

fn flatten(expected: &Lines, values: &Values) -> Vec<Wanted> {
    let mut found = Vec::new();
    let mut add = |pattern: &crate::pattern::Pattern, note: &str| {
        found.push(Wanted {
            text: format!("{}{note}", pattern.shown(values)),
            pattern: Some(pattern.clone()),
        });
    };
    let mut any = Vec::new();
    for item in &expected.0 {
        match item {
            Item::Line(pattern) => add(pattern, ""),
            Item::AnyOrder(patterns) => patterns.iter().for_each(|pattern| add(pattern, "   (in any order)")),
            Item::Lines => any.push(()),
        }
    }
    if !any.is_empty() {
        found.push(Wanted { text: "{lines}   (any other lines)".to_owned(), pattern: None });
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pattern::Pattern;

    #[test]
    fn lines_are_marked() {
        let line = |text: &str| Item::Line(Pattern::new(text).unwrap());
        let expected = Lines(vec![line("a"), line("n: {int}"), line("c")]);
        let text = diff(&expected, "a\nb\nn: 12\n", &Values::default());
        assert_eq!(text, "  a\n+ b\n  n: 12\n- c\n");
    }
}
