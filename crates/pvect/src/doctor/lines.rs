//! Lines of configuration files that pct cannot parse. The next change of the container drops those that are not
//! `key: value`, and unknown `lxc.` keys; a value that cannot be parsed stays, and is in no force.

use super::Check;
use crate::Client;

const NAME: &str = "configurations";

/// Names them, if the node's own files are read; otherwise `None`.
pub(super) fn check(client: &Client) -> Option<Check> {
    let survey = client.native_backend()?.survey();
    Some(match survey {
        Ok(survey) => of(&survey.warnings),
        Err(error) => Check::warn(NAME, error.to_string(), "run pvect as root"),
    })
}

fn of(warnings: &[String]) -> Check {
    if warnings.is_empty() {
        return Check::ok(NAME, "every line can be parsed");
    }
    let fix = "correct these lines in the container's file: the next change drops what is not 'key: value'";
    Check::warn(NAME, warnings.join("; "), fix)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Verdict;

    #[test]
    fn lines_are_named() {
        assert_eq!(of(&[]).verdict, Verdict::Ok);
        let check = of(&["vm 101 - unable to parse config: Memory: 512".to_owned()]);
        assert_eq!(
            (check.verdict, check.detail.as_str()),
            (Verdict::Warn, "vm 101 - unable to parse config: Memory: 512")
        );
    }
}
