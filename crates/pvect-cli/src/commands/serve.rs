//! `pvect node serve|fingerprint|user|token|acl`: the HTTPS API of the standalone node and who may use it.

use std::net::SocketAddr;

use clap::ArgMatches;
use pvect_core::{Error, ErrorKind, Result};
use pvect_serve::{Certificate, Options, ROOT, ServeError, UserError, Users};
use secrecy::ExposeSecret;
use serde::Serialize;

use crate::app::App;
use crate::args::{Form, Given};
use crate::{passwords, render};

/// Runs the command.
///
/// # Errors
/// When the server cannot start; when a user or token does not exist, or already exists.
pub fn run(app: &App, name: &str, matches: &ArgMatches) -> Result<u8> {
    if !rustix::process::geteuid().is_root() {
        let message = "the standalone node's server and its users need root".to_owned();
        return Err(failed(ErrorKind::PctPermissionDenied, message));
    }
    let node = crate::standalone::node(&app.ui, &app.env)?;
    pvect_node::store::ensure_root(&node)
        .map_err(|failure| failed(ErrorKind::PctOperationFailed, failure.text))?;
    let users = Users::new(&node);
    match (name, matches.subcommand()) {
        ("fingerprint", _) => {
            let certificate =
                Certificate::load(&node).map_err(|error| unserved(ServeError::Certificate(error)))?;
            app.ui.print(format!("{}\n", certificate.fingerprint()))?;
        }
        ("serve", _) => return serve(app, node, text(matches, "listen")),
        ("user", Some((name, matches))) => user(app, &users, name, matches)?,
        ("token", Some((name, matches))) => token(app, &users, name, matches)?,
        ("acl", Some((name, matches))) => acl(app, &users, name, matches)?,
        _ => {}
    }
    Ok(0)
}

fn serve(app: &App, node: pvect_node::Node, listen: &str) -> Result<u8> {
    let listen: SocketAddr = listen.parse().map_err(|_| {
        Error::bad_option("listen", format!("'{listen}' is not ADDRESS:PORT, such as 127.0.0.1:8006"))
    })?;
    if !listen.ip().is_loopback() {
        app.ui.warning(&format!("{listen} can be reached from other machines"));
    }
    let fingerprint =
        Certificate::load(&node).map_err(|error| unserved(ServeError::Certificate(error)))?.fingerprint();
    let ui = app.ui.clone();
    let name = node.name.to_string();
    let ready = move |address: SocketAddr| {
        // One line that a script can wait for.
        let _ = ui.print(format!("serving {name} on https://{address}\nfingerprint {fingerprint}\n"));
    };
    let options = Options { listen, ..Options::default() };
    // The server has a runtime of its own, which needs a thread of its own.
    let served = std::thread::spawn(move || pvect_serve::serve(node, options, ready)).join();
    match served {
        Ok(done) => done.map(|()| 0).map_err(unserved),
        Err(_) => Err(failed(ErrorKind::PctCommandFailed, "the server stopped unexpectedly".to_owned())),
    }
}

#[derive(Serialize)]
struct UserLine {
    user: String,
    enabled: bool,
    tokens: usize,
    comment: String,
}

fn user(app: &App, users: &Users, name: &str, matches: &ArgMatches) -> Result<()> {
    match name {
        "add" => {
            let user = text(matches, "user");
            let given = match matches.get_one::<String>("password-file") {
                Some(path) => Given::File(path.clone()),
                None if matches.get_flag("password-stdin") => Given::Stdin,
                None => Given::Ask,
            };
            let password = passwords::read_for(&app.ui, &given, &format!("Password of {user}: "))?;
            users.add(user, &password).map_err(refused)
        }
        "remove" => users.remove(text(matches, "user")).map_err(refused),
        _ => {
            let config = users.load().map_err(refused)?;
            let tokens = |name: &str| config.tokens().iter().filter(|token| token.user == name).count();
            let lines: Vec<UserLine> = config
                .users()
                .iter()
                .map(|user| UserLine {
                    user: user.name.clone(),
                    enabled: user.enabled,
                    tokens: tokens(&user.name),
                    comment: user.comment.clone(),
                })
                .collect();
            let columns = ["user", "enabled", "tokens", "comment"];
            app.ui.print(render::records(&app.ui.globals, app.form(Form::Table), &columns, &lines)?)
        }
    }
}

