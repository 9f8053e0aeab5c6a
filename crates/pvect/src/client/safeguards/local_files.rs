//! Checks of values that need files of this machine, made before pct is started.

use std::fs;
use std::path::Path;

use pvect_core::schema::{Reason, Violation};
use pvect_core::{Call, Error, Result};

/// The time zones that pct accepts.
const ZONES: &str = "/usr/share/zoneinfo/zone.tab";

/// Checks the time zone, if pct runs on this machine, and the file of public keys, which is always on this side.
///
/// # Errors
/// `InvalidArgument`.
pub(super) fn check(call: &Call, here: bool) -> Result<()> {
    let mut found = Vec::new();
    if let Some(zone) = call.get("timezone").filter(|_| here) {
        found.extend(unknown_zone(Path::new(ZONES), zone));
    }
    if let Some(file) = call.get("ssh-public-keys") {
        let error = fs::File::open(file).err();
        found.extend(error.map(|error| {
            let why = error.to_string();
            let why = why.split(" (os error").next().unwrap_or_default();
            wrong("ssh-public-keys", format!("'{file}' cannot be read: {why}"))
        }));
    }
    if found.is_empty() { Ok(()) } else { Err(Error::InvalidArgument(found)) }
}

/// If the list is missing, the check is left to pct.
fn unknown_zone(list: &Path, zone: &str) -> Option<Violation> {
    let text = fs::read_to_string(list).ok()?;
    let mut known =
        text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split('\t').nth(2));
    if ["host", "UTC"].contains(&zone) || known.clone().any(|name| name.trim() == zone) {
        return None;
    }
    let near = crate::nearest(zone, known.by_ref().map(str::trim));
    let near = near.map(|near| format!("; did you mean '{near}'?")).unwrap_or_default();
    let text = format!("'{zone}' is not allowed: host, UTC, or a name of {}{near}", list.display());
    Some(wrong("timezone", text))
}

fn wrong(name: &str, text: String) -> Violation {
    Violation::option(name, Reason::other(text))
}

#[cfg(test)]
mod tests {
    use pvect_core::{Verb, Vmid};

    use super::*;

    #[test]
    fn zones_are_those_of_the_list() {
        let dir = tempfile::tempdir().unwrap();
        let list = dir.path().join("zone.tab");
        fs::write(&list, "# codes\nDE\t+5230+01322\tEurope/Berlin\tmost\nCH\t+4723+00832\tEurope/Zurich\n")
            .unwrap();
        for zone in ["host", "UTC", "Europe/Berlin", "Europe/Zurich"] {
            assert_eq!(unknown_zone(&list, zone), None, "{zone}");
        }
        let text = unknown_zone(&list, "Europe/Berlim").unwrap().to_string();
        let path = list.display();
        assert_eq!(
            text,
            format!(
                "--timezone: 'Europe/Berlim' is not allowed: host, UTC, or a name of {path}; did you mean \
                 'Europe/Berlin'?"
            )
        );
        assert_eq!(unknown_zone(Path::new("/none"), "x"), None);
    }

    #[test]
    fn keys_are_looked_for() {
        let call = Call::on(Verb::Create, Vmid::MIN).option("ssh-public-keys", "/no/such/file");
        assert_eq!(
            check(&call, true).unwrap_err().to_string(),
            "--ssh-public-keys: '/no/such/file' cannot be read: No such file or directory"
        );
    }
}
