//! `pvect image pull|list|inspect|remove|prune|tag|export|outdated`.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::ArgMatches;
use pvect::Place;
use pvect_core::error::Run;
use pvect_core::{Error, Result};
use pvect_image::{
    CredentialFiles, Credentials, Event, ImageError, Pull, Reference, Registries, Rules, Store, Stored,
    platform,
};
use serde::Serialize;

use crate::app::App;
use crate::args::{Form, Given};
use crate::progress::Bytes;
use crate::{errors, passwords, render, standalone};

/// Where the machine's administrator says things about registries.
const CONTAINERS: &str = "/etc/containers";
/// What credential helpers need to find their keys.
const HELPER_ENVIRONMENT: [&str; 5] =
    ["HOME", "USER", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS", "GNUPGHOME"];

#[derive(Serialize)]
struct Listed {
    name: String,
    digest: String,
    arch: String,
    size: u64,
    pulled: String,
}

#[derive(Serialize)]
struct Inspected {
    name: String,
    digest: String,
    source: Option<String>,
    size: u64,
    pulled: String,
    layers: Vec<Layer>,
    #[serde(flatten)]
    facts: pvect_image::ImageFacts,
}

#[derive(Serialize)]
struct Layer {
    digest: String,
    size: u64,
}

#[derive(Serialize)]
struct PulledLine {
    name: String,
    digest: String,
    unchanged: bool,
}

#[derive(Serialize)]
struct Age {
    name: String,
    outdated: bool,
    digest: String,
    current: String,
}

/// Runs the command.
///
/// # Errors
/// `Partial` when some of several images failed.
pub async fn run(app: &App, words: &[String]) -> Result<u8> {
    let matches = super::own_words("image", words)?;
    let Some((name, matches)) = matches.subcommand() else { return Ok(0) };
    if let Place::Far { .. } | Place::Api { .. } = app.builder().connect()?.place() {
        let what = "images are kept on the node itself; run 'pvect image' there".to_owned();
        return Err(Error::Unsupported { what, vmid: None });
    }
    let store = Store::new(standalone::node(&app.ui, &app.env)?.layout.root().join("images"));
    let registries = Registries::load(CONTAINERS.as_ref()).map_err(failed)?;
    let given = |name: &str| matches.try_get_many::<String>(name).ok().flatten().into_iter().flatten();
    let references = given("ref").map(|text| registries.reference(text).map_err(failed));
    let references = references.collect::<Result<Vec<Reference>>>()?;
    match name {
        "pull" => pull(app, &store, &registries, &references, matches).await,
        "outdated" => outdated(app, &store, &registries, references, matches).await,
        "inspect" => references.first().map_or(Ok(0), |reference| inspect(app, &store, reference)),
        "remove" => remove(app, &store, &references),
        "prune" => prune(app, &store),
        "tag" => {
            let new = given("new").next().map(String::as_str).unwrap_or_default();
            let new = registries.reference(new).map_err(failed)?;
            match references.first() {
                Some(reference) if !app.ui.globals.dry_run => store.tag(reference, &new).map_err(failed)?,
                _ => {}
            }
            Ok(0)
        }
        "export" => {
            let file = given("file").next().map(String::as_str).unwrap_or_default();
            references.first().map_or(Ok(0), |reference| export(app, &store, reference, file))
        }
        _ => list(app, &store),
    }
}

async fn pull(
    app: &App,
    store: &Store,
    registries: &Registries,
    references: &[Reference],
    matches: &ArgMatches,
) -> Result<u8> {
    if app.ui.globals.dry_run {
        let names: String = references.iter().map(|reference| format!("{reference}\n")).collect();
        app.ui.print(names)?;
        return Ok(0);
    }
    for ignored in registries.ignored() {
        app.ui.warning(&format!("pvect does not know this, and ignores it: {ignored}"));
    }
    let asked = asked(app, references, matches)?;
    let wanted = matches.get_one::<String>("arch").map_or(std::env::consts::ARCH, String::as_str);
    let platform = platform(wanted).map_err(failed)?;
    let (mut lines, mut errors) = (Vec::new(), Vec::new());
    for reference in references {
        let bytes = Bytes::new(&app.ui, &reference.to_string());
        let warn = |text: &str| bytes.aside(|| app.ui.warning(text));
        let pull = Pull {
            store,
            registries,
            rules: &asked.rules,
            credentials: &|place| asked.credentials(place, &warn),
            platform: &platform,
            events: &|event| match event {
                Event::Warning(text) => warn(text),
                Event::Image { size, .. } => bytes.expect(size),
                Event::Present { digest, size } => bytes.there(&digest.to_string(), size),
                Event::Begun { digest, there, .. } => bytes.there(&digest.to_string(), there),
                Event::Received { digest, bytes: count } => bytes.more(&digest.to_string(), count),
                _ => {}
            },
        };
        match pull.run(reference, now()).await {
            Ok(pulled) => lines.push(PulledLine {
                name: pulled.name,
                digest: pulled.digest.to_string(),
                unchanged: pulled.unchanged,
            }),
            Err(error) => errors.push(failed(error)),
        }
    }
    let form = app.form(Form::Plain);
    if form == Form::Plain {
        app.ui
            .print(lines.iter().map(|line| format!("{} {}\n", line.name, line.digest)).collect::<String>())?;
    } else if !lines.is_empty() || errors.is_empty() {
        app.ui.print(render::records(&app.ui.globals, form, &["name", "digest", "unchanged"], &lines)?)?;
    }
    together(app, errors, references.len())
}

fn list(app: &App, store: &Store) -> Result<u8> {
    let listed = |image: Stored| Listed {
        name: image.name,
        digest: image.digest.to_string(),
        arch: image.platform.to_string(),
        size: image.size,
        pulled: date(image.pulled),
    };
    let list: Vec<Listed> = store.list().map_err(failed)?.into_iter().map(listed).collect();
    let columns = ["name", "arch", "size", "pulled", "digest"];
    app.ui.print(render::records(&app.ui.globals, app.form(Form::Table), &columns, &list)?)?;
    Ok(0)
}

fn inspect(app: &App, store: &Store, reference: &Reference) -> Result<u8> {
    let details = store.inspect(reference).map_err(failed)?;
    let image = details.image;
    let layers = details.layers.into_iter().map(|(digest, size)| Layer { digest: digest.to_string(), size });
    let shown = Inspected {
        name: image.name,
        digest: image.digest.to_string(),
        source: image.source.map(|source| source.to_string()),
        size: image.size,
        pulled: date(image.pulled),
        layers: layers.collect(),
        facts: details.facts,
    };
    app.ui.print(render::record(&app.ui.globals, app.form(Form::Plain), &shown)?)?;
    Ok(0)
}

fn remove(app: &App, store: &Store, references: &[Reference]) -> Result<u8> {
    let remove = |reference: &Reference| match app.ui.globals.dry_run {
        true => store.find(reference).map(drop),
        false => store.remove(reference),
    };
    let errors = references.iter().filter_map(|reference| remove(reference).err().map(failed)).collect();
    together(app, errors, references.len())
}

fn prune(app: &App, store: &Store) -> Result<u8> {
    let pruned = store.prune(SystemTime::now(), app.ui.globals.dry_run).map_err(failed)?;
    app.ui.print(render::record(&app.ui.globals, app.form(Form::Plain), &pruned)?)?;
    Ok(0)
}

/// The archive has its name when it is whole.
fn export(app: &App, store: &Store, reference: &Reference, file: &str) -> Result<u8> {
    if app.ui.globals.dry_run {
        return store.find(reference).map(|_| 0).map_err(failed);
    }
    if file == "-" {
        store.export(reference, &mut std::io::stdout().lock()).map_err(failed)?;
        return Ok(0);
    }
    store.export_file(reference, &PathBuf::from(file)).map_err(failed)?;
    Ok(0)
}

async fn outdated(
    app: &App,
    store: &Store,
    registries: &Registries,
    references: Vec<Reference>,
    matches: &ArgMatches,
) -> Result<u8> {
    let stored = store.list().map_err(failed)?;
    let all = || stored.iter().filter(|image| image.source.is_some());
    let chosen = if references.is_empty() {
        // A digest never becomes outdated.
        let named = all().filter_map(|image| Reference::parse(&image.name).ok());
        named.filter(|reference| reference.digest().is_none()).collect()
    } else {
        references
    };
    let asked = asked(app, &chosen, matches)?;
    let platform = platform(std::env::consts::ARCH).map_err(failed)?;
    let warn = |text: &str| app.ui.warning(text);
    let pull = Pull {
        store,
        registries,
        rules: &asked.rules,
        credentials: &|place| asked.credentials(place, &warn),
        platform: &platform,
        events: &|_| {},
    };
    let (mut ages, mut errors) = (Vec::new(), Vec::new());
    for reference in &chosen {
        let age = async {
            let image = store.find(reference)?;
            let digest = image.source.ok_or_else(|| {
                ImageError::Unsupported(format!(
                    "'{reference}' was not pulled; no registry knows it by this name"
                ))
            })?;
            let current = pull.current(reference).await?;
            let name = reference.to_string();
            let (outdated, digest, current) = (digest != current, digest.to_string(), current.to_string());
            Ok(Age { name, outdated, digest, current })
        };
        match age.await {
            Ok(age) => ages.push(age),
            Err(error) => errors.push(failed(error)),
        }
    }
    let columns = ["name", "outdated", "digest", "current"];
    app.ui.print(render::records(&app.ui.globals, app.form(Form::Table), &columns, &ages)?)?;
    together(app, errors, chosen.len())
}

/// What the options say about registries.
struct Asked {
    rules: Rules,
    files: CredentialFiles,
    /// With the registry that they are for.
    own: Option<(String, Credentials)>,
}

impl Asked {
    fn credentials(
        &self,
        place: &Reference,
        warn: &dyn Fn(&str),
    ) -> std::result::Result<Option<Credentials>, ImageError> {
        match &self.own {
            Some((registry, credentials)) if registry == place.registry() => Ok(Some(credentials.clone())),
            _ => self.files.find(place, warn),
        }
    }
}

fn asked(app: &App, references: &[Reference], matches: &ArgMatches) -> Result<Asked> {
    let text = |name: &str| matches.get_one::<String>(name);
    let env = |name: &str| app.env.get(name).filter(|value| !value.is_empty());
    let own = match (text("username"), references.first()) {
        (Some(username), Some(first)) => {
            if references.iter().any(|reference| reference.registry() != first.registry()) {
                let text = "the images are of several registries, and the password would go to all of them";
                return Err(Error::bad_option("username", text));
            }
            let prompt = format!("Password of {username} at {}: ", first.registry());
            let password = match (text("password-file"), env("PVECT_REGISTRY_PASSWORD")) {
                (Some(file), _) => passwords::read(&app.ui, &Given::File(file.clone()))?,
                _ if matches.get_flag("password-stdin") => passwords::read(&app.ui, &Given::Stdin)?,
                (None, Some(password)) => password.clone().into(),
                (None, None) => passwords::ask_once(&prompt)?,
            };
            let credentials = Credentials::Password { username: username.clone(), password };
            Some((first.registry().to_owned(), credentials))
        }
        _ => None,
    };
    let home = env("HOME").map(PathBuf::from);
    let below = |name: &str, path: &str| env(name).map(|directory| PathBuf::from(directory).join(path));
    let files = [
        env("REGISTRY_AUTH_FILE").map(PathBuf::from),
        below("XDG_RUNTIME_DIR", "containers/auth.json"),
        below("XDG_CONFIG_HOME", "containers/auth.json"),
        home.as_ref().map(|home| home.join(".config/containers/auth.json")),
        below("DOCKER_CONFIG", "config.json"),
        home.as_ref().map(|home| home.join(".docker/config.json")),
    ];
    let known = HELPER_ENVIRONMENT.iter().filter_map(|name| Some(((*name).to_owned(), env(name)?.clone())));
    let proxy = env("HTTPS_PROXY").or_else(|| env("https_proxy")).cloned();
    let without = env("NO_PROXY").or_else(|| env("no_proxy")).cloned().unwrap_or_default();
    let rules = Rules {
        plain_http: matches.get_flag("plain-http"),
        ca_file: text("ca-file").map(PathBuf::from),
        proxy: proxy.map(|proxy| (proxy, without)),
        ..Rules::default()
    };
    Ok(Asked {
        rules,
        files: CredentialFiles::new(files.into_iter().flatten().collect(), known.collect()),
        own,
    })
}

/// One error is the command's; several are shown, and counted.
fn together(app: &App, mut errors: Vec<Error>, total: usize) -> Result<u8> {
    match (errors.len(), total) {
        (0, _) => Ok(0),
        (1, 1) => Err(errors.remove(0)),
        (failed, total) => {
            errors.iter().for_each(|error| {
                errors::show(&app.ui, error);
            });
            Err(Error::Partial { failed, total })
        }
    }
}

fn failed(error: ImageError) -> Error {
    match error {
        ImageError::Io { what, source } => Error::Io { what, source },
        other => Error::Failed {
            kind: other.kind(),
            message: other.to_string(),
            vmid: None,
            run: Box::new(Run::default()),
        },
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Seconds since 1970 as a date; nothing where they are not known.
fn date(seconds: u64) -> String {
    let time = i64::try_from(seconds).ok().filter(|seconds| *seconds > 0);
    let time = time.and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    time.map(|time| time.to_string()).unwrap_or_default()
}
