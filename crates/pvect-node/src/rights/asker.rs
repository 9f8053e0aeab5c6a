//! Who asks, and what is denied.

use super::{ROOT, UserConfig};
use crate::{Failure, Node, NodeResult, task};

/// The user for whom a change is made, with the present rights.
///
/// The command line works for root, because nobody else can run it. A worker of the API reads on stdin, from the
/// server, for whom it works; it, too, can only be started by root, and what it reads can only restrict it.
#[derive(Debug, Clone)]
pub struct Asker {
    name: String,
    rights: UserConfig,
}

/// Why an asker is denied: the text after the status 403.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denied(pub String);

impl Denied {
    /// `Permission check failed (<what>)`.
    pub fn check(what: &str) -> Self {
        match what {
            "" => Self("Permission check failed".to_owned()),
            _ => Self(format!("Permission check failed ({what})")),
        }
    }
}

impl From<Denied> for Failure {
    fn from(denied: Denied) -> Self {
        Self::denied(denied.0)
    }
}

impl Asker {
    /// A user (`USER@REALM`) or token (`USER@REALM!ID`) with the rights of a `user.cfg`.
    pub fn new(name: &str, rights: UserConfig) -> Self {
        Self { name: name.to_owned(), rights }
    }

    /// The user that this process works for.
    ///
    /// # Errors
    /// When `user.cfg` cannot be read.
    pub fn of_this_process(node: &Node) -> NodeResult<Self> {
        let Some(name) = task::asker().filter(|name| *name != ROOT) else {
            return Ok(Self::new(ROOT, UserConfig::default()));
        };
        let rights = UserConfig::load(&node.layout)
            .map_err(|error| Failure::new(format!("can't read the users - {error}")))?;
        Ok(Self::new(name, rights))
    }

    /// Whether it is `root@pam` itself; a token of it is not.
    pub fn is_root(&self) -> bool {
        self.name == ROOT
    }

    /// Returns whether it has a privilege on a path.
    pub fn may(&self, path: &str, privilege: &str) -> bool {
        self.is_root() || self.rights.may(&self.name, path, privilege)
    }

    /// Denies an asker that has none of these privileges.
    ///
    /// # Errors
    /// `Permission check failed (<path>, <privileges>)`.
    pub fn check(&self, path: &str, privileges: &[&str]) -> Result<(), Denied> {
        match privileges.iter().any(|privilege| self.may(path, privilege)) {
            true => Ok(()),
            false => Err(Denied::check(&format!("{path}, {}", privileges.join("|")))),
        }
    }
}
