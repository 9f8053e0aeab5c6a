//! `pct status` and `pct status --verbose`.

use std::collections::BTreeMap;
use std::str::FromStr;

use pvect_core::{Lock, RunState, Status, shape};

use super::{ParseError, lines, shown, text};

/// Parses `status: WORD`, the one line of `pct status`.
///
/// # Errors
/// When it is anything else.
pub fn state(output: &[u8]) -> Result<RunState, ParseError> {
    let text = text(output)?;
    let word = text.strip_suffix('\n').unwrap_or(text).strip_prefix("status: ");
    match word {
        Some(word) if !word.is_empty() && !word.contains(char::is_whitespace) => {
            Ok(RunState::from(word.to_owned()))
        }
        _ => Err(ParseError::at(1, format!("'status: WORD' was expected, found {}", shown(text)))),
    }
}

/// Parses the `key: value` lines of `pct status --verbose`. Keys that are not known are kept in `other`.
///
/// # Errors
/// For the first line that is not `key: value` or whose value has the wrong type, and when `vmid` or `status` is
/// missing.
pub fn status(output: &[u8]) -> Result<Status, ParseError> {
    let mut fields = Fields::parse(text(output)?)?;
    let vmid = fields.required("vmid")?;
    let (line, vmid) = vmid;
    let vmid =
        vmid.parse().map_err(|error: pvect_core::id::InvalidId| ParseError::at(line, error.to_string()))?;
    let (_, state) = fields.required("status")?;
    Ok(Status {
        vmid,
        status: RunState::from(state),
        name: fields.text("name"),
        lock: fields.text("lock").map(Lock::from),
        tags: fields.text("tags"),
        template: fields.boolean("template")?,
        cpus: fields.number_if_it_is_one("cpus"),
        mem: fields.amount("mem")?,
        maxmem: fields.amount_if_it_is_one("maxmem"),
        swap: fields.amount("swap")?,
        maxswap: fields.amount_if_it_is_one("maxswap"),
        disk: fields.amount("disk")?,
        maxdisk: fields.amount("maxdisk")?,
        diskread: fields.amount("diskread")?,
        diskwrite: fields.amount("diskwrite")?,
        netin: fields.amount("netin")?,
        netout: fields.amount("netout")?,
        uptime: fields.amount("uptime")?,
        pid: fields.number("pid")?,
        other: fields.rest(),
    })
}

struct Fields {
    values: BTreeMap<String, (usize, String)>,
    lines: usize,
}

impl Fields {
    fn parse(text: &str) -> Result<Self, ParseError> {
        let mut fields = Self { values: BTreeMap::new(), lines: 0 };
        for (number, line) in lines(text) {
            let (key, value) = match line.split_once(": ") {
                Some(pair) => pair,
                None => (line.strip_suffix(':').unwrap_or_default(), ""),
            };
            if key.is_empty() || key.contains(char::is_whitespace) {
                return Err(ParseError::at(
                    number,
                    format!("'key: value' was expected, found {}", shown(line)),
                ));
            }
            fields.lines = number;
            if fields.values.insert(key.to_owned(), (number, value.to_owned())).is_some() {
                return Err(ParseError::at(number, format!("'{key}' appears twice")));
            }
        }
        Ok(fields)
    }

    fn required(&mut self, key: &str) -> Result<(usize, String), ParseError> {
        self.values.remove(key).ok_or_else(|| ParseError::whole(format!("'{key}' is missing")))
    }

    fn text(&mut self, key: &str) -> Option<String> {
        self.values.remove(key).map(|(_, value)| value)
    }

    /// pct shows a stored text even if it is not a number: then it stays in `other`.
    fn number_if_it_is_one(&mut self, key: &str) -> Option<f64> {
        let text = &self.values.get(key)?.1;
        let number = text.parse().ok().filter(|_| shape::is_number(text))?;
        self.values.remove(key);
        Some(number)
    }

    /// pct calculates with a stored text even if it is not a number: a result that is not a whole number stays in
    /// `other`.
    fn amount_if_it_is_one(&mut self, key: &str) -> Option<u64> {
        let (_, text) = self.values.get(key)?;
        let amount = amount(text)?;
        self.values.remove(key);
        Some(amount)
    }

    fn number<T: FromStr>(&mut self, key: &str) -> Result<Option<T>, ParseError> {
        let Some((line, value)) = self.values.remove(key) else { return Ok(None) };
        let bad = |_| ParseError::at(line, format!("{} is not a value of '{key}'", shown(&value)));
        value.parse().map(Some).map_err(bad)
    }

    fn amount(&mut self, key: &str) -> Result<Option<u64>, ParseError> {
        let Some((line, value)) = self.values.remove(key) else { return Ok(None) };
        let bad = || ParseError::at(line, format!("{} is not a value of '{key}'", shown(&value)));
        amount(&value).map(Some).ok_or_else(bad)
    }

