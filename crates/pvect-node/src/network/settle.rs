//! Waits until a server has read its tables again.

use std::net::{Ipv4Addr, UdpSocket};
use std::time::Duration;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(1);

/// Waits until a server that was just sent a signal answers by its new tables, as long as it answers at all.
///
/// The answer to the first question may still be of the old ones: when that is there, the signal is known to the server,
/// and comes before the next question.
pub fn settle(server: Ipv4Addr, domain: &str) {
    let asked = || -> std::io::Result<()> {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.connect((server, 53))?;
        socket.send(&question(domain))?;
        socket.recv(&mut [0; 512]).map(drop)
    };
    // Without an answer there is nothing to wait for: what it answers later is new.
    let _ = asked().and_then(|()| asked());
}

/// Asks for the address of a name of the domain, which the server asks nobody else for. Source: RFC 1035, section 4.1.
fn question(domain: &str) -> Vec<u8> {
    // An identifier, a query, one question, no records.
    let mut message = vec![0x70, 0x76, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in ["pvect"].into_iter().chain(domain.split('.')).filter(|label| !label.is_empty()) {
        message.push(u8::try_from(label.len()).unwrap_or(u8::MAX));
        message.extend_from_slice(label.as_bytes());
    }
    // The end of the name; type A, class IN.
    message.extend_from_slice(&[0, 0, 1, 0, 1]);
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_question_is_about_the_domain() {
        let question = question("lab.internal");
        assert_eq!(question[..12], [0x70, 0x76, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
        assert_eq!(&question[12..], b"\x05pvect\x03lab\x08internal\0\0\x01\0\x01");
    }
}
