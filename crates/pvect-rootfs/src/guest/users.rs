//! Root's password and keys, and the host keys of sshd.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use sha_crypt::{PasswordHasher, ShaCrypt};

use super::section::{self, Otherwise};
use super::{Guest, HostKey};
use crate::{Failure, NodeResult};

/// The hash of a password, which may be plain or hashed already.
pub fn hashed(password: &str) -> NodeResult<String> {
    if is_hash(password) { Ok(password.to_owned()) } else { hash(password) }
}

/// Sets a user's password, which is hashed already, or locks it. A container without `/etc/passwd` has no users.
pub fn set_password(guest: &Guest<'_>, user: &str, hash: Option<&str>) -> NodeResult<()> {
    let Some(passwd) = guest.read("/etc/passwd")? else { return Ok(()) };
    if hash.is_some_and(|hash| !is_hash(hash)) {
        return Err(Failure::new("the password is not hashed"));
    }
    let hash = hash.unwrap_or("*");
    let Some(shadow) = guest.read("/etc/shadow")? else {
        return rewrite(guest, "/etc/passwd", &replace(&passwd, user, hash, None));
    };
    let days = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs() / 86_400);
    rewrite(guest, "/etc/shadow", &replace(&shadow, user, hash, Some(days)))?;
    rewrite(guest, "/etc/passwd", &replace(&passwd, user, "x", None))
}

/// Returns whether a text is a hash of crypt(5) and not a password.
fn is_hash(text: &str) -> bool {
    let mut fields = text.split('$');
    let plain = |field: &str, more: &str| {
        !field.is_empty() && field.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c))
    };
    fields.next() == Some("")
        && fields.next().is_some_and(|id| matches!(id, "1" | "2a" | "2b" | "2x" | "2y" | "5" | "6" | "y"))
        && fields.clone().count() >= 2
        && fields.all(|field| plain(field, "./=,"))
}

fn hash(password: &str) -> NodeResult<String> {
    let salt: [u8; 12] = crate::random::bytes()?;
    ShaCrypt::SHA512
        .hash_password_with_salt(password.as_bytes(), &salt)
        .map(|hash| hash.to_string())
        .map_err(|error| Failure::new(format!("can't hash the password - {error}")))
}

/// Replaces the second field of a user's line, and the third where a day is given.
fn replace(text: &str, user: &str, hash: &str, day: Option<u64>) -> String {
    text.lines()
        .map(|line| {
            let mut fields: Vec<&str> = line.split(':').collect();
            if fields.len() < 3 || fields[0] != user {
                return format!("{line}\n");
            }
            let day = day.map(|day| day.to_string());
            fields[1] = hash;
            if let Some(day) = &day {
                fields[2] = day;
            }
            format!("{}\n", fields.join(":"))
        })
        .collect()
}

/// Writes a file anew with the owner and mode that it has.
fn rewrite(guest: &Guest<'_>, path: &str, text: &str) -> NodeResult<()> {
    let failed = |error| Failure::io("can't write", Path::new(path), &error);
    let stat = guest.files.lstat(path).map_err(failed)?;
    let (mode, owner) = match stat {
        Some(stat) => (stat.st_mode & 0o7777, (stat.st_uid, stat.st_gid)),
        None => (0o640, guest.files.owner()),
    };
    guest.files.write_as(Path::new(path), text.as_bytes(), mode, owner).map_err(failed)
}

/// Adds keys to root's `authorized_keys` (0600 in a directory 0700).
pub fn set_ssh_keys(guest: &Guest<'_>, keys: &str) -> NodeResult<()> {
    let passwd = guest.read("/etc/passwd")?.unwrap_or_default();
    let home = passwd.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        (fields.len() >= 6 && fields[0] == "root" && fields[5].starts_with('/')).then(|| fields[5].to_owned())
    });
    let home = home.unwrap_or_else(|| "/root".to_owned());
    if !guest.files.is_dir(&home) {
        return Err(Failure::new(format!("home directory '{home}' of root does not exist!")));
    }
    let directory = format!("{}/.ssh", home.trim_end_matches('/'));
    let path = format!("{directory}/authorized_keys");
    guest
        .files
        .make_dirs(&directory, 0o700)
        .map_err(|error| Failure::io("can't make", Path::new(&directory), &error))?;
    let mut keys = keys.trim_end_matches('\n').to_owned();
    keys.push('\n');
    match section::set(guest.read(&path)?.as_deref(), &keys, Otherwise::Append) {
        Some(text) => guest.write(&path, &text, 0o600),
        None => Ok(()),
    }
}

/// Whether the container has an sshd, or a place for its keys.
pub fn has_sshd(guest: &Guest<'_>) -> bool {
    guest.files.is_dir("/etc/ssh")
}

/// Gives sshd a new host key.
pub fn set_host_key(guest: &Guest<'_>, kind: &str, key: &HostKey) -> NodeResult<()> {
    let path = format!("/etc/ssh/ssh_host_{kind}_key");
    guest.write(&path, &key.private, 0o600)?;
    guest.write(&format!("{path}.pub"), &key.public, 0o644)
}

#[cfg(test)]
mod tests {
    use sha_crypt::PasswordVerifier;

    use super::*;

    #[test]
    fn hashes_are_told_from_passwords() {
        for hash in ["$6$abc$def./", "$5$rounds=5000$salt$hash", "$y$j9T$salt$hash"] {
            assert!(is_hash(hash), "{hash}");
        }
        for password in ["secret123", "$6$", "$6$only", "$9$a$b", "a$6$b$c", "$6$a b$c"] {
            assert!(!is_hash(password), "{password}");
        }
    }

    #[test]
    fn a_hash_is_sha512_crypt_and_salted() {
        let (one, two) = (hash("secret123").unwrap(), hash("secret123").unwrap());
        assert_ne!(one, two);
        assert!(one.starts_with("$6$rounds=5000$") && is_hash(&one), "{one}");
        let parsed = sha_crypt::PasswordHash::new(one).unwrap();
        assert!(ShaCrypt::SHA512.verify_password(b"secret123", &parsed).is_ok());
        assert!(ShaCrypt::SHA512.verify_password(b"secret124", &parsed).is_err());
    }

    #[test]
    fn only_the_line_of_the_user_changes() {
        let shadow = "root:*:1:0:99999:7:::\nrooter:!:2:0::::\nbad\n";
        assert_eq!(
            replace(shadow, "root", "HASH", Some(20_000)),
            "root:HASH:20000:0:99999:7:::\nrooter:!:2:0::::\nbad\n"
        );
        assert_eq!(replace("root::0:0:r:/root:/bin/sh\n", "root", "x", None), "root:x:0:0:r:/root:/bin/sh\n");
    }
}
