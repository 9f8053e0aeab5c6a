//! `pct list`.
//!
//! Each line is printed by `%-10s %-10s %-12s %-20s` (VMID, Status, Lock, Name): nothing is cut, so a value wider
//! than its column moves what follows. An empty Lock leaves its column blank. A node without containers prints
//! nothing at all, no header either. Source: `pct.pm` of pve-container; recorded from 6.1.10.

use pvect_core::{Listing, Lock, RunState};

use super::{ParseError, lines, shown, text};

const STATUS_WIDTH: usize = 10;
const LOCK_WIDTH: usize = 12;
/// The column where Status begins: a vmid is never wider than its column.
const STATUS_AT: usize = 11;

/// Parses the table.
///
/// # Errors
/// For another header, and for the first line that does not fit the columns.
pub fn list(output: &[u8]) -> Result<Vec<Listing>, ParseError> {
    let text = text(output)?;
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let mut lines = lines(text);
    let header = lines.next().map_or("", |(_, line)| line);
    if header.split_ascii_whitespace().ne(["VMID", "Status", "Lock", "Name"]) {
        let what = format!("the header 'VMID Status Lock Name' was expected, found {}", shown(header));
        return Err(ParseError::at(1, what));
    }
    lines.map(|(number, line)| row(line).map_err(|what| ParseError::at(number, what))).collect()
}

fn row(line: &str) -> Result<Listing, String> {
    let broken = |what: &str| format!("{what} in {}", shown(line));
    let (vmid, _) = line.split_once(' ').ok_or_else(|| broken("no columns"))?;
    let vmid = vmid.parse().map_err(|_| broken("no vmid at the start"))?;
    let rest = line.get(STATUS_AT..).ok_or_else(|| broken("no status"))?;
    if !line.get(..STATUS_AT).is_some_and(|start| start.ends_with(' ') && start.trim_end().len() <= 9) {
        return Err(broken("no column of the status"));
    }
    let (status, rest) = column(rest, STATUS_WIDTH).ok_or_else(|| broken("no column of the lock"))?;
    if status.is_empty() {
        return Err(broken("no status"));
    }
    let (lock, rest) = column(rest, LOCK_WIDTH).ok_or_else(|| broken("no column of the name"))?;
    let name = rest.trim_end_matches(' ');
    if name.is_empty() {
        return Err(broken("no name"));
    }
    let lock = (!lock.is_empty()).then(|| Lock::from(lock));
    Ok(Listing { vmid, status: RunState::from(status.to_owned()), lock, name: name.to_owned(), node: None })
}

/// Cuts off one column and the blank after it; a word wider than the column ends at its first blank.
fn column(text: &str, width: usize) -> Option<(&str, &str)> {
    let word = text.split(' ').next().unwrap_or_default();
    let end = word.len().max(width);
    let padding = text.get(word.len()..end)?;
    if !padding.bytes().all(|byte| byte == b' ') {
        return None;
    }
    text.get(end..)?.strip_prefix(' ').map(|rest| (word, rest))
}

