//! Packets in the bodies of HTTP requests and of their answers, each behind its length.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read as _};
use std::sync::Arc;
use std::time::{Duration, Instant};

use iot_exchange::{frames, label};
use iot_link::{Dialer, Link, Options, Role, Turn, invalid};
use iot_tls::{Scheme, Trust, explain};
use tiny_http::{Method, Request, Response, Server};
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Error};

/// How often an end that has nothing to say asks whether the other has.
const POLL: Duration = Duration::from_millis(500);

/// How long a request is held back until there is something to answer.
pub const HOLD: Duration = Duration::from_millis(100);

/// How long a request may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Octets of the longest body: more than is on its way at a time.
const MAX_BODY: u64 = 256 * frames::MAX_PACKET as u64;

/// What makes links of an end: it posts, or with `--client` of the other end it answers.
///
/// # Errors
///
/// When it cannot listen, or the options make no sense.
pub fn dialer(options: &Options) -> io::Result<Dialer> {
    let pulls = match options.own("client") {
        Some("receiver") => true,
        None | Some("device") => false,
        Some(other) => return Err(invalid(format!("--client takes device or receiver, not {other}"))),
    };
    if (options.role == Role::Device) == pulls {
        let server = Arc::new(listen(options.address("http")?)?);
        return Ok(Box::new(move || {
            Ok(Box::new(Door { server: server.clone(), arrived: VecDeque::new(), going: Vec::new(), asking: None }))
        }));
    }
    let authorization = options.secret("authorization")?;
    // A request without packets says by its source whose commands it fetches.
    let source = options.source.map(|source| format!("/{source}")).unwrap_or_default();
    let server = server(options)?;
    let url = format!("{}/packets{source}", server.url());
    let config = Agent::config_builder()
        .timeout_global(Some(PATIENCE))
        .tls_config(tls_of(options, &server)?)
        .max_redirects(0)
        .max_redirects_will_error(false);
    let agent = config.build().into();
    let (arrived, going, posted) = (VecDeque::new(), Vec::new(), Instant::now());
    let poster = Poster { agent, url, authorization, pulls, arrived, going, posted };
    Ok(Box::new(move || {
        let mut poster = poster.clone();
        poster.post().map_err(|error| server.doubt(error, PATIENCE))?;
        Ok(Box::new(poster))
    }))
}

/// The server that `--server` names.
///
/// # Errors
///
/// When the options make no sense.
pub fn server(options: &Options) -> io::Result<iot_tls::Server> {
    iot_tls::Server::of(options, Scheme("http", 80), Scheme("https", 443))
}

/// The same as the client takes it. Without TLS it trusts nobody, wherever it is sent.
fn tls_of(options: &Options, server: &iot_tls::Server) -> io::Result<TlsConfig> {
    let roots = server.trust().map_or(&[][..], Trust::roots).iter().map(|root| Certificate::from_der(root).to_owned());
    let roots = RootCerts::Specific(Arc::new(roots.collect()));
    let builder = TlsConfig::builder().root_certs(roots);
    let Some(trust) = server.trust() else { return Ok(builder.build()) };
    let read = |name| options.own(name).map(std::fs::read).transpose();
    let identity = read("certificate")?.zip(read("key")?).map(|(certificate, key)| {
        let chain = parse_pem(&certificate).filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        });
        PrivateKey::from_pem(&key).map(|key| ClientCert::new_with_certs(&chain.collect::<Vec<_>>(), key))
    });
    let builder = builder.client_cert(identity.transpose().map_err(Error::into_io)?);
    Ok(builder.unversioned_rustls_crypto_provider(trust.config().crypto_provider().clone()).build())
}

/// A server at an address.
///
/// # Errors
///
/// When it cannot listen there.
pub fn listen(address: &str) -> io::Result<Server> {
    Server::http(address).map_err(|error| io::Error::new(ErrorKind::AddrInUse, format!("{address}: {error}")))
}

/// The packets that a request brings, if it is one that does; who asks for something else gets an answer, and nothing else.
pub fn take(mut request: Request) -> Option<(Request, Vec<Vec<u8>>)> {
    let is_ours = *request.method() == Method::Post && request.url() == "/packets";
    match frames::read_all(request.as_reader().take(MAX_BODY), frames::MAX_PACKET) {
        Ok(packets) if is_ours => return Some((request, packets)),
        _ => _ = request.respond(Response::empty(if is_ours { 400 } else { 404 })),
    }
    None
}

