//! Where the API is, who asks, and which certificate is trusted.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use pvect_core::schema::TimeClass;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use secrecy::SecretString;
use sha2::{Digest, Sha256};
use tokio::sync::watch;

/// The port of the API.
pub const DEFAULT_PORT: u16 = 8006;

/// A host of the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// Its name or address.
    pub name: String,
    /// Its port.
    pub port: u16,
}

impl Host {
    /// Reads `NAME`, `NAME:PORT`, `[ADDRESS]:PORT` or an IPv6 address; without a port, `port` is used.
    ///
    /// # Errors
    /// For an empty name, and for an invalid port.
    pub fn parse(text: &str, port: u16) -> Result<Self, String> {
        let wrong = || format!("'{text}' is not a host: NAME, NAME:PORT or [IPV6]:PORT");
        let (name, tail) = match text.strip_prefix('[') {
            Some(rest) => {
                let (name, tail) = rest.split_once(']').ok_or_else(wrong)?;
                (name, if tail.is_empty() { None } else { Some(tail.strip_prefix(':').ok_or_else(wrong)?) })
            }
            None if text.matches(':').count() > 1 => (text, None),
            None => text.split_once(':').map_or((text, None), |(name, tail)| (name, Some(tail))),
        };
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '%');
        if name.is_empty() || !name.chars().all(allowed) {
            return Err(wrong());
        }
        let port = tail.map_or(Ok(port), str::parse).map_err(|_| wrong())?;
        Ok(Self { name: name.to_owned(), port })
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.name.contains(':') {
            write!(f, "[{}]:{}", self.name, self.port)
        } else {
            write!(f, "{}:{}", self.name, self.port)
        }
    }
}

/// The SHA-256 of a certificate.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint(pub [u8; 32]);

impl Fingerprint {
    /// Returns that of the first certificate in a PEM file; `None` when there is none.
    pub fn of_pem(bytes: &[u8]) -> Option<Self> {
        let certificate = CertificateDer::from_pem_slice(bytes).ok()?;
        Some(Self(Sha256::digest(certificate.as_ref()).into()))
    }
}

impl FromStr for Fingerprint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("'{text}' is not a SHA-256 fingerprint: 64 hex digits, with or without colons");
        let digits: String = text.chars().filter(|c| *c != ':').collect();
        if digits.len() != 64 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(wrong());
        }
        let mut bytes = [0_u8; 32];
        for (index, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&digits[2 * index..2 * index + 2], 16).map_err(|_| wrong())?;
        }
        Ok(Self(bytes))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes: Vec<String> = self.0.iter().map(|byte| format!("{byte:02X}")).collect();
        f.write_str(&bytes.join(":"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Which certificate is trusted. There is no way to trust all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Trust {
    /// Those that the system's certificate authorities signed.
    #[default]
    System,
    /// Those that an authority in this PEM file signed.
    CaFile(PathBuf),
    /// This one certificate, whoever signed it and whatever names it has.
    Fingerprint(Fingerprint),
}

/// Asks somebody for a one-time code.
#[derive(Clone)]
pub struct OneTimeCode(Arc<Ask>);

type Ask = dyn Fn(&str) -> pvect_core::Result<SecretString> + Send + Sync;

impl OneTimeCode {
    /// Takes the function that asks; it gets the user's name.
    pub fn new(ask: impl Fn(&str) -> pvect_core::Result<SecretString> + Send + Sync + 'static) -> Self {
        Self(Arc::new(ask))
    }

    pub(crate) fn ask(&self, user: &str) -> pvect_core::Result<SecretString> {
        (self.0)(user)
    }
}

impl fmt::Debug for OneTimeCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OneTimeCode")
    }
}

/// Who asks.
#[derive(Clone)]
pub enum Credentials {
    /// `user@realm!id=secret`.
    Token(SecretString),
    /// A user and password, for which the server hands out a ticket of two hours.
    Password {
        /// `user@realm`.
        user: String,
        /// The password.
        password: SecretString,
        /// Asks for a second factor, if the server wants one.
        code: Option<OneTimeCode>,
    },
}

impl Credentials {
    /// Returns the user with the token's id, without the secret.
    pub fn name(&self) -> String {
        use secrecy::ExposeSecret;
        match self {
            Self::Token(token) => {
                let token = token.expose_secret();
                let bare = token.strip_prefix("PVEAPIToken=").unwrap_or(token);
                bare.split('=').next().unwrap_or_default().to_owned()
            }
            Self::Password { user, .. } => user.clone(),
        }
    }

