//! What each line of the view says, and how the lines are ordered.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use pvect::live::{Frame, Rates, Sample};
use pvect_core::Vmid;

/// The columns that the view can be sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    Vmid,
    Name,
    Cpu,
    Memory,
    Swap,
    Disk,
    Net,
    Io,
    Pressure,
    Uptime,
}

impl Key {
    /// Every key with its letter and its word.
    pub(super) const ALL: [(Self, char, &'static str); 10] = [
        (Self::Vmid, 'v', "vmid"),
        (Self::Name, 'n', "name"),
        (Self::Cpu, 'c', "cpu"),
        (Self::Memory, 'm', "mem"),
        (Self::Swap, 'w', "swap"),
        (Self::Disk, 'd', "disk"),
        (Self::Net, 't', "net"),
        (Self::Io, 'i', "io"),
        (Self::Pressure, 'p', "pressure"),
        (Self::Uptime, 'u', "uptime"),
    ];

    /// Returns the key of a word.
    pub(super) fn from_word(word: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, _, known)| *known == word).map(|(key, ..)| *key)
    }

    /// Whether expensive values are needed of every container, not only of the visible ones.
    pub(super) fn needs_details(self) -> bool {
        matches!(self, Self::Disk | Self::Io | Self::Pressure | Self::Uptime)
    }
}

/// One container, compared between two moments.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Row {
    pub(super) sample: Sample,
    pub(super) rates: Rates,
}

impl Row {
    /// The largest of its pressures.
    pub(super) fn pressure(&self) -> f64 {
        let details = self.sample.details.as_ref();
        details.map_or(0.0, |one| one.pressure_cpu.max(one.pressure_io).max(one.pressure_mem))
    }

    fn value(&self, key: Key) -> f64 {
        let details = self.sample.details.clone().unwrap_or_default();
        match key {
            Key::Vmid | Key::Name => f64::from(self.sample.vmid.get()),
            Key::Cpu => self.rates.cpu,
            Key::Memory => self.sample.mem as f64,
            Key::Swap => self.sample.swap as f64,
            Key::Disk => details.disk as f64,
            Key::Net => self.rates.netin + self.rates.netout,
            Key::Io => self.rates.diskread + self.rates.diskwrite,
            Key::Pressure => self.pressure(),
            Key::Uptime => details.uptime as f64,
        }
    }
}

/// Makes the rows of a frame; without an earlier one all rates are zero.
pub(super) fn rows(now: &Frame, before: Option<&Frame>) -> Vec<Row> {
    let earlier: BTreeMap<Vmid, &Sample> =
        before.iter().flat_map(|frame| &frame.samples).map(|one| (one.vmid, one)).collect();
    let between = before.map_or(std::time::Duration::ZERO, |frame| now.at.duration_since(frame.at));
    now.samples
        .iter()
        .map(|sample| {
            let before = earlier.get(&sample.vmid).copied().unwrap_or(sample);
            Row { sample: sample.clone(), rates: sample.rates(before, between) }
        })
        .collect()
}

/// Sorts the rows: numbers and names ascending, everything else descending, and running containers first unless the key
/// is number or name.
pub(super) fn sort(rows: &mut [Row], key: Key, reverse: bool) {
    let by = |a: &Row, b: &Row| -> Ordering {
        let order = match key {
            Key::Vmid => a.sample.vmid.cmp(&b.sample.vmid),
            Key::Name => a.sample.name.cmp(&b.sample.name),
            _ => b.sample.running.cmp(&a.sample.running).then(b.value(key).total_cmp(&a.value(key))),
        };
        order.then(a.sample.vmid.cmp(&b.sample.vmid))
    };
    rows.sort_by(|a, b| if reverse { by(b, a) } else { by(a, b) });
}

/// Keeps the rows whose number or name has the text in it; `running` alone keeps what runs.
pub(super) fn filter(rows: &mut Vec<Row>, text: &str, running: bool) {
    let text = text.to_lowercase();
    rows.retain(|row| {
        let found =
            row.sample.name.to_lowercase().contains(&text) || row.sample.vmid.to_string().contains(&text);
        found && (row.sample.running || !running)
    });
}

/// The texts of a row's cells, in the order of [`COLUMNS`].
pub(super) fn cells(row: &Row) -> [String; COLUMNS.len()] {
    let sample = &row.sample;
    let state = match (&sample.lock, sample.running) {
        (Some(lock), _) => lock.clone(),
        (None, true) => "running".to_owned(),
        (None, false) => "stopped".to_owned(),
    };
    let mut cells = [
        sample.vmid.to_string(),
        sample.name.clone(),
        state,
        String::new(),
        String::new(),
        String::new(),
        String::new(),
        String::new(),
        String::new(),
        String::new(),
        String::new(),
    ];
    if !sample.running {
        return cells;
    }
    let of = |used: u64, limit: u64| format!("{}/{}", size(used as f64), size(limit as f64));
    cells[3] = format!("{:.1}", row.rates.cpu * 100.0);
    cells[4] = of(sample.mem, sample.maxmem);
    cells[5] = of(sample.swap, sample.maxswap);
    cells[7] = format!("{}/{}", size(row.rates.netin), size(row.rates.netout));
    if let Some(details) = &sample.details {
        cells[6] = of(details.disk, details.maxdisk);
        cells[8] = format!("{}/{}", size(row.rates.diskread), size(row.rates.diskwrite));
        cells[9] =
            format!("{:.0}/{:.0}/{:.0}", details.pressure_cpu, details.pressure_io, details.pressure_mem);
        cells[10] = age(details.uptime);
    }
    cells
}

