//! What pct counts with of a configuration: it takes texts as Perl takes them, whatever is stored.

use pvect_core::{ContainerConfig, perl, shape};

const MIB: u64 = 1 << 20;

/// The limits in a configuration, as `list` and `status` show them. A value that is not a number of the right kind is
/// kept as the text that pct prints.
///
/// Source: `vmstatus` of pve-container.
#[derive(Debug, Clone, PartialEq)]
pub struct Counted {
    /// `cores`, or else `cpulimit`; `None` if neither is a limit: then all of the host's CPUs count.
    pub cpus: Option<Result<f64, String>>,
    /// The memory in bytes; 512 MiB if none is stored, or if 0 is.
    pub memory: Result<u64, String>,
    /// The swap in bytes.
    pub swap: Result<u64, String>,
    /// The stored texts of memory and swap that are not numbers, of which Perl warns.
    pub not_numeric: Vec<String>,
}

impl Counted {
    /// Reads the limits of a configuration.
    pub fn of(config: &ContainerConfig) -> Self {
        let stored = |key| config.main.options.get(key).map(String::as_str);
        let set = |key| stored(key).filter(|text| perl::is_true(text));
        let (memory, swap) = (set("memory").unwrap_or("512"), stored("swap").unwrap_or("0"));
        let not_numeric = [memory, swap].into_iter().filter(|text| !perl::number(text).is_whole);
        Self {
            cpus: set("cores").or_else(|| set("cpulimit")).map(|text| {
                shape::is_number(text).then(|| perl::number(text).value).ok_or_else(|| text.to_owned())
            }),
            memory: of_mib(memory),
            swap: of_mib(swap),
            not_numeric: not_numeric.map(str::to_owned).collect(),
        }
    }
}

fn of_mib(text: &str) -> Result<u64, String> {
    if let Some(bytes) = text.parse::<u64>().ok().and_then(|mib| mib.checked_mul(MIB)) {
        return Ok(bytes);
    }
    let printed = perl::print(perl::number(text).value * MIB as f64);
    printed.parse().map_err(|_| printed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_number_counts_as_it_does_in_perl() {
        let of = |options: &[(&str, &str)]| {
            let mut config = ContainerConfig::default();
            options.iter().for_each(|(key, value)| config.main.set(key, *value));
            Counted::of(&config)
        };
        let none = of(&[]);
        assert_eq!((none.cpus, none.memory, none.swap), (None, Ok(512 * MIB), Ok(0)));
        assert_eq!(of(&[("memory", "0")]).memory, Ok(512 * MIB));
        let words = of(&[("memory", "abc"), ("swap", "5x"), ("cores", "two")]);
        assert_eq!((words.memory, words.swap), (Ok(0), Ok(5 * MIB)));
        assert_eq!(
            (words.cpus, words.not_numeric),
            (Some(Err("two".to_owned())), vec!["abc".into(), "5x".into()])
        );
        assert_eq!(of(&[("cores", "0"), ("cpulimit", "0.5")]).cpus, Some(Ok(0.5)));
        assert_eq!(of(&[("memory", "0.0000001")]).memory, Err("0.1048576".to_owned()));
        assert_eq!(of(&[("memory", "-5")]).memory, Err("-5242880".to_owned()));
    }
}
