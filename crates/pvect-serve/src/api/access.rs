//! `/access`, `/version`.

use secrecy::SecretString;
use serde_json::{Map, Value, json};

use super::{Answer, Asked, Reply, Row};
use crate::params::{Params, TEXT, optional, required};
use crate::refusal::Refusal;
use crate::ticket::Tickets;
use crate::users::{ROOT, Users, now};

pub(super) const ENDPOINTS: &[Row] = &[
    ("GET", "/version", version),
    ("GET", "/access/ticket", |asked| {
        asked.params.check(&[])?;
        Ok(Reply::Data(Value::Null))
    }),
    ("GET", "/access/permissions", permissions),
    ("GET", "/access/users", users),
    ("GET", "/access/domains", domains),
];

/// The version whose API this follows; clients check it before they use new features.
const VERSION: &str = "9.1.0";
const RELEASE: &str = "9.1";

fn version(asked: &Asked) -> Answer {
    asked.params.check(&[])?;
    Ok(Reply::Data(version_record()))
}

pub(super) fn version_record() -> Value {
    let repoid = concat!("pvect-", env!("CARGO_PKG_VERSION"));
    json!({ "version": VERSION, "release": RELEASE, "repoid": repoid })
}

/// A user who may log in.
pub(crate) struct Admitted {
    /// The user.
    pub(crate) user: String,
    /// When the password was given.
    pub(crate) login: u64,
    /// The hash of the user's password, if there is one.
    pub(crate) hash: Option<String>,
}

/// Checks a login. A valid ticket is accepted instead of its user's password, and one of root instead of anybody's.
pub(crate) fn check_login(users: &Users, tickets: &Tickets, params: &Params) -> Result<Admitted, Refusal> {
    params.check(&[
        required("username", TEXT),
        required("password", TEXT),
        optional("realm", TEXT),
        optional("otp", TEXT),
        optional("path", TEXT),
        optional("privs", TEXT),
        optional("new-format", pvect_core::schema::Kind::Boolean),
        optional("tfa-challenge", TEXT),
    ])?;
    let failure = || Refusal::new(401, "authentication failure");
    let name = params.get("username").unwrap_or_default();
    let user = match params.get("realm") {
        Some(realm) if !name.contains('@') => format!("{name}@{realm}"),
        _ => name.to_owned(),
    };
    let broken = |error: crate::UserError| {
        tracing::error!(%error, "users");
        Refusal::failed("the users cannot be read")
    };
    let password = params.get("password").unwrap_or_default();
    let of_ticket = tickets.check(password, |user| users.known_hash(user)).map_err(broken)?;
    if let Some(known) = of_ticket.filter(|known| known.user == user || known.user == ROOT) {
        return match users.refusal_of(&user).map_err(broken)? {
            None => {
                let hash = users.known_hash(&user).map_err(broken)?;
                Ok(Admitted { user, login: known.time, hash })
            }
            Some(_) => Err(failure()),
        };
    }
    let password = SecretString::from(password.to_owned());
    match users.hash_of(&user, &password).map_err(broken)? {
        Some(hash) => Ok(Admitted { user, login: now(), hash: Some(hash) }),
        None => Err(failure()),
    }
}

/// The privileges that the web interface would look at: those at the top of each tree.
pub(crate) fn capabilities(users: &Users, user: &str) -> Result<Value, Refusal> {
    let config = users.load().map_err(|error| Refusal::failed(error.to_string()))?;
    let mut cap = Map::new();
    for (name, path, prefixes) in [
        ("vms", "/vms", &["VM.", "Permissions."][..]),
        ("storage", "/storage", &["Datastore.", "Permissions."]),
        ("access", "/access", &["User.", "Group.", "Permissions."]),
        ("nodes", "/nodes", &["Sys.", "Permissions."]),
        ("dc", "/", &["Sys.", "SDN."]),
        ("sdn", "/sdn", &["SDN.", "Permissions."]),
        ("mapping", "/mapping", &["Mapping.", "Permissions."]),
    ] {
        let privileges = config.privileges(user, path);
        let here =
            privileges.into_iter().filter(|(one, _)| prefixes.iter().any(|prefix| one.starts_with(prefix)));
        let here: Map<String, Value> = here.map(|(one, _)| (one, Value::from(1))).collect();
        cap.insert(name.to_owned(), here.into());
    }
    Ok(cap.into())
}

fn permissions(asked: &Asked) -> Answer {
    asked.params.check(&[optional("userid", TEXT), optional("path", TEXT)])?;
    let who = match asked.params.get("userid") {
        Some(other) if other != asked.who => {
            asked.check("/access", "Sys.Audit")?;
            other.to_owned()
        }
        _ => asked.who.clone(),
    };
    let config = asked.rights()?;
    let paths = match asked.params.get("path") {
        Some(path) => [path.to_owned()].into(),
        None => config.paths(),
    };
    let mut found = Map::new();
    for path in paths {
        let privileges = config.privileges(&who, &path);
        if !privileges.is_empty() {
            let privileges: Map<String, Value> =
                privileges.into_iter().map(|(name, below)| (name, u8::from(below).into())).collect();
            found.insert(path, privileges.into());
        }
    }
    Ok(Reply::Data(found.into()))
}

fn users(asked: &Asked) -> Answer {
    asked.params.check(&[
        optional("enabled", pvect_core::schema::Kind::Boolean),
        optional("full", pvect_core::schema::Kind::Boolean),
    ])?;
    let config = asked.rights()?;
    let sees_all =
        config.may(&asked.who, "/access", "User.Modify") || config.may(&asked.who, "/access", "Sys.Audit");
    let own = asked.who.split('!').next().unwrap_or_default();
    let mut list = Vec::new();
    for user in config.users().iter().filter(|user| sees_all || user.name == own) {
        if asked.params.get("enabled").is_some() && asked.params.is_on("enabled") != user.enabled {
            continue;
        }
        let mut one = json!({
            "userid": user.name,
            "enable": u8::from(user.enabled),
            "expire": user.expire,
            "realm-type": user.name.rsplit('@').next(),
        });
        if !user.comment.is_empty() {
            one["comment"] = user.comment.clone().into();
        }
        if asked.params.is_on("full") {
            let tokens = config.tokens().iter().filter(|token| token.user == user.name);
            let tokens = tokens.map(|token| {
                json!({ "tokenid": token.id, "expire": token.expire, "privsep": u8::from(token.separated) })
            });
            one["tokens"] = tokens.collect();
        }
        list.push(one);
    }
    Ok(Reply::Data(list.into()))
}

fn domains(asked: &Asked) -> Answer {
    asked.params.check(&[])?;
    Ok(Reply::Data(json!([
        { "realm": "pam", "type": "pam", "comment": "users of this node's server" },
        { "realm": "pve", "type": "pve", "comment": "users of this node's server" },
    ])))
}
