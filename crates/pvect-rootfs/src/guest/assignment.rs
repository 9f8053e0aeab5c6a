//! `NAME=value` lines, as a shell reads them.

/// Replaces the value of a shell-like assignment, or adds one.
pub(super) fn assign(text: &str, key: &str, value: &str) -> String {
    let mut found = false;
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines() {
        let is_it = line.trim_start().split_once('=').is_some_and(|(name, _)| name == key) && !found;
        found |= is_it;
        lines.push(if is_it { format!("{key}={value}") } else { line.to_owned() });
    }
    if !found {
        lines.push(format!("{key}={value}"));
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assignments_are_replaced_or_added() {
        assert_eq!(assign("A=1\nB=2\n", "B", "yes"), "A=1\nB=yes\n");
        assert_eq!(assign("A=1", "B", "yes"), "A=1\nB=yes\n");
        assert_eq!(assign("", "B", "x"), "B=x\n");
        assert_eq!(assign("AB=1\n", "B", "x"), "AB=1\nB=x\n");
    }
}
