//! Takes the decoration off pct's error texts.

/// Returns the meaningful lines of stderr: without usage, Perl's noise, codes and blank lines.
///
/// If there is nothing else, the noise is kept.
pub fn clean(stderr: &str) -> Vec<String> {
    let lines: Vec<&str> = stderr.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    let usage = lines.iter().position(|line| line.starts_with("USAGE: ")).unwrap_or(lines.len());
    let mut kept: Vec<String> = Vec::new();
    let mut noise = Vec::new();
    for (index, line) in lines.iter().take(usage).enumerate() {
        let last = index + 1 == usage;
        if is_noise(line) || is_explained(line, lines.get(..index).unwrap_or_default()) {
            noise.push((*line).to_owned());
        } else if !(is_header(line) || last && !kept.is_empty() && is_usage(line)) {
            kept.push(bare(line).to_owned());
        }
    }
    // `Unknown option: x` says it all.
    if kept.len() > 1 {
        kept.retain(|line| line != "unable to parse option");
    }
    if kept.is_empty() { noise } else { kept }
}

/// Joins lines into one message.
pub fn message(lines: &[String]) -> String {
    lines.join("; ")
}

/// Warnings of Perl itself and of its locale, the calls behind `Unable to load access control list`, and the progress
/// of waiting for a lock.
fn is_noise(line: &str) -> bool {
    line.starts_with("Use of uninitialized value ")
        || line.starts_with("perl: warning: ")
        || line.starts_with("ipcc_send_rec[")
        || matches!(line, "trying to acquire lock..." | " OK")
}

/// Whether Perl warns of a value that pct named in a line before, as one that cannot be parsed.
fn is_explained(line: &str, before: &[&str]) -> bool {
    line.starts_with("Argument \"")
        && line.contains("\" isn't numeric in ")
        && before.iter().any(|line| line.contains("unable to parse value of "))
}

fn is_header(line: &str) -> bool {
    line == "400 Parameter verification failed."
}

/// The verb's line of usage ends the text of an error in arguments: `pct set <vmid> [OPTIONS]`, `pct list`.
fn is_usage(line: &str) -> bool {
    let mut words = line.split(' ');
    words.next() == Some("pct")
        && words.next().is_some_and(|verb| crate::Verb::from_name(verb).is_some())
        && words.all(|word| word.starts_with(['<', '[']))
}

/// Removes `400 `, `ERROR: ` and the position in Perl's sources.
fn bare(line: &str) -> &str {
    let line = line.strip_prefix("ERROR: ").unwrap_or(line);
    let line = match line.split_once(' ') {
        Some((code, rest)) if code.len() == 3 && code.starts_with(['4', '5']) && is_number(code) => rest,
        _ => line,
    };
    match line.rsplit_once(" at /usr/share/perl5/") {
        Some((text, place)) if place.ends_with('.') && place.contains(" line ") => text,
        _ => line,
    }
}

fn is_number(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decoration_comes_off() {
        for (stderr, expected) in [
            ("", ""),
            (
                "400 Parameter verification failed.\nmemory: value must have a minimum value of 16\npct set <vmid> [OPTIONS]\n",
                "memory: value must have a minimum value of 16",
            ),
            (
                "400 Parameter verification failed.\nnet0: invalid format - format error\nnet0.ip: invalid format - value does not look like a valid ipv4 network configuration\n\n\npct set <vmid> [OPTIONS]\n",
                "net0: invalid format - format error; net0.ip: invalid format - value does not look like a valid ipv4 network configuration",
            ),
            ("Unknown option: x\n400 unable to parse option\npct list \n", "Unknown option: x"),
            ("400 too many arguments\npct list \n", "too many arguments"),
            (
                "ERROR: unknown command 'pct nosuch'\nUSAGE: pct <COMMAND> [ARGS] [OPTIONS]\n\n  pct x\n",
                "unknown command 'pct nosuch'",
            ),
            ("missing command at /usr/share/perl5/PVE/CLI/pct.pm line 246.\n", "missing command"),
            (
                "Use of uninitialized value $x in y at z line 1.\nbridge '' does not exist\n",
                "bridge '' does not exist",
            ),
            ("Use of uninitialized value $x in y.\n", "Use of uninitialized value $x in y."),
            ("CT 101 already exists on node 'vm'\n", "CT 101 already exists on node 'vm'"),
            ("999 doesn't exist\nx\n", "999 doesn't exist; x"),
        ] {
            assert_eq!(message(&clean(stderr)), expected, "{stderr:?}");
        }
    }
}
