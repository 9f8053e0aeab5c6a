//! How Perl counts with a text: pct does so with what a configuration holds, whatever that is.

/// Returns whether a text is true in Perl: anything but the empty text and `0`.
pub fn is_true(text: &str) -> bool {
    !matches!(text, "" | "0")
}

/// The number at the start of a text; 0 if there is none. Source: perlnumber(1), perldiag(1).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Number {
    /// Its value.
    pub value: f64,
    /// Whether the text is that number and nothing else. If not, Perl warns that the argument is not numeric.
    pub is_whole: bool,
}

/// Reads a text as Perl does in a multiplication.
pub fn number(text: &str) -> Number {
    let start = text.trim_start_matches(|c: char| c.is_ascii_whitespace());
    if let Some((value, rest)) = named(start) {
        return Number {
            value,
            is_whole: rest.trim_end_matches(|c: char| c.is_ascii_whitespace()).is_empty(),
        };
    }
    let length = length(start.as_bytes());
    let (digits, rest) = start.split_at(length);
    // Rust parses everything that was measured, including a dot at either end.
    let value = digits.parse().unwrap_or(0.0);
    Number {
        value,
        is_whole: length > 0 && rest.trim_end_matches(|c: char| c.is_ascii_whitespace()).is_empty(),
    }
}

/// A number that has a name, and what follows it: `Inf`, `Infinity` and `NaN` in any case, with a sign or without.
fn named(text: &str) -> Option<(f64, &str)> {
    let bare = text.strip_prefix(['+', '-']).unwrap_or(text);
    let names = [("infinity", f64::INFINITY), ("inf", f64::INFINITY), ("nan", f64::NAN)];
    let (name, value) = names
        .into_iter()
        .find(|(name, _)| bare.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name)))?;
    let rest = bare.get(name.len()..)?;
    Some((if text.starts_with('-') { -value } else { value }, rest))
}

/// The length of the decimal number at the start; 0 if there is none.
fn length(bytes: &[u8]) -> usize {
    let digits = |from: usize| bytes.iter().skip(from).take_while(|byte| byte.is_ascii_digit()).count();
    let sign = |at: usize| usize::from(matches!(bytes.get(at), Some(b'+' | b'-')));
    let mut end = sign(0);
    let whole = digits(end);
    end += whole;
    let mut fraction = 0;
    if bytes.get(end) == Some(&b'.') {
        fraction = digits(end + 1);
        if whole + fraction > 0 {
            end += 1 + fraction;
        }
    }
    if whole + fraction == 0 {
        return 0;
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let exponent = end + 1 + sign(end + 1);
        if digits(exponent) > 0 {
            end = exponent + digits(exponent);
        }
    }
    end
}

/// Prints a number as Perl does: whole ones without a dot, others with at most 15 digits, large and small ones with an
/// exponent.
pub fn print(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "Inf" } else { "-Inf" }.to_owned();
    }
    // Without the sign of zero.
    let value = if value == 0.0 { 0.0 } else { value };
    // Beyond 2^53 a float does not have exact digits.
    if value.fract() == 0.0 && value.abs() < 9_007_199_254_740_992.0 {
        return format!("{value:.0}");
    }
    let scientific = format!("{value:.14e}");
    let Some((mantissa, exponent)) = scientific.split_once('e') else { return scientific };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..15).contains(&exponent) {
        let decimals = usize::try_from(14 - exponent).unwrap_or(0);
        return trimmed(&format!("{value:.decimals$}")).to_owned();
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{}e{sign}{:02}", trimmed(mantissa), exponent.abs())
}

/// Without zeros at the end of the fraction.
fn trimmed(text: &str) -> &str {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_counts_as_the_number_that_it_begins_with() {
        for (text, value, is_whole) in [
            ("512", 512.0, true),
            (" 12 ", 12.0, true),
            ("abc", 0.0, false),
            ("", 0.0, false),
            ("5x", 5.0, false),
            ("-3", -3.0, true),
            ("-Infinity ", f64::NEG_INFINITY, true),
            ("infx", f64::INFINITY, false),
            ("1.5e1", 15.0, true),
            ("1e", 1.0, false),
            (".5", 0.5, true),
            ("5.", 5.0, true),
            (".", 0.0, false),
            ("0x10", 0.0, false),
            ("é", 0.0, false),
        ] {
            assert_eq!(number(text), Number { value, is_whole }, "{text:?}");
        }
        assert!(is_true("abc") && is_true("00") && is_true("0.0") && !is_true("0") && !is_true(""));
    }

    #[test]
    fn numbers_are_printed_as_perl_prints_them() {
        for (value, text) in [
            (0.0, "0"),
            (-0.0, "0"),
            (f64::INFINITY, "Inf"),
            (f64::NEG_INFINITY, "-Inf"),
            (f64::NAN, "NaN"),
            (536_870_912.0, "536870912"),
            (0.1, "0.1"),
            (1.5, "1.5"),
            (1e20, "1e+20"),
            (0.104_857_6, "0.1048576"),
            (1e-5, "1e-05"),
            (1.0 / 3.0, "0.333333333333333"),
        ] {
            assert_eq!(print(value), text);
        }
    }
}