/// The end that makes requests.
#[derive(Clone)]
struct Poster {
    agent: Agent,
    url: String,
    authorization: Option<String>,
    /// Whether each request begins with the cursor.
    pulls: bool,
    arrived: VecDeque<Vec<u8>>,
    going: Vec<Vec<u8>>,
    posted: Instant,
}

impl Poster {
    /// Posts all that waits. The key lets proxies and logs tell a second try; the receiver tells it by the positions. Who
    /// asks for news has none: a proxy that knows a key answers as it did before.
    fn post(&mut self) -> io::Result<()> {
        let mut request = self.agent.post(&self.url);
        let ends = [self.going.first(), self.going.last()].map(|packet| packet.and_then(|it| label(it)));
        if let ([Some(first), Some(last)], false) = (ends, self.pulls) {
            request = request.header("Idempotency-Key", format!("{first}-{last}"));
        }
        if let Some(authorization) = &self.authorization {
            request = request.header("Authorization", authorization);
        }
        let sent =
            request.content_type("application/octet-stream").send(frames::join(self.going.drain(..))?.as_slice());
        let mut answer = sent.map_err(|error| match error {
            Error::StatusCode(401 | 403) => {
                io::Error::new(ErrorKind::PermissionDenied, "the proxy: wrong --authorization")
            }
            // So nginx says that it wants one; a receiver says so of a body that it cannot read.
            Error::StatusCode(400) if self.url.starts_with("https://") => io::Error::other(
                "status 400: the server may want a certificate of this end: --certificate FILE and --key FILE",
            ),
            error => explain(error.into_io()),
        })?;
        if let Some(place) = answer.headers().get("location").filter(|_| answer.status().is_redirection()) {
            let words = format!("the server is at {place:?}: give that as --server");
            return Err(io::Error::new(ErrorKind::PermissionDenied, words));
        }
        self.arrived.extend(frames::read_all(answer.body_mut().as_reader().take(MAX_BODY), frames::MAX_PACKET)?);
        self.posted = Instant::now();
        Ok(())
    }
}

impl Link for Poster {
    fn turn(&mut self) -> Turn {
        match (self.pulls, self.arrived.is_empty()) {
            (false, _) => Turn::Send,
            (true, true) => Turn::Ask,
            // What came moves the cursor on first.
            (true, false) => Turn::Wait,
        }
    }

    fn send(&mut self, packet: &[u8]) -> io::Result<()> {
        self.going.push(packet.to_vec());
        Ok(())
    }

    fn receive(&mut self, patience: Duration) -> io::Result<Option<Vec<u8>>> {
        let is_due = !self.going.is_empty() || self.posted.elapsed() > POLL;
        match (self.arrived.is_empty(), is_due) {
            (true, true) => self.post()?,
            (true, false) => std::thread::sleep(patience),
            (false, _) => {}
        }
        Ok(self.arrived.pop_front())
    }
}

/// The end that answers. Between requests it is the other end's turn, so nothing piles up for who does not ask.
struct Door {
    server: Arc<Server>,
    arrived: VecDeque<Vec<u8>>,
    going: Vec<Vec<u8>>,
    /// A request that is not answered yet, and when it came.
    asking: Option<(Request, Instant)>,
}

impl Link for Door {
    fn turn(&mut self) -> Turn {
        if self.asking.is_none() { Turn::Wait } else { Turn::Send }
    }

    fn send(&mut self, packet: &[u8]) -> io::Result<()> {
        self.going.push(packet.to_vec());
        Ok(())
    }

    fn receive(&mut self, patience: Duration) -> io::Result<Option<Vec<u8>>> {
        // No patience says that more packets are about to be sent.
        let is_due = |since: Instant| !patience.is_zero() && (!self.going.is_empty() || since.elapsed() > HOLD);
        if let Some(packet) = self.arrived.pop_front() {
            return Ok(Some(packet));
        }
        if let Some((request, _)) = self.asking.take_if(|(_, since)| is_due(*since)) {
            // Whoever hung up asks again, and what was for him is sent again.
            let _ = request.respond(Response::from_data(frames::join(self.going.drain(..))?));
        } else if self.asking.is_some() {
            std::thread::sleep(patience.min(Duration::from_millis(5)));
        } else if let Some((request, packets)) = self.server.recv_timeout(patience)?.and_then(take) {
            self.arrived.extend(packets);
            self.asking = Some((request, Instant::now()));
        }
        Ok(self.arrived.pop_front())
    }
}
