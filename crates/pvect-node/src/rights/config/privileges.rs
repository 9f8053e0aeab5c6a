//! What users and tokens may do: the access lists are gone through level by level.

use std::collections::BTreeSet;

use super::UserConfig;
use crate::rights::{ROOT, roles};

impl UserConfig {
    /// Returns the privileges that a user or token has on a path, sorted, each with whether it applies below the path.
    ///
    /// Entries for a deeper path replace those above it, entries for users replace those for groups, and NoAccess
    /// replaces everything. A token with privilege separation has what both it and its user have.
    pub fn privileges(&self, who: &str, path: &str) -> Vec<(String, bool)> {
        match who.split_once('!') {
            None => self.own_privileges(who, path),
            Some((user, id)) => {
                let of_user = self.own_privileges(user, path);
                match self.token(user, id) {
                    None => Vec::new(),
                    Some(token) if !token.separated => of_user,
                    Some(_) => {
                        let own = self.own_privileges(who, path);
                        own.into_iter()
                            .filter(|(name, _)| of_user.iter().any(|(known, _)| known == name))
                            .collect()
                    }
                }
            }
        }
    }

    /// Returns whether a user or token has a privilege on a path.
    pub fn may(&self, who: &str, path: &str, privilege: &str) -> bool {
        self.privileges(who, path).iter().any(|(name, _)| name == privilege)
    }

    /// Returns the paths that access lists name for anybody, and the top.
    pub fn paths(&self) -> BTreeSet<String> {
        let usual = ["/", "/access", "/nodes", "/pool", "/sdn", "/storage", "/vms"].map(str::to_owned);
        usual.into_iter().chain(self.grants.iter().map(|grant| grant.path.clone())).collect()
    }

    fn own_privileges(&self, who: &str, path: &str) -> Vec<(String, bool)> {
        if who == ROOT {
            return roles::ALL_PRIVILEGES.iter().map(|name| ((*name).to_owned(), true)).collect();
        }
        let mut roles: Vec<(&str, bool)> = Vec::new();
        for level in levels(path) {
            let at = self.grants.iter().filter(|grant| {
                grant.path.trim_end_matches('/') == level.trim_end_matches('/')
                    && (grant.propagate || level == path)
            });
            let (mut own, mut of_groups) = (Vec::new(), Vec::new());
            for grant in at {
                let given = grant.roles.iter().map(|role| (role.as_str(), grant.propagate));
                if grant.names.iter().any(|name| name == who) {
                    own.extend(given);
                } else if grant.names.iter().any(|name| self.is_member(name, who)) {
                    of_groups.extend(given);
                }
            }
            let here = if own.is_empty() { of_groups } else { own };
            if !here.is_empty() {
                roles = here;
            }
        }
        if roles.iter().any(|(role, _)| *role == "NoAccess") {
            return Vec::new();
        }
        let mut found: Vec<(String, bool)> = Vec::new();
        for (role, propagate) in roles {
            for name in self.role(role) {
                match found.iter_mut().find(|(known, _)| *known == name) {
                    Some((_, known)) => *known |= propagate,
                    None => found.push((name, propagate)),
                }
            }
        }
        found.sort();
        found
    }

    fn is_member(&self, group: &str, user: &str) -> bool {
        let Some(group) = group.strip_prefix('@') else { return false };
        self.groups.iter().any(|(name, users)| name == group && users.iter().any(|one| one == user))
    }

    fn role(&self, role: &str) -> Vec<String> {
        if let Some(built_in) = roles::built_in(role) {
            return built_in.into_iter().map(str::to_owned).collect();
        }
        let own = self.roles.iter().find(|(name, _)| name == role);
        own.map_or_else(Vec::new, |(_, list)| {
            list.iter().filter(|name| roles::is_privilege(name)).cloned().collect()
        })
    }
}

/// `/`, `/vms`, `/vms/100`.
fn levels(path: &str) -> Vec<&str> {
    let mut levels = vec!["/"];
    levels.extend(path.match_indices('/').skip(1).map(|(at, _)| &path[..at]));
    if path != "/" {
        levels.push(path);
    }
    levels
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rights::config::tests::TEXT;

    #[test]
    fn access_is_granted_level_by_level() {
        let config = UserConfig::parse(TEXT);
        for (who, path, privilege, expected) in [
            ("root@pam", "/vms/7", "Sys.Modify", true),
            ("joe@pve", "/vms/100", "VM.Allocate", true),
            ("joe@pve", "/vms/105", "VM.Audit", false),
            ("joe@pve", "/storage/local", "Datastore.Audit", false),
            ("ann@pve", "/vms/100", "VM.Audit", true),
            ("ann@pve", "/vms/100", "VM.PowerMgmt", false),
            ("joe@pve!ci", "/vms/100", "VM.Snapshot", true),
            ("joe@pve!ci", "/vms/100", "VM.PowerMgmt", false),
            ("joe@pve!ci", "/vms/105", "VM.Snapshot", false),
            ("joe@pve!all", "/vms/100", "VM.PowerMgmt", true),
            ("joe@pve!gone", "/vms/100", "VM.PowerMgmt", false),
            ("eve@pve", "/", "VM.Audit", false),
        ] {
            assert_eq!(config.may(who, path, privilege), expected, "{who} {path} {privilege}");
        }
    }
}
