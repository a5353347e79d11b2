//! Sealed readings as XMPP messages: the device has an account and so has the receiver, and the server keeps messages
//! for whoever is away.

use std::io::{self, ErrorKind, Write as _};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use iot_link::{Application, Dialer, Feedback, Link, Options, Role, invalid};
use iot_stanzas::{Stanza, Stanzas};
use iot_tls::{Scheme, Server};

const APPLICATION: Application = Application {
    name: "xmpp",
    about: "Sends sealed readings as XMPP messages until the receiver has verified and kept them.",
    server: "127.0.0.1:5222",
    hint: "is a server there? `prosody -F` starts one; trying again",
    options: &[
        ("domain", "NAME       the domain of both accounts, by default localhost"),
        ("user", "NAME         the account of this end, by default device or receiver"),
        ("peer", "NAME         the account of the other end, by default receiver or device"),
        ("password", "FILE     a file with the password of this end's account"),
        iot_tls::CA,
        iot_tls::CERTIFICATE,
        iot_tls::KEY,
    ],
    feedback: Feedback::Acknowledged { within: Duration::from_secs(10) },
    dialer,
    sink: None,
};

/// How long the server may take for an answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long an end is silent before it sends a blank: a connection that has gone shows by that.
const KEEP_ALIVE: Duration = Duration::from_secs(20);

fn main() -> ExitCode {
    APPLICATION.main()
}

fn dialer(options: &Options) -> io::Result<Dialer> {
    let name = |option, role: Role| options.own(option).map_or_else(|| role.to_string(), str::to_owned);
    let (user, peer) = (name("user", options.role), name("peer", options.role.peer()));
    let domain = options.own("domain").unwrap_or("localhost").to_owned();
    // TLS from the first octet on (XEP-0368); the certificate is for the domain, wherever its server is.
    let server = Server::of(options, Scheme("xmpp", 5222), Scheme("xmpps", 5223))?.named(&domain, "xmpp-client")?;
    if let Some(odd) = [&user, &peer, &domain].into_iter().find(|name| name.contains(['\'', '<', '&', '@'])) {
        return Err(invalid(format!("{odd} is no name of an account or a domain")));
    }
    let password = options.secret("password")?.ok_or_else(|| invalid("--password FILE is missing: see --help"))?;
    let secret = STANDARD.encode(format!("\0{user}\0{password}"));
    Ok(Box::new(move || {
        let stream = log_in(Stanzas::new(server.connect(PATIENCE)?), &domain, &secret);
        let stream = stream.map_err(|error| server.doubt(error, PATIENCE))?;
        Ok(Box::new(Account { stream, peer: format!("{peer}@{domain}"), spoke: Instant::now() }))
    }))
}

type Stream = Stanzas<iot_tls::Stream>;

/// Opens a stream, logs in, binds a resource and becomes available (RFC 6120, 6121).
fn log_in(mut stream: Stream, domain: &str, secret: &str) -> io::Result<Stream> {
    let denied = |words: &str| Err(io::Error::new(ErrorKind::PermissionDenied, words));
    let open = format!(
        "<stream:stream to='{domain}' version='1.0' xmlns='jabber:client' \
         xmlns:stream='http://etherx.jabber.org/streams'>"
    );
    let features = ask(&mut stream, &open)?;
    if !features.inside.iter().any(|(_, text)| text == "PLAIN") {
        return denied("the server takes no password here: it wants TLS; give xmpps://HOST:PORT");
    }
    let auth = format!("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{secret}</auth>");
    match ask(&mut stream, &auth)?.name.as_str() {
        "success" => {}
        "failure" => return denied("the server does not let us in: wrong --user, --domain or --password"),
        other => return Err(io::Error::other(format!("the server answered a log-in by <{other}>"))),
    }
    let mut stream = stream.begin_anew();
    ask(&mut stream, &open)?;
    // A name of its own: whoever had it before, such as this end before it was killed, is hung up on.
    let bind = "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>iot</resource></bind>";
    if ask(&mut stream, &format!("<iq type='set' id='bind'>{bind}</iq>"))?.kind != "result" {
        return Err(io::Error::other("the server binds no resource"));
    }
    write(&mut stream, "<presence/>")?;
    Ok(stream)
}

/// Writes, and waits for what the server says to that.
fn ask(stream: &mut Stream, text: &str) -> io::Result<Stanza> {
    write(stream, text)?;
    let stanza = read(stream, PATIENCE)?.ok_or(ErrorKind::TimedOut)?;
    if stanza.name == "error" { Err(hung_up(&stanza)) } else { Ok(stanza) }
}

fn write(stream: &mut Stream, text: &str) -> io::Result<()> {
    stream.get_mut().write_all(text.as_bytes())
}

/// The next stanza, or `None` if none comes for so long.
fn read(stream: &mut Stream, patience: Duration) -> io::Result<Option<Stanza>> {
    let end = Instant::now() + patience;
    loop {
        // A time-out of zero would mean none to the operating system.
        let left = end.saturating_duration_since(Instant::now()).max(Duration::from_micros(1));
        stream.get_ref().set_read_timeout(Some(left))?;
        match stream.step() {
            Ok(None) => {}
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted) =>
            {
                return Ok(None);
            }
            whole => return whole,
        }
    }
}

fn hung_up(error: &Stanza) -> io::Error {
    let names: Vec<_> = error.inside.iter().map(|(name, _)| name.as_str()).collect();
    io::Error::other(format!("the server hangs up: {}", names.join(", ")))
}

/// An account that is logged in.
struct Account {
    stream: Stream,
    peer: String,
    spoke: Instant,
}

impl Link for Account {
    fn send(&mut self, packet: &[u8]) -> io::Result<()> {
        self.spoke = Instant::now();
        let (to, body) = (&self.peer, STANDARD.encode(packet));
        write(&mut self.stream, &format!("<message to='{to}' type='chat'><body>{body}</body></message>"))
    }

    fn receive(&mut self, patience: Duration) -> io::Result<Option<Vec<u8>>> {
        if self.spoke.elapsed() > KEEP_ALIVE {
            self.spoke = Instant::now();
            write(&mut self.stream, " ")?;
        }
        let Some(stanza) = read(&mut self.stream, patience)? else { return Ok(None) };
        match (stanza.name.as_str(), stanza.kind.as_str()) {
            ("error", _) => Err(hung_up(&stanza)),
            // What comes back undelivered is sent again in time.
            ("message", "error") => Ok(None),
            ("message", _) => Ok(stanza.text_of("body").and_then(|text| STANDARD.decode(text).ok())),
            _ => Ok(None),
        }
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        // Whoever has hung up need not be told.
        let _ = write(&mut self.stream, "</stream:stream>");
    }
}
