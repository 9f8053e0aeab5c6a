//! Tells what a remote command wrote from what its login shell and ssh wrote around it.

/// Starts a mark. A control character (RS) that pct does not print, so that output is rarely held back.
pub(super) const SIGN: u8 = 0x1e;
/// The longest line of a mark.
const MARK_LIMIT: usize = 128;
/// How much is kept of what came before the first mark: the messages of a login shell.
const BEFORE_LIMIT: usize = 4096;

/// One stream of a marked command: `noise MARK fields\n body MARK fields\n noise`.
///
/// The mark contains a random number, so nothing that runs in a container can imitate it.
#[derive(Debug)]
pub(crate) struct Frame {
    mark: Vec<u8>,
    held: Vec<u8>,
    before: Vec<u8>,
    opened: Option<Vec<String>>,
    closed: Option<Vec<String>>,
}

impl Frame {
    pub(crate) fn new(nonce: &str) -> Self {
        let mark = [&[SIGN], nonce.as_bytes()].concat();
        Self { mark, held: Vec::new(), before: Vec::new(), opened: None, closed: None }
    }

    /// The fields of the first mark, once it has arrived.
    pub(crate) fn opened(&self) -> Option<&[String]> {
        self.opened.as_deref()
    }

    /// The fields of the last mark, once it has arrived.
    pub(crate) fn closed(&self) -> Option<&[String]> {
        self.closed.as_deref()
    }

    /// What came before the first mark.
    pub(crate) fn before(&self) -> String {
        String::from_utf8_lossy(&self.before).trim().to_owned()
    }

    /// Takes what was read and returns what the command itself wrote.
    pub(crate) fn push(&mut self, data: &[u8]) -> Vec<u8> {
        let mut held = std::mem::take(&mut self.held);
        held.extend_from_slice(data);
        let mut body = Vec::new();
        // Do not move the rest to the front each time: a stream of signs only would take quadratic time.
        let mut rest = held.as_slice();
        loop {
            let Some(at) = rest.iter().position(|byte| *byte == SIGN) else {
                self.plain(rest, &mut body);
                return body;
            };
            self.plain(&rest[..at], &mut body);
            rest = &rest[at..];
            match self.mark_length(rest) {
                Mark::None => {
                    self.plain(&rest[..1], &mut body);
                    rest = &rest[1..];
                }
                Mark::Unfinished => {
                    self.held = rest.to_vec();
                    return body;
                }
                Mark::Whole(length) => {
                    let text = String::from_utf8_lossy(&rest[self.mark.len()..length]).into_owned();
                    rest = &rest[length..];
                    let fields = text.split_whitespace().map(str::to_owned).collect();
                    if self.opened.is_none() {
                        self.opened = Some(fields);
                    } else if self.closed.is_none() {
                        self.closed = Some(fields);
                    }
                }
            }
        }
    }

    /// Returns what was held back at the end of the stream, because it is not a mark after all.
    pub(crate) fn finish(&mut self) -> Vec<u8> {
        let rest = std::mem::take(&mut self.held);
        let mut body = Vec::new();
        self.plain(&rest, &mut body);
        body
    }

    fn plain(&mut self, data: &[u8], body: &mut Vec<u8>) {
        if self.opened.is_none() {
            let room = BEFORE_LIMIT - self.before.len();
            self.before.extend_from_slice(&data[..data.len().min(room)]);
        } else if self.closed.is_none() {
            body.extend_from_slice(data);
        }
    }

    /// Checks whether text that starts with the sign is a mark.
    fn mark_length(&self, held: &[u8]) -> Mark {
        let common = held.len().min(self.mark.len());
        if held[..common] != self.mark[..common] {
            return Mark::None;
        }
        match held.iter().take(MARK_LIMIT).position(|byte| *byte == b'\n') {
            Some(end) if end >= self.mark.len() => Mark::Whole(end + 1),
            None if held.len() < MARK_LIMIT => Mark::Unfinished,
            _ => Mark::None,
        }
    }
}

enum Mark {
    None,
    Unfinished,
    Whole(usize),
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(pieces: &[&[u8]]) -> (Vec<u8>, Frame) {
        let mut frame = Frame::new("n1");
        let mut body = Vec::new();
        for piece in pieces {
            body.extend(frame.push(piece));
        }
        body.extend(frame.finish());
        (body, frame)
    }

    #[test]
    fn noise_is_left_out_and_fields_are_read() {
        let (body, frame) = read(&[b"Welcome!\n\x1en1 12 11 ok\nout\nlast\x1en1 7\nlate\n"]);
        assert_eq!(body, b"out\nlast");
        assert_eq!(frame.before(), "Welcome!");
        assert_eq!(frame.opened().unwrap(), ["12", "11", "ok"]);
        assert_eq!(frame.closed().unwrap(), ["7"]);
    }

    #[test]
    fn without_marks_nothing_is_body() {
        let (body, frame) = read(&[b"bash: command not found\n\x1eother 1\n"]);
        assert_eq!(body, b"");
        assert!(frame.opened().is_none());
        assert_eq!(frame.before(), "bash: command not found\n\u{1e}other 1");
    }

    #[test]
    fn a_mark_cut_short_is_body() {
        let (body, frame) = read(&[b"\x1en1 1\nabc\x1en", b"1 7"]);
        assert_eq!(body, b"abc\x1en1 7");
        assert!(frame.closed().is_none());
        assert_eq!(read(&[b"\x1en1\n", &[b"\x1en1".as_slice(), &[b'x'; 300]].concat()]).0.len(), 303);
    }

    #[test]
    fn a_stream_of_signs_takes_no_long() {
        let began = std::time::Instant::now();
        let signs = vec![SIGN; 2 << 20];
        let (body, _) = read(&[b"\x1en1\n", &signs, b"\x1en1 0\n"]);
        assert_eq!(body.len(), signs.len());
        assert!(began.elapsed() < std::time::Duration::from_secs(5), "{:?}", began.elapsed());
    }

    proptest! {
        #[test]
        fn the_pieces_do_not_matter(body in prop::collection::vec(prop::sample::select(b"\x1en1 \nab".to_vec()), 0..60),
            size in 1_usize..9)
        {
            prop_assume!(!body.windows(3).any(|part| part == b"\x1en1"));
            let stream = [b"noise\x1en1 5 4 ok\n".as_slice(), &body, b"\x1en1 255\nmore"].concat();
            let pieces: Vec<&[u8]> = stream.chunks(size).collect();
            let (found, frame) = read(&pieces);
            // A body that ends in the sign makes the mark's own sign the second one.
            prop_assert_eq!(found, body);
            prop_assert_eq!(frame.closed().unwrap(), ["255"]);
        }
    }
}
