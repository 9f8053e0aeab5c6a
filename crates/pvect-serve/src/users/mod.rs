//! Who may do what: users, tokens, their secrets, roles and access lists.
//!
//! - `etc/pve/user.cfg`: users, tokens, groups, roles and access lists, in the form of pve-access-control
//! - `etc/pve/priv/shadow.cfg`: hashed passwords (SHA-512 crypt), one `USER@REALM:HASH:` a line
//! - `etc/pve/priv/token.cfg`: hashed tokens, one `USER@REALM!ID sha256:HEX` a line
//!
//! The host's own users and passwords are never asked.

mod secrets;

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use pvect_node::rights::{LONGEST_PASSWORD, change};
use pvect_node::{Layout, Node};
use secrecy::{ExposeSecret, SecretString};

pub use pvect_node::rights::{ROOT, Token, User, UserConfig, UserError};

/// The users of one node. Each check reads the files again: they are small, and a removed token stops working at once.
#[derive(Debug, Clone)]
pub struct Users {
    layout: Layout,
}

impl Users {
    /// The users of a node.
    pub fn new(node: &Node) -> Self {
        Self { layout: node.layout.clone() }
    }

    /// `etc/pve/priv`, for secrets; made with mode 0700 if it is missing.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn secret_dir(&self) -> Result<PathBuf, UserError> {
        pvect_node::rights::secret_dir(&self.layout)
    }

    /// Reads `user.cfg`; without the file, `root@pam` is the only user.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn load(&self) -> Result<UserConfig, UserError> {
        UserConfig::load(&self.layout)
    }

    fn change<T>(&self, make: impl FnOnce(&mut UserConfig) -> Result<T, UserError>) -> Result<T, UserError> {
        change(&self.layout, make)
    }

    /// Adds a user with a password, or gives an existing user a new password.
    ///
    /// # Errors
    /// See [`UserError`].
    pub fn add(&self, user: &str, password: &SecretString) -> Result<(), UserError> {
        check_user(user)?;
        if password.expose_secret().chars().count() < 5 {
            return Err(UserError::ShortPassword);
        }
        if password.expose_secret().len() > LONGEST_PASSWORD {
            return Err(UserError::LongPassword);
        }
        let hash = secrets::hash_password(password.expose_secret().as_bytes()).map_err(UserError::Secret)?;
        self.change(|config| {
            config.add_user(user);
            secrets::Shadow::at(&self.secret_dir()?).set(user, Some(&hash))
        })
    }

    /// Removes a user, with its tokens, access and password.
    ///
    /// # Errors
    /// See [`UserError`].
    pub fn remove(&self, user: &str) -> Result<(), UserError> {
        check_user(user)?;
        self.change(|config| {
            let tokens =
                config.remove_user(user).ok_or_else(|| UserError::Missing(format!("user {user}")))?;
            let dir = self.secret_dir()?;
            for id in tokens {
                secrets::Tokens::at(&dir).set(&format!("{user}!{id}"), None)?;
            }
            secrets::Shadow::at(&dir).set(user, None)
        })
    }

    /// Makes a token and returns its secret. Only a hash of the secret is stored.
    ///
    /// # Errors
    /// See [`UserError`].
    pub fn add_token(&self, name: &str, separated: bool) -> Result<SecretString, UserError> {
        let (user, id) = check_token(name)?;
        let secret = secrets::uuid().map_err(UserError::Secret)?;
        self.change(|config| {
            if !config.add_token(user, id, separated)? {
                return Err(UserError::Exists(format!("token {name}")));
            }
            let hash = secrets::hash_token(secret.expose_secret());
            secrets::Tokens::at(&self.secret_dir()?).set(name, Some(&hash))
        })?;
        Ok(secret)
    }

    /// Removes a token.
    ///
    /// # Errors
    /// See [`UserError`].
    pub fn remove_token(&self, name: &str) -> Result<(), UserError> {
        let (user, id) = check_token(name)?;
        self.change(|config| {
            if !config.remove_token(user, id) {
                return Err(UserError::Missing(format!("token {name}")));
            }
            secrets::Tokens::at(&self.secret_dir()?).set(name, None)
        })
    }

    /// Grants a role on a path to a user or token: a line of the access list.
    ///
    /// # Errors
    /// See [`UserError`].
    pub fn grant(&self, name: &str, role: &str, path: &str, propagate: bool) -> Result<(), UserError> {
        self.change(|config| config.grant(name, role, path, propagate))
    }

    /// Revokes a role on a path, or all roles there when none is named.
    ///
    /// # Errors
    /// See [`UserError`].
    pub fn revoke(&self, name: &str, role: Option<&str>, path: &str) -> Result<(), UserError> {
        let missing = || {
            let role = role.unwrap_or("any role");
            UserError::Missing(format!("access of {name} with {role} on {path}"))
        };
        self.change(|config| if config.revoke(name, role, path) { Ok(()) } else { Err(missing()) })
    }

    /// Returns why a user may not log in, or `None`.
    ///
    /// # Errors
    /// As [`Users::load`].
    pub fn refusal_of(&self, user: &str) -> Result<Option<String>, UserError> {
        Ok(enabled(&self.load()?, user).err())
    }

    /// Returns whether a password is right for a user. It takes as long for an unknown user; a password that is too
    /// long for anybody is not hashed.
    ///
    /// # Errors
    /// When the files cannot be read.
    pub fn check_password(&self, user: &str, password: &SecretString) -> Result<bool, UserError> {
        Ok(self.hash_of(user, password)?.is_some())
    }

    /// As [`Users::check_password`]; returns the hash that the password has.
    ///
    /// # Errors
    /// As [`Users::check_password`].
    pub(crate) fn hash_of(&self, user: &str, password: &SecretString) -> Result<Option<String>, UserError> {
        if password.expose_secret().len() > LONGEST_PASSWORD {
            return Ok(None);
        }
        let known = self.known_hash(user)?;
        let right = secrets::check_password(known.as_deref(), password.expose_secret().as_bytes());
        let is_enabled = enabled(&self.load()?, user).is_ok();
        Ok(known.filter(|_| right && is_enabled))
    }

    /// Returns the hash of a user's password, if there is one. It changes whenever the password is set, even to the
    /// same one.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(crate) fn known_hash(&self, user: &str) -> Result<Option<String>, UserError> {
        secrets::Shadow::at(&self.secret_dir()?).get(user)
    }

    /// Checks `USER@REALM!ID=SECRET` and returns the token's name.
    ///
    /// # Errors
    /// The text for the client.
    pub fn check_secret(&self, text: &str) -> Result<String, String> {
        let (name, secret) = text.rsplit_once('=').ok_or("no tokenid specified")?;
        let (user, id) = check_token(name).map_err(|_| format!("tokenid '{name}' look invalid"))?;
        let failed = |error: UserError| {
            tracing::error!(%error, "users");
            "invalid token value!".to_owned()
        };
        let config = self.load().map_err(failed)?;
        enabled(&config, user)?;
        let token =
            config.token(user, id).ok_or_else(|| format!("no such token '{id}' for user '{user}'"))?;
        if token.expire != 0 && token.expire < now() {
            return Err(format!("token '{id}' access expired"));
        }
        let known = secrets::Tokens::at(&self.secret_dir().map_err(failed)?).get(name).map_err(failed)?;
        match known.is_some_and(|hash| secrets::check_token(&hash, secret)) {
            true => Ok(name.to_owned()),
            false => Err("invalid token value!".to_owned()),
        }
    }
}

