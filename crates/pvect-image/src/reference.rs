//! References: which image of which repository of which registry.
//!
//! Source: the grammar of distribution's package `reference`, which docker and podman use.

use std::fmt;

use crate::digest::shortened;
use crate::{Digest, ImageError, ImageResult};

/// Where docker and podman look for images without a registry.
pub const DOCKER_HUB: &str = "docker.io";
/// The tag of references that have neither tag nor digest.
const DEFAULT_TAG: &str = "latest";
const LONGEST_NAME: usize = 255;
const LONGEST_TAG: usize = 128;

/// A full reference: `REGISTRY/REPOSITORY:TAG`, `REGISTRY/REPOSITORY@DIGEST`, or with both.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Reference {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

impl Reference {
    /// Reads a full reference, or a short one as docker does: `nginx` is `docker.io/library/nginx:latest`.
    ///
    /// # Errors
    /// When it is not a reference.
    pub fn parse(text: &str) -> ImageResult<Self> {
        Self::parse_with(text, Some(DOCKER_HUB))
    }

    /// As [`Reference::parse`], with another registry for short names; none: they are refused.
    ///
    /// # Errors
    /// When it is not a reference.
    pub fn parse_with(text: &str, registry: Option<&str>) -> ImageResult<Self> {
        let bad = |why: &str| ImageError::Reference { text: shortened(text), why: why.to_owned() };
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => {
                (rest, Some(digest.parse().map_err(|_| bad("its digest cannot be understood"))?))
            }
            None => (text, None),
        };
        let (domain, path) = match rest.split_once('/').filter(|(first, _)| is_domain(first)) {
            Some((domain, path)) => (Some(domain), path),
            None => (None, rest),
        };
        let (repository, tag) = match path.rsplit_once(':') {
            Some((repository, tag)) => (repository, Some(tag)),
            None => (path, None),
        };
        if repository.is_empty() || !repository.split('/').all(is_component) {
            return Err(bad("a repository has lower-case letters, digits, and single . _ - / between them"));
        }
        if domain.is_none() && repository.len() == 64 && repository.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(bad("64 hexadecimal digits could be a digest; write REPOSITORY@sha256:DIGITS"));
        }
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return Err(bad("its tag cannot be understood"));
        }
        let registry = match (domain, registry) {
            (Some(domain), _) => domain,
            (None, Some(registry)) => registry,
            (None, None) => return Err(bad("it names no registry; write REGISTRY/REPOSITORY:TAG")),
        };
        let registry = if registry == "index.docker.io" { DOCKER_HUB } else { registry };
        if !is_host(registry) {
            return Err(bad("its registry is not HOST or HOST:PORT"));
        }
        let official = registry == DOCKER_HUB && !repository.contains('/');
        let repository = if official { format!("library/{repository}") } else { repository.to_owned() };
        if registry.len() + 1 + repository.len() > LONGEST_NAME {
            return Err(bad("it is too long"));
        }
        let tag = match (tag, &digest) {
            (None, None) => Some(DEFAULT_TAG),
            (tag, _) => tag,
        };
        Ok(Self { registry: registry.to_owned(), repository, tag: tag.map(str::to_owned), digest })
    }

    /// Returns `HOST` or `HOST:PORT`.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// Returns the repository within the registry.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// Returns the tag. Where there is a digest, too, it means nothing.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// Returns the digest.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// Returns `REGISTRY/REPOSITORY`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }

    /// Returns what the registry's API calls it: the digest, or the tag.
    pub(crate) fn version(&self) -> String {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => digest.to_string(),
            (None, tag) => tag.clone().unwrap_or_else(|| DEFAULT_TAG.to_owned()),
        }
    }

    /// The same image in another place.
    pub(crate) fn at(&self, registry: &str, repository: &str) -> Self {
        Self { registry: registry.to_owned(), repository: repository.to_owned(), ..self.clone() }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

/// Whether the first part of a path is a registry and not a part of the repository.
pub(crate) fn is_domain(text: &str) -> bool {
    text == "localhost" || text.contains(['.', ':']) || text.bytes().any(|byte| byte.is_ascii_uppercase())
}

/// `HOST`, `HOST:PORT`, `[IPV6]` or `[IPV6]:PORT`.
pub(crate) fn is_host(text: &str) -> bool {
    let is_port = |port: &str| port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok();
    if let Some(rest) = text.strip_prefix('[') {
        let Some((address, port)) = rest.split_once(']') else { return false };
        let port = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
        return port && address.parse::<std::net::Ipv6Addr>().is_ok();
    }
    let (host, port) = match text.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (text, None),
    };
    let is_label = |label: &str| {
        let inner = label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        !label.is_empty() && inner && !label.starts_with('-') && !label.ends_with('-')
    };
    host.split('.').all(is_label) && port.is_none_or(is_port)
}

