//! The prompt for a new password, like that of the real pct.
//!
//! On a terminal each character is shown as `*`, unless the first key is Backspace or Tab is pressed; elsewhere two
//! lines are read from stdin without a prompt.

use std::io::{Read, Write};

use rustix::termios::{OptionalActions, Termios, isatty, tcgetattr, tcsetattr};

use crate::{Failure, NodeResult};

/// Asks for a password twice on stdin.
///
/// # Errors
/// `passwords do not match`, `EOF while reading password`, `password input aborted`.
pub(super) fn confirmed() -> NodeResult<String> {
    let (stdin, mut stdout) = (std::io::stdin(), std::io::stdout());
    if !isatty(&stdin) {
        return twice(&mut || read_line(&mut Unbuffered(&stdin)));
    }
    let mut prompts = ["Enter new password: ", "Retype new password: "].into_iter();
    twice(&mut || {
        let _raw = Raw::enter()?;
        let prompt = prompts.next().unwrap_or_default();
        read_raw(prompt, &mut Unbuffered(&stdin), &mut stdout)
    })
}

fn twice(read: &mut dyn FnMut() -> NodeResult<String>) -> NodeResult<String> {
    let first = read()?;
    if read()? == first { Ok(first) } else { Err(Failure::new("passwords do not match")) }
}

/// stdin without a buffer: what follows the password is left for other readers.
struct Unbuffered<'a>(&'a std::io::Stdin);

impl Read for Unbuffered<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        Ok(rustix::io::read(self.0, buffer)?)
    }
}

/// The terminal in raw mode; its old mode is restored on drop.
struct Raw(Termios);

impl Raw {
    fn enter() -> NodeResult<Self> {
        let failed = |errno: rustix::io::Errno| Failure::new(format!("can't prepare the terminal - {errno}"));
        let before = tcgetattr(std::io::stdin()).map_err(failed)?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(std::io::stdin(), OptionalActions::Now, &raw).map_err(failed)?;
        Ok(Self(before))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, &self.0);
    }
}

fn next(input: &mut dyn Read) -> NodeResult<Option<u8>> {
    let mut byte = [0];
    loop {
        match input.read(&mut byte) {
            Ok(0) => return Ok(None),
            Ok(_) => return Ok(Some(byte[0])),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Failure::new(format!("read error: {}", crate::error::os_text(&error)))),
        }
    }
}

fn text(bytes: Vec<u8>) -> NodeResult<String> {
    String::from_utf8(bytes).map_err(|_| Failure::new("the password is not UTF-8"))
}

fn read_line(input: &mut dyn Read) -> NodeResult<String> {
    let mut line = Vec::new();
    loop {
        match next(input)? {
            None if line.is_empty() => return Err(Failure::new("EOF while reading password")),
            None | Some(b'\n') => return text(line),
            Some(byte) => line.push(byte),
        }
    }
}

fn read_raw(prompt: &str, input: &mut dyn Read, shown: &mut dyn Write) -> NodeResult<String> {
    let mut show = |bytes: &[u8]| {
        let _ = shown.write_all(bytes).and_then(|()| shown.flush());
    };
    let mut password = Vec::new();
    let mut echo = None;
    show(prompt.as_bytes());
    loop {
        match next(input)? {
            None | Some(4) => return text(password),
            Some(b'\n' | b'\r') => {
                show(b"\r\n");
                return text(password);
            }
            Some(3) => return Err(Failure::new("password input aborted")),
            Some(0x7f) => {
                echo.get_or_insert(false);
                if password.pop().is_some() {
                    show(b"\x08 \x08");
                }
            }
            Some(b'\t') => echo = Some(false),
            Some(byte) => {
                password.push(byte);
                if *echo.get_or_insert(true) {
                    show(b"*");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_shows_stars() {
        for (typed, password, shown) in [
            (&b"secret\r"[..], Ok("secret"), "? ******\r\n"),
            (b"ab\x7fc\x04", Ok("ac"), "? **\x08 \x08*"),
            (b"\tsecret\n", Ok("secret"), "? \r\n"),
            (b"\x7fse\n", Ok("se"), "? \r\n"),
            (b"se\x03", Err("password input aborted"), "? **"),
        ] {
            let mut output = Vec::new();
            let read = read_raw("? ", &mut &typed[..], &mut output);
            assert_eq!(read.as_deref().map_err(|failure| failure.text.as_str()), password);
            assert_eq!(String::from_utf8(output).unwrap(), shown);
        }
    }

    #[test]
    fn elsewhere_two_lines_are_read() {
        let ask = |input: &[u8]| {
            let mut input = input;
            twice(&mut || read_line(&mut input)).map_err(|failure| failure.text)
        };
        assert_eq!(ask(b"secret\nsecret\nrest"), Ok("secret".to_owned()));
        assert_eq!(ask(b"secret\nsecret"), Ok("secret".to_owned()));
        assert_eq!(ask(b"secret\nother\n"), Err("passwords do not match".to_owned()));
        assert_eq!(ask(b"secret\n"), Err("EOF while reading password".to_owned()));
    }
}
