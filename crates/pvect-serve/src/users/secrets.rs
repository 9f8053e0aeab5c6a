//! Hashed secrets and the files that hold them.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use pvect_node::{files, random};
use secrecy::SecretString;
use sha_crypt::{PasswordHash, PasswordHasher, PasswordVerifier, ShaCrypt};
use sha2::{Digest, Sha256};

use super::UserError;

const MODE: u32 = 0o600;

/// Hashes a password: SHA-512 crypt with a random salt, as crypt(5) names it.
pub(super) fn hash_password(password: &[u8]) -> Result<String, String> {
    let salt = random::bytes::<16>().map_err(|failure| failure.text)?;
    let hash = ShaCrypt::default()
        .hash_password_with_salt(password, &salt)
        .map_err(|error| format!("can't hash the password - {error}"))?;
    Ok(hash.to_string())
}

/// A hash that no password matches, so that an unknown user takes as long as a wrong password.
static NOBODY: LazyLock<String> = LazyLock::new(|| hash_password(b"").unwrap_or_default());

pub(super) fn check_password(known: Option<&str>, password: &[u8]) -> bool {
    let Ok(hash) = PasswordHash::new(known.unwrap_or(&NOBODY)) else { return false };
    let right = ShaCrypt::default().verify_password(password, &hash).is_ok();
    right && known.is_some()
}

/// Hashes a token's secret. The secret has 122 random bits, so a fast hash without a salt protects it.
pub(super) fn hash_token(secret: &str) -> String {
    let digest = Sha256::digest(secret.as_bytes());
    digest.iter().fold("sha256:".to_owned(), |text, byte| text + &format!("{byte:02x}"))
}

/// Compares in constant time.
pub(super) fn check_token(known: &str, secret: &str) -> bool {
    let (known, given) = (known.as_bytes(), hash_token(secret));
    known.len() == given.len() && known.iter().zip(given.as_bytes()).fold(0, |sum, (a, b)| sum | (a ^ b)) == 0
}

/// Makes a random UUID, as the secrets of Proxmox VE are.
pub(super) fn uuid() -> Result<SecretString, String> {
    let mut bytes = random::bytes::<16>().map_err(|failure| failure.text)?;
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let mut text = String::new();
    for (index, byte) in bytes.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text += &format!("{byte:02x}");
    }
    Ok(text.into())
}

/// Lines of a name and a value.
struct Lines {
    path: PathBuf,
    /// Between name and value, and after it.
    marks: (char, &'static str),
}

impl Lines {
    fn read(&self) -> Result<Vec<(String, String)>, UserError> {
        let text = match std::fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            Err(source) => return Err(UserError::File { path: self.path.clone(), source }),
        };
        let pair = |line: &str| {
            let (name, value) = line.split_once(self.marks.0)?;
            Some((name.to_owned(), value.trim_end_matches(self.marks.1).to_owned()))
        };
        Ok(text.lines().filter_map(pair).collect())
    }

    fn get(&self, name: &str) -> Result<Option<String>, UserError> {
        Ok(self.read()?.into_iter().find(|(known, _)| known == name).map(|(_, value)| value))
    }

    fn set(&self, name: &str, value: Option<&str>) -> Result<(), UserError> {
        let mut pairs = self.read()?;
        pairs.retain(|(known, _)| known != name);
        pairs.extend(value.map(|value| (name.to_owned(), value.to_owned())));
        pairs.sort();
        let (between, after) = self.marks;
        let text: String =
            pairs.into_iter().map(|(name, value)| format!("{name}{between}{value}{after}\n")).collect();
        files::replace(&self.path, text.as_bytes(), MODE)
            .map_err(|source| UserError::File { path: self.path.clone(), source })
    }
}

/// `shadow.cfg`.
pub(super) struct Shadow(Lines);

impl Shadow {
    pub(super) fn at(dir: &Path) -> Self {
        Self(Lines { path: dir.join("shadow.cfg"), marks: (':', ":") })
    }

    pub(super) fn get(&self, user: &str) -> Result<Option<String>, UserError> {
        self.0.get(user)
    }

    pub(super) fn set(&self, user: &str, hash: Option<&str>) -> Result<(), UserError> {
        self.0.set(user, hash)
    }
}

/// `token.cfg`.
pub(super) struct Tokens(Lines);

impl Tokens {
    pub(super) fn at(dir: &Path) -> Self {
        Self(Lines { path: dir.join("token.cfg"), marks: (' ', "") })
    }

    pub(super) fn get(&self, name: &str) -> Result<Option<String>, UserError> {
        self.0.get(name)
    }

    pub(super) fn set(&self, name: &str, hash: Option<&str>) -> Result<(), UserError> {
        self.0.set(name, hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_of_nobody_is_one() {
        assert!(PasswordHash::new(NOBODY.as_str()).is_ok());
        assert!(!check_password(None, b"x") && !check_password(None, b""));
    }

    #[test]
    fn secrets_look_like_those_of_proxmox_and_differ() {
        use secrecy::ExposeSecret;
        let (one, two) = (uuid().unwrap(), uuid().unwrap());
        assert_eq!(one.expose_secret().len(), 36);
        assert_ne!(one.expose_secret(), two.expose_secret());
        assert!(check_token(&hash_token("abc"), "abc") && !check_token(&hash_token("abc"), "abd"));
        assert!(!check_token("sha256:", "abc"));
    }
}