/// Letters and digits; between them one dot, one or two underscores, or any number of dashes.
fn is_component(text: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let separators = |text: &str| matches!(text, "" | "." | "_" | "__") || text.bytes().all(|b| b == b'-');
    let ends = [text.bytes().next(), text.bytes().last()];
    ends.iter().all(|end| end.is_some_and(word))
        && text.split(|c: char| u8::try_from(c).is_ok_and(word)).all(separators)
}

fn is_tag(text: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    text.len() <= LONGEST_TAG
        && text.bytes().next().is_some_and(word)
        && text.bytes().all(|byte| word(byte) || byte == b'.' || byte == b'-')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn short_names_become_full() {
        let digest = format!("sha256:{}", "a".repeat(64));
        for (text, full) in [
            ("nginx", "docker.io/library/nginx:latest".to_owned()),
            ("nginx:1.27-alpine", "docker.io/library/nginx:1.27-alpine".to_owned()),
            ("docker.io/nginx", "docker.io/library/nginx:latest".to_owned()),
            ("index.docker.io/nginx", "docker.io/library/nginx:latest".to_owned()),
            ("grafana/grafana", "docker.io/grafana/grafana:latest".to_owned()),
            ("ghcr.io/a/b/c:v1", "ghcr.io/a/b/c:v1".to_owned()),
            ("localhost/x", "localhost/x:latest".to_owned()),
            ("127.0.0.1:5000/x", "127.0.0.1:5000/x:latest".to_owned()),
            ("[::1]:5000/x/y", "[::1]:5000/x/y:latest".to_owned()),
            ("a__b--c.d_e", "docker.io/library/a__b--c.d_e:latest".to_owned()),
            (&format!("ghcr.io/a/b@{digest}"), format!("ghcr.io/a/b@{digest}")),
            (&format!("ghcr.io/a/b:v1@{digest}"), format!("ghcr.io/a/b:v1@{digest}")),
        ] {
            let found = Reference::parse(text).unwrap();
            assert_eq!(found.to_string(), full);
            assert_eq!(Reference::parse(&full).unwrap(), found, "{full}");
        }
        assert_eq!(Reference::parse_with("x", Some("quay.io")).unwrap().to_string(), "quay.io/x:latest");
        assert!(Reference::parse_with("x", None).is_err());
        assert!(Reference::parse_with("ghcr.io/x", None).is_ok());
    }

    #[test]
    fn what_is_not_a_reference_is_refused() {
        for text in [
            "",
            ":",
            "/",
            "@",
            "nginx:",
            "nginx@",
            "Nginx",
            "a//b",
            "a/../b",
            "a/./b",
            "-a",
            "a-",
            "a..b",
            "a___b",
            "a b",
            "nginx:-x",
            "nginx:a/b",
            "nginx@sha256:abc",
            "ghcr.io",
            "ghcr.io/",
            "ghcr.io:/a",
            "ghcr.io:99999/a",
            "ghcr..io/a",
            "user@ghcr.io/a",
            "https://ghcr.io/a",
            "[::1/a",
            "[x]:1/a",
            "a\n",
            "ä",
            &"a".repeat(64),
            &"x".repeat(300),
            &format!("x:{}", "t".repeat(129)),
        ] {
            // "ghcr.io" alone is a repository of Docker Hub, as docker reads it.
            assert!(text == "ghcr.io" || Reference::parse(text).is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_read_is_written_and_read_the_same(text in "\\PC{0,80}|[a-z0-9.:/@_-]{0,40}") {
            if let Ok(found) = Reference::parse(&text) {
                prop_assert_eq!(Reference::parse(&found.to_string()).unwrap(), found);
            }
        }
    }
}
