//! The server that a command line names.

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::Duration;

use iot_link::{Options, invalid};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use crate::stream::Stream;
use crate::trust::Trust;
use crate::words::{greeting_failed, is_tls};

/// The option of an application that names a file of CAs.
pub const CA: (&str, &str) =
    ("ca", "FILE         the CA that signed the server's certificate, in PEM; by default those of the system");
/// The option that names the certificate of this client.
pub const CERTIFICATE: (&str, &str) =
    ("certificate", "FILE  a certificate of this end, in PEM, for a server that asks for one");
/// The option that names the key of that certificate.
pub const KEY: (&str, &str) = ("key", "FILE        the key of that certificate");

/// How an address may begin, and the port that it means if it names none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scheme(pub &'static str, pub u16);

/// Where to connect to, with TLS or without. Nothing is connected yet.
#[derive(Clone, Debug)]
pub struct Server {
    address: String,
    /// The scheme that was given or meant, and the other one.
    scheme: Scheme,
    other: Scheme,
    trust: Option<Trust>,
    /// Whose certificate it must be, if not that of the address.
    name: Option<ServerName<'static>>,
}

impl Server {
    /// What `--server` says: `HOST`, `HOST:PORT`, or one of these after either scheme and `://`. Without a scheme it is the
    /// plain one.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](ErrorKind::InvalidInput) for another scheme, an odd port, or what [`Trust::of`] cannot read.
    pub fn of(options: &Options, plain: Scheme, secure: Scheme) -> io::Result<Self> {
        let server = &*options.server;
        let (rest, used, other) = match server.split_once("://") {
            None => (server, plain, secure),
            Some((name, rest)) if name == plain.0 => (rest, plain, secure),
            Some((name, rest)) if name == secure.0 => (rest, secure, plain),
            Some((name, _)) => {
                let (plain, secure) = (plain.0, secure.0);
                return Err(invalid(format!(
                    "{server}: no {name} here; give {plain}://HOST:PORT or {secure}://HOST:PORT"
                )));
            }
        };
        let rest = rest.trim_end_matches('/');
        let address = match rest.rsplit_once(':').filter(|(host, _)| !host.contains(':') || host.ends_with(']')) {
            _ if rest.is_empty() || rest.contains('/') => {
                return Err(invalid(format!("{server}: that is no HOST:PORT")));
            }
            Some((_, port)) if port.parse::<u16>().is_err() => {
                return Err(invalid(format!("{server}: {port} is no port")));
            }
            Some(_) => rest.to_owned(),
            None => format!("{rest}:{}", used.1),
        };
        let trust = (used == secure).then(|| Trust::of(options)).transpose()?;
        if let (None, Some((idle, _))) = (&trust, [CA, CERTIFICATE, KEY].iter().find(|it| options.own(it.0).is_some()))
        {
            return Err(invalid(format!("{server}: --{idle} is for {}://HOST:PORT", secure.0)));
        }
        Ok(Self { address, scheme: used, other, trust, name: None })
    }

    /// Wants a certificate for `name`, in place of one for the host of the address, and says by ALPN what it will speak.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](ErrorKind::InvalidInput) if no certificate can have that name.
    pub fn named(mut self, name: &str, protocol: &str) -> io::Result<Self> {
        if let Some(trust) = &mut self.trust {
            self.name = Some(name_of(name)?);
            trust.speak(protocol);
        }
        Ok(self)
    }

    /// Connects, as [`iot_link::connect`] does; the handshake may stand still for so long, too.
    ///
    /// # Errors
    ///
    /// When nobody is there, or what the table on the [front page](crate) says.
    pub fn connect(&self, patience: Duration) -> io::Result<Stream> {
        let Some(trust) = &self.trust else { return Ok(Stream::Plain(iot_link::connect(&self.address, patience)?)) };
        self.greet(trust, patience).map_err(|error| greeting_failed(error, self.other.0))
    }

    /// What to say of a connection that failed before the server had said anything sensible: a plain one may have gone to a
    /// server that speaks TLS, and of one with TLS a client of others may tell no more. It is tried, which takes another
    /// connection.
    #[must_use]
    pub fn doubt(&self, error: io::Error, patience: Duration) -> io::Error {
        use ErrorKind::{ConnectionRefused, Interrupted, InvalidInput, PermissionDenied};
        if matches!(error.kind(), ConnectionRefused | Interrupted | InvalidInput | PermissionDenied) {
            return error;
        }
        if self.trust.is_some() {
            return self.connect(patience).err().unwrap_or(error);
        }
        // Nobody's certificate is trusted, so it is refused, if there is one.
        match self.greet(&Trust::nobody(), patience) {
            Err(refused) if is_tls(&refused) => {
                let words = format!("the server speaks TLS there: give {}://{}", self.other.0, self.address);
                io::Error::new(ErrorKind::PermissionDenied, words)
            }
            _ => error,
        }
    }

    /// `HOST:PORT`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// What clients with a TLS of their own take, if there is to be any.
    pub fn config(&self) -> Option<&Arc<ClientConfig>> {
        self.trust().map(Trust::config)
    }

    /// Whom to trust, if there is to be TLS.
    pub fn trust(&self) -> Option<&Trust> {
        self.trust.as_ref()
    }

    /// `SCHEME://HOST:PORT`, for clients that read the scheme.
    pub fn url(&self) -> String {
        format!("{}://{}", self.scheme.0, self.address)
    }

    /// The scheme that was not given.
    #[cfg(feature = "tokio")]
    pub(crate) fn other(&self) -> &'static str {
        self.other.0
    }

    /// What clients take that begin with TLS when the server asks for it. Where the command line does not, nobody is trusted,
    /// and they fail: what is said in plain words is not to begin with somebody's certificate.
    pub fn config_if_asked(&self) -> Arc<ClientConfig> {
        self.config().cloned().unwrap_or_else(|| Trust::nobody().config().clone())
    }

    /// Connects with TLS.
    fn greet(&self, trust: &Trust, patience: Duration) -> io::Result<Stream> {
        let connection = ClientConnection::new(trust.config().clone(), self.name_at(&self.address)?);
        let stream = iot_link::connect(&self.address, patience)?;
        stream.set_read_timeout(Some(patience))?;
        let mut stream = StreamOwned::new(connection.map_err(io::Error::other)?, stream);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        stream.sock.set_read_timeout(None)?;
        Ok(Stream::Tls(Box::new(stream)))
    }

    /// Whose certificate it must be at `HOST:PORT`.
    pub(crate) fn name_at(&self, address: &str) -> io::Result<ServerName<'static>> {
        let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
        self.name.clone().map_or_else(|| name_of(host.trim_matches(['[', ']'])), Ok)
    }
}

fn name_of(name: &str) -> io::Result<ServerName<'static>> {
    ServerName::try_from(name.to_owned()).map_err(|_| invalid(format!("{name} is no name of a server")))
}