/// Titles and widths.
pub(super) const COLUMNS: [(&str, u16); 11] = [
    ("VMID", 9),
    ("NAME", 16),
    ("STATE", 9),
    ("CPU%", 6),
    ("MEM", 11),
    ("SWAP", 11),
    ("DISK", 11),
    ("NET IN/OUT", 11),
    ("IO R/W", 11),
    ("PRESSURE", 9),
    ("UPTIME", 9),
];

/// A size in at most five characters: `999`, `1.5K`, `12M`, `1.0G`.
pub(super) fn size(bytes: f64) -> String {
    let mut value = bytes;
    for unit in ["", "K", "M", "G", "T"] {
        if value < 1000.0 {
            return if unit.is_empty() || value >= 9.95 {
                format!("{value:.0}{unit}")
            } else {
                format!("{value:.1}{unit}")
            };
        }
        value /= 1024.0;
    }
    format!("{value:.0}P")
}

/// `59s`, `59m59s`, `23h59m`, `12d3h`.
pub(super) fn age(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{minutes}m{}s", seconds % 60),
        3600..86_400 => format!("{hours}h{}m", minutes % 60),
        _ => format!("{days}d{}h", hours % 24),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::{Duration, Instant};

    use pvect::live::Details;

    use super::*;

    pub(in super::super) fn frames() -> (Frame, Frame) {
        let sample = |vmid: u32, name: &str, running: bool, cpu: u64, mem: u64| Sample {
            vmid: vmid.try_into().unwrap(),
            name: name.to_owned(),
            lock: (vmid == 103).then(|| "backup".to_owned()),
            running,
            cpus: 2.0,
            cpu_time: Duration::from_millis(cpu),
            mem: mem << 20,
            maxmem: 512 << 20,
            swap: 0,
            maxswap: 512 << 20,
            netin: cpu * 1024,
            netout: 0,
            details: Some(Details {
                disk: 5 << 20,
                maxdisk: 1 << 30,
                uptime: 3700,
                pressure_io: 12.4,
                ..Details::default()
            }),
        };
        let at = Instant::now();
        let before = vec![
            sample(101, "web", true, 0, 10),
            sample(102, "db", true, 100, 90),
            sample(103, "old", false, 0, 0),
        ];
        let now = vec![
            sample(101, "web", true, 500, 10),
            sample(102, "db", true, 150, 90),
            sample(103, "old", false, 0, 0),
        ];
        (Frame { at, samples: before }, Frame { at: at + Duration::from_secs(1), samples: now })
    }

    fn order(key: Key, reverse: bool) -> Vec<u32> {
        let (before, now) = frames();
        let mut rows = rows(&now, Some(&before));
        sort(&mut rows, key, reverse);
        rows.iter().map(|row| row.sample.vmid.get()).collect()
    }

    #[test]
    fn rows_are_ordered() {
        assert_eq!(order(Key::Vmid, false), [101, 102, 103]);
        assert_eq!(order(Key::Name, false), [102, 103, 101]);
        assert_eq!(order(Key::Cpu, false), [101, 102, 103]);
        assert_eq!(order(Key::Memory, false), [102, 101, 103]);
        assert_eq!(order(Key::Memory, true), [103, 101, 102]);
    }

    #[test]
    fn rows_are_filtered() {
        let (_, now) = frames();
        for (text, running, left) in
            [("", false, 3), ("", true, 2), ("WEB", false, 1), ("10", false, 3), ("x", false, 0)]
        {
            let mut rows = rows(&now, None);
            filter(&mut rows, text, running);
            assert_eq!(rows.len(), left, "{text}");
        }
    }

    #[test]
    fn cells_are_short() {
        let (before, now) = frames();
        let rows = rows(&now, Some(&before));
        assert_eq!(
            cells(&rows[0]),
            [
                "101",
                "web",
                "running",
                "50.0",
                "10M/512M",
                "0/512M",
                "5.0M/1.0G",
                "500K/0",
                "0/0",
                "0/12/0",
                "1h1m"
            ]
        );
        assert_eq!(cells(&rows[2]).join("|"), "103|old|backup||||||||");
    }

    #[test]
    fn sizes_and_ages_are_short() {
        for (bytes, text) in [
            (0.0, "0"),
            (999.0, "999"),
            (1000.0, "1.0K"),
            (10_240.0, "10K"),
            (1023.0 * 1024.0, "1.0M"),
            (5e15, "4P"),
        ] {
            assert_eq!(size(bytes), text);
        }
        for (seconds, text) in [(5, "5s"), (61, "1m1s"), (3661, "1h1m"), (90_000, "1d1h")] {
            assert_eq!(age(seconds), text);
        }
    }
}
