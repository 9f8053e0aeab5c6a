//! Reports how a run went.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::run::{GroupResult, Outcome};

/// Passed, failed, skipped.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// As expected.
    pub passed: usize,
    /// Otherwise.
    pub failed: usize,
    /// Not judged.
    pub skipped: usize,
}

/// Counts the results.
pub fn count<'a>(results: impl IntoIterator<Item = &'a GroupResult>) -> Counts {
    let mut counts = Counts::default();
    for case in results.into_iter().flat_map(|group| &group.cases) {
        match case.outcome {
            Outcome::Passed => counts.passed += 1,
            Outcome::Failed(_) => counts.failed += 1,
            Outcome::Skipped(_) => counts.skipped += 1,
        }
    }
    counts
}

/// One line about a group.
pub fn group_line(group: &GroupResult) -> String {
    let Counts { passed, failed, skipped } = count([group]);
    format!(
        "{:<32} {passed:>4} passed {failed:>4} failed {skipped:>4} skipped {:>6.1} s",
        group.name,
        group.duration.as_secs_f64()
    )
}

/// Everything that is to be said at the end: failures, reasons of skips, the counts.
pub fn summary(results: &[GroupResult]) -> String {
    let mut text = String::new();
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    for case in results.iter().flat_map(|group| &group.cases) {
        match &case.outcome {
            Outcome::Passed => {}
            Outcome::Skipped(reason) => *reasons.entry(reason).or_default() += 1,
            Outcome::Failed(why) => {
                // Writing to a string cannot fail.
                let _ = writeln!(text, "\nFAILED {}.case:{}\n$ {}", case.group, case.line, case.command);
                for line in why.lines() {
                    let _ = writeln!(text, "    {line}");
                }
            }
        }
    }
    if !reasons.is_empty() {
        text.push_str("\nSkipped:\n");
    }
    for (reason, count) in reasons {
        let _ = writeln!(text, "{count:>5}  {reason}");
    }
    let Counts { passed, failed, skipped } = count(results);
    let _ = writeln!(text, "\n{passed} passed, {failed} failed, {skipped} skipped");
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::CaseResult;

    #[test]
    fn failures_reasons_and_counts_are_told() {
        let case =
            |line, outcome| CaseResult { group: "01-x".into(), line, command: "pct list".into(), outcome };
        let results = [GroupResult {
            name: "01-x".into(),
            cases: vec![
                case(3, Outcome::Passed),
                case(5, Outcome::Failed("exit:\n- 0\n+ 2\n".into())),
                case(7, Outcome::Skipped("no root".into())),
                case(9, Outcome::Skipped("no root".into())),
            ],
            duration: std::time::Duration::from_millis(1500),
        }];
        assert_eq!(
            summary(&results),
            "\nFAILED 01-x.case:5\n$ pct list\n    exit:\n    - 0\n    + 2\n\nSkipped:\n    2  no root\n\
             \n1 passed, 1 failed, 2 skipped\n"
        );
        assert_eq!(
            group_line(&results[0]),
            "01-x                                1 passed    1 failed    2 skipped    1.5 s"
        );
    }
}
