//! Errors of the HTTP client, as what they mean for the request.

use pvect_core::ErrorKind;
use rustls::{CertificateError, InvalidMessage};

use crate::config::{Fingerprint, Host};
use crate::fault::Fault;

/// Judges an error of the HTTP client. `shown` is the fingerprint of a certificate that was not the pinned one.
pub(super) fn of_transport(error: &reqwest::Error, host: &Host, shown: Option<Fingerprint>) -> Fault {
    if let Some(text) = tls(error, host, shown) {
        return Fault::NeverSent(ErrorKind::ApiUntrusted, text);
    }
    // hyper only cancels requests that it has not started to write.
    let canceled = chain(error).filter_map(|error| error.downcast_ref::<hyper::Error>());
    if error.is_connect() || canceled.into_iter().any(hyper::Error::is_canceled) {
        let why = if error.is_timeout() { "no answer".to_owned() } else { innermost(error) };
        return Fault::NeverSent(ErrorKind::ApiUnreachable, format!("cannot connect to {host}: {why}"));
    }
    if error.is_timeout() {
        return Fault::MayHaveRun(
            ErrorKind::PctTimeout,
            format!("{host} took the request and did not answer in time"),
        );
    }
    Fault::MayHaveRun(ErrorKind::ConnectionLost, innermost(error))
}

fn tls(error: &reqwest::Error, host: &Host, shown: Option<Fingerprint>) -> Option<String> {
    let error = find(error)?;
    let is_other =
        matches!(error, rustls::Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure));
    if let Some(found) = shown.filter(|_| is_other) {
        return Some(format!("the certificate of {host} has another fingerprint: {found}"));
    }
    Some(match error {
        rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            format!("{host} does not speak TLS; is it a port of plain HTTP?")
        }
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) => format!(
            "nobody trusted here has signed the certificate of {host}: pin its fingerprint, or name the ca_file"
        ),
        rustls::Error::InvalidCertificate(
            CertificateError::Expired | CertificateError::ExpiredContext { .. },
        ) => {
            format!("the certificate of {host} has expired")
        }
        rustls::Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => format!("the certificate of {host} is for another name"),
        rustls::Error::InvalidCertificate(other) => {
            format!("the certificate of {host} is not valid: {other}")
        }
        other => format!("no TLS with {host}: {other}"),
    })
}

/// Returns an error and its sources, including those wrapped in I/O errors.
fn chain(error: &reqwest::Error) -> impl Iterator<Item = &(dyn std::error::Error + 'static)> {
    let first: &(dyn std::error::Error + 'static) = error;
    std::iter::successors(Some(first), |error| {
        let wrapped = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        match wrapped {
            Some(inner) => Some(inner),
            None => error.source(),
        }
    })
}

/// Finds the error of TLS.
fn find(error: &reqwest::Error) -> Option<&rustls::Error> {
    chain(error).find_map(|error| error.downcast_ref())
}

/// The root cause of an error, in our own words if those of the libraries are not for users.
fn innermost(error: &reqwest::Error) -> String {
    let closed = chain(error).any(|error| {
        error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_incomplete_message)
            || error
                .downcast_ref::<std::io::Error>()
                .is_some_and(|error| error.kind() == std::io::ErrorKind::UnexpectedEof)
    });
    if closed {
        return "the server closed it without an answer".to_owned();
    }
    let text = chain(error).last().map(ToString::to_string).unwrap_or_default();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}
