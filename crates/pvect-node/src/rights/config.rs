//! `user.cfg`. Lines of kinds that are not known here survive.

mod privileges;

use super::{ROOT, UserError, roles};

/// A user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// `USER@REALM`.
    pub name: String,
    /// Whether it may log in.
    pub enabled: bool,
    /// When its access ends, seconds since 1970; 0 is never.
    pub expire: u64,
    /// A remark.
    pub comment: String,
}

/// A token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// `USER@REALM`.
    pub user: String,
    /// Its name.
    pub id: String,
    /// When it ends, seconds since 1970; 0 is never.
    pub expire: u64,
    /// Whether it only has privileges that access lists also grant to the token itself.
    pub separated: bool,
    /// A remark.
    pub comment: String,
}

/// A line of the access lists.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Grant {
    propagate: bool,
    path: String,
    /// Users, tokens, and groups as `@name`.
    names: Vec<String>,
    roles: Vec<String>,
}

/// The parsed file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UserConfig {
    users: Vec<User>,
    tokens: Vec<Token>,
    grants: Vec<Grant>,
    groups: Vec<(String, Vec<String>)>,
    roles: Vec<(String, Vec<String>)>,
    /// The lines, as they are.
    lines: Vec<String>,
}

fn list(text: &str) -> Vec<String> {
    text.split([',', ';', ' ']).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

impl UserConfig {
    /// Parses the text. `root@pam` is always there.
    pub fn parse(text: &str) -> Self {
        let mut config = Self::default();
        for line in text.lines() {
            config.take(line);
        }
        if config.user(ROOT).is_none() {
            config.take("user:root@pam:1:0::::::");
        }
        config
    }

    fn take(&mut self, line: &str) {
        self.lines.push(line.to_owned());
        let fields: Vec<&str> = line.split(':').collect();
        match fields[..] {
            ["user", name, enable, expire, ref rest @ ..] => self.users.push(User {
                name: name.to_owned(),
                enabled: enable == "1",
                expire: expire.parse().unwrap_or(0),
                comment: rest.get(3).copied().unwrap_or_default().to_owned(),
            }),
            ["token", name, expire, privsep, ref rest @ ..] => {
                if let Some((user, id)) = name.split_once('!') {
                    self.tokens.push(Token {
                        user: user.to_owned(),
                        id: id.to_owned(),
                        expire: expire.parse().unwrap_or(0),
                        separated: privsep == "1",
                        comment: rest.first().copied().unwrap_or_default().to_owned(),
                    });
                }
            }
            ["acl", propagate, path, names, roles, ..] => self.grants.push(Grant {
                propagate: propagate == "1",
                path: path.to_owned(),
                names: list(names),
                roles: list(roles),
            }),
            ["group", name, users, ..] => self.groups.push((name.to_owned(), list(users))),
            ["role", name, privileges, ..] => self.roles.push((name.to_owned(), list(privileges))),
            _ => {}
        }
    }

    /// The text of the file.
    pub fn to_text(&self) -> String {
        self.lines.iter().map(|line| format!("{line}\n")).collect()
    }

    /// The users, in the order of the file.
    pub fn users(&self) -> &[User] {
        &self.users
    }

    /// The tokens, in the order of the file.
    pub fn tokens(&self) -> &[Token] {
        &self.tokens
    }

    /// Finds a user.
    pub fn user(&self, name: &str) -> Option<&User> {
        self.users.iter().find(|user| user.name == name)
    }

    /// Finds a token.
    pub fn token(&self, user: &str, id: &str) -> Option<&Token> {
        self.tokens.iter().find(|token| token.user == user && token.id == id)
    }

    /// Adds a user, unless it exists already.
    pub fn add_user(&mut self, name: &str) {
        if self.user(name).is_none() {
            self.take(&format!("user:{name}:1:0::::::"));
        }
    }

    /// Removes a user; returns the names of its tokens, or `None` when it does not exist.
    pub fn remove_user(&mut self, name: &str) -> Option<Vec<String>> {
        self.user(name)?;
        let tokens: Vec<String> =
            self.tokens.iter().filter(|token| token.user == name).map(|token| token.id.clone()).collect();
        let mut gone = vec![name.to_owned()];
        gone.extend(tokens.iter().map(|id| format!("{name}!{id}")));
        self.forget(&gone);
        Some(tokens)
    }

    /// Adds a token; returns false when it exists already.
    ///
    /// # Errors
    /// When its user does not exist.
    pub fn add_token(&mut self, user: &str, id: &str, separated: bool) -> Result<bool, UserError> {
        if self.user(user).is_none() {
            return Err(UserError::Missing(format!("user {user}")));
        }
        if self.token(user, id).is_some() {
            return Ok(false);
        }
        self.take(&format!("token:{user}!{id}:0:{}::", u8::from(separated)));
        Ok(true)
    }

    /// Removes a token with its access; returns whether it existed.
    pub fn remove_token(&mut self, user: &str, id: &str) -> bool {
        let is_there = self.token(user, id).is_some();
        self.forget(&[format!("{user}!{id}")]);
        is_there
    }

    /// Grants a role on a path to a user or token.
    ///
    /// # Errors
    /// When one of them does not exist, or the path is invalid.
    pub fn grant(&mut self, name: &str, role: &str, path: &str, propagate: bool) -> Result<(), UserError> {
        let is_there = match name.split_once('!') {
            Some((user, id)) => self.token(user, id).is_some(),
            None => self.user(name).is_some(),
        };
        if !is_there {
            return Err(UserError::Missing(name.to_owned()));
        }
        if roles::built_in(role).is_none() && !self.roles.iter().any(|(known, _)| known == role) {
            return Err(UserError::Missing(format!("role {role}")));
        }
        if !path.starts_with('/') || path.contains(':') || path.contains(char::is_whitespace) {
            return Err(UserError::Name(path.to_owned(), "/PATH"));
        }
        self.take(&format!("acl:{}:{path}:{name}:{role}:", u8::from(propagate)));
        Ok(())
    }

    /// Removes a user or token from the access lists of exactly this path, for one role or for all; returns whether it
    /// was in any.
    pub fn revoke(&mut self, name: &str, role: Option<&str>, path: &str) -> bool {
        let path = path.trim_end_matches('/');
        self.rewrite_grants(|grant| {
            let is_meant = grant.path.trim_end_matches('/') == path
                && role.is_none_or(|role| grant.roles.iter().any(|known| known == role));
            if !is_meant || !grant.names.iter().any(|known| known == name) {
                return None;
            }
            let with = |names: Vec<String>, roles: Vec<String>| Grant { names, roles, ..grant.clone() };
            let others = grant.names.iter().filter(|known| *known != name).cloned().collect();
            let kept =
                grant.roles.iter().filter(|known| role.is_some_and(|role| *known != role)).cloned().collect();
            Some(vec![with(others, grant.roles.clone()), with(vec![name.to_owned()], kept)])
        })
    }

    /// Removes a path and everything below it from the access lists; returns whether there was anything.
    pub fn forget_path(&mut self, path: &str) -> bool {
        let below = format!("{path}/");
        let is_gone = |known: &str| known.trim_end_matches('/') == path || known.starts_with(&below);
        self.rewrite_grants(|grant| is_gone(&grant.path).then(Vec::new))
    }

    /// The access lists, one line for each name and role: path, name, role, and whether it applies below the path.
    pub fn access(&self) -> Vec<(String, String, String, bool)> {
        let one = |grant: &Grant| {
            let pairs = grant.names.iter().flat_map(|name| grant.roles.iter().map(move |role| (name, role)));
            let all =
                pairs.map(|(name, role)| (grant.path.clone(), name.clone(), role.clone(), grant.propagate));
            all.collect::<Vec<_>>()
        };
        self.grants.iter().flat_map(one).collect()
    }

    /// Replaces lines of the access lists; `None` leaves a line as it is. Returns whether any was changed.
    fn rewrite_grants(&mut self, change: impl Fn(&Grant) -> Option<Vec<Grant>>) -> bool {
        let mut changed = false;
        for line in std::mem::take(self).lines {
            let mut one = Self::default();
            one.take(&line);
            let Some(others) = one.grants.first().and_then(&change) else {
                self.take(&line);
                continue;
            };
            changed = true;
            for Grant { propagate, path, names, roles } in others {
                if !names.is_empty() && !roles.is_empty() {
                    let (names, roles) = (names.join(","), roles.join(","));
                    self.take(&format!("acl:{}:{path}:{names}:{roles}:", u8::from(propagate)));
                }
            }
        }
        changed
    }

    /// Removes names from all lines, and lines that have no name left.
    fn forget(&mut self, gone: &[String]) {
        let lines = std::mem::take(&mut self.lines);
        *self = Self::default();
        for line in lines {
            let mut fields: Vec<String> = line.split(':').map(str::to_owned).collect();
            let names_at = match fields.first().map(String::as_str) {
                Some("user" | "token") if fields.get(1).is_some_and(|name| gone.contains(name)) => continue,
                Some("acl") => 3,
                Some("group") => 2,
                _ => {
                    self.take(&line);
                    continue;
                }
            };
            if let Some(field) = fields.get_mut(names_at) {
                let left: Vec<String> = list(field).into_iter().filter(|name| !gone.contains(name)).collect();
                if left.is_empty() && names_at == 3 {
                    continue;
                }
                *field = left.join(",");
            }
            self.take(&fields.join(":"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) const TEXT: &str = "user:root@pam:1:0::::::\nuser:joe@pve:1:0::::::\nuser:ann@pve:0:5::::::\n\
        token:joe@pve!ci:0:1::\ntoken:joe@pve!all:0:0::\ngroup:ops:ann@pve::\npool:p1::100:local:\n\
        role:Snap:VM.Snapshot,VM.Audit,Bogus:\nacl:1:/:@ops:PVEAuditor:\nacl:1:/vms:joe@pve:PVEVMAdmin:\n\
        acl:0:/vms/105:joe@pve:NoAccess:\nacl:1:/vms:joe@pve!ci:Snap:\n";

    #[test]
    fn the_file_survives() {
        assert_eq!(UserConfig::parse(TEXT).to_text(), TEXT);
        assert_eq!(UserConfig::parse("").to_text(), "user:root@pam:1:0::::::\n");
    }

    #[test]
    fn access_is_revoked_and_ends_with_its_path() {
        let mut config = UserConfig::parse(TEXT);
        assert!(!config.revoke("joe@pve", None, "/vms/106"));
        assert!(!config.revoke("joe@pve", Some("PVEVMUser"), "/vms"));
        assert!(config.revoke("joe@pve", Some("PVEVMAdmin"), "/vms/"));
        assert!(!config.may("joe@pve", "/vms/100", "VM.Audit"));
        config.grant("joe@pve", "PVEVMUser", "/vms/105/x", true).unwrap();
        config.grant("joe@pve", "PVEVMUser", "/vms/1050", true).unwrap();
        assert!(config.forget_path("/vms/105") && !config.forget_path("/vms/105"));
        let paths: Vec<String> = config.access().into_iter().map(|(path, ..)| path).collect();
        assert_eq!(paths, ["/", "/vms", "/vms/1050"]);
        let mut both = UserConfig::parse("user:a@pve:1:0::::::\nacl:1:/:a@pve,b@pve:PVEAdmin,PVEAuditor:\n");
        assert!(both.revoke("a@pve", Some("PVEAdmin"), "/"));
        assert!(both.to_text().contains("acl:1:/:b@pve:PVEAdmin,PVEAuditor:\nacl:1:/:a@pve:PVEAuditor:\n"));
    }

    #[test]
    fn who_goes_is_in_no_line() {
        let mut config = UserConfig::parse(TEXT);
        assert_eq!(config.remove_user("joe@pve").unwrap(), ["ci", "all"]);
        assert!(!config.to_text().contains("joe"), "{}", config.to_text());
        assert!(config.to_text().contains("pool:p1::100:local:\n"));
        assert!(config.remove_user("joe@pve").is_none());
    }
}
