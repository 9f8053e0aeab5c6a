//! Control characters made visible: what a container, a server or a file says must not drive a terminal.
//!
//! Escapes are those of JSON, so that what was JSON stays it.

use std::io::{self, IsTerminal, Write};

/// Returns the text with its control characters made visible.
pub fn printable(text: &str) -> String {
    if text.chars().all(is_shown) {
        return text.to_owned();
    }
    let mut shown = String::with_capacity(text.len() + 16);
    text.chars().for_each(|c| push(&mut shown, c));
    shown
}

/// Whether a character is shown as it is: C0, C1 (U+0080 to U+009F) and DEL are not, nor are characters that change the
/// direction of the text, because they can hide one text behind another.
fn is_shown(c: char) -> bool {
    let turns = matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    matches!(c, '\n' | '\t') || !(c.is_control() || turns)
}

fn push(text: &mut String, c: char) {
    match c {
        c if is_shown(c) => text.push(c),
        '\r' => text.push_str("\\r"),
        c => text.push_str(&format!("\\u{:04x}", u32::from(c))),
    }
}

/// Writes to a stream: with control characters made visible if it is a terminal, otherwise byte for byte.
#[derive(Debug)]
pub struct Visible<W: Write> {
    to: W,
    on_a_terminal: bool,
    /// The first bytes of an incomplete character.
    begun: Vec<u8>,
}

impl<W: Write + IsTerminal> Visible<W> {
    /// Wraps a stream.
    pub fn new(to: W) -> Self {
        let on_a_terminal = to.is_terminal();
        Self { to, on_a_terminal, begun: Vec::new() }
    }
}

impl<W: Write> Write for Visible<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !self.on_a_terminal {
            return self.to.write(bytes);
        }
        let mut whole = std::mem::take(&mut self.begun);
        whole.extend_from_slice(bytes);
        let mut text = String::with_capacity(whole.len());
        let mut chunks = whole.utf8_chunks().peekable();
        while let Some(chunk) = chunks.next() {
            chunk.valid().chars().for_each(|c| push(&mut text, c));
            let odd = chunk.invalid();
            if chunks.peek().is_none() && std::str::from_utf8(odd).is_err_and(|e| e.error_len().is_none()) {
                self.begun = odd.to_vec();
            } else {
                push_bytes(&mut text, odd);
            }
        }
        self.to.write_all(text.as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

impl<W: Write> Drop for Visible<W> {
    fn drop(&mut self) {
        if !self.begun.is_empty() {
            let mut text = String::new();
            push_bytes(&mut text, &self.begun);
            // If the stream is closed, there is nobody left to report that to.
            let _ = self.to.write_all(text.as_bytes());
        }
    }
}

/// Bytes that are not UTF-8: some terminals treat these, too, as C1 controls.
fn push_bytes(text: &mut String, bytes: &[u8]) {
    bytes.iter().for_each(|byte| text.push_str(&format!("\\x{byte:02x}")));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_become_visible() {
        assert_eq!(printable("a\tb\nc é"), "a\tb\nc é");
        assert_eq!(printable("\x1b[31mred\r"), "\\u001b[31mred\\r");
        assert_eq!(printable("\u{9b}31m\u{7f}\0\u{85}"), "\\u009b31m\\u007f\\u0000\\u0085");
        assert_eq!(printable("a\u{202e}b\u{2066}c"), "a\\u202eb\\u2066c");
    }

    #[test]
    fn json_stays_json() {
        let text = serde_json::to_string("\x1b\r\u{9b}\u{202e}\u{7f}").unwrap();
        let back: String = serde_json::from_str(&printable(&text)).unwrap();
        assert_eq!(back, "\x1b\r\u{9b}\u{202e}\u{7f}");
    }

    fn written(on_a_terminal: bool, pieces: &[&[u8]]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut visible = Visible { to: &mut bytes, on_a_terminal, begun: Vec::new() };
        pieces.iter().for_each(|piece| visible.write_all(piece).unwrap());
        drop(visible);
        bytes
    }

    #[test]
    fn only_a_terminal_gets_other_bytes() {
        let pieces: [&[u8]; 4] = [b"a\x1b[2J", "é".as_bytes(), b"\x9b1m", "\u{9b}".as_bytes()];
        assert_eq!(written(false, &pieces), pieces.concat());
        assert_eq!(written(true, &pieces), "a\\u001b[2Jé\\x9b1m\\u009b".as_bytes());
    }

    #[test]
    fn a_character_may_come_in_pieces() {
        let bytes = "x€\u{9b}".as_bytes();
        for at in 0..bytes.len() {
            assert_eq!(written(true, &[&bytes[..at], &bytes[at..]]), "x€\\u009b".as_bytes(), "{at}");
        }
        assert_eq!(written(true, &["€".as_bytes().split_at(2).0]), b"\\xe2\\x82");
    }
}