    fn boolean(&mut self, key: &str) -> Result<bool, ParseError> {
        match self.values.remove(key) {
            None => Ok(false),
            Some((line, value)) => pvect_core::property::boolean(&value)
                .ok_or_else(|| ParseError::at(line, format!("{} is not a value of '{key}'", shown(&value)))),
        }
    }

    fn rest(self) -> BTreeMap<String, String> {
        self.values.into_iter().map(|(key, (_, value))| (key, value)).collect()
    }
}

/// A whole number; Perl prints one beyond 15 digits as a decimal with an exponent.
fn amount(text: &str) -> Option<u64> {
    let decimal = || text.parse::<f64>().ok().filter(|decimal| (0.0..1.8e19).contains(decimal));
    // In this range the conversion loses at most the fraction.
    text.parse().ok().or_else(|| decimal().map(|decimal| decimal as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_word_is_the_state() {
        assert_eq!(state(b"status: stopped\n"), Ok(RunState::Stopped));
        assert_eq!(state(b"status: running\n"), Ok(RunState::Running));
        assert_eq!(state(b"status: frozen\n"), Ok(RunState::Other("frozen".into())));
        for bad in ["", "status: \n", "status: a b\n", "running\n", "status: a\nstatus: b\n"] {
            assert!(state(bad.as_bytes()).is_err(), "{bad:?}");
        }
        assert_eq!(
            state(b"x\n").unwrap_err().to_string(),
            "line 1: 'status: WORD' was expected, found 'x\\n'"
        );
    }

    #[test]
    fn the_record_of_a_stopped_container_parses() {
        let parsed = status(include_bytes!("../../fixtures/status-stopped.txt")).unwrap();
        assert_eq!(parsed.vmid.get(), 102);
        assert_eq!(parsed.status, RunState::Stopped);
        assert_eq!(parsed.lock, Some(Lock::Backup));
        assert_eq!(parsed.cpus, Some(1.5));
        assert_eq!(parsed.maxdisk, Some(2_147_483_648));
        assert_eq!(parsed.pid, None);
        assert!(!parsed.template);
        assert_eq!(parsed.other, BTreeMap::from([("type".to_owned(), "lxc".to_owned())]));
    }

    #[test]
    fn the_record_of_a_running_container_keeps_what_is_unknown() {
        let parsed = status(include_bytes!("../../fixtures/status-running.txt")).unwrap();
        assert_eq!(parsed.status, RunState::Running);
        assert!(parsed.pid.is_some());
        let keys: Vec<&str> = parsed.other.keys().map(String::as_str).collect();
        assert_eq!(
            keys,
            [
                "pressurecpufull",
                "pressurecpusome",
                "pressureiofull",
                "pressureiosome",
                "pressurememoryfull",
                "pressurememorysome",
                "type"
            ]
        );
    }

    #[test]
    fn large_and_odd_values() {
        let parsed =
            status(b"maxmem: 1.5e+16\nname: a: b\nstatus: stopped\ntags:\ntemplate: 1\nvmid: 100\n").unwrap();
        assert_eq!(parsed.maxmem, Some(15_000_000_000_000_000));
        assert_eq!(parsed.name.as_deref(), Some("a: b"));
        assert_eq!(parsed.tags.as_deref(), Some(""));
        assert!(parsed.template);
    }

    #[test]
    fn limits_that_pct_made_of_texts_stay_texts() {
        let text = "cpus: inf\nmaxmem: -5242880\nmaxswap: abc\nstatus: stopped\nvmid: 100\n";
        let parsed = status(text.as_bytes()).unwrap();
        assert_eq!((parsed.cpus, parsed.maxmem, parsed.maxswap), (None, None, None));
        let other = [("cpus", "inf"), ("maxmem", "-5242880"), ("maxswap", "abc")];
        assert_eq!(parsed.other, other.map(|(key, text)| (key.to_owned(), text.to_owned())).into());
    }

    #[test]
    fn garbage_names_its_line() {
        let error = |text: &str| status(text.as_bytes()).unwrap_err().to_string();
        assert_eq!(error("vmid: 100\n"), "'status' is missing");
        assert_eq!(error("status: stopped\n"), "'vmid' is missing");
        assert_eq!(error(""), "line 1: 'key: value' was expected, found ''");
        assert_eq!(
            error("status: stopped\nmem: lots\nvmid: 100\n"),
            "line 2: 'lots' is not a value of 'mem'"
        );
        assert_eq!(error("status: stopped\nmem: -1\nvmid: 100\n"), "line 2: '-1' is not a value of 'mem'");
        assert_eq!(
            error("status: stopped\nvmid: 99\n"),
            "line 2: '99' is not a valid VM ID: a whole number from 100 to 999999999"
        );
        assert_eq!(error("vmid: 100\nvmid: 100\n"), "line 2: 'vmid' appears twice");
        assert_eq!(error("some words\n"), "line 1: 'key: value' was expected, found 'some words'");
    }
}