fn enabled(config: &UserConfig, name: &str) -> Result<(), String> {
    let user = config.user(name).ok_or_else(|| format!("no such user ('{name}')"))?;
    if !user.enabled {
        return Err(format!("user '{name}' is disabled"));
    }
    if user.expire != 0 && user.expire < now() {
        return Err(format!("user '{name}' access expired"));
    }
    Ok(())
}

pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// `USER@REALM`: no `:`, `/`, blank or `!` in either part.
fn check_user(name: &str) -> Result<(), UserError> {
    let wrong = || UserError::Name(name.to_owned(), "USER@REALM");
    let (user, realm) = name.rsplit_once('@').ok_or_else(wrong)?;
    let is_good =
        |part: &str| !part.is_empty() && !part.contains([':', '/', ',', '!', '=']) && is_visible(part);
    let is_word =
        |part: &str| part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
    if name.len() <= 64 && is_good(user) && !user.starts_with('@') && is_good(realm) && is_word(realm) {
        Ok(())
    } else {
        Err(wrong())
    }
}

fn is_visible(text: &str) -> bool {
    !text.chars().any(|c| c.is_whitespace() || c.is_control())
}

/// `USER@REALM!ID`.
fn check_token(name: &str) -> Result<(&str, &str), UserError> {
    let wrong = || UserError::Name(name.to_owned(), "USER@REALM!ID");
    let (user, id) = name.split_once('!').ok_or_else(wrong)?;
    check_user(user).map_err(|_| wrong())?;
    let starts = id.chars().next().is_some_and(|c| c.is_ascii_alphabetic());
    let rest = id.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
    if starts && rest && id.len() >= 2 { Ok((user, id)) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn users() -> (tempfile::TempDir, Users) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("etc/pve")).unwrap();
        let layout = Layout::new(dir.path(), "vm".parse().unwrap());
        (dir, Users { layout })
    }

    fn secret(text: &str) -> SecretString {
        text.to_owned().into()
    }

    #[test]
    fn users_come_and_go() {
        let (dir, users) = users();
        assert!(!users.check_password(ROOT, &secret("hunter22")).unwrap());
        users.add(ROOT, &secret("hunter22")).unwrap();
        users.add("joe@pve", &secret("hunter33")).unwrap();
        assert!(users.check_password(ROOT, &secret("hunter22")).unwrap());
        assert!(!users.check_password(ROOT, &secret("hunter33")).unwrap());
        assert!(!users.check_password("nobody@pve", &secret("hunter33")).unwrap());
        let shadow = std::fs::read_to_string(dir.path().join("etc/pve/priv/shadow.cfg")).unwrap();
        assert!(shadow.contains("joe@pve:$6$") && !shadow.contains("hunter"), "{shadow}");
        users.remove("joe@pve").unwrap();
        assert!(!users.check_password("joe@pve", &secret("hunter33")).unwrap());
        assert_eq!(users.remove("joe@pve").unwrap_err().to_string(), "there is no user joe@pve");
        assert_eq!(
            users.add("joe", &secret("hunter33")).unwrap_err().to_string(),
            "'joe' is not a name of the form USER@REALM"
        );
        assert!(matches!(users.add("joe@pve", &secret("1234")), Err(UserError::ShortPassword)));
    }

    #[test]
    fn a_long_password_is_refused_before_it_is_hashed() {
        let (_dir, users) = users();
        let longest = "\u{e4}".repeat(LONGEST_PASSWORD / 2);
        users.add(ROOT, &secret(&longest)).unwrap();
        assert!(users.check_password(ROOT, &secret(&longest)).unwrap());
        assert_eq!(
            users.add(ROOT, &secret(&(longest + "x"))).unwrap_err().to_string(),
            "a password has at most 128 bytes"
        );
        // If they were hashed, a single one would take seconds.
        let began = std::time::Instant::now();
        for _ in 0..20 {
            assert!(!users.check_password(ROOT, &secret(&"A".repeat(60_000))).unwrap());
        }
        assert!(began.elapsed() < std::time::Duration::from_secs(10), "{:?}", began.elapsed());
    }

    #[test]
    fn tokens_are_kept_as_hashes() {
        let (dir, users) = users();
        let made = users.add_token("root@pam!ci", false).unwrap();
        let file = std::fs::read_to_string(dir.path().join("etc/pve/priv/token.cfg")).unwrap();
        assert!(file.starts_with("root@pam!ci sha256:") && !file.contains(made.expose_secret()), "{file}");
        let full = |secret: &str| format!("root@pam!ci={secret}");
        assert_eq!(users.check_secret(&full(made.expose_secret())), Ok("root@pam!ci".to_owned()));
        assert_eq!(users.check_secret(&full("x")), Err("invalid token value!".to_owned()));
        assert_eq!(
            users.check_secret("root@pam!cd=x"),
            Err("no such token 'cd' for user 'root@pam'".to_owned())
        );
        assert_eq!(users.check_secret("joe@pve!cd=x"), Err("no such user ('joe@pve')".to_owned()));
        assert_eq!(
            users.add_token("root@pam!ci", true).unwrap_err().to_string(),
            "token root@pam!ci already exists"
        );
        users.remove_token("root@pam!ci").unwrap();
        assert!(users.check_secret(&full(made.expose_secret())).is_err());
    }
}
