//! `pct listsnapshot`.

use pvect_core::SnapshotName;
use pvect_core::config::SnapshotEntry;

use super::{ParseError, lines, shown, text};

/// The time zone in which the dates were printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clock {
    /// In UTC: pct ran with `TZ=UTC`.
    Utc,
    /// In an unknown one: dates are checked, but left out.
    Unknown,
}

/// Parses the tree: one line for each snapshot, one more blank for each level, parents first. `current` is left out.
///
/// It has only the first line of a description; `no-description` is read as no description. Source:
/// `print_snapshot_tree` of pve-guest-common.
///
/// # Errors
/// For the first line that is not part of the tree.
pub fn snapshots(output: &[u8], clock: Clock) -> Result<Vec<SnapshotEntry>, ParseError> {
    let text = text(output)?;
    let mut entries = Vec::new();
    let mut path: Vec<String> = Vec::new();
    if text.is_empty() {
        return Ok(entries);
    }
    for (number, line) in lines(text) {
        let broken = |what: &str| ParseError::at(number, format!("{what} in {}", shown(line)));
        let branch = line.trim_start_matches(' ');
        let depth = line.len() - branch.len();
        let rest = branch.strip_prefix("`-> ").ok_or_else(|| broken("no '`->'"))?;
        if depth > path.len() {
            return Err(broken("a branch without its parent"));
        }
        path.truncate(depth);
        let (name, rest) = rest.split_once(' ').unwrap_or((rest, ""));
        path.push(name.to_owned());
        if name == "current" {
            continue;
        }
        let name: SnapshotName = name.parse().map_err(|_| broken("no name of a snapshot"))?;
        let rest = rest.trim_start_matches(' ');
        let (snaptime, description) = match rest.get(..19).and_then(seconds) {
            Some(seconds) => (Some(seconds), rest.get(19..).unwrap_or_default().trim_start_matches(' ')),
            None => (None, rest),
        };
        entries.push(SnapshotEntry {
            name,
            parent: depth.checked_sub(1).and_then(|above| path.get(above).cloned()),
            snaptime: snaptime.filter(|_| clock == Clock::Utc),
            description: Some(description.to_owned())
                .filter(|text| !text.is_empty() && text != "no-description"),
        });
    }
    Ok(entries)
}

/// Converts `2023-11-14 22:13:20` of UTC to seconds since 1970.
fn seconds(text: &str) -> Option<i64> {
    let part = |from: usize, to: usize| -> Option<i64> {
        let digits = text.get(from..to)?;
        if digits.bytes().all(|byte| byte.is_ascii_digit()) { digits.parse().ok() } else { None }
    };
    let marks = [(4, b'-'), (7, b'-'), (10, b' '), (13, b':'), (16, b':')];
    if text.len() != 19 || !marks.iter().all(|(at, mark)| text.as_bytes()[*at] == *mark) {
        return None;
    }
    let (year, month, day) = (part(0, 4)?, part(5, 7)?, part(8, 10)?);
    let (hour, minute, second) = (part(11, 13)?, part(14, 16)?, part(17, 19)?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    // Days since 1970-01-01 in the Gregorian calendar, the year counted from March so that a leap day is its last.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year.div_euclid(4) - year.div_euclid(100)
        + year.div_euclid(400)
        + (153 * month + 2) / 5
        + day
        - 1
        - 719_468;
    Some(((days * 24 + hour) * 60 + minute) * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    type Entry = (String, Option<String>, Option<i64>, Option<String>);

    fn parsed(text: &str) -> Vec<Entry> {
        let entries = snapshots(text.as_bytes(), Clock::Utc).unwrap();
        entries.into_iter().map(|e| (e.name.to_string(), e.parent, e.snaptime, e.description)).collect()
    }

    #[test]
    fn no_snapshot_is_only_current() {
        assert_eq!(parsed("`-> current                                             You are here!\n"), []);
        assert_eq!(parsed(""), []);
    }

    #[test]
    fn the_recorded_tree_parses() {
        assert_eq!(
            parsed(include_str!("../../fixtures/listsnapshot.txt")),
            [
                ("s1".into(), None, Some(1_795_394_667), None),
                ("s2".into(), Some("s1".into()), Some(1_795_394_668), Some("before upgrade".into())),
                ("s3".into(), Some("s2".into()), Some(1_795_394_674), None),
            ]
        );
    }

    #[test]
    fn two_roots_siblings_and_odd_descriptions() {
        let long = "n".repeat(40);
        let text = format!(
            "`-> aa                                                  no date\n`-> {long} 2023-11-14 22:13:20     -> x: 1\n `-> bb                         2023-11-14 22:13:20     \n `-> current                                            You are here!\n"
        );
        assert_eq!(
            parsed(&text),
            [
                ("aa".into(), None, None, Some("no date".into())),
                (long.clone(), None, Some(1_700_000_000), Some("-> x: 1".into())),
                ("bb".into(), Some(long), Some(1_700_000_000), None),
            ]
        );
    }

    #[test]
    fn an_unknown_zone_has_no_times() {
        let entries = snapshots(b"`-> s1  2023-11-14 22:13:20     text\n", Clock::Unknown).unwrap();
        assert_eq!((entries[0].snaptime, entries[0].description.as_deref()), (None, Some("text")));
    }

    #[test]
    fn dates_count_from_1970() {
        for (text, expected) in [
            ("1970-01-01 00:00:00", Some(0)),
            ("2000-02-29 12:00:00", Some(951_825_600)),
            ("2100-03-01 00:00:00", Some(4_107_542_400)),
            ("2023-13-01 00:00:00", None),
            ("2023-01-01T00:00:00", None),
            ("2023-01-0a 00:00:00", None),
        ] {
            assert_eq!(seconds(text), expected, "{text}");
        }
    }

    #[test]
    fn garbage_names_its_line() {
        let error = |text: &str| snapshots(text.as_bytes(), Clock::Utc).unwrap_err().to_string();
        assert_eq!(error("s1\n"), "line 1: no '`->' in 's1'");
        assert_eq!(error("`-> s1\n   `-> s2\n"), "line 2: a branch without its parent in '   `-> s2'");
        assert_eq!(error("`-> -\n"), "line 1: no name of a snapshot in '`-> -'");
    }
}
