//! Sealed readings through NATS `JetStream`: each end mirrors its outbox into a stream, and pulls the other's.

use std::io::{self, ErrorKind};
use std::process::ExitCode;
use std::time::Duration;

use async_nats::jetstream::consumer::pull::{Ordered, OrderedConfig};
use async_nats::jetstream::{self, stream};
use async_nats::{Client, ConnectErrorKind, ConnectOptions, connection};
use futures_util::StreamExt as _;
use iot_core::Instant;
use iot_link::{Application, Dialer, Feedback, Link, Options, invalid, runtime};
use iot_queue::mirror::{Mirror, MirrorConfig};
use iot_queue::sink::Forwarded;
use iot_queue::{FileStorage, MaxLag, Queue, Seek};
use iot_queue_driven::{DrivenSink, drive};
use iot_queue_nats::{JetStreamError, mirror_config, nats_sink, published};
use iot_tls::{Scheme, explain_cause};
use tokio::runtime::Runtime;

const APPLICATION: Application = Application {
    name: "nats",
    about: "Mirrors sealed readings into NATS JetStream, where the receiver pulls and verifies them.",
    server: "127.0.0.1:4222",
    hint: "is a server there? `nats-server -js` starts one; trying again",
    options: &[
        ("name", "NAME         the streams are NAME-readings and NAME-commands, by default iot"),
        ("user", "NAME         the user that the server knows"),
        ("password", "FILE     a file with the user's password"),
        ("settle", "S          seconds for which what the server has is kept, by default 150: it syncs every 120"),
        iot_tls::CA,
        iot_tls::CERTIFICATE,
        iot_tls::KEY,
    ],
    feedback: Feedback::None,
    dialer,
    sink: None,
};

/// How long the server may take for an answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Messages that are asked for at a time.
const BATCH: i64 = 256;

fn main() -> ExitCode {
    APPLICATION.main()
}

fn dialer(options: &Options) -> io::Result<Dialer> {
    // What speaks TLS begins without it, at the same port.
    let server = iot_tls::Server::of(options, Scheme("nats", 4222), Scheme("tls", 4222))?;
    let (login, role) = (options.login()?, options.role);
    let name = options.own("name").unwrap_or("iot").to_owned();
    if name.contains(['.', '*', '>', ' ']) {
        return Err(invalid(format!("--name takes no points, stars or blanks, unlike {name}")));
    }
    let mut config = mirror_config();
    if let Some(seconds) = options.own("settle") {
        let seconds = seconds.parse().map_err(|error| invalid(format!("--settle {seconds}: {error}")))?;
        config = config.settle_after(Duration::from_secs(seconds));
    }
    let runtime = runtime()?;
    Ok(Box::new(move || {
        let [ours, theirs] = [role, role.peer()].map(|role| format!("{name}-{}", role.topic()));
        let opened = runtime
            .block_on(async { tokio::time::timeout(PATIENCE, open(&server, login.clone(), [&ours, &theirs])).await });
        let (client, sink, arriving) = opened.map_err(|_| ErrorKind::TimedOut)??;
        Ok(Box::new(Server { runtime, client, sink, arriving, config, mirror: None }))
    }))
}

/// Connects, and makes the streams that are not there yet.
async fn open(
    server: &iot_tls::Server,
    login: Option<(String, String)>,
    [ours, theirs]: [&str; 2],
) -> io::Result<(Client, DrivenSink<JetStreamError>, Ordered)> {
    let mut options = ConnectOptions::new().require_tls(server.config().is_some());
    options = options.tls_client_config((*server.config_if_asked()).clone());
    if let Some((user, password)) = login {
        options = options.user_and_password(user, password);
    }
    let denied = |words: String| io::Error::new(ErrorKind::PermissionDenied, words);
    let client =
        options.connect(server.address()).await.map_err(|error| match (error.kind(), explain_cause(&error)) {
            (ConnectErrorKind::Authentication | ConnectErrorKind::AuthorizationViolation, _) => {
                denied("the server does not let us in: wrong --user or --password".into())
            }
            (_, Some(_)) if server.config().is_none() => {
                denied(format!("the server speaks TLS there: give tls://{}", server.address()))
            }
            (_, Some(reason)) => reason,
            _ => io::Error::other(error),
        })?;
    let context = jetstream::new(client.clone());
    for name in [ours, theirs] {
        let stream = stream::Config { name: name.into(), subjects: vec![format!("{name}.*")], ..Default::default() };
        context.get_or_create_stream(stream).await.map_err(io::Error::other)?;
    }
    // From its beginning: what is in the ledger already is passed over unopened.
    let ordered = OrderedConfig { max_batch: BATCH, ..Default::default() };
    let consumer = context.create_consumer_on_stream(ordered, theirs).await.map_err(io::Error::other)?;
    let arriving = consumer.messages().await.map_err(io::Error::other)?;
    let (sink, driver) = nats_sink(client.clone(), ours, ours);
    tokio::spawn(driver.run());
    Ok((client, sink, arriving))
}

/// A connection to the server.
struct Server {
    runtime: &'static Runtime,
    client: Client,
    sink: DrivenSink<JetStreamError>,
    arriving: Ordered,
    config: MirrorConfig,
    mirror: Option<Mirror>,
}

impl Link for Server {
    fn send(&mut self, _: &[u8]) -> io::Result<()> {
        Err(ErrorKind::Unsupported.into())
    }

    fn forward(&mut self, now: Instant, outbox: &mut Queue<FileStorage>) -> io::Result<bool> {
        let mirror = match &mut self.mirror {
            Some(mirror) => mirror,
            none => {
                let seed = u64::from_be_bytes(*outbox.epoch().as_bytes());
                let cursor = outbox.open_cursor("nats", Seek::Oldest, MaxLag::UNLIMITED).map_err(io::Error::other)?;
                none.insert(Mirror::new(self.config, outbox, cursor, seed).map_err(io::Error::other)?)
            }
        };
        // A server that cannot be reached is asked again when it is time.
        drive(now, outbox, mirror, &mut self.sink, drop).map_err(io::Error::other)?;
        outbox.ack_before(mirror.confirmed()).map_err(io::Error::other)?;
        Ok(true)
    }

    fn receive(&mut self, patience: Duration) -> io::Result<Option<Vec<u8>>> {
        if self.client.connection_state() != connection::State::Connected {
            return Err(ErrorKind::ConnectionAborted.into());
        }
        let waited = self.runtime.block_on(async {
            tokio::select! {
                arrived = self.arriving.next() => Some(arrived),
                () = self.sink.answered() => None,
                () = tokio::time::sleep(patience) => None,
            }
        });
        let Some(arrived) = waited else { return Ok(None) };
        let message = arrived.ok_or(ErrorKind::ConnectionAborted)?.map_err(io::Error::other)?;
        // What the other end dropped unread is a gap, and no packet; nor is what another program wrote.
        match published(&message.subject, message.headers.as_ref(), &message.payload).map(|published| published.entry) {
            Ok(Forwarded::Message(message)) => Ok(Some(message.payload)),
            Ok(Forwarded::Gap(_)) | Err(_) => Ok(None),
        }
    }
}