#[derive(Serialize)]
struct AclLine {
    path: String,
    who: String,
    role: String,
    propagate: bool,
}

fn acl(app: &App, users: &Users, name: &str, matches: &ArgMatches) -> Result<()> {
    let (who, role, path) = (text(matches, "who"), text(matches, "role"), text(matches, "path"));
    match name {
        "grant" => users.grant(who, role, path, text(matches, "propagate") != "0").map_err(refused),
        "revoke" => {
            let role = Some(role).filter(|role| !role.is_empty());
            users.revoke(who, role, path).map_err(refused)
        }
        _ => {
            let access = users.load().map_err(refused)?.access();
            let line = |(path, who, role, propagate)| AclLine { path, who, role, propagate };
            let lines: Vec<AclLine> = access.into_iter().map(line).collect();
            let columns = ["path", "who", "role", "propagate"];
            app.ui.print(render::records(&app.ui.globals, app.form(Form::Table), &columns, &lines)?)
        }
    }
}

#[derive(Serialize)]
struct TokenLine {
    token: String,
    privsep: bool,
    expire: u64,
    comment: String,
}

fn token(app: &App, users: &Users, name: &str, matches: &ArgMatches) -> Result<()> {
    match name {
        "add" => {
            let name = text(matches, "token");
            let separated = text(matches, "privsep") != "0";
            let secret = users.add_token(name, separated).map_err(refused)?;
            if separated && name.starts_with(ROOT) {
                let hint = "it may do nothing yet: grant it a role with 'pvect node acl grant', or make it with --privsep 0";
                app.ui.note(hint);
            }
            app.ui.print(format!("{}\n", secret.expose_secret()))
        }
        "remove" => users.remove_token(text(matches, "token")).map_err(refused),
        _ => {
            let config = users.load().map_err(refused)?;
            let lines: Vec<TokenLine> = config
                .tokens()
                .iter()
                .map(|token| TokenLine {
                    token: format!("{}!{}", token.user, token.id),
                    privsep: token.separated,
                    expire: token.expire,
                    comment: token.comment.clone(),
                })
                .collect();
            let columns = ["token", "privsep", "expire", "comment"];
            app.ui.print(render::records(&app.ui.globals, app.form(Form::Table), &columns, &lines)?)
        }
    }
}

fn text<'a>(matches: &'a ArgMatches, name: &str) -> &'a str {
    matches.try_get_one::<String>(name).ok().flatten().map_or("", String::as_str)
}

fn failed(kind: ErrorKind, message: String) -> Error {
    Error::Failed { kind, message, vmid: None, run: Box::default() }
}

fn refused(error: UserError) -> Error {
    let message = error.to_string();
    match error {
        UserError::Exists(_) => failed(ErrorKind::AlreadyExists, message),
        UserError::Missing(_) => failed(ErrorKind::NotFound, message),
        UserError::File { path, source } => {
            Error::Io { what: format!("cannot use '{}'", path.display()), source }
        }
        _ => failed(ErrorKind::InvalidArgument, message),
    }
}

fn unserved(error: ServeError) -> Error {
    match error {
        ServeError::System { what, source } => Error::Io { what, source },
        other => {
            let causes =
                std::iter::successors(Some(&other as &dyn std::error::Error), |error| error.source());
            let words: Vec<String> = causes.map(ToString::to_string).collect();
            failed(ErrorKind::PctCommandFailed, words.join(": "))
        }
    }
}
