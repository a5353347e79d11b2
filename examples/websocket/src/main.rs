//! Sealed readings over a `WebSocket`: the device connects, through whatever proxies stand in between, and packets go both
//! ways as soon as there are any, each a binary message.

use std::io::{self, ErrorKind};
use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use iot_link::{Application, Dialer, Feedback, Link, Options, Role, invalid};
use iot_tls::{Scheme, Server, Stream};
use tungstenite::client::{IntoClientRequest as _, client_with_config};
use tungstenite::http::{HeaderValue, StatusCode};
use tungstenite::protocol::WebSocketConfig;
use tungstenite::{Error, HandshakeError, Message, WebSocket, accept_with_config};

const APPLICATION: Application = Application {
    name: "websocket",
    about: "Sends sealed readings over a WebSocket until the receiver has verified and kept them.",
    server: "127.0.0.1:8080",
    hint: "is the receiver there? `websocket receiver FOLDER --server ADDRESS` starts it; trying again",
    options: &[
        ("authorization", "FILE  a file with the value of the header `Authorization`, for a proxy that asks for it"),
        iot_tls::CA,
        iot_tls::CERTIFICATE,
        iot_tls::KEY,
    ],
    feedback: Feedback::Acknowledged { within: Duration::from_secs(5) },
    dialer,
    sink: None,
};

/// Octets of the longest packet.
const MAX_PACKET: usize = 16 * 1024;

/// How long a connection may stand still while it is made, or while it takes nothing.
const MAX_STALL: Duration = Duration::from_secs(5);

/// How long an end is silent before it asks whether the other is there: less than proxies put up with.
const PING_AFTER: Duration = Duration::from_secs(20);

fn main() -> ExitCode {
    APPLICATION.main()
}

fn dialer(options: &Options) -> io::Result<Dialer> {
    let config = WebSocketConfig::default().max_message_size(Some(MAX_PACKET)).max_frame_size(Some(MAX_PACKET));
    if options.role == Role::Device {
        let server = Server::of(options, Scheme("ws", 80), Scheme("wss", 443))?;
        let mut request = format!("{}/packets", server.url()).into_client_request().map_err(invalid)?;
        if let Some(authorization) = options.secret("authorization")? {
            let value = HeaderValue::try_from(authorization).map_err(invalid)?;
            request.headers_mut().insert("Authorization", value);
        }
        return Ok(Box::new(move || {
            let stream = server.connect(MAX_STALL)?;
            stream.set_read_timeout(Some(MAX_STALL))?;
            let made = client_with_config(request.clone(), stream, Some(config)).map(|(socket, _)| Socket::new(socket));
            Ok(Box::new(made.map_err(|error| server.doubt(failed(error), MAX_STALL))?))
        }));
    }
    let server = options.address("ws")?.to_owned();
    let listener =
        TcpListener::bind(&server).map_err(|error| io::Error::new(error.kind(), format!("{server}: {error}")))?;
    listener.set_nonblocking(true)?;
    Ok(Box::new(move || match listener.accept() {
        Ok((stream, _)) => {
            let stream = Stream::Plain(prepare(stream)?);
            Ok(Box::new(Socket::new(accept_with_config(stream, Some(config)).map_err(failed)?)))
        }
        Err(nobody) => {
            std::thread::sleep(Duration::from_millis(20));
            Err(nobody)
        }
    }))
}

fn prepare(stream: TcpStream) -> io::Result<TcpStream> {
    stream.set_nonblocking(false)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(MAX_STALL))?;
    stream.set_write_timeout(Some(MAX_STALL))?;
    Ok(stream)
}

/// Why there is no connection: an answer of a proxy, most of the time.
fn failed<R: tungstenite::handshake::HandshakeRole>(error: HandshakeError<R>) -> io::Error {
    match error {
        HandshakeError::Failure(Error::Io(error)) => error,
        HandshakeError::Failure(Error::Http(answer))
            if matches!(answer.status(), StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) =>
        {
            io::Error::new(ErrorKind::PermissionDenied, "the proxy: wrong --authorization")
        }
        HandshakeError::Failure(error) => io::Error::other(error),
        HandshakeError::Interrupted(_) => ErrorKind::TimedOut.into(),
    }
}

/// Packets as messages of a connection.
struct Socket {
    socket: WebSocket<Stream>,
    heard: Instant,
    asked: Instant,
}

impl Socket {
    fn new(socket: WebSocket<Stream>) -> Self {
        Self { socket, heard: Instant::now(), asked: Instant::now() }
    }

    fn put(&mut self, message: Message) -> io::Result<()> {
        match self.socket.send(message) {
            Ok(()) => Ok(()),
            Err(Error::Io(error)) => Err(error),
            Err(error) => Err(io::Error::other(error)),
        }
    }
}

impl Link for Socket {
    fn send(&mut self, packet: &[u8]) -> io::Result<()> {
        self.put(Message::binary(packet.to_vec()))
    }

    fn receive(&mut self, patience: Duration) -> io::Result<Option<Vec<u8>>> {
        if self.heard.elapsed() > 2 * PING_AFTER + MAX_STALL {
            return Err(ErrorKind::TimedOut.into());
        }
        if self.heard.elapsed() > PING_AFTER && self.asked.elapsed() > PING_AFTER {
            self.asked = Instant::now();
            self.put(Message::Ping(Vec::new().into()))?;
        }
        // A time-out of zero would mean none to the operating system.
        self.socket.get_ref().set_read_timeout(Some(patience.max(Duration::from_micros(1))))?;
        match self.socket.read() {
            Ok(message) => {
                self.heard = Instant::now();
                // What is no packet is a sign of life, or refused by whoever opens it.
                Ok(message.is_binary().then(|| message.into_data().to_vec()))
            }
            Err(Error::Io(error))
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted) =>
            {
                Ok(None)
            }
            Err(Error::Io(error)) => Err(error),
            Err(error) => Err(io::Error::other(error)),
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // Who is still there hears that nothing is wrong.
        let _ = self.socket.close(None);
    }
}