/// Parses the JSON that the standalone node's pct prints for `list --output-format json`.
///
/// # Errors
/// When it is not an array of `{vmid, status, lock?, name}`.
pub fn list_json(output: &[u8]) -> Result<Vec<Listing>, ParseError> {
    text(output)?;
    serde_json::from_slice(output).map_err(|error| match error.line() {
        0 => ParseError::whole(error.to_string()),
        line => ParseError::at(line, error.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_pct_prints_parses_to_what_it_was(
            rows in proptest::collection::vec(
                (100u32..=999_999_999, "[a-z]{1,14}", proptest::option::of("[a-z-]{1,16}"), "[a-zA-Z0-9.-]{1,70}"),
                0..6,
            )
        ) {
            let mut text = HEADER.to_owned();
            for (vmid, status, lock, name) in &rows {
                text += &format!("{vmid:<10} {status:<10} {:<12} {name:<20}\n", lock.as_deref().unwrap_or(""));
            }
            let parsed = list(text.as_bytes()).unwrap();
            let parsed: Vec<_> = parsed
                .into_iter()
                .map(|row| (row.vmid.get(), row.status.to_string(), row.lock.map(String::from), row.name))
                .collect();
            prop_assert_eq!(parsed, rows);
        }
    }

    const HEADER: &str = "VMID       Status     Lock         Name                \n";

    fn rows(text: &str) -> Vec<(u32, String, Option<String>, String)> {
        let parsed = list(format!("{HEADER}{text}").as_bytes()).unwrap();
        let row =
            |row: Listing| (row.vmid.get(), row.status.to_string(), row.lock.map(String::from), row.name);
        parsed.into_iter().map(row).collect()
    }

    #[test]
    fn recorded_tables_parse() {
        let recorded = include_bytes!("../../fixtures/list.txt");
        let parsed = list(recorded).unwrap();
        let text: Vec<String> = parsed
            .iter()
            .map(|row| {
                format!("{} {} {:?} {}", row.vmid, row.status, row.lock.as_ref().map(Lock::as_str), row.name)
            })
            .collect();
        assert_eq!(
            text,
            [
                "101 stopped None web1",
                "102 stopped Some(\"backup\") db-server",
                "9000 stopped None CT9000",
                "100000001 stopped Some(\"snapshot-delete\") \
                 a-very-long-hostname-of-more-than-twenty-characters.example.com",
            ]
        );
    }

    /// Trap empty-list.
    #[test]
    fn no_container_is_no_output_at_all() {
        assert_eq!(list(b""), Ok(Vec::new()));
        assert_eq!(list(HEADER.as_bytes()), Ok(Vec::new()));
    }

    #[test]
    fn a_hostname_that_equals_a_lock_is_a_hostname() {
        assert_eq!(
            rows("101        running                 backup              \n"),
            [(101, "running".into(), None, "backup".into())]
        );
        assert_eq!(
            rows("101        running    backup       backup              \n"),
            [(101, "running".into(), Some("backup".into()), "backup".into())]
        );
    }

    #[test]
    fn words_as_wide_as_or_wider_than_their_column_move_the_rest() {
        assert_eq!(
            rows("999999999  abcdefghij 123456789012 n                   \n"),
            [(999_999_999, "abcdefghij".into(), Some("123456789012".into()), "n".into())]
        );
        assert_eq!(
            rows("100        a-longer-status snapshot-delete name\n"),
            [(100, "a-longer-status".into(), Some("snapshot-delete".into()), "name".into())]
        );
        assert_eq!(
            rows("100        a-longer-status              name                \n"),
            [(100, "a-longer-status".into(), None, "name".into())]
        );
    }

    #[test]
    fn garbage_names_its_line() {
        let error = |text: &str| list(format!("{HEADER}{text}").as_bytes()).unwrap_err().to_string();
        assert_eq!(
            list(b"Traceback\n").unwrap_err().to_string(),
            "line 1: the header 'VMID Status Lock Name' was expected, found 'Traceback'"
        );
        assert_eq!(
            error("101        stopped                 web1                \nxyz\n"),
            "line 3: no columns in 'xyz'"
        );
        assert_eq!(
            error("abc        stopped                 web1\n"),
            "line 2: no vmid at the start in 'abc        stopped                 web1'"
        );
        assert_eq!(error("101 stopped web1\n"), "line 2: no column of the status in '101 stopped web1'");
        assert_eq!(error("101        stopped\n"), "line 2: no column of the lock in '101        stopped'");
        assert_eq!(
            error("101        stopped    backup\n"),
            "line 2: no column of the name in '101        stopped    backup'"
        );
        assert_eq!(
            error("101        stopped                                     \n"),
            "line 2: no name in '101        stopped                                     '"
        );
        assert_eq!(error("\n"), "line 2: no columns in ''");
        assert_eq!(
            error("101        üü         x\n"),
            "line 2: no column of the name in '101        üü         x'"
        );
    }

    #[test]
    fn json_of_the_standalone_node_parses() {
        let parsed = list_json(br#"[{"vmid":101,"status":"running","name":"web1"},{"vmid":102,"status":"stopped","lock":"backup","name":"b"}]"#).unwrap();
        assert_eq!(parsed[0].lock, None);
        assert_eq!(parsed[1].lock, Some(Lock::Backup));
        assert_eq!(list_json(b"[]"), Ok(Vec::new()));
        assert_eq!(
            list_json(b"[{\"vmid\":5}]").unwrap_err().to_string(),
            "line 1: '5' is not a valid VM ID: a whole number from 100 to 999999999 at line 1 column 11"
        );
        assert!(list_json(b"").is_err());
    }
}
