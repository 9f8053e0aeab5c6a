//! From a request of HTTP to the endpoint that answers it.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, COOKIE};
use axum::http::{HeaderMap, Method, Request, Response};
use hyper::body::Incoming;
use pvect_node::Node;
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};

use crate::api::{self, Admitted, Asked, Endpoints, Reply, Run};
use crate::error::ServeError;
use crate::options::Options;
use crate::params::{Params, decode};
use crate::places::Shares;
use crate::refusal::{self, Refusal};
use crate::shared::{Shared, blocking};

/// The beginning of every path.
const BASE: &str = "/api2/json";
/// How many logins one address may have in progress, including refused ones whose answer is delayed.
const LOGINS_OF_ONE: usize = 4;
/// How many passwords are hashed at a time.
const HASHED_AT_A_TIME: usize = 2;
/// How long a login waits for its turn.
const LOGIN_PATIENCE: Duration = Duration::from_secs(15);

/// Answers requests.
pub(crate) struct Server {
    shared: Arc<Shared>,
    endpoints: Endpoints,
    logins: Shares,
    hashing: Semaphore,
}

/// How a request says who sends it.
enum Proof {
    Token(String),
    Ticket { ticket: String, csrf: Option<String> },
    None,
}

impl Server {
    pub(crate) fn new(node: Node, options: Options) -> Result<Self, ServeError> {
        Ok(Self {
            shared: Arc::new(Shared::new(node, options)?),
            endpoints: Endpoints::new(),
            logins: Shares::new(LOGINS_OF_ONE),
            hashing: Semaphore::new(HASHED_AT_A_TIME),
        })
    }

    pub(crate) fn options(&self) -> &Options {
        &self.shared.options
    }

    /// Answers one request, whatever it is.
    pub(crate) async fn answer(self: Arc<Self>, request: Request<Incoming>, peer: IpAddr) -> Response<Body> {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let answer = match Arc::clone(&self).handle(request, peer).await {
            Ok(answer) => answer,
            Err(refusal) => refusal.answer(),
        };
        tracing::info!(%peer, %method, path, status = answer.status().as_u16(), "request");
        answer
    }

    async fn handle(
        self: Arc<Self>,
        request: Request<Incoming>,
        peer: IpAddr,
    ) -> Result<Response<Body>, Refusal> {
        let (head, body) = request.into_parts();
        let body = Body::new(body);
        let Some(path) = relative(head.uri.path()) else {
            return Err(Refusal::not_implemented(head.method.as_str(), head.uri.path()));
        };
        let path = path.to_owned();
        let query = Params::of_form(head.uri.query().unwrap_or_default().as_bytes())?;
        if head.method == Method::POST && path == "/access/ticket" {
            let mut params = self.read_body(&head.headers, body).await?;
            params.merge(query)?;
            return self.login(params, peer).await.map(|data| refusal::data(&data));
        }
        let who = {
            let (server, headers, method) = (Arc::clone(&self), head.headers.clone(), head.method.clone());
            match blocking(move || server.authenticate(&headers, &method)).await {
                Ok(who) => who,
                Err(refusal) => {
                    sleep(self.shared.options.refusal_delay).await;
                    return Err(refusal);
                }
            }
        };
        let (run, place) = self
            .endpoints
            .find(head.method.as_str(), &path)?
            .ok_or_else(|| Refusal::not_implemented(head.method.as_str(), &path))?;
        let mut asked = Asked { shared: Arc::clone(&self.shared), who, place, params: Params::default() };
        let run = match run {
            Run::Upload => {
                asked.params = query;
                asked.params.agree(&asked.place)?;
                return api::upload(asked, &head.headers, body).await.map(|data| refusal::data(&data));
            }
            Run::Answer(run) => run,
        };
        if matches!(head.method, Method::POST | Method::PUT) {
            asked.params = self.read_body(&head.headers, body).await?;
        }
        asked.params.merge(query)?;
        asked.params.agree(&asked.place)?;
        let user = asked.who.clone();
        let reply = blocking(move || run(&asked)).await?;
        match reply {
            Reply::Data(data) => Ok(refusal::data(&data)),
            Reply::Total(data, total) => Ok(refusal::data_and(&data, "total", total.into())),
            Reply::Work(call) => self.shared.workers.run(&user, &call).await.map(|data| refusal::data(&data)),
            Reply::Job(job) => self.shared.workers.start(job).await.map(|data| refusal::data(&data)),
        }
    }

