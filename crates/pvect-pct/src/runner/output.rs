//! Output of a process: bounded, split into lines as it comes.

use pvect_core::call::MASK;
use secrecy::{ExposeSecret, SecretString};

/// A line longer than this is handed on in pieces.
const LINE_LIMIT: usize = 64 << 10;

/// Keeps the beginning of a stream and hands on its lines.
pub(super) struct Capture {
    kept: Vec<u8>,
    limit: usize,
    cut: bool,
    line: Vec<u8>,
    secret: Option<SecretString>,
}

impl Capture {
    pub(super) fn new(limit: usize, secret: Option<&SecretString>) -> Self {
        Self { kept: Vec::new(), limit, cut: false, line: Vec::new(), secret: secret.cloned() }
    }

    /// Takes what was read; `emit` gets each finished line, without its end, invalid UTF-8 replaced.
    pub(super) fn push(&mut self, data: &[u8], emit: &mut dyn FnMut(&str)) {
        let room = self.limit - self.kept.len();
        self.kept.extend_from_slice(&data[..data.len().min(room)]);
        self.cut |= data.len() > room;
        for piece in data.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(piece);
            if self.line.ends_with(b"\n") || self.line.len() >= LINE_LIMIT {
                self.emit(emit);
            }
        }
    }

    /// Whether something was discarded.
    pub(super) fn cut(&self) -> bool {
        self.cut
    }

    /// Hands on the last line, which has no end, and returns what was kept.
    pub(super) fn finish(mut self, emit: &mut dyn FnMut(&str)) -> Vec<u8> {
        if !self.line.is_empty() {
            self.emit(emit);
        }
        masked(self.kept, self.secret.as_ref())
    }

    fn emit(&mut self, emit: &mut dyn FnMut(&str)) {
        let mut line = std::mem::take(&mut self.line);
        if line.ends_with(b"\n") {
            line.pop();
        }
        if line.ends_with(b"\r") {
            line.pop();
        }
        emit(&String::from_utf8_lossy(&masked(line, self.secret.as_ref())));
    }
}

/// Replaces each occurrence of the secret.
fn masked(data: Vec<u8>, secret: Option<&SecretString>) -> Vec<u8> {
    let secret = secret.map_or("", |secret| secret.expose_secret()).as_bytes();
    if secret.is_empty() || data.len() < secret.len() {
        return data;
    }
    let mut clean = Vec::with_capacity(data.len());
    let mut rest = data.as_slice();
    while let Some(&first) = rest.first() {
        if let Some(after) = rest.strip_prefix(secret) {
            clean.extend_from_slice(MASK.as_bytes());
            rest = after;
        } else {
            clean.push(first);
            rest = &rest[1..];
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(limit: usize, secret: Option<&str>, pieces: &[&[u8]]) -> (Vec<u8>, bool, Vec<String>) {
        let secret = secret.map(SecretString::from);
        let mut capture = Capture::new(limit, secret.as_ref());
        let mut lines = Vec::new();
        for piece in pieces {
            capture.push(piece, &mut |line| lines.push(line.to_owned()));
        }
        let cut = capture.cut();
        let kept = capture.finish(&mut |line| lines.push(line.to_owned()));
        (kept, cut, lines)
    }

    #[test]
    fn lines_are_whole_whatever_the_pieces() {
        let (kept, cut, lines) = run(100, None, &[b"a", b"b\nc\r\n\n", b"\xff d"]);
        assert_eq!(kept, b"ab\nc\r\n\n\xff d");
        assert!(!cut);
        assert_eq!(lines, ["ab", "c", "", "\u{fffd} d"]);
    }

    #[test]
    fn beyond_the_bound_nothing_is_kept_but_lines_go_on() {
        let (kept, cut, lines) = run(4, None, &[b"ab\ncd\n", b"ef\n"]);
        assert_eq!(kept, b"ab\nc");
        assert!(cut);
        assert_eq!(lines, ["ab", "cd", "ef"]);
        assert!(!run(4, None, &[b"abcd"]).1);
    }

    #[test]
    fn an_endless_line_comes_in_pieces() {
        let piece = vec![b'x'; LINE_LIMIT];
        let (_, _, lines) = run(10, None, &[&piece, &piece, b"y"]);
        assert_eq!(lines.iter().map(String::len).collect::<Vec<_>>(), [LINE_LIMIT, LINE_LIMIT, 1]);
    }

    #[test]
    fn the_secret_is_masked_in_lines_and_in_what_is_kept() {
        let (kept, _, lines) = run(100, Some("hunter22"), &[b"pw hun", b"ter22hunter22.\nhunter2"]);
        assert_eq!(kept, format!("pw {MASK}{MASK}.\nhunter2").as_bytes());
        assert_eq!(lines, [format!("pw {MASK}{MASK}."), "hunter2".to_owned()]);
    }
}
