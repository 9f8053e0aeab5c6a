//! Requests, their hosts and their credentials.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use pvect_core::error::Run;
use pvect_core::schema::TimeClass;
use pvect_core::{Call, Error, ErrorKind, Result, Verb, Vmid};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use tokio::sync::Mutex;
use tracing::Instrument;

use crate::answer;
use crate::config::{ApiConfig, Credentials, Host};
use crate::fault::{About, Fault};
use crate::http::Http;
use crate::request::Request;
use crate::ticket::{self, Answer, Ticket};

/// How often a read is tried again after a lost connection or a node that could not be reached.
const READS_AGAIN: u32 = 2;
/// The pause before the first repetition; it doubles each time.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// A client of the API. Clones share connections and ticket.
#[derive(Clone)]
pub struct Api {
    inner: Arc<Inner>,
}

struct Inner {
    config: ApiConfig,
    http: Http,
    /// The host that answered last.
    host: AtomicUsize,
    ticket: Mutex<Option<Ticket>>,
}

impl std::fmt::Debug for Api {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Api").field("config", &self.inner.config).finish_non_exhaustive()
    }
}

/// What a request is for: it decides the time limit and what errors are about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Purpose {
    pub(crate) limit: Duration,
    /// When the time limit started.
    pub(crate) began: Instant,
    pub(crate) verb: Option<Verb>,
    pub(crate) vmid: Option<Vmid>,
}

impl Purpose {
    /// How much time is left. Everything that is done for one purpose shares it: logins, other hosts, repeated reads,
    /// the task and its log.
    pub(crate) fn left(&self) -> Duration {
        self.limit.saturating_sub(self.began.elapsed())
    }
}

