//! The percent-encoding of descriptions.

use std::fmt::Write;

/// Encodes text: control characters, `%`, `:`, DEL and everything beyond ASCII as `%HH` of its UTF-8 bytes.
pub fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'%' | b':' | 0x00..=0x1f | 0x7f..=0xff => {
                // Writing to a String cannot fail.
                let _ = write!(encoded, "%{byte:02X}");
            }
            plain => encoded.push(char::from(plain)),
        }
    }
    encoded
}

/// Decodes `%HH` in either case; anything else stays as it is, invalid UTF-8 becomes U+FFFD.
pub fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let pair = if byte == b'%' { bytes.get(at + 1).zip(bytes.get(at + 2)) } else { None };
        match pair.and_then(|(high, low)| Some(hex(*high)? << 4 | hex(*low)?)) {
            Some(value) => {
                decoded.push(value);
                at += 3;
            }
            None => {
                decoded.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_encoded_and_decoded() {
        for (text, encoded) in [
            ("a description line\nsecond: line %\n", "a description line%0Asecond%3A line %25%0A"),
            ("line2 ü: 100%'", "line2 %C3%BC%3A 100%25'"),
            ("\t\u{7f}", "%09%7F"),
            ("plain ~!", "plain ~!"),
        ] {
            assert_eq!(encode(text), encoded);
            assert_eq!(decode(encoded), text);
        }
        assert_eq!(decode("100% %zz %4 %c3%bc %ff"), "100% %zz %4 ü \u{fffd}");
    }
}
