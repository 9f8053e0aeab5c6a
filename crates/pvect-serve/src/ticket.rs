//! Tickets: what a user gets for a password, for two hours, and the token against forged requests that goes with one.
//!
//! `PVE:USER@REALM:TIME::LOGIN:SIGNATURE` and `TIME:SIGNATURE`, times in hex. Both are signed (HMAC-SHA-256) with a key of
//! this node's own, `etc/pve/priv/authkey.key`; a ticket's signature covers the hash of its user's password too, so that
//! a new password ends it. A ticket that is renewed keeps the time of its login, and ends a day after that.

use std::path::Path;

use pvect_node::{files, random};
use ring::hmac;

use crate::users::now;

/// How long a ticket is valid, seconds. Source: `$ticket_lifetime` of pve-access-control.
const LIFETIME: u64 = 2 * 60 * 60;
/// How long after a login its tickets can be renewed, seconds.
const LOGIN_LIFETIME: u64 = 24 * 60 * 60;
/// How far a clock may be ahead, seconds.
const AHEAD: u64 = 300;

/// Signs and checks tickets.
pub struct Tickets(hmac::Key);

/// What a valid ticket says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// The user.
    pub user: String,
    /// When the user logged in with the password, seconds since 1970.
    pub time: u64,
}

impl std::fmt::Debug for Tickets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tickets")
    }
}

impl Tickets {
    /// Reads the key below `dir`, or makes it the first time.
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
                files::replace(&path, &key, 0o600)?;
                key.to_vec()
            }
            Err(error) => return Err(error),
        };
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, &key)))
    }

    /// Makes a ticket for a user who logged in with the password at `login`. `hash` is the hash of the user's password.
    pub fn ticket(&self, user: &str, login: u64, hash: Option<&str>) -> String {
        self.ticket_of(user, now(), login, hash)
    }

    fn ticket_of(&self, user: &str, time: u64, login: u64, hash: Option<&str>) -> String {
        let (plain, login) = (format!("PVE:{user}:{time:08X}"), format!("{login:08X}"));
        let signature = self.sign(&ticket_text(&plain, &login, hash));
        format!("{plain}::{login}:{signature}")
    }

    /// Returns the login of a ticket that is valid now. `hash` returns the present hash of a user's password.
    ///
    /// # Errors
    /// Those of `hash`.
    pub fn check<E>(
        &self,
        ticket: &str,
        hash: impl FnOnce(&str) -> Result<Option<String>, E>,
    ) -> Result<Option<Login>, E> {
        let Some((plain, user, time, login, signature)) = parts(ticket) else { return Ok(None) };
        if !is_within(time, LIFETIME) || !is_within(login, LOGIN_LIFETIME) {
            return Ok(None);
        }
        let hash = hash(user)?;
        if self.verify(&ticket_text(plain, login, hash.as_deref()), signature).is_none() {
            return Ok(None);
        }
        let time = u64::from_str_radix(login, 16).unwrap_or(0);
        Ok(Some(Login { user: user.to_owned(), time }))
    }

    /// Makes a user's token against cross-site request forgery.
    pub fn csrf(&self, user: &str) -> String {
        let time = format!("{:08X}", now());
        let signature = self.sign(&csrf_text(user, &time));
        format!("{time}:{signature}")
    }

    /// Returns whether it is a token of this user that is valid now.
    pub fn check_csrf(&self, user: &str, token: &str) -> bool {
        token.split_once(':').is_some_and(|(time, signature)| {
            self.verify(&csrf_text(user, time), signature).is_some() && is_within(time, LIFETIME)
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

/// The text that a ticket's signature is made from. No part contains a line feed.
fn ticket_text(plain: &str, login: &str, hash: Option<&str>) -> String {
    format!("{plain}\n{login}\n{}", hash.unwrap_or_default())
}

/// What is signed, user, time, time of the login, signature.
fn parts(ticket: &str) -> Option<(&str, &str, &str, &str, &str)> {
    let (plain, rest) = ticket.rsplit_once("::")?;
    let (login, signature) = rest.split_once(':')?;
    let (user, time) = plain.strip_prefix("PVE:")?.rsplit_once(':')?;
    Some((plain, user, time, login, signature))
}

fn is_within(time: &str, lifetime: u64) -> bool {
    u64::from_str_radix(time, 16)
        .is_ok_and(|time| time <= now() + AHEAD && now() < time.saturating_add(lifetime))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(tickets: &Tickets, ticket: &str, hash: Option<&str>) -> Option<Login> {
        let hash = hash.map(str::to_owned);
        tickets.check(ticket, |_| Ok::<_, std::convert::Infallible>(hash)).unwrap()
    }

    #[test]
    fn tickets_are_signed_and_end() {
        let dir = tempfile::tempdir().unwrap();
        let tickets = Tickets::load(dir.path()).unwrap();
        let time = now() - 7;
        let ticket = tickets.ticket("root@pam", time, Some("h"));
        assert!(ticket.starts_with("PVE:root@pam:"));
        let login = Some(Login { user: "root@pam".to_owned(), time });
        assert_eq!(check(&tickets, &ticket, Some("h")), login);
        // The key stays.
        assert_eq!(check(&Tickets::load(dir.path()).unwrap(), &ticket, Some("h")), login);
        let old = tickets.sign("PVE:root@pam:00000000");
        for bad in [
            ticket.replace("root", "toor"),
            ticket.replace(&format!("{time:08X}"), &format!("{:08X}", time + 1)),
            format!("{ticket}00"),
            tickets.ticket_of("root@pam", now() - LIFETIME, now() - LIFETIME, Some("h")),
            tickets.ticket_of("root@pam", now() + 2 * AHEAD, now(), Some("h")),
            tickets.ticket("root@pam", now() - LOGIN_LIFETIME, Some("h")),
            format!("PVE:root@pam:{:08X}::{old}", now()),
            String::new(),
            "PVE:root@pam:00::".to_owned(),
            "::zz".to_owned(),
            "PVE:root@pam:00::00:zz".to_owned(),
        ] {
            assert_eq!(check(&tickets, &bad, Some("h")), None, "{bad}");
        }
        let csrf = tickets.csrf("root@pam");
        assert!(tickets.check_csrf("root@pam", &csrf) && !tickets.check_csrf("joe@pve", &csrf));
        assert!(!tickets.check_csrf("root@pam", &ticket) && !tickets.check_csrf("root@pam", ""));
    }

    #[test]
    fn a_new_password_ends_a_ticket_and_so_does_a_day() {
        let dir = tempfile::tempdir().unwrap();
        let tickets = Tickets::load(dir.path()).unwrap();
        let ticket = tickets.ticket("joe@pve", now(), Some("one"));
        assert!(check(&tickets, &ticket, Some("one")).is_some());
        assert!(check(&tickets, &ticket, Some("two")).is_none() && check(&tickets, &ticket, None).is_none());
        // Renewed until the end: the ticket itself is new, the login is not.
        for (age, good) in [(LOGIN_LIFETIME - 60, true), (LOGIN_LIFETIME, false)] {
            let renewed = tickets.ticket("joe@pve", now() - age, Some("one"));
            assert_eq!(check(&tickets, &renewed, Some("one")).is_some(), good, "{age}");
        }
    }
}
