//! `pct pending`.

use pvect_core::config::{PendingItem, decode};

use super::{ParseError, lines, shown, text};

/// Parses the `cur`, `new` and `del` lines of `pct pending`. Descriptions are decoded, as everywhere in pvect.
///
/// Source: `format_pending` of pve-guest-common.
///
/// # Errors
/// For the first line of any other kind.
pub fn pending(output: &[u8]) -> Result<Vec<PendingItem>, ParseError> {
    let text = text(output)?;
    let mut items: Vec<PendingItem> = Vec::new();
    if text.is_empty() {
        return Ok(items);
    }
    for (number, line) in lines(text) {
        let (word, key, value) = split(line).ok_or_else(|| {
            ParseError::at(number, format!("'cur|new|del KEY: VALUE' was expected, found {}", shown(line)))
        })?;
        let value = Some(if key == "description" { decode(value) } else { value.to_owned() });
        match word {
            "new" => match items.last_mut() {
                Some(last) if last.key == key && last.pending.is_none() && !last.delete => {
                    last.pending = value;
                }
                _ => items.push(PendingItem {
                    key: key.to_owned(),
                    value: None,
                    pending: value,
                    delete: false,
                }),
            },
            word => {
                let delete = word == "del";
                items.push(PendingItem { key: key.to_owned(), value, pending: None, delete });
            }
        }
    }
    Ok(items)
}

fn split(line: &str) -> Option<(&str, &str, &str)> {
    let (word, rest) = line.split_once(' ')?;
    let (key, value) = rest.split_once(": ").or_else(|| Some((rest.strip_suffix(':')?, "")))?;
    let known = matches!(word, "cur" | "new" | "del");
    (known && !key.is_empty() && !key.contains(char::is_whitespace)).then_some((word, key, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_recorded_output_parses() {
        let items = pending(include_bytes!("../../fixtures/pending.txt")).unwrap();
        assert_eq!(items.len(), 17);
        let find = |key: &str| items.iter().find(|item| item.key == key).unwrap().clone();
        let item = |key: &str, value: Option<&str>, pending: Option<&str>, delete| PendingItem {
            key: key.into(),
            value: value.map(Into::into),
            pending: pending.map(Into::into),
            delete,
        };
        assert_eq!(find("arch"), item("arch", Some("amd64"), None, false));
        assert_eq!(find("cores"), item("cores", None, Some("2"), false));
        assert_eq!(find("memory"), item("memory", Some("2048"), Some("4096"), false));
        assert_eq!(find("nameserver"), item("nameserver", Some("1.1.1.1 8.8.8.8"), None, true));
        let description = Some("a description line\nsecond: line %\n");
        assert_eq!(find("description"), item("description", description, None, false));
    }

    #[test]
    fn garbage_names_its_line() {
        let error = |text: &str| pending(text.as_bytes()).unwrap_err().to_string();
        assert_eq!(pending(b""), Ok(Vec::new()));
        assert_eq!(
            error("cur arch: amd64\nold x: y\n"),
            "line 2: 'cur|new|del KEY: VALUE' was expected, found 'old x: y'"
        );
        assert_eq!(error("cur arch\n"), "line 1: 'cur|new|del KEY: VALUE' was expected, found 'cur arch'");
        assert_eq!(error("\n"), "line 1: 'cur|new|del KEY: VALUE' was expected, found ''");
    }
}
