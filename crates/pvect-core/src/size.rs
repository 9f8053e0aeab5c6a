//! Sizes of disks: powers of 1024, a plain number means bytes.

use std::fmt;

use crate::shape;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const TIB: u64 = 1 << 40;

/// A size in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct DiskSize(pub u64);

impl DiskSize {
    /// Parses `disk-size`: digits, perhaps a fraction, perhaps K, M, G or T (or KiB, MiB ...); fractions of a byte are cut.
    ///
    /// `None` for anything else, and for sizes of 16 EiB and more.
    pub fn parse(text: &str) -> Option<Self> {
        let short = text.strip_suffix("iB");
        let stem = short.unwrap_or(text);
        let (number, unit) = match stem.as_bytes().last()? {
            b'K' => (&stem[..stem.len() - 1], KIB),
            b'M' => (&stem[..stem.len() - 1], MIB),
            b'G' => (&stem[..stem.len() - 1], GIB),
            b'T' => (&stem[..stem.len() - 1], TIB),
            _ if short.is_some() => return None,
            _ => (stem, 1),
        };
        scaled(number, unit).map(Self)
    }

    /// Parses the number of `STORAGE:GIB`, rounded down to whole MiB.
    pub fn from_gib(text: &str) -> Option<Self> {
        scaled(text, KIB)?.checked_mul(MIB).map(Self)
    }

    /// Returns the size in GiB as `STORAGE:SIZE` writes it: `4`, `0.5`.
    pub fn gib_text(self) -> String {
        if self.0 % GIB == 0 {
            (self.0 / GIB).to_string()
        } else {
            // Exact: a division by a power of two.
            (self.0 as f64 / GIB as f64).to_string()
        }
    }
}

/// Multiplies a decimal number; fractions of one are cut off.
fn scaled(number: &str, unit: u64) -> Option<u64> {
    if !shape::is_decimal(number) {
        return None;
    }
    match number.split_once('.') {
        None => number.parse::<u64>().ok()?.checked_mul(unit),
        Some(_) => {
            let size = number.parse::<f64>().ok()? * unit as f64;
            (size < u64::MAX as f64).then_some(size as u64)
        }
    }
}

/// Prints the largest of T, G, M, K that divides exactly, else plain bytes.
impl fmt::Display for DiskSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(TIB, "T"), (GIB, "G"), (MIB, "M"), (KIB, "K")];
        match units.iter().find(|(unit, _)| self.0 != 0 && self.0 % unit == 0) {
            Some((unit, letter)) => write!(f, "{}{letter}", self.0 / unit),
            None if self.0 == 0 => f.write_str("0T"),
            None => write!(f, "{}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_parsed_and_printed() {
        for (text, bytes, printed) in [
            ("4G", 4 << 30, "4G"),
            ("4096M", 4 << 30, "4G"),
            ("4GiB", 4 << 30, "4G"),
            ("0.5G", 512 << 20, "512M"),
            ("1.5K", 1536, "1536"),
            ("1000", 1000, "1000"),
            ("1024T", 1 << 50, "1024T"),
            ("0.7", 0, "0T"),
        ] {
            let size = DiskSize::parse(text).unwrap();
            assert_eq!(size, DiskSize(bytes), "{text}");
            assert_eq!(size.to_string(), printed, "{text}");
        }
        for bad in
            ["", "G", "4GB", "4iB", "-1G", "+1G", "4 G", "1.", ".5", "1e3", "4g", "99999999999T", "1.0.0G"]
        {
            assert_eq!(DiskSize::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn gib_are_rounded_down_to_mib() {
        assert_eq!(DiskSize::from_gib("4"), Some(DiskSize(4 << 30)));
        assert_eq!(DiskSize::from_gib("0.5"), Some(DiskSize(512 << 20)));
        assert_eq!(DiskSize::from_gib("0.0015"), Some(DiskSize(1 << 20)));
        assert_eq!(DiskSize::from_gib("0"), Some(DiskSize(0)));
        assert_eq!(DiskSize::from_gib("x"), None);
        for text in ["4", "0.5", "0.0009765625"] {
            assert_eq!(DiskSize::from_gib(text).unwrap().gib_text(), text);
        }
    }
}
