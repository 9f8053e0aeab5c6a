//! Passwords: from a prompt, a file or stdin. Never from the command line.

use std::io::Read;

use pvect::client::OneTimeCode;
use pvect_core::{Error, Result};
use secrecy::SecretString;

use crate::args::Given;
use crate::ui::Ui;

/// More bytes than any password has.
const LIMIT: u64 = 64 << 10;

/// Reads a password from where the option says.
///
/// # Errors
/// When it cannot be read, is empty, or the two answers differ.
pub fn read(ui: &Ui, given: &Given) -> Result<SecretString> {
    read_for(ui, given, "Password of root in the container: ")
}

/// As [`read`], with another prompt.
///
/// # Errors
/// As [`read`].
pub fn read_for(ui: &Ui, given: &Given, prompt: &str) -> Result<SecretString> {
    match given {
        Given::Ask => ask(prompt),
        Given::Stdin => first_line("stdin", std::io::stdin().lock()),
        Given::File(path) => {
            let what = || format!("cannot read '{path}'");
            let file = std::fs::File::open(path).map_err(|source| Error::Io { what: what(), source })?;
            let open = file.metadata().is_ok_and(|meta| {
                use std::os::unix::fs::PermissionsExt;
                meta.is_file() && meta.permissions().mode() & 0o044 != 0
            });
            if open {
                ui.warning(&format!(
                    "'{path}' holds a password and can be read by others; fix that with chmod 600"
                ));
            }
            first_line(&format!("'{path}'"), file)
        }
        Given::Text(_) => Err(wrong("a password is never taken from the command line")),
    }
}

/// Asks once for a password that somebody else has set.
///
/// # Errors
/// When there is no terminal.
#[cfg(feature = "image")]
pub fn ask_once(question: &str) -> Result<SecretString> {
    prompt(question)
}

/// Asks on the terminal for the code of a second factor.
pub fn one_time_code() -> OneTimeCode {
    OneTimeCode::new(|user| {
        rpassword::prompt_password(format!("One-time code of {user}: "))
            .map(SecretString::from)
            .map_err(|source| Error::Io { what: "cannot ask for the one-time code".to_owned(), source })
    })
}

fn wrong(text: &str) -> Error {
    Error::bad_option("password", text)
}

fn prompt(text: &str) -> Result<SecretString> {
    rpassword::prompt_password(text)
        .map(SecretString::from)
        .map_err(|_| wrong("there is no terminal to ask on; use --password-file FILE or --password-stdin"))
}

fn ask(question: &str) -> Result<SecretString> {
    let first = prompt(question)?;
    let again = prompt("Again: ")?;
    use secrecy::ExposeSecret;
    if first.expose_secret() == again.expose_secret() {
        Ok(first)
    } else {
        Err(wrong("the two answers differ"))
    }
}

/// Reads the first line, without its end.
fn first_line(name: &str, from: impl Read) -> Result<SecretString> {
    let mut text = String::new();
    from.take(LIMIT)
        .read_to_string(&mut text)
        .map_err(|source| Error::Io { what: format!("cannot read the password from {name}"), source })?;
    match text.lines().next() {
        Some(line) if !line.is_empty() => Ok(line.to_owned().into()),
        _ => Err(wrong(&format!("there is no password in {name}"))),
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn the_first_line_counts() {
        for text in ["hunter22", "hunter22\n", "hunter22\r\nmore\n"] {
            assert_eq!(first_line("stdin", text.as_bytes()).unwrap().expose_secret(), "hunter22");
        }
        let error = first_line("stdin", "\n".as_bytes()).unwrap_err().to_string();
        assert_eq!(error, "--password: there is no password in stdin");
    }
}
