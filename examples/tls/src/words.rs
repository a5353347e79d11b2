//! What is wrong, in words.

use std::io::{self, ErrorKind};

use rustls::{AlertDescription, CertificateError, Error};

/// Says what happened, and what helps, of an error that comes from `rustls`; gives others back as they are.
pub fn explain(error: io::Error) -> io::Error {
    let Some(reason) = reason(&error) else {
        // What it says of this is long, and for who writes programs.
        return if error.kind() == ErrorKind::UnexpectedEof { error.kind().into() } else { error };
    };
    let denied = ErrorKind::PermissionDenied;
    let (kind, words) = match reason {
        Error::InvalidCertificate(certificate) => about(certificate),
        Error::InvalidMessage(_) => (denied, "the server speaks no TLS there".into()),
        Error::AlertReceived(AlertDescription::CertificateRequired) => {
            (denied, "the server wants a certificate of this end: give --certificate FILE and --key FILE".into())
        }
        // What older versions say who want a certificate.
        Error::AlertReceived(AlertDescription::HandshakeFailure) => (
            denied,
            "the server ends the handshake: it wants --certificate FILE and --key FILE, or only ciphers that are not safe"
                .into(),
        ),
        Error::AlertReceived(
            alert @ (AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied),
        ) => (denied, format!("the server does not take the certificate of this end: {alert:?}")),
        Error::AlertReceived(AlertDescription::ProtocolVersion) | Error::PeerIncompatible(_) => {
            (denied, format!("the server has only versions or ciphers of TLS that are not safe: {reason}"))
        }
        other => (ErrorKind::InvalidData, other.to_string()),
    };
    io::Error::new(kind, words)
}

/// [`explain`]s the error of a client that is built on `rustls`, if that is why it failed.
pub fn explain_cause(error: &(dyn std::error::Error + 'static)) -> Option<io::Error> {
    let mut reasons = causes(error).filter_map(|cause| match cause.downcast_ref::<io::Error>() {
        Some(error) => reason(error),
        None => cause.downcast_ref::<Error>(),
    });
    reasons.next().map(|reason| explain(io::Error::other(reason.clone())))
}

/// The last cause of an error: it says why that failed which a client says that it did.
pub fn last_cause<'a>(error: &'a (dyn std::error::Error + 'static)) -> &'a (dyn std::error::Error + 'static) {
    causes(error).last().unwrap_or(error)
}

fn causes<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'a (dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error), |cause| cause.source())
}

/// [`explain`]s why a handshake failed, with a server that may speak the `plain` scheme alone.
pub(crate) fn greeting_failed(error: io::Error, plain: &str) -> io::Error {
    let advice = format!("the server speaks no TLS there: give the port where it does, or {plain}://");
    match (reason(&error), error.kind()) {
        (Some(Error::InvalidMessage(_)), _) => io::Error::new(ErrorKind::PermissionDenied, advice),
        (None, ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => {
            io::Error::new(ErrorKind::PermissionDenied, format!("it hung up when it was greeted; {advice}"))
        }
        (None, ErrorKind::WouldBlock | ErrorKind::TimedOut) => io::Error::new(
            ErrorKind::TimedOut,
            "the server does not answer to a greeting of TLS: does it speak that there?",
        ),
        _ => explain(error),
    }
}

/// Whether it was a server that speaks TLS with which a handshake failed.
pub(crate) fn is_tls(error: &io::Error) -> bool {
    reason(error).is_some_and(|reason| !matches!(reason, Error::InvalidMessage(_)))
}

fn reason(error: &io::Error) -> Option<&Error> {
    error.get_ref()?.downcast_ref()
}

fn about(certificate: &CertificateError) -> (ErrorKind, String) {
    const DAY: u64 = 86_400;
    let words = match certificate {
        CertificateError::UnknownIssuer => {
            "the server's certificate is of a CA that is not trusted here: give that CA by --ca FILE".into()
        }
        CertificateError::NotValidForNameContext { expected, presented } => {
            // Each comes as `DnsName("plant.example")` or `IpAddress(127.0.0.1)`.
            let names = presented.iter().map(|it| it.split(['(', ')']).nth(1).unwrap_or(it).trim_matches('"'));
            let names = names.collect::<Vec<_>>().join(", ");
            let names = if names.is_empty() { "no name at all" } else { &names };
            format!("the server's certificate is for {names}, and not for {}", expected.to_str())
        }
        CertificateError::ExpiredContext { time, not_after } => {
            let days = time.as_secs().saturating_sub(not_after.as_secs()).div_ceil(DAY);
            format!("the server's certificate has expired {days} days ago, by the clock of this machine")
        }
        CertificateError::NotValidYetContext { time, not_before } => {
            let days = not_before.as_secs().saturating_sub(time.as_secs()).div_ceil(DAY);
            let words =
                format!("the server's certificate is valid in {days} days only: is the clock of this machine right?");
            return (ErrorKind::Other, words);
        }
        CertificateError::Other(other) if other.to_string() == "CaUsedAsEndEntity" => {
            "the server's certificate is that of a CA: let the CA sign one for the server".into()
        }
        other => format!("the server's certificate is no good: {other}"),
    };
    (ErrorKind::PermissionDenied, words)
}