    async fn read_body(&self, headers: &HeaderMap, body: Body) -> Result<Params, Refusal> {
        let read = timeout(self.shared.options.body, to_bytes(body, self.shared.options.body_limit)).await;
        let bytes = match read {
            Err(_) => return Err(Refusal::new(408, "the body did not arrive in time")),
            Ok(Err(_)) => {
                let limit = self.shared.options.body_limit;
                return Err(Refusal::new(413, format!("the body broke off or is longer than {limit} bytes")));
            }
            Ok(Ok(bytes)) => bytes,
        };
        let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if bytes.is_empty() {
            return Ok(Params::default());
        }
        match kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
            "application/json" => Params::of_json(&bytes),
            "application/x-www-form-urlencoded" | "" => Params::of_form(&bytes),
            other => Err(Refusal::new(501, format!("upload of '{other}' not implemented"))),
        }
    }

    fn authenticate(&self, headers: &HeaderMap, method: &Method) -> Result<String, Refusal> {
        match proof(headers) {
            Proof::Token(text) => self.shared.users.check_secret(&text).map_err(Refusal::unauthorized),
            Proof::Ticket { ticket, csrf } => {
                let invalid = || Refusal::unauthorized("permission denied - invalid PVE ticket");
                let login = self.shared.tickets.check(&ticket, |user| self.shared.users.known_hash(user));
                let login = login.map_err(|error| {
                    // The client is not authenticated yet, so it learns no more than this.
                    tracing::error!(%error, "users");
                    Refusal::failed("the users cannot be read")
                })?;
                let user = login.ok_or_else(invalid)?.user;
                match self.shared.users.refusal_of(&user) {
                    Ok(None) => {}
                    Ok(Some(text)) => return Err(Refusal::unauthorized(text)),
                    Err(error) => return Err(Refusal::failed(error.to_string())),
                }
                let changes = !matches!(*method, Method::GET | Method::HEAD);
                if changes && !csrf.is_some_and(|csrf| self.shared.tickets.check_csrf(&user, &csrf)) {
                    return Err(Refusal::unauthorized("Permission denied - invalid csrf token"));
                }
                Ok(user)
            }
            Proof::None => Err(Refusal::unauthorized("No ticket")),
        }
    }

    /// A client that hangs up does not end its login: its turn lasts as long as the work.
    async fn login(self: Arc<Self>, params: Params, peer: IpAddr) -> Result<Value, Refusal> {
        let work = tokio::spawn(self.admit(params, peer));
        work.await.unwrap_or_else(|_| Err(Refusal::failed("internal error")))
    }

    /// One address cannot try many passwords at a time, and all together cannot use up the CPU.
    async fn admit(self: Arc<Self>, params: Params, peer: IpAddr) -> Result<Value, Refusal> {
        let _turn = self.login_turn(peer).await?;
        let done = {
            let _hashing = self.hashing.acquire().await;
            let shared = Arc::clone(&self.shared);
            blocking(move || api::check_login(&shared.users, &shared.tickets, &params)).await
        };
        match done {
            Ok(Admitted { user, login, hash }) => Ok(serde_json::json!({
                "username": user,
                "ticket": self.shared.tickets.ticket(&user, login, hash.as_deref()),
                "CSRFPreventionToken": self.shared.tickets.csrf(&user),
                "clustername": "",
                "cap": api::capabilities(&self.shared.users, &user)?,
            })),
            Err(refusal) => {
                if refusal.status == 401 {
                    tracing::warn!(%peer, "authentication failure");
                    sleep(self.shared.options.refusal_delay).await;
                }
                Err(refusal)
            }
        }
    }

    async fn login_turn(&self, peer: IpAddr) -> Result<OwnedSemaphorePermit, Refusal> {
        let turns = self.logins.of(peer);
        match timeout(LOGIN_PATIENCE, turns.acquire_owned()).await {
            Ok(Ok(turn)) => Ok(turn),
            _ => Err(Refusal::new(429, "too many logins at a time")),
        }
    }
}

/// The path below [`BASE`]; more than one slash counts as one.
fn relative(path: &str) -> Option<&str> {
    let rest = path.strip_prefix(BASE)?;
    match rest {
        "" => Some("/"),
        _ if rest.starts_with('/') => Some(rest),
        _ => None,
    }
}

fn proof(headers: &HeaderMap) -> Proof {
    let authorization = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if let Some(token) = authorization.strip_prefix("PVEAPIToken=") {
        return Proof::Token(token.trim().to_owned());
    }
    let cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let ticket = cookies
        .flat_map(|line| line.split(';'))
        .find_map(|cookie| cookie.trim().strip_prefix("PVEAuthCookie="))
        .or_else(|| authorization.strip_prefix("PVEAuthCookie="))
        .and_then(|text| decode(text.trim_matches('"').as_bytes(), false).ok());
    let csrf = headers.get("CSRFPreventionToken").and_then(|value| value.to_str().ok());
    match ticket.filter(|ticket| !ticket.is_empty()) {
        Some(ticket) => Proof::Ticket { ticket, csrf: csrf.map(str::to_owned) },
        None => Proof::None,
    }
}
