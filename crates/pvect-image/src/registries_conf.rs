//! What the machine's administrator says about registries: `registries.conf`.
//!
//! A part of it: short names, aliases, other places and mirrors, blocked registries. What is not understood is named in
//! [`Registries::ignored`]. Source: containers-registries.conf(5), version 2.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use crate::digest::shortened;
use crate::reference::{DOCKER_HUB, is_domain, is_host};
use crate::{ImageError, ImageResult, Reference};

/// The largest file that is read, in bytes.
const CONF_LIMIT: u64 = 1 << 20;

/// The registries, their mirrors and short names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Registries {
    search: Option<Vec<String>>,
    aliases: BTreeMap<String, String>,
    registries: Vec<Registry>,
    ignored: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Registry {
    prefix: String,
    location: String,
    blocked: bool,
    mirrors: Vec<Mirror>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Mirror {
    location: String,
    from: AskedFor,
}

/// What a mirror is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AskedFor {
    All,
    DigestOnly,
    TagOnly,
}

type Table = BTreeMap<String, toml::Value>;

#[derive(Deserialize)]
struct File {
    #[serde(rename = "unqualified-search-registries")]
    search: Option<Vec<String>>,
    #[serde(default)]
    aliases: BTreeMap<String, String>,
    #[serde(default)]
    registry: Vec<RawRegistry>,
    #[serde(flatten)]
    rest: Table,
}

#[derive(Deserialize)]
struct RawRegistry {
    prefix: Option<String>,
    location: Option<String>,
    #[serde(default)]
    blocked: bool,
    #[serde(default)]
    mirror: Vec<RawMirror>,
    #[serde(flatten)]
    rest: Table,
}

#[derive(Deserialize)]
struct RawMirror {
    location: String,
    #[serde(rename = "pull-from-mirror")]
    from: Option<String>,
    #[serde(flatten)]
    rest: Table,
}

impl Registries {
    /// Reads `registries.conf` and `registries.conf.d/*.conf` of a directory (`/etc/containers`); what is missing says
    /// nothing.
    ///
    /// # Errors
    /// When a file cannot be read or understood.
    pub fn load(directory: &Path) -> ImageResult<Self> {
        let mut paths = vec![directory.join("registries.conf")];
        if let Ok(list) = std::fs::read_dir(directory.join("registries.conf.d")) {
            let found = list.flatten().map(|entry| entry.path());
            let mut found: Vec<_> =
                found.filter(|path| path.extension().is_some_and(|end| end == "conf")).collect();
            found.sort();
            paths.extend(found);
        }
        let mut registries = Self::default();
        for path in paths {
            let file = match std::fs::File::open(&path) {
                Ok(file) => file,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => return Err(ImageError::io("read", &path, error)),
            };
            let mut text = String::new();
            let read = std::io::Read::read_to_string(&mut std::io::Read::take(file, CONF_LIMIT), &mut text);
            read.map_err(|error| ImageError::io("read", &path, error))?;
            registries.add(&path.display().to_string(), &text)?;
        }
        Ok(registries)
    }

