//! Sealed readings in HTTP requests: the device posts what it has, and the answer brings what the receiver has for it.
//! So the receiver needs no way to the device, and proxies may stand in between. Or the other way round: the device
//! answers, and the receiver pulls with a cursor.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read as _};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use iot_exchange::{frames, label};
use iot_link::{Application, Dialer, Feedback, Link, Options, Role, Turn, invalid};
use tiny_http::{Method, Request, Response, Server};
use ureq::Agent;

const APPLICATION: Application = Application {
    name: "http",
    about: "Posts sealed readings over HTTP until the receiver has verified and kept them.",
    server: "127.0.0.1:8080",
    hint: "is the receiver there? `http receiver FOLDER --server ADDRESS` starts it, or a device that is pulled from; \
           trying again",
    options: &[
        ("authorization", "FILE  a file with the value of the header `Authorization`, for a proxy that asks for it"),
        ("client", "END   which end makes requests: `device`, by default, or `receiver`, which pulls with a cursor"),
    ],
    feedback: Feedback::Acknowledged { within: Duration::from_secs(5) },
    dialer,
    sink: None,
};

/// How often a device that has nothing to say asks for commands.
const POLL: Duration = Duration::from_millis(500);

/// How long a request is held back until there is something to answer.
const HOLD: Duration = Duration::from_millis(100);

/// How long a request may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Packets that wait for a request that they can answer. Of more, the oldest are dropped, and sent again in time.
const MAX_WAITING: usize = 256;

/// Octets of the longest body: all that waits, or that is on its way at a time.
const MAX_BODY: u64 = (MAX_WAITING * frames::MAX_PACKET) as u64;

fn main() -> ExitCode {
    APPLICATION.main()
}

fn dialer(options: &Options) -> io::Result<Dialer> {
    let pulls = match options.own("client") {
        Some("receiver") => true,
        None | Some("device") => false,
        Some(other) => return Err(invalid(format!("--client takes device or receiver, not {other}"))),
    };
    if (options.role == Role::Device) == pulls {
        let fail = |error| io::Error::new(ErrorKind::AddrInUse, format!("{}: {error}", options.server));
        let server = Arc::new(Server::http(&options.server).map_err(fail)?);
        return Ok(Box::new(move || {
            let (arrived, going) = (VecDeque::new(), VecDeque::new());
            Ok(Box::new(Door { server: server.clone(), pulls, arrived, going, asking: None }))
        }));
    }
    let authorization = options.secret("authorization")?;
    // A request without packets says by its source whose commands it fetches.
    let source = options.source.map(|source| format!("/{source}")).unwrap_or_default();
    let url = format!("http://{}/packets{source}", options.address("http")?);
    let config = Agent::config_builder().timeout_global(Some(PATIENCE)).http_status_as_error(false);
    let agent: Agent = config.build().into();
    Ok(Box::new(move || {
        let (agent, url, authorization, posted) = (agent.clone(), url.clone(), authorization.clone(), Instant::now());
        let (arrived, going) = (VecDeque::new(), Vec::new());
        let mut poster = Poster { agent, url, authorization, pulls, arrived, going, posted };
        poster.post()?;
        Ok(Box::new(poster))
    }))
}

/// Many packets in one body, each behind its length.
fn body<'p>(packets: impl IntoIterator<Item = &'p Vec<u8>>) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    packets.into_iter().try_for_each(|packet| frames::write(&mut body, [packet, &[]]))?;
    Ok(body)
}

/// The end that makes requests.
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
    /// Posts all that waits. The key lets proxies and logs tell a second try; the receiver tells it by the positions.
    fn post(&mut self) -> io::Result<()> {
        let ends = [self.going.first(), self.going.last()].map(|packet| packet.and_then(|it| label(it)));
        let key = ends.map(Option::unwrap_or_default).join("-");
        let mut request = self.agent.post(&self.url).header("Idempotency-Key", key);
        if let Some(authorization) = &self.authorization {
            request = request.header("Authorization", authorization);
        }
        let sent = request.content_type("application/octet-stream").send(body(&self.going)?.as_slice());
        let mut answer = sent.map_err(ureq::Error::into_io)?;
        match answer.status().as_u16() {
            200 => {}
            401 | 403 => return Err(io::Error::new(ErrorKind::PermissionDenied, "the proxy: wrong --authorization")),
            status => return Err(io::Error::other(format!("the answer was {status}"))),
        }
        self.arrived.extend(frames::read_all(answer.body_mut().as_reader().take(MAX_BODY), frames::MAX_PACKET)?);
        self.going.clear();
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
        if self.arrived.is_empty() {
            if !self.going.is_empty() || self.posted.elapsed() > POLL {
                self.post()?;
            } else {
                std::thread::sleep(patience);
            }
        }
        Ok(self.arrived.pop_front())
    }
}

/// The end that answers.
struct Door {
    server: Arc<Server>,
    /// Whether an answer holds only what is behind the cursor of its request.
    pulls: bool,
    arrived: VecDeque<Vec<u8>>,
    going: VecDeque<Vec<u8>>,
    /// A request that is not answered yet, and when it came.
    asking: Option<(Request, Instant)>,
}

impl Door {
    fn take(&mut self, mut request: Request) -> io::Result<()> {
        let is_ours = *request.method() == Method::Post && request.url() == "/packets";
        match frames::read_all(request.as_reader().take(MAX_BODY), frames::MAX_PACKET) {
            Ok(packets) if is_ours => {
                self.arrived.extend(packets);
                self.asking = Some((request, Instant::now()));
                Ok(())
            }
            // Who asks for something else gets an answer, and nothing else.
            _ => request.respond(Response::empty(if is_ours { 400 } else { 404 })).or(Ok(())),
        }
    }
}

impl Link for Door {
    fn turn(&mut self) -> Turn {
        if self.pulls && self.asking.is_none() { Turn::Wait } else { Turn::Send }
    }

    fn send(&mut self, packet: &[u8]) -> io::Result<()> {
        if self.going.len() == MAX_WAITING {
            self.going.pop_front();
        }
        self.going.push_back(packet.to_vec());
        Ok(())
    }

    fn receive(&mut self, patience: Duration) -> io::Result<Option<Vec<u8>>> {
        if let Some(packet) = self.arrived.pop_front() {
            return Ok(Some(packet));
        }
        match self.asking.take() {
            // No patience says that more packets are about to be sent.
            Some((request, since)) if !patience.is_zero() && (!self.going.is_empty() || since.elapsed() > HOLD) => {
                let packets = std::mem::take(&mut self.going);
                // Whoever hung up asks again, and what was for him is sent again.
                let _ = request.respond(Response::from_data(body(&packets)?));
            }
            Some(asking) => {
                self.asking = Some(asking);
                std::thread::sleep(patience.min(Duration::from_millis(5)));
            }
            None => {
                if let Some(request) = self.server.recv_timeout(patience)? {
                    self.take(request)?;
                }
            }
        }
        Ok(self.arrived.pop_front())
    }
}
