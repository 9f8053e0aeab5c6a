//! Numbers of tar headers and extended headers, in every form that GNU tar reads.
//!
//! The tar crate is stricter. So it is given headers whose numbers were written anew: [`rewrite`]. Source: the manual of
//! GNU tar, "Basic Tar Format"; POSIX, pax; observed behaviour of GNU tar 1.34.

use std::ops::Range;

/// Fields of a header.
pub(super) const MODE: Range<usize> = 100..108;
pub(super) const UID: Range<usize> = 108..116;
pub(super) const GID: Range<usize> = 116..124;
const SIZE: Range<usize> = 124..136;
pub(super) const MTIME: Range<usize> = 136..148;
const CHECKSUM: Range<usize> = 148..156;
const TYPE: usize = 156;
const MAGIC: Range<usize> = 257..263;
const VERSION: Range<usize> = 263..265;
pub(super) const MAJOR: Range<usize> = 329..337;
pub(super) const MINOR: Range<usize> = 337..345;

/// Solaris' name for an extended header.
const SOLARIS_EXTENDED: u8 = b'X';

/// Reads a number: octal digits, blanks before and a blank or NUL after them, or base 256; an empty field is 0.
pub(super) fn number(field: &[u8]) -> Option<i64> {
    // Some writers leave a NUL where the field before overflowed.
    let field = field.strip_prefix(b"\0").unwrap_or(field);
    let blanks = field.iter().take_while(|byte| is_blank(**byte)).count();
    let field = &field[blanks..];
    match field.first()? {
        b'0'..=b'7' => octal(field),
        0 => Some(0),
        0x80 | 0xff => base_256(field),
        _ => None,
    }
}

fn is_blank(byte: u8) -> bool {
    byte.is_ascii_whitespace() || byte == 0x0b
}

fn octal(field: &[u8]) -> Option<i64> {
    let digits = field.iter().take_while(|byte| matches!(byte, b'0'..=b'7')).count();
    if field.get(digits).is_some_and(|byte| *byte != 0 && !is_blank(*byte)) {
        return None;
    }
    field[..digits]
        .iter()
        .try_fold(0_i64, |value, digit| value.checked_mul(8)?.checked_add(i64::from(digit - b'0')))
}

/// Two's complement, big-endian; the first byte only gives the sign.
fn base_256(field: &[u8]) -> Option<i64> {
    let sign = if field[0] == 0xff { -1 } else { 0 };
    field[1..].iter().try_fold(sign, |value: i64, byte| value.checked_mul(256)?.checked_add(i64::from(*byte)))
}

/// Rewrites the size of a header as the tar crate reads it, and whatever else the crate reads differently from GNU tar.
/// A header whose checksum is wrong, or whose size is not a number, is left as it is.
pub(super) fn rewrite(header: &mut [u8; 512]) -> Option<()> {
    let sum = number(&header[CHECKSUM])?;
    // Old tar programs treated bytes as signed.
    if sum != checksum(header, i64::from) && sum != checksum(header, |byte| i8::from_ne_bytes([byte]).into())
    {
        return None;
    }
    let mut size = u64::try_from(number(&header[SIZE])?).ok()?;
    match header[TYPE] {
        // A hard link has no data, whatever size it names.
        b'1' => size = 0,
        SOLARIS_EXTENDED => header[TYPE] = b'x',
        _ => {}
    }
    if header[MAGIC] == *b"ustar\0" {
        header[VERSION].copy_from_slice(b"00");
    }
    header[SIZE].copy_from_slice(&in_octal_or_256(size));
    let sum = checksum(header, i64::from);
    header[CHECKSUM].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    Some(())
}

/// The sum of all bytes; those of the checksum itself count as blanks.
fn checksum(header: &[u8; 512], value: fn(u8) -> i64) -> i64 {
    let bytes = header.iter().enumerate();
    bytes.map(|(at, byte)| if CHECKSUM.contains(&at) { i64::from(b' ') } else { value(*byte) }).sum()
}