    /// Adds a file; what it says replaces what earlier ones said, as with podman.
    ///
    /// # Errors
    /// When it cannot be understood; `name` is what the error calls it.
    pub fn add(&mut self, name: &str, text: &str) -> ImageResult<()> {
        let bad = |why: String| ImageError::Settings(format!("'{name}' cannot be understood: {why}"));
        let file: File = toml::from_str(text).map_err(|error| bad(error.message().to_owned()))?;
        self.ignore(name, "", &file.rest);
        if let Some(search) = file.search {
            if let Some(wrong) = search.iter().find(|host| !is_host(host)) {
                return Err(bad(format!("'{}' is not a registry", shortened(wrong))));
            }
            self.search = Some(search);
        }
        self.aliases.extend(file.aliases);
        for raw in file.registry {
            let Some(location) = raw.location.clone().or(raw.prefix.clone()) else {
                return Err(bad("a registry has neither prefix nor location".to_owned()));
            };
            let prefix = raw.prefix.unwrap_or_else(|| location.clone());
            self.ignore(name, "registry.", &raw.rest);
            if prefix.starts_with("*.") {
                self.ignored.push(format!("{name}: the prefix '{}'", shortened(&prefix)));
                continue;
            }
            let mut mirrors = Vec::new();
            for mirror in raw.mirror {
                self.ignore(name, "registry.mirror.", &mirror.rest);
                let from = match mirror.from.as_deref() {
                    None | Some("" | "all") => AskedFor::All,
                    Some("digest-only") => AskedFor::DigestOnly,
                    Some("tag-only") => AskedFor::TagOnly,
                    Some(other) => return Err(bad(format!("pull-from-mirror: '{}'", shortened(other)))),
                };
                mirrors.push(Mirror { location: mirror.location, from });
            }
            self.registries.retain(|known| known.prefix != prefix);
            self.registries.push(Registry { prefix, location, blocked: raw.blocked, mirrors });
        }
        Ok(())
    }

    fn ignore(&mut self, name: &str, place: &str, rest: &Table) {
        for (key, value) in rest {
            // What is off is off here, too.
            if value.as_bool() != Some(false) {
                self.ignored.push(format!("{name}: {place}{}", shortened(key)));
            }
        }
    }

    /// Returns what was found in the files and means nothing to pvect: `FILE: KEY`.
    pub fn ignored(&self) -> &[String] {
        &self.ignored
    }

    /// Reads a reference; short names become full as the files say, and else as docker does.
    ///
    /// # Errors
    /// When it is not a reference; when a short name could mean several images, or none.
    pub fn reference(&self, text: &str) -> ImageResult<Reference> {
        let first = text.split('/').next().unwrap_or_default();
        if text.contains('/') && is_domain(first) {
            return Reference::parse(text);
        }
        let end = text.find([':', '@']).unwrap_or(text.len());
        if let Some(full) = self.aliases.get(&text[..end]) {
            return Reference::parse_with(&format!("{full}{}", &text[end..]), None);
        }
        let registry = match self.search.as_deref() {
            None => Some(DOCKER_HUB),
            Some([]) => None,
            Some([only]) => Some(only.as_str()),
            Some(several) => {
                let why = format!("registries.conf searches it in {}; write which", several.join(", "));
                return Err(ImageError::Reference { text: shortened(text), why });
            }
        };
        Reference::parse_with(text, registry)
    }

