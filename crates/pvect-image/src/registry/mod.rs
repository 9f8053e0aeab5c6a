//! One repository of a registry, through the distribution API.
//!
//! Source: the OCI distribution specification; distribution's `token.md` for bearer tokens.

mod auth;
mod challenge;
mod fault;
mod tls;

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use reqwest::header::{self, HeaderValue};
use reqwest::{Method, Response, StatusCode, Url};

pub use auth::Credentials;

use crate::digest::shortened;
use crate::documents::{ACCEPTED, DOCUMENT_LIMIT, Descriptor};
use crate::reference::DOCKER_HUB;
use crate::{Digest, ImageError, ImageResult, Reference};

const REDIRECTS: usize = 5;

/// How registries are spoken to.
#[derive(Debug, Clone)]
pub struct Rules {
    /// Also speak plain HTTP with registries that are not on this machine.
    pub plain_http: bool,
    /// Trust these authorities (PEM) instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// How long a connection may take.
    pub connect_timeout: Duration,
    /// How long a document may take, and how long a registry may be silent.
    pub answer_timeout: Duration,
    /// A proxy for HTTPS, and the hosts that are reached without it (as in `NO_PROXY`). Hosts of this machine always
    /// are.
    pub proxy: Option<(String, String)>,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            plain_http: false,
            ca_file: None,
            connect_timeout: Duration::from_secs(10),
            answer_timeout: Duration::from_secs(60),
            proxy: None,
        }
    }
}

/// A repository, and what is known of how to speak to it.
pub(crate) struct Repository {
    http: reqwest::Client,
    /// `https://HOST/v2/REPOSITORY/`.
    base: Url,
    repository: String,
    credentials: Option<Credentials>,
    authorization: Mutex<Option<HeaderValue>>,
    rules: Rules,
}

/// A document as a registry has it.
pub(crate) struct Fetched {
    pub(crate) bytes: Vec<u8>,
    pub(crate) media_type: Option<String>,
}

/// The rest of a blob.
pub(crate) struct Rest {
    pub(crate) response: Response,
    /// Whether it begins where it should; else at the beginning.
    pub(crate) continues: bool,
}

impl Repository {
    /// Finds out how to speak to a registry.
    ///
    /// # Errors
    /// When it cannot be reached in a way that is safe.
    pub(crate) async fn connect(
        reference: &Reference,
        credentials: Option<Credentials>,
        rules: &Rules,
    ) -> ImageResult<Self> {
        let host = match reference.registry() {
            DOCKER_HUB => "registry-1.docker.io",
            other => other,
        };
        let http = client(rules)?;
        let parsed = |scheme: &str| {
            Url::parse(&format!("{scheme}://{host}/v2/{}/", reference.repository())).map_err(|_| {
                ImageError::Reference { text: host.to_owned(), why: "it is not a host".to_owned() }
            })
        };
        let secure = parsed("https")?;
        let base = if rules.plain_http {
            parsed("http")?
        } else if is_loopback(&secure) {
            // TLS where the registry has it, as with docker; what has a wrong certificate is not spoken to.
            let asked = http.get(origin(&secure)).timeout(rules.answer_timeout).send().await;
            match asked.map_err(|error| fault::of(&error, host)) {
                Ok(_) | Err(ImageError::Untrusted(_)) => secure,
                Err(_) => parsed("http")?,
            }
        } else {
            secure
        };
        Ok(Self {
            http,
            base,
            repository: reference.repository().to_owned(),
            credentials,
            authorization: Mutex::new(None),
            rules: rules.clone(),
        })
    }

    fn host(&self) -> String {
        host_of(&self.base)
    }

    /// Fetches an index or a manifest by tag or digest.
    ///
    /// # Errors
    /// When there is none; when the bytes are not what the digest says.
    pub(crate) async fn manifest(&self, version: &str) -> ImageResult<Fetched> {
        let work = async {
            let response = self.send(Method::GET, &format!("manifests/{version}"), None).await?;
            let response = self.expect(response, &format!("{}:{version}", self.repository)).await?;
            let media_type = response
                .headers()
                .get(header::CONTENT_TYPE)
                .and_then(|value| value.to_str().ok())
                .map(|value| value.split(';').next().unwrap_or_default().trim().to_owned());
            let bytes = collect(response, DOCUMENT_LIMIT, &self.host()).await?;
            Ok(Fetched { bytes, media_type })
        };
        let fetched = self.in_time(work).await?;
        if let Ok(wanted) = version.parse::<Digest>() {
            let found = Digest::of(wanted.algorithm(), &fetched.bytes);
            if found != wanted {
                let text =
                    format!("{} sent another manifest than {wanted}: its digest is {found}", self.host());
                return Err(ImageError::Damaged(text));
            }
        }
        Ok(fetched)
    }