fn in_octal_or_256(size: u64) -> [u8; 12] {
    let mut field = [0; 12];
    if size < 1 << 33 {
        field[..11].copy_from_slice(format!("{size:011o}").as_bytes());
    } else {
        field[0] = 0x80;
        field[4..].copy_from_slice(&size.to_be_bytes());
    }
    field
}

/// A time: seconds since 1970, and nanoseconds after them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Time {
    pub(super) seconds: i64,
    pub(super) nanoseconds: u32,
}

impl Time {
    /// A whole second.
    pub(super) fn of(seconds: i64) -> Self {
        Self { seconds, nanoseconds: 0 }
    }

    /// Reads the time of an extended header: `-315619200.5`. What is finer than a nanosecond is rounded down.
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let digits = whole.strip_prefix('-').unwrap_or(whole);
        let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if digits.is_empty() || !is_digits(digits) || !is_digits(fraction) {
            return None;
        }
        let seconds: i64 = whole.parse().ok()?;
        let shown = &fraction[..fraction.len().min(9)];
        let nanoseconds: u32 = format!("{shown:0<9}").parse().ok()?;
        let finer = fraction[shown.len()..].bytes().any(|byte| byte != b'0');
        if !whole.starts_with('-') {
            return Some(Self { seconds, nanoseconds });
        }
        match nanoseconds + u32::from(finer) {
            0 => Some(Self { seconds, nanoseconds: 0 }),
            behind => Some(Self { seconds: seconds.checked_sub(1)?, nanoseconds: 1_000_000_000 - behind }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_in_many_forms() {
        for (field, value) in [
            (&b"0000644\0"[..], Some(0o644)),
            (b"   644 \0", Some(0o644)),
            (b"\0 644\0\0\0", Some(0o644)),
            (b"77777777", Some(0o77_777_777)),
            (b"\0\0\0\0\0\0\0\0", Some(0)),
            (b"        ", None),
            (b"644x\0\0\0\0", None),
            (b"8\0\0\0\0\0\0\0", None),
            (b"-1\0\0\0\0\0\0", None),
            (b"\x80\0\0\0\0\x01\0\0", Some(0x1_0000)),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff", Some(-1)),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff\xed\x2f\xef\x80", Some(-315_625_600)),
            (b"\x80\0\0\0\x80\0\0\0\0\0\0\0", None),
            (b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff", Some(i64::MAX)),
            (b"777777777777", Some((1 << 36) - 1)),
            (b"", None),
        ] {
            assert_eq!(number(field), value, "{}", field.escape_ascii());
        }
    }

    #[test]
    fn times_have_fractions_and_signs() {
        let time = |seconds, nanoseconds| Some(Time { seconds, nanoseconds });
        for (text, expected) in [
            ("0", time(0, 0)),
            ("1672531200.987654321", time(1_672_531_200, 987_654_321)),
            ("1.5", time(1, 500_000_000)),
            ("1.9999999999", time(1, 999_999_999)),
            ("-315619200", time(-315_619_200, 0)),
            ("-0.25", time(-1, 750_000_000)),
            ("-1.0000000001", time(-2, 999_999_999)),
            ("9223372036854775807", time(i64::MAX, 0)),
            ("-9223372036854775808.5", None),
            ("9223372036854775808", None),
            ("", None),
            (".5", None),
            ("+1", None),
            ("1e3", None),
            ("1.-5", None),
        ] {
            assert_eq!(Time::parse(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn a_damaged_header_stays_as_it_is() {
        let mut header = tar::Header::new_gnu();
        header.set_size(5);
        header.set_cksum();
        let good = *header.as_bytes();
        let mut same = good;
        assert_eq!(rewrite(&mut same), Some(()));
        assert_eq!(tar::Header::from_byte_slice(&same).entry_size().unwrap(), 5);
        let mut bad = good;
        bad[0] = 1;
        let before = bad;
        assert_eq!((rewrite(&mut bad), bad), (None, before));
    }
}