    /// Returns where an image is looked for: its mirrors in their order, and its registry last.
    ///
    /// # Errors
    /// When its registry is blocked, or a place that the files name is none.
    pub fn places(&self, reference: &Reference) -> ImageResult<Vec<Reference>> {
        let name = reference.name();
        let is_below = |prefix: &str| {
            name.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let known = self.registries.iter().filter(|registry| is_below(&registry.prefix));
        let Some(registry) = known.max_by_key(|registry| registry.prefix.len()) else {
            return Ok(vec![reference.clone()]);
        };
        if registry.blocked {
            return Err(ImageError::Denied(format!("registries.conf blocks '{}'", registry.prefix)));
        }
        let rest = &name[registry.prefix.len()..];
        let by_digest = reference.digest().is_some();
        let mirrors = registry.mirrors.iter().filter(|mirror| match mirror.from {
            AskedFor::All => true,
            AskedFor::DigestOnly => by_digest,
            AskedFor::TagOnly => !by_digest,
        });
        let locations = mirrors.map(|mirror| &mirror.location).chain([&registry.location]);
        locations
            .map(|location| {
                let full = format!("{location}{rest}");
                let parsed = full.split_once('/').filter(|(host, _)| is_host(host));
                let (host, repository) = parsed.ok_or_else(|| {
                    ImageError::Settings(format!("registries.conf: '{}' is not a place", shortened(location)))
                })?;
                // The reference's own checks hold for what comes of it, too.
                let checked = Reference::parse_with(&format!("{host}/{repository}"), Some(host))?;
                Ok(reference.at(host, checked.repository()))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn registries(text: &str) -> Registries {
        let mut registries = Registries::default();
        registries.add("conf", text).unwrap();
        registries
    }

    fn places(registries: &Registries, text: &str) -> Vec<String> {
        let found = registries.places(&Reference::parse(text).unwrap()).unwrap();
        found.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn short_names_are_read_as_the_file_says() {
        let name = |text: &str, short: &str| registries(text).reference(short).map(|found| found.to_string());
        assert_eq!(name("", "nginx").unwrap(), "docker.io/library/nginx:latest");
        let quay = r#"unqualified-search-registries = ["quay.io"]"#;
        assert_eq!(name(quay, "nginx:1").unwrap(), "quay.io/nginx:1");
        assert_eq!(name(quay, "ghcr.io/a/b").unwrap(), "ghcr.io/a/b:latest");
        assert!(name("unqualified-search-registries = []", "nginx").is_err());
        let both = r#"unqualified-search-registries = ["quay.io", "docker.io"]"#;
        let error = name(both, "nginx").unwrap_err().to_string();
        assert!(error.contains("quay.io, docker.io"), "{error}");
        let alias = "[aliases]\n\"nginx\" = \"quay.io/x/nginx\"";
        assert_eq!(name(alias, "nginx:2").unwrap(), "quay.io/x/nginx:2");
        assert_eq!(name(alias, "nginx2").unwrap(), "docker.io/library/nginx2:latest");
    }

    #[test]
    fn mirrors_come_first_and_the_longest_prefix_counts() {
        let found = registries(
            r#"
            [[registry]]
            location = "docker.io"
            [[registry.mirror]]
            location = "mirror.lan:5000/hub"
            [[registry.mirror]]
            location = "digests.lan"
            pull-from-mirror = "digest-only"
            [[registry]]
            prefix = "docker.io/library/redis"
            location = "own.lan/redis"
            [[registry]]
            location = "bad.lan"
            blocked = true
            "#,
        );
        assert_eq!(
            places(&found, "nginx:1"),
            ["mirror.lan:5000/hub/library/nginx:1", "docker.io/library/nginx:1"]
        );
        let digest = format!("sha256:{}", "a".repeat(64));
        let by_digest = places(&found, &format!("docker.io/a/b@{digest}"));
        assert_eq!(by_digest[1], format!("digests.lan/a/b@{digest}"));
        assert_eq!(places(&found, "redis:7"), ["own.lan/redis:7"]);
        assert_eq!(places(&found, "docker.io/library/redis2:7").len(), 2, "it only begins the same");
        assert!(found.places(&Reference::parse("bad.lan/x").unwrap()).is_err());
        assert_eq!(places(&found, "ghcr.io/a/b:1"), ["ghcr.io/a/b:1"]);
        assert_eq!(found.ignored(), [] as [&str; 0]);
    }

    #[test]
    fn what_is_ignored_is_named() {
        let found = registries(
            "short-name-mode = \"enforcing\"\n[[registry]]\nlocation = \"x.lan\"\ninsecure = true\n[[registry]]\nprefix = \"*.y.lan\"\nlocation=\"z.lan\"\n[[registry]]\nlocation=\"q.lan\"\ninsecure=false",
        );
        assert_eq!(
            found.ignored(),
            ["conf: short-name-mode", "conf: registry.insecure", "conf: the prefix '*.y.lan'"]
        );
        for bad in ["x", "registry = 1", "[[registry]]", "unqualified-search-registries = ['a b']"] {
            assert!(Registries::default().add("conf", bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,80}", name in "\\PC{0,40}") {
            let mut registries = Registries::default();
            let _ = registries.add("conf", &text);
            let _ = registries.reference(&name);
        }
    }
}