    /// Asks for the bytes of a blob from a position on.
    ///
    /// # Errors
    /// When there is none, or the registry announces another length.
    pub(crate) async fn blob(&self, blob: &Descriptor, from: u64) -> ImageResult<Rest> {
        let path = format!("blobs/{}", blob.digest);
        let work = async {
            let response = self.send(Method::GET, &path, Some(from)).await?;
            if response.status() == StatusCode::RANGE_NOT_SATISFIABLE {
                return self.send(Method::GET, &path, None).await;
            }
            Ok(response)
        };
        let response = self.in_time(work).await?;
        let response = self.expect(response, &format!("the blob {}", blob.digest)).await?;
        let continues = response.status() == StatusCode::PARTIAL_CONTENT;
        if continues && !range_begins_at(&response, from) {
            let text = format!(
                "{} sent another part of the blob {} than it was asked for",
                self.host(),
                blob.digest
            );
            return Err(ImageError::Damaged(text));
        }
        let expected = if continues { blob.size - from } else { blob.size };
        if response.content_length().is_some_and(|length| length != expected) {
            let length = response.content_length().unwrap_or_default();
            let text =
                format!("{} has {length} bytes of the blob {}, not {expected}", self.host(), blob.digest);
            return Err(ImageError::Damaged(text));
        }
        Ok(Rest { response, continues })
    }

    /// What the HTTP client says of a body that broke off.
    pub(crate) fn broken(&self, error: &reqwest::Error) -> ImageError {
        fault::of_body(error, &self.host())
    }

    /// How long a registry may be silent.
    pub(crate) fn patience(&self) -> Duration {
        self.rules.answer_timeout
    }

    async fn in_time<T>(&self, work: impl Future<Output = ImageResult<T>>) -> ImageResult<T> {
        tokio::time::timeout(self.rules.answer_timeout, work)
            .await
            .unwrap_or_else(|_| Err(ImageError::TimedOut(format!("{} did not answer in time", self.host()))))
    }

    /// Sends a request; answers a challenge once.
    async fn send(&self, method: Method, path: &str, from: Option<u64>) -> ImageResult<Response> {
        let url = self.base.join(path).map_err(|_| ImageError::Reference {
            text: shortened(path),
            why: "it cannot be asked for".to_owned(),
        })?;
        let known = self.authorization.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let response = self.follow(method.clone(), url.clone(), from, known).await?;
        if response.status() != StatusCode::UNAUTHORIZED || !same_origin(response.url(), &self.base) {
            return Ok(response);
        }
        let answer = self.authorize(response.headers()).await?;
        *self.authorization.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer.clone());
        self.follow(method, url, from, Some(answer)).await
    }

    /// Follows redirects. Credentials go to the registry itself and to nobody else, and nothing goes from HTTPS to
    /// plain HTTP.
    async fn follow(
        &self,
        method: Method,
        url: Url,
        from: Option<u64>,
        mut authorization: Option<HeaderValue>,
    ) -> ImageResult<Response> {
        let mut url = url;
        for _ in 0..=REDIRECTS {
            let mut request = self.http.request(method.clone(), url.clone());
            request = request.header(header::ACCEPT, ACCEPTED.join(", "));
            if let Some(from) = from.filter(|from| *from > 0) {
                request = request.header(header::RANGE, format!("bytes={from}-"));
            }
            if let Some(value) = &authorization {
                request = request.header(header::AUTHORIZATION, value.clone());
            }
            let response = request.send().await.map_err(|error| fault::of(&error, &host_of(&url)))?;
            if !response.status().is_redirection() {
                return Ok(response);
            }
            let target = response.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
            let target = target
                .and_then(|target| url.join(target).ok())
                .ok_or_else(|| ImageError::Damaged(format!("{} redirects to nowhere", host_of(&url))))?;
            self.check_scheme(&target, "redirects")?;
            if !same_origin(&target, &self.base) {
                authorization = None;
            }
            url = target;
        }
        Err(ImageError::Refused(format!("{} redirects more than {REDIRECTS} times", self.host())))
    }

    /// Refuses plain HTTP where the registry itself is not spoken to by it.
    fn check_scheme(&self, target: &Url, does: &str) -> ImageResult<()> {
        let plain = self.base.scheme() == "http" && (self.rules.plain_http || is_loopback(target));
        match target.scheme() {
            "https" => Ok(()),
            "http" if plain => Ok(()),
            _ => {
                let text =
                    format!("{} {does} to {}, which is not HTTPS", self.host(), shortened(&origin(target)));
                Err(ImageError::Untrusted(text))
            }
        }
    }

    /// Returns an answer that is what was asked for, or what the registry says instead.
    async fn expect(&self, response: Response, what: &str) -> ImageResult<Response> {
        let status = response.status();
        if status == StatusCode::OK || status == StatusCode::PARTIAL_CONTENT {
            return Ok(response);
        }
        let host = self.host();
        let said = self.in_time(explanation(response)).await.unwrap_or_default();
        Err(match status {
            StatusCode::NOT_FOUND => ImageError::NotFound(format!("{host} does not have {what}{said}")),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => self.denied(&said),
            StatusCode::TOO_MANY_REQUESTS => {
                ImageError::Refused(format!("{host} takes no more requests for now (429){said}"))
            }
            status => ImageError::Refused(format!("{host} answers {}{said}", status.as_u16())),
        })
    }

    fn denied(&self, said: &str) -> ImageError {
        let (host, repository) = (self.host(), &self.repository);
        ImageError::Denied(match self.credentials {
            Some(_) => format!("{host} refuses the credentials for {repository}{said}"),
            None => format!("{host} wants credentials for {repository}, or does not have it{said}"),
        })
    }
}

