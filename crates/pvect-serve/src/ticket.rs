//! Tickets: what a user gets for a password, for two hours, and the token against forged requests that goes with one.
//!
//! `PVE:USER@REALM:TIME::SIGNATURE` and `TIME:SIGNATURE`, times in hex. Both are signed (HMAC-SHA-256) with a key of this
//! node's own, `etc/pve/priv/authkey.key`.

use std::path::Path;

use pvect_node::{random, store};
use ring::hmac;

use crate::users::now;

/// How long a ticket is good, seconds. Source: `$ticket_lifetime` of pve-access-control.
const LIFETIME: u64 = 2 * 60 * 60;
/// How far a clock may be ahead, seconds.
const AHEAD: u64 = 300;

/// Signs and checks tickets.
pub struct Tickets(hmac::Key);

impl std::fmt::Debug for Tickets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tickets")
    }
}

impl Tickets {
    /// Reads the key below `dir`, and makes it at the first time.
    ///
    /// # Errors
    /// When it can be neither read nor made.
    pub fn load(dir: &Path) -> std::io::Result<Self> {
        let path = dir.join("authkey.key");
        let key = match std::fs::read(&path) {
            Ok(key) if key.len() >= 32 => key,
            Ok(_) => return Err(std::io::Error::other(format!("{} is too short", path.display()))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let key = random::bytes::<32>().map_err(|failure| std::io::Error::other(failure.text))?;
                store::replace(&path, &key, 0o600)?;
                key.to_vec()
            }
            Err(error) => return Err(error),
        };
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, &key)))
    }

    /// Makes a ticket for a user.
    pub fn ticket(&self, user: &str) -> String {
        self.ticket_of(user, now())
    }

    fn ticket_of(&self, user: &str, time: u64) -> String {
        let plain = format!("PVE:{user}:{time:08X}");
        format!("{plain}::{}", self.sign(&plain))
    }

    /// Returns the user of a ticket that is good now.
    pub fn check(&self, ticket: &str) -> Option<String> {
        let (plain, signature) = ticket.rsplit_once("::")?;
        self.verify(plain, signature)?;
        let (user, time) = plain.strip_prefix("PVE:")?.rsplit_once(':')?;
        is_now(time).then(|| user.to_owned())
    }

    /// Makes the token against forged requests of a user.
    pub fn csrf(&self, user: &str) -> String {
        let time = format!("{:08X}", now());
        let signature = self.sign(&csrf_text(user, &time));
        format!("{time}:{signature}")
    }

    /// Returns whether it is one of this user that is good now.
    pub fn check_csrf(&self, user: &str, token: &str) -> bool {
        token.split_once(':').is_some_and(|(time, signature)| {
            self.verify(&csrf_text(user, time), signature).is_some() && is_now(time)
        })
    }

    fn sign(&self, text: &str) -> String {
        let tag = hmac::sign(&self.0, text.as_bytes());
        tag.as_ref().iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
    }

    /// In constant time.
    fn verify(&self, text: &str, signature: &str) -> Option<()> {
        let bytes: Option<Vec<u8>> = signature
            .as_bytes()
            .chunks(2)
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
            .collect();
        hmac::verify(&self.0, text.as_bytes(), &bytes?).ok()
    }
}

fn csrf_text(user: &str, time: &str) -> String {
    format!("CSRF:{time}:{user}")
}

fn is_now(time: &str) -> bool {
    u64::from_str_radix(time, 16).is_ok_and(|time| time <= now() + AHEAD && now() < time + LIFETIME)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tickets_are_signed_and_end() {
        let dir = tempfile::tempdir().unwrap();
        let tickets = Tickets::load(dir.path()).unwrap();
        let ticket = tickets.ticket("root@pam");
        assert!(ticket.starts_with("PVE:root@pam:"));
        assert_eq!(tickets.check(&ticket).as_deref(), Some("root@pam"));
        // The key stays.
        assert_eq!(Tickets::load(dir.path()).unwrap().check(&ticket).as_deref(), Some("root@pam"));
        for bad in [
            ticket.replace("root", "toor"),
            format!("{ticket}00"),
            tickets.ticket_of("root@pam", now() - LIFETIME),
            tickets.ticket_of("root@pam", now() + 2 * AHEAD),
            String::new(),
            "PVE:root@pam:00::".to_owned(),
            "::zz".to_owned(),
        ] {
            assert_eq!(tickets.check(&bad), None, "{bad}");
        }
        let csrf = tickets.csrf("root@pam");
        assert!(tickets.check_csrf("root@pam", &csrf) && !tickets.check_csrf("joe@pve", &csrf));
        assert!(!tickets.check_csrf("root@pam", &ticket) && !tickets.check_csrf("root@pam", ""));
    }
}
