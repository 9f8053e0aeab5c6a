//! `pct df`, `pct cpusets`, `pct mount`.

use std::collections::BTreeMap;

use pvect_core::Vmid;
use pvect_core::usage::FileSystem;

use super::{ParseError, lines, shown, text};

const HEADER: [&str; 7] = ["MP", "Volume", "Size", "Used", "Avail", "Use%", "Path"];

/// Parses the table of `pct df`. Columns are found by where the header's words end, because names and paths may contain
/// blanks.
///
/// Source: `df` of pve-container's `CLI/pct.pm`.
///
/// # Errors
/// For another header, and for the first line that does not fit below it.
pub fn df(output: &[u8]) -> Result<Vec<FileSystem>, ParseError> {
    let text = text(output)?;
    let mut lines = lines(text);
    let Some((_, header)) = lines.next().filter(|_| !text.is_empty()) else { return Ok(Vec::new()) };
    if header.split_whitespace().ne(HEADER) {
        return Err(ParseError::at(
            1,
            format!("'{}' was expected, found {}", HEADER.join(" "), shown(header)),
        ));
    }
    // The header is ASCII, so these byte positions are also character positions.
    let edges: Vec<usize> = HEADER.iter().filter_map(|word| Some(header.find(word)? + word.len())).collect();
    let left = header.find("Volume").unwrap_or_default();
    lines
        .map(|(number, line)| {
            row(line, left, &edges).ok_or_else(|| {
                ParseError::at(number, format!("a file system was expected, found {}", shown(line)))
            })
        })
        .collect()
}

fn row(line: &str, left: usize, edges: &[usize]) -> Option<FileSystem> {
    let characters: Vec<char> = line.chars().collect();
    let cell = |from: usize, to: usize| -> Option<String> {
        let text: String = characters.get(from..to.min(characters.len()))?.iter().collect();
        Some(text.trim().to_owned())
    };
    let &[_, _, size, used, available, percent, _] = edges else { return None };
    // The source is as wide as the widest one; the size follows after the last blank.
    let source = cell(left, size)?;
    let (source, bytes) = source.rsplit_once(' ')?;
    Some(FileSystem {
        volume: cell(0, left).filter(|key| !key.is_empty())?,
        source: source.trim_end().to_owned(),
        size: size_of(bytes)?,
        used: size_of(&cell(size, used)?)?,
        available: size_of(&cell(used, available)?)?,
        percent: cell(available, percent)?.parse().ok().filter(|share: &f64| share.is_finite())?,
        path: cell(percent, characters.len())?,
    })
}

/// `1.9G` in bytes.
fn size_of(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(['K', 'M', 'G', 'T', 'P', 'E']);
    let power = match &text[digits.len()..] {
        "" => 0,
        letter => "KMGTPE".find(letter)? as i32 + 1,
    };
    let number: f64 = digits.parse().ok().filter(|number: &f64| number.is_finite() && *number >= 0.0)?;
    // As exact as one decimal can be; sizes beyond 2^64 saturate.
    Some((number * 1024f64.powi(power)).round() as u64)
}

/// Parses the table of `pct cpusets`: each running container with its CPUs, in which a missing one leaves a gap.
///
/// # Errors
/// For the first line that is not a container.
pub fn cpusets(output: &[u8]) -> Result<BTreeMap<Vmid, Vec<u32>>, ParseError> {
    let text = text(output)?;
    let mut found = BTreeMap::new();
    for (number, line) in lines(text) {
        let ruled = !line.is_empty() && line.bytes().all(|byte| byte == b'-');
        if ruled || line == "no running containers" {
            continue;
        }
        let entry = || {
            let (vmid, cpus) = line.split_once(':')?;
            let cpus = cpus.split_whitespace().map(|cpu| cpu.parse().ok()).collect::<Option<Vec<u32>>>()?;
            Some((vmid.trim().parse::<Vmid>().ok()?, cpus))
        };
        let (vmid, cpus) = entry().ok_or_else(|| {
            ParseError::at(number, format!("'VMID: CPUS' was expected, found {}", shown(line)))
        })?;
        found.insert(vmid, cpus);
    }
    Ok(found)
}

/// Parses what `pct mount` prints: where the root file system is.
///
/// # Errors
/// When it does not say so.
pub fn mounted(output: &[u8]) -> Result<String, ParseError> {
    let text = text(output)?;
    let path = text.lines().find_map(|line| {
        let (_, path) = line.strip_prefix("mounted CT ")?.split_once(" in '")?;
        path.strip_suffix('\'')
    });
    path.map(str::to_owned).ok_or_else(|| ParseError::whole("\"mounted CT VMID in 'PATH'\" was expected"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn df_is_read_by_columns() {
        let output = "MP     Volume                      Size   Used Avail Use% Path\n\
                      rootfs local:301/vm-301-disk-0.raw 1.9G 168.1M  1.6G  8.6 /\n\
                      mp0    /srv/my data                4.0T    512  1.5K 99.9 /mnt/my data\n";
        let found = df(output.as_bytes()).unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!(
            (found[0].volume.as_str(), found[0].source.as_str()),
            ("rootfs", "local:301/vm-301-disk-0.raw")
        );
        assert_eq!(
            (found[0].size, found[0].used, found[0].available),
            (2_040_109_466, 176_265_626, 1_717_986_918)
        );
        assert_eq!((found[1].source.as_str(), found[1].path.as_str()), ("/srv/my data", "/mnt/my data"));
        assert_eq!((found[1].size, found[1].used, found[1].available), (4 << 40, 512, 1536));
        assert_eq!(found[1].percent, 99.9);
        // The widest size is wider than its header.
        let output = "MP     Volume                        Size Used  Avail Use% Path\n\
                      rootfs local:202/vm-202-disk-0.raw 973.4M 2.1M 904.2M  0.2 /\n";
        assert_eq!(df(output.as_bytes()).unwrap()[0].size, 1_020_683_878);
        assert_eq!(df(b"").unwrap(), []);
    }

    #[test]
    fn what_is_no_table_is_told() {
        for (output, text) in [
            ("nothing\n", "line 1: 'MP Volume Size Used Avail Use% Path' was expected, found 'nothing'"),
            ("MP Volume Size Used Avail Use% Path\nx\n", "line 2: a file system was expected, found 'x'"),
        ] {
            assert_eq!(df(output.as_bytes()).unwrap_err().to_string(), text);
        }
        assert!(df("MP Volume Size Used Avail Use% Path\nrootfs ü ü ü ü ü ü\n".as_bytes()).is_err());
    }

    #[test]
    fn cpusets_have_gaps() {
        let output = b"---------\n201:  0 1\n202:    1\n301:\n---------\n";
        let found: Vec<_> = cpusets(output).unwrap().into_iter().map(|(id, cpus)| (id.get(), cpus)).collect();
        assert_eq!(found, [(201, vec![0, 1]), (202, vec![1]), (301, vec![])]);
        assert!(cpusets(b"no running containers\n").unwrap().is_empty());
        let error = cpusets(b"x: y\n").unwrap_err().to_string();
        assert_eq!(error, "line 1: 'VMID: CPUS' was expected, found 'x: y'");
    }

    #[test]
    fn mount_says_where() {
        let output = b"mounted CT 301 in '/var/lib/lxc/301/rootfs'\n";
        assert_eq!(mounted(output).unwrap(), "/var/lib/lxc/301/rootfs");
        assert_eq!(mounted(b"").unwrap_err().to_string(), "\"mounted CT VMID in 'PATH'\" was expected");
    }
}