/// What a registry says about an error, bounded: `: TEXT`.
async fn explanation(response: Response) -> ImageResult<String> {
    #[derive(serde::Deserialize)]
    struct Answer {
        errors: Vec<One>,
    }
    #[derive(serde::Deserialize)]
    struct One {
        #[serde(default)]
        message: String,
    }
    let bytes = collect(response, 64 << 10, "").await?;
    let answer: Option<Answer> = serde_json::from_slice(&bytes).ok();
    let text = answer.and_then(|answer| answer.errors.into_iter().next()).map(|one| one.message);
    let text = text.unwrap_or_default().replace(|c: char| c.is_control(), " ");
    Ok(if text.is_empty() { text } else { format!(": {}", shortened(&text)) })
}

/// Reads a body that may not be longer than a limit.
async fn collect(mut response: Response, limit: u64, host: &str) -> ImageResult<Vec<u8>> {
    let too_long = || ImageError::Damaged(format!("{host} sent a document of more than {limit} bytes"));
    if response.content_length().is_some_and(|length| length > limit) {
        return Err(too_long());
    }
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| fault::of_body(&error, host))? {
        if (bytes.len() + chunk.len()) as u64 > limit {
            return Err(too_long());
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

fn client(rules: &Rules) -> ImageResult<reqwest::Client> {
    let mut builder = reqwest::Client::builder()
        .tls_backend_preconfigured(tls::config(rules.ca_file.as_deref())?)
        .connect_timeout(rules.connect_timeout)
        .read_timeout(rules.answer_timeout)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        // What is called so is this machine, whatever a name server says.
        .resolve_to_addrs("localhost", &[([127, 0, 0, 1], 0).into(), ([0, 0, 0, 0, 0, 0, 0, 1], 0).into()])
        .user_agent(concat!("pvect/", env!("CARGO_PKG_VERSION")));
    if let Some((proxy, without)) = &rules.proxy {
        let without = format!("localhost,127.0.0.0/8,::1,{without}");
        let proxy = reqwest::Proxy::https(proxy.as_str())
            .map_err(|_| ImageError::Settings("the proxy for HTTPS is not a URL".to_owned()))?;
        builder = builder.proxy(proxy.no_proxy(reqwest::NoProxy::from_string(&without)));
    }
    builder.build().map_err(|error| ImageError::Settings(format!("no HTTPS client can be made: {error}")))
}

fn range_begins_at(response: &Response, from: u64) -> bool {
    let range = response.headers().get(header::CONTENT_RANGE).and_then(|value| value.to_str().ok());
    let first =
        range.and_then(|range| range.strip_prefix("bytes ")).and_then(|range| range.split('-').next());
    first.and_then(|first| first.parse::<u64>().ok()) == Some(from)
}

fn same_origin(a: &Url, b: &Url) -> bool {
    a.scheme() == b.scheme()
        && a.host_str() == b.host_str()
        && a.port_or_known_default() == b.port_or_known_default()
}

fn host_of(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

fn origin(url: &Url) -> String {
    format!("{}://{}/", url.scheme(), host_of(url))
}

/// Whether a host is this machine, by its name or address.
fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}
