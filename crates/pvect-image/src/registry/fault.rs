//! Errors of the HTTP client, as what they mean.

use crate::ImageError;

/// Judges what kept an answer from coming.
pub(super) fn of(error: &reqwest::Error, host: &str) -> ImageError {
    if let Some(tls) = find_tls(error) {
        let certificate = matches!(tls, rustls::Error::InvalidCertificate(_));
        let text = if certificate {
            format!("the certificate of {host} is not trusted: {tls}")
        } else {
            format!("no TLS with {host}: {tls}")
        };
        return if certificate { ImageError::Untrusted(text) } else { ImageError::Unreachable(text) };
    }
    if error.is_timeout() {
        return ImageError::TimedOut(format!("{host} did not answer in time"));
    }
    if error.is_connect() {
        return ImageError::Unreachable(format!("cannot connect to {host}: {}", innermost(error)));
    }
    ImageError::Broken(format!("the connection to {host} was lost: {}", innermost(error)))
}

/// Judges what ended an answer too early.
pub(super) fn of_body(error: &reqwest::Error, host: &str) -> ImageError {
    if error.is_timeout() {
        return ImageError::TimedOut(format!("{host} began to answer and did not go on"));
    }
    ImageError::Broken(format!("the answer of {host} broke off"))
}

/// The error and those below it, also those that errors of I/O wrap.
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

fn find_tls(error: &reqwest::Error) -> Option<&rustls::Error> {
    chain(error).find_map(|error| error.downcast_ref())
}

fn innermost(error: &reqwest::Error) -> String {
    let text = chain(error).last().map(ToString::to_string).unwrap_or_default();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}
