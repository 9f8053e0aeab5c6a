//! HTTPS: one request, one answer.

mod fault;
mod tls;

use std::sync::PoisonError;
use std::time::Duration;

use pvect_core::{Error, ErrorKind, Result};
use secrecy::ExposeSecret;

use crate::answer::{LONGEST, Raw};
use crate::config::{ApiConfig, Credentials, Host};
use crate::fault::{About, Fault};
use crate::request::{Method, Request, encode};
use crate::ticket::Ticket;
use tls::Shown;

/// How many connections to a host are kept open for the next reads.
const KEPT: usize = 8;

/// The connections to the servers.
pub(crate) struct Http {
    /// For reads: connections are kept and used again.
    reads: reqwest::Client,
    /// For everything else: a new connection for each request. If a server closed a kept connection at just that
    /// moment, nobody would know whether the request was carried out.
    writes: reqwest::Client,
    shown: Shown,
}

impl Http {
    /// Makes the clients; nothing is sent yet.
    ///
    /// # Errors
    /// [`Error::Settings`] when the trusted certificates cannot be read.
    pub(crate) fn new(config: &ApiConfig) -> Result<Self> {
        let shown = Shown::default();
        let tls = tls::config(&config.trust, &shown)?;
        let client = |kept: usize| {
            reqwest::Client::builder()
                .tls_backend_preconfigured(tls.clone())
                .connect_timeout(config.connect_timeout)
                .pool_max_idle_per_host(kept)
                .retry(reqwest::retry::never())
                .redirect(reqwest::redirect::Policy::none())
                .no_proxy()
                .https_only(true)
                .user_agent(concat!("pvect/", env!("CARGO_PKG_VERSION")))
                .build()
                .map_err(|error| Error::Settings { what: format!("no HTTPS client can be made: {error}") })
        };
        let (reads, writes) = (client(KEPT)?, client(0)?);
        Ok(Self { reads, writes, shown })
    }

    /// Sends a request once, to one host.
    ///
    /// # Errors
    /// Why no answer came, and whether the request may have been carried out.
    pub(crate) async fn send(
        &self,
        about: &About<'_>,
        credentials: &Credentials,
        ticket: Option<&Ticket>,
        limit: Duration,
    ) -> Result<Raw> {
        let builder = self.build(about.request, about.host, credentials, ticket, limit);
        let response = builder.send().await.map_err(|error| {
            let shown = *self.shown.lock().unwrap_or_else(PoisonError::into_inner);
            about.lost(fault::of_transport(&error, about.host, shown))
        })?;
        let status = response.status().as_u16();
        let reason = response
            .extensions()
            .get::<hyper::ext::ReasonPhrase>()
            .map(|phrase| String::from_utf8_lossy(phrase.as_bytes()).into_owned())
            .or_else(|| response.status().canonical_reason().map(str::to_owned))
            .unwrap_or_default();
        Ok(Raw { status, reason, bytes: collect(about, response).await? })
    }

    fn build(
        &self,
        request: &Request,
        host: &Host,
        credentials: &Credentials,
        ticket: Option<&Ticket>,
        limit: Duration,
    ) -> reqwest::RequestBuilder {
        let url = format!("https://{host}/api2/json{}", request.path);
        let http = if request.is_read() { &self.reads } else { &self.writes };
        let pairs = request.pairs();
        let mut builder = match request.method {
            Method::Get => http.get(url).query(&pairs),
            // For DELETE, the API only reads parameters from the query.
            Method::Delete => http.delete(url).query(&pairs),
            Method::Post => http.post(url).form(&pairs),
            Method::Put => http.put(url).form(&pairs),
        };
        builder = builder.timeout(limit);
        if let Credentials::Token(token) = credentials {
            let token = token.expose_secret().trim();
            let bare = token.strip_prefix("PVEAPIToken=").unwrap_or(token);
            builder =
                builder.header(reqwest::header::AUTHORIZATION, sensitive(&format!("PVEAPIToken={bare}")));
        }
        if let Some(ticket) = ticket {
            let cookie = format!("PVEAuthCookie={}", encode(ticket.cookie.expose_secret()));
            builder = builder.header(reqwest::header::COOKIE, sensitive(&cookie));
            if !request.is_read() {
                builder = builder.header("CSRFPreventionToken", sensitive(ticket.csrf.expose_secret()));
            }
        }
        builder
    }
}

/// A header that logs do not show. Text that cannot be a header is sent as an empty one, which the server refuses.
fn sensitive(text: &str) -> reqwest::header::HeaderValue {
    let mut value = reqwest::header::HeaderValue::from_str(text)
        .unwrap_or_else(|_| reqwest::header::HeaderValue::from_static(""));
    value.set_sensitive(true);
    value
}

async fn collect(about: &About<'_>, mut response: reqwest::Response) -> Result<Vec<u8>> {
    let too_long = |bytes: &[u8]| -> Error {
        about.invalid(format!("it is longer than {} MiB", LONGEST / 1024 / 1024), bytes)
    };
    let announced = response.content_length().unwrap_or(0);
    if announced > LONGEST as u64 {
        return Err(too_long(&[]));
    }
    let mut bytes = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if bytes.len() + chunk.len() > LONGEST => return Err(too_long(&bytes)),
            Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
            Ok(None) => return Ok(bytes),
            Err(error) if error.is_timeout() => {
                let text = format!("{} began to answer and did not end in time", about.host);
                return Err(about.lost(Fault::MayHaveRun(ErrorKind::PctTimeout, text)));
            }
            Err(_) => {
                let text = "the answer broke off".to_owned();
                return Err(about.lost(Fault::MayHaveRun(ErrorKind::ConnectionLost, text)));
            }
        }
    }
}