impl Api {
    /// Makes a client; nothing is sent yet.
    ///
    /// # Errors
    /// [`Error::Settings`] when there are no hosts, or when the trusted certificates cannot be read.
    pub fn new(config: ApiConfig) -> Result<Self> {
        if config.hosts.is_empty() {
            return Err(Error::Settings { what: "the API has no hosts".to_owned() });
        }
        let http = Http::new(&config)?;
        let inner = Inner { config, http, host: AtomicUsize::new(0), ticket: Mutex::new(None) };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Returns how the API is reached.
    pub fn config(&self) -> &ApiConfig {
        &self.inner.config
    }

    /// Sends a request and returns the `data` of the answer. Reads are repeated after a failure. Anything else is only
    /// repeated if it was certainly not sent.
    ///
    /// # Errors
    /// See [`ErrorKind`]: `ApiUnreachable`, `ApiUntrusted` and `ApiUnauthenticated` mean that nothing has happened,
    /// [`Error::ConnectionLost`] says whether something may have.
    pub async fn send(&self, request: &Request) -> Result<Value> {
        let class = if request.is_read() { TimeClass::Read } else { TimeClass::Quick };
        let limit = self.inner.config.limit(class);
        let purpose = Purpose { limit, began: Instant::now(), verb: None, vmid: None };
        self.send_for(request, purpose).await
    }

    /// Waits until the user interrupts.
    pub(crate) async fn interrupted(&self) {
        if let Some(mut count) = self.inner.config.interrupted.clone() {
            if count.wait_for(|count| *count > 0).await.is_ok() {
                return;
            }
        }
        // Nothing can interrupt it.
        std::future::pending::<()>().await;
    }

    /// The error of an interrupted request: a read has changed nothing.
    fn cut_short(&self, request: &Request, purpose: Purpose) -> Error {
        let run = Box::new(Run { argv: vec![request.to_string()], ..Run::default() });
        if request.is_read() {
            let message = "interrupted before the API had answered".to_owned();
            return Error::Failed { kind: ErrorKind::PctTimeout, message, vmid: purpose.vmid, run };
        }
        let host = self.inner.config.hosts.first().map(ToString::to_string).unwrap_or_default();
        let what = "interrupted before the API had answered".to_owned();
        Error::ConnectionLost { node: host, may_have_run: true, what, vmid: purpose.vmid, run }
    }

    /// The purpose of a call.
    pub(crate) fn purpose(&self, call: &Call) -> Purpose {
        let verb = call.verb();
        let limit = self.inner.config.limit(verb.spec().time);
        Purpose { limit, began: Instant::now(), verb: Some(verb), vmid: call.vmid() }
    }

    pub(crate) async fn send_for(&self, request: &Request, purpose: Purpose) -> Result<Value> {
        tokio::select! {
            biased;
            () = self.interrupted() => Err(self.cut_short(request, purpose)),
            answer = self.send_until(request, purpose) => answer,
        }
    }

    async fn send_until(&self, request: &Request, purpose: Purpose) -> Result<Value> {
        let span = tracing::info_span!("api", request = %request);
        let mut pause = FIRST_PAUSE;
        let mut again = if request.is_read() { READS_AGAIN } else { 0 };
        async {
            loop {
                let error = match self.with_proof(request, purpose).await {
                    Ok(data) => return Ok(data),
                    Err(error) => error,
                };
                let passes = matches!(error.kind(), ErrorKind::ConnectionLost | ErrorKind::NodeUnreachable);
                if !passes || again == 0 || pause > purpose.left() {
                    return Err(error);
                }
                tracing::debug!(%error, "again");
                again -= 1;
                tokio::time::sleep(pause.mul_f64(jitter())).await;
                pause *= 2;
            }
        }
        .instrument(span)
        .await
    }

    /// Sends with a ticket or token. A ticket that is no longer accepted is replaced once, which is safe because
    /// nothing has happened.
    async fn with_proof(&self, request: &Request, purpose: Purpose) -> Result<Value> {
        let Credentials::Password { user, password, .. } = &self.inner.config.credentials else {
            return self.somewhere(request, None, purpose).await;
        };
        let ticket = self.ticket(user, password, purpose, None).await?;
        let done = self.somewhere(request, Some(&ticket), purpose).await;
        match done {
            Err(error) if error.kind() == ErrorKind::ApiUnauthenticated => {
                let ticket = self.ticket(user, password, purpose, Some(&ticket)).await?;
                self.somewhere(request, Some(&ticket), purpose).await
            }
            done => done,
        }
    }

    /// Returns the ticket: the present one, a renewed one, or a new one. `refused` is one that the server did not
    /// accept.
    async fn ticket(
        &self,
        user: &str,
        password: &SecretString,
        purpose: Purpose,
        refused: Option<&Ticket>,
    ) -> Result<Ticket> {
        let mut held = self.inner.ticket.lock().await;
        let is_refused = |held: &Ticket| {
            refused.is_some_and(|refused| held.cookie.expose_secret() == refused.cookie.expose_secret())
        };
        held.take_if(|held| is_refused(held));
        if let Some(ticket) = &*held {
            if !ticket.is_old(self.inner.config.renew_after) {
                return Ok(ticket.clone());
            }
            let renewed = self.somewhere(&ticket::ask(user, &ticket.cookie), None, purpose).await;
            if let Ok(Answer::Ticket(ticket)) = renewed.and_then(|data| ticket::read(&data)) {
                return Ok(held.insert(ticket).clone());
            }
        }
        let data = self.somewhere(&ticket::ask(user, password), None, purpose).await?;
        let ticket = match ticket::read(&data)? {
            Answer::Ticket(ticket) => ticket,
            Answer::Challenge(challenge) => {
                let Credentials::Password { code, .. } = &self.inner.config.credentials else {
                    return Err(Error::Settings { what: "a token was asked for a one-time code".to_owned() });
                };
                let answer = ticket::second(user, challenge, code.as_ref())?;
                match ticket::read(&self.somewhere(&answer, None, purpose).await?)? {
                    Answer::Ticket(ticket) => ticket,
                    Answer::Challenge(_) => {
                        return Err(Error::InvalidOutput {
                            what: "the server asks for one factor after the other".to_owned(),
                            run: Box::default(),
                        });
                    }
                }
            }
        };
        Ok(held.insert(ticket).clone())
    }

    /// Sends to the host that answered last, and to the others when it was certainly not sent.
    async fn somewhere(&self, request: &Request, ticket: Option<&Ticket>, purpose: Purpose) -> Result<Value> {
        let hosts = &self.inner.config.hosts;
        let first = self.inner.host.load(Ordering::Relaxed);
        let mut failed = None;
        for step in 0..hosts.len() {
            if failed.is_some() && purpose.left().is_zero() {
                break;
            }
            let index = (first + step) % hosts.len();
            let error = match self.once(request, ticket, &hosts[index], purpose).await {
                Ok(data) => {
                    self.inner.host.store(index, Ordering::Relaxed);
                    return Ok(data);
                }
                Err(error) => error,
            };
            let goes_on = match error.kind() {
                ErrorKind::ApiUnreachable => true,
                // Another node may reach a node that this one does not.
                ErrorKind::ConnectionLost | ErrorKind::NodeUnreachable => request.is_read(),
                _ => false,
            };
            if !goes_on {
                return Err(error);
            }
            tracing::debug!(host = %hosts[index], %error, "next host");
            failed.get_or_insert(error);
        }
        Err(failed.unwrap_or_else(|| Error::Settings { what: "the API has no hosts".to_owned() }))
    }

    async fn once(
        &self,
        request: &Request,
        ticket: Option<&Ticket>,
        host: &Host,
        purpose: Purpose,
    ) -> Result<Value> {
        let about = About { request, host, verb: purpose.verb, vmid: purpose.vmid };
        let left = purpose.left();
        if left.is_zero() {
            let text = format!("no time was left to ask {host}");
            return Err(about.lost(Fault::NeverSent(ErrorKind::PctTimeout, text)));
        }
        let credentials = &self.inner.config.credentials;
        answer::read(&about, &self.inner.http.send(&about, credentials, ticket, left).await?)
    }
}

/// 0.5 to 1.5, so that clients that failed at the same time do not all try again at the same time.
fn jitter() -> f64 {
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.subsec_nanos());
    0.5 + f64::from(nanos % 1000) / 1000.0
}