    /// Returns whether this is the literal user `root@pam`: no token ever is, not even one of root.
    pub fn is_root(&self) -> bool {
        matches!(self, Self::Password { user, .. } if user == "root@pam")
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials({})", self.name())
    }
}

/// How the API is reached.
#[derive(Debug, Clone)]
pub struct ApiConfig {
    /// Hosts, tried in order; any node of a cluster can answer for all.
    pub hosts: Vec<Host>,
    /// Who asks.
    pub credentials: Credentials,
    /// Which certificate is trusted.
    pub trust: Trust,
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// One limit for every verb, instead of the limits by class.
    pub timeout: Option<Duration>,
    /// How long to keep the list of which container is on which node.
    pub node_cache: Duration,
    /// The age at which a ticket is renewed. Source: tickets of pve-access-control live for two hours.
    pub renew_after: Duration,
    /// How long to go on watching a task if no answer comes; the task itself goes on.
    pub patience: Duration,
    /// How often the user has interrupted: more than 0 ends the wait. A task itself goes on.
    pub interrupted: Option<watch::Receiver<u32>>,
}

impl ApiConfig {
    /// Starts with hosts and credentials; the system's authorities, 5 s to connect, nodes kept for 60 s,
    /// tickets renewed after 90 minutes, tasks watched for 60 s without an answer.
    pub fn new(hosts: Vec<Host>, credentials: Credentials) -> Self {
        Self {
            hosts,
            credentials,
            trust: Trust::default(),
            connect_timeout: Duration::from_secs(5),
            timeout: None,
            node_cache: Duration::from_secs(60),
            renew_after: Duration::from_secs(90 * 60),
            patience: Duration::from_secs(60),
            interrupted: None,
        }
    }

    /// Returns how long a verb may take, its task included.
    pub(crate) fn limit(&self, class: TimeClass) -> Duration {
        self.timeout.unwrap_or(match class {
            TimeClass::Read => Duration::from_secs(30),
            TimeClass::Quick => Duration::from_secs(60),
            TimeClass::Long | TimeClass::Unbounded => Duration::from_secs(30 * 60),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_read() {
        for (text, shown) in [
            ("pve1", "pve1:8006"),
            ("pve1.example.com:443", "pve1.example.com:443"),
            ("192.0.2.1", "192.0.2.1:8006"),
            ("2001:db8::1", "[2001:db8::1]:8006"),
            ("[2001:db8::1]:443", "[2001:db8::1]:443"),
            ("[::1]", "[::1]:8006"),
        ] {
            assert_eq!(
                Host::parse(text, DEFAULT_PORT).map(|host| host.to_string()),
                Ok(shown.to_owned()),
                "{text}"
            );
        }
        for text in ["", ":8006", "pve1:", "pve1:70000", "https://pve1", "[::1", "[::1]x", "a/b"] {
            assert_eq!(
                Host::parse(text, DEFAULT_PORT),
                Err(format!("'{text}' is not a host: NAME, NAME:PORT or [IPV6]:PORT"))
            );
        }
    }

    #[test]
    fn fingerprints_are_read() {
        let text = "AB:".repeat(31) + "cd";
        let fingerprint: Fingerprint = text.parse().unwrap();
        assert_eq!(fingerprint.to_string(), text.to_uppercase());
        assert_eq!(text.replace(':', "").parse(), Ok(fingerprint));
        assert_eq!(
            "AB:CD".parse::<Fingerprint>(),
            Err("'AB:CD' is not a SHA-256 fingerprint: 64 hex digits, with or without colons".to_owned())
        );
    }

    #[test]
    fn secrets_stay_hidden() {
        let token = Credentials::Token("root@pam!ci=hunter22".to_owned().into());
        assert_eq!(format!("{token:?}"), "Credentials(root@pam!ci)");
        assert!(!token.is_root());
        let password = |user: &str| Credentials::Password {
            user: user.to_owned(),
            password: "hunter22".to_owned().into(),
            code: None,
        };
        assert_eq!(format!("{:?}", password("root@pam")), "Credentials(root@pam)");
        assert!(password("root@pam").is_root());
        assert!(!password("root@pve").is_root());
    }
}
