//! Answers to challenges: name and password, or a token for them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use reqwest::{StatusCode, Url};
use secrecy::{ExposeSecret, SecretString};

use super::challenge::Challenge;
use super::{Repository, collect, fault, host_of};
use crate::digest::shortened;
use crate::{ImageError, ImageResult};

/// The largest answer with a token, in bytes.
const TOKEN_LIMIT: u64 = 1 << 20;

/// Who one is for a registry.
#[derive(Debug, Clone)]
pub enum Credentials {
    /// A name and a password.
    Password {
        /// The name.
        username: String,
        /// The password.
        password: SecretString,
    },
    /// A token that is changed for other tokens (docker's `identitytoken`).
    Identity(SecretString),
}

#[derive(serde::Deserialize)]
struct Answer {
    token: Option<SecretString>,
    access_token: Option<SecretString>,
}

impl Repository {
    /// Makes the header that a challenge wants.
    ///
    /// # Errors
    /// When there are no credentials, they are refused, or it would not be safe to send them.
    pub(super) async fn authorize(&self, headers: &HeaderMap) -> ImageResult<HeaderValue> {
        let challenges: Vec<Challenge> = headers
            .get_all(WWW_AUTHENTICATE)
            .iter()
            .filter_map(|value| Challenge::parse(value.to_str().ok()?))
            .collect();
        let bearer = challenges.iter().find(|one| matches!(one, Challenge::Bearer { .. }));
        match (bearer.or(challenges.first()), &self.credentials) {
            (Some(Challenge::Bearer { realm, service, scope }), _) => {
                self.token(realm, service.as_deref(), scope.as_deref()).await
            }
            (Some(Challenge::Basic), Some(Credentials::Password { username, password })) => {
                let pair = format!("{username}:{}", password.expose_secret());
                secret_header(&format!("Basic {}", STANDARD.encode(pair)))
            }
            (Some(Challenge::Basic), _) => Err(self.denied("")),
            (None, _) => {
                let text = format!("{} wants credentials of a kind that pvect does not know", self.host());
                Err(ImageError::Unsupported(text))
            }
        }
    }

    /// Gets a token from whom the registry names: by HTTPS only, unless the registry itself is spoken to by plain HTTP.
    async fn token(
        &self,
        realm: &str,
        service: Option<&str>,
        scope: Option<&str>,
    ) -> ImageResult<HeaderValue> {
        let mut url = Url::parse(realm)
            .map_err(|_| ImageError::Damaged(format!("{} names nobody who gives tokens", self.host())))?;
        self.check_scheme(&url, "sends for a token")?;
        let pull = format!("repository:{}:pull", self.repository);
        let scope = scope.unwrap_or(&pull);
        let giver = host_of(&url);
        let request = if let Some(Credentials::Identity(token)) = &self.credentials {
            let form = [
                ("grant_type", "refresh_token"),
                ("service", service.unwrap_or_default()),
                ("scope", scope),
                ("client_id", "pvect"),
                ("refresh_token", token.expose_secret()),
            ];
            self.http.post(url).form(&form)
        } else {
            url.query_pairs_mut().extend_pairs(service.map(|service| ("service", service)));
            url.query_pairs_mut().append_pair("scope", scope);
            match &self.credentials {
                Some(Credentials::Password { username, password }) => {
                    self.http.get(url).basic_auth(username, Some(password.expose_secret()))
                }
                _ => self.http.get(url),
            }
        };
        let response = request.send().await.map_err(|error| fault::of(&error, &giver))?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => return Err(self.denied("")),
            status => {
                let text = format!("{} answers {} instead of a token", shortened(&giver), status.as_u16());
                return Err(ImageError::Refused(text));
            }
        }
        let bytes = collect(response, TOKEN_LIMIT, &giver).await?;
        let answer: Option<Answer> = serde_json::from_slice(&bytes).ok();
        let token = answer.and_then(|answer| answer.token.or(answer.access_token));
        let token =
            token.ok_or_else(|| ImageError::Damaged(format!("there is no token in what {giver} answers")))?;
        secret_header(&format!("Bearer {}", token.expose_secret()))
    }
}

/// A header that no log shows.
fn secret_header(text: &str) -> ImageResult<HeaderValue> {
    let mut value = HeaderValue::from_str(text)
        .map_err(|_| ImageError::Denied("the credentials have characters that cannot be sent".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}
