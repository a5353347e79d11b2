//! `iot queue mirror` and `receive`: a queue's log into another queue, in this process or behind a TCP connection.

use std::collections::VecDeque;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use iot_core::DeviceId;
use iot_queue::mirror::{Mirror, MirrorConfig, MirrorError, MirrorEvent, StreamServer, StreamSink};
use iot_queue::sink::{Intake, QueueSink};
use iot_queue::{CursorError, FileStorage, MaxLag, Offset, Queue, Seek};
use lexopt::Parser;
use lexopt::prelude::*;

use super::directory::{self, Clock, Memory, random, refused};
use crate::Failure;
use crate::number::{seconds, within};

/// How long a read waits before the mirror is told the time.
const LISTEN_FOR: Duration = Duration::from_millis(50);

/// Logs that a receiver remembers.
const MAX_FEEDS: usize = 65_536;

/// The longest payload that comes over a connection.
const MAX_PAYLOAD: u32 = 1 << 20;

/// The cursor of a mirror that moves messages, while it runs.
const MOVING: &str = "mirror";

/// What becomes of messages that have arrived at the other side.
#[derive(Clone, Copy, PartialEq, Eq)]
enum WhatArrived {
    /// They stay for whoever else consumes them.
    Stays,
    /// They are acknowledged.
    Goes,
}

struct Mirroring {
    path: PathBuf,
    queue: Queue<FileStorage>,
    clock: Clock,
    mirror: Mirror,
    what_arrived: WhatArrived,
    let_go_of: Offset,
    origin: DeviceId,
}

/// Runs `queue mirror`.
pub fn run_mirror(mut parser: Parser) -> Result<(), Failure> {
    let (mut path, mut to, mut copy, mut forget, mut origin) = (None, None, None, None, None);
    let (mut memory, mut patience) = (Memory::default(), Duration::from_secs(60));
    let mut given = Vec::new();
    while let Some(argument) = parser.next()? {
        if let Long(option) = argument {
            given.push(format!("--{option}"));
        }
        match argument {
            Long("to") => to = Some(parser.value()?),
            Long("copy") => copy = Some(parser.value()?.string()?),
            Long("forget") => forget = Some(parser.value()?.string()?),
            Long("origin") => origin = Some(parser.value()?.parse::<DeviceId>()?),
            Long("sources") => memory.sources = within(&mut parser, "--sources", ..)?,
            Long("ids") => memory.ids = within(&mut parser, "--ids", ..)?,
            Long("patience") => patience = seconds(&mut parser, "--patience")?,
            Value(value) if path.is_none() => path = Some(PathBuf::from(value)),
            other => return Err(other.unexpected().into()),
        }
    }
    let path = path.ok_or_else(directory::no_directory)?;
    if let Some(name) = forget {
        if to.is_some() {
            return Err(Failure::Usage("--forget stands in place of --to".into()));
        }
        refuse_useless(&given, &["--copy", "--origin", "--sources", "--ids", "--patience"], "--forget")?;
        return forget_copy(&path, &name);
    }
    let to = to.ok_or_else(|| Failure::Usage("--to is missing".into()))?;
    let receiver = to.to_str().and_then(|to| to.strip_prefix("tcp:"));
    let receiver = receiver.map(|address| host_and_port("--to", address, 1)).transpose()?;
    match receiver {
        Some(_) => refuse_useless(&given, &["--sources", "--ids"], "a receiver, which has its own")?,
        None => refuse_useless(&given, &["--patience"], "a directory")?,
    }
    let (mut queue, clock) = directory::open(&path, Memory::default())?;
    let what_arrived = if copy.is_some() { WhatArrived::Stays } else { WhatArrived::Goes };
    let name = copy.as_deref().unwrap_or(MOVING);
    let fail = |error: CursorError| match error {
        CursorError::NameLength { .. } => Failure::Usage(format!("--copy: {error}")),
        _ => refused(&path, &error),
    };
    let cursor = queue.open_cursor(name, Seek::Oldest, MaxLag::UNLIMITED).map_err(fail)?;
    let seed = u64::from_le_bytes(random()?);
    let mirror = Mirror::new(MirrorConfig::default(), &queue, cursor, seed).map_err(fail)?;
    let mut mirroring = Mirroring {
        origin: origin.unwrap_or_else(|| origin_of(&queue)),
        let_go_of: mirror.confirmed(),
        what_arrived,
        path,
        queue,
        clock,
        mirror,
    };
    let outcome = match receiver {
        Some(address) => mirroring.send_to(address, patience),
        None => mirroring.copy_to(Path::new(&to), memory),
    };
    // Acknowledgements say the same, and nothing is held for a mirror that may not come again.
    if mirroring.what_arrived == WhatArrived::Goes {
        mirroring.queue.delete_cursor(cursor).map_err(|error| refused(&mirroring.path, &error))?;
        mirroring.queue.commit().map_err(|error| refused(&mirroring.path, &error))?;
    }
    outcome?;
    let stats = mirroring.mirror.stats();
    say!("{} entries, up to {}", stats.acknowledged, mirroring.mirror.acknowledged());
    mirroring.queue.close().map_err(|error| refused(&mirroring.path, &error))?;
    Ok(())
}

/// Refuses options that change nothing beside another one, so that nobody takes them for heeded.
fn refuse_useless(given: &[String], useless: &[&str], with: &str) -> Result<(), Failure> {
    match given.iter().find(|option| useless.contains(&option.as_str())) {
        Some(option) => Err(Failure::Usage(format!("{option} changes nothing with {with}"))),
        None => Ok(()),
    }
}

/// The `address` that `option` gave, if it reads HOST:PORT: whether anybody is there is another matter, and may change.
fn host_and_port<'a>(option: &str, address: &'a str, least_port: u16) -> Result<&'a str, Failure> {
    let is_name = |host: &str| !host.is_empty() && !host.contains([':', '[']);
    let port = match address.parse() {
        Ok(number) => Some(SocketAddr::port(&number)),
        Err(_) => address.rsplit_once(':').filter(|(host, _)| is_name(host)).and_then(|(_, port)| port.parse().ok()),
    };
    match port {
        Some(port) if port >= least_port => Ok(address),
        _ => Err(Failure::Usage(format!("{option} takes HOST:PORT, not {address:?}"))),
    }
}

/// Deletes the cursor of a copy that nobody wants any more: what it has not passed would stay for ever.
fn forget_copy(path: &Path, name: &str) -> Result<(), Failure> {
    let (mut queue, _) = directory::open(path, Memory::default())?;
    let missing = || Failure::Input(format!("{}: there is no copy {name:?}", path.display()));
    let cursor = queue.cursor(name).ok_or_else(missing)?;
    queue.delete_cursor(cursor).map_err(|error| refused(path, &error))?;
    queue.commit().map_err(|error| refused(path, &error))?;
    queue.close().map_err(|error| refused(path, &error))?;
    Ok(())
}

/// Who keeps a log, where nobody says: its epoch, and zeros.
fn origin_of(queue: &Queue<FileStorage>) -> DeviceId {
    let mut origin = [0; DeviceId::LEN];
    origin[..8].copy_from_slice(queue.epoch().as_bytes());
    DeviceId::from_bytes(origin)
}

impl Mirroring {
    /// Forwards everything to the queue at `to`.
    fn copy_to(&mut self, to: &Path, memory: Memory) -> Result<(), Failure> {
        let (mut target, _) = directory::open(to, memory)?;
        let mut intake = Intake::new(MAX_FEEDS);
        intake.recover(&target).map_err(|error| refused(to, &error))?;
        let mut sink = QueueSink::new(&mut target, &mut intake, self.origin);
        let outcome = self.mirror.drive(self.clock.now(), &mut self.queue, &mut sink);
        // What has arrived has, whatever came of the rest.
        self.let_go()?;
        outcome.map_err(|error| refused(to, &error))?;
        self.tell()?;
        target.close().map_err(|error| refused(to, &error))?;
        Ok(())
    }

    /// Forwards everything to the receiver at `address`, over as many connections as it takes, until nothing has arrived
    /// for as long as `patience`.
    fn send_to(&mut self, address: &str, patience: Duration) -> Result<(), Failure> {
        let mut progress = (self.mirror.acknowledged(), Instant::now());
        while !self.is_done() {
            let due = self.mirror.poll_timeout().map_or(Duration::ZERO, |due| due.saturating_since(self.clock.now()));
            std::thread::sleep(due);
            let outcome = TcpStream::connect(address).and_then(|stream| self.converse(&stream));
            self.let_go()?;
            self.tell()?;
            if self.mirror.acknowledged() > progress.0 {
                progress = (self.mirror.acknowledged(), Instant::now());
            }
            if let Err(error) = outcome {
                self.mirror.handle_failure(self.clock.now());
                if progress.1.elapsed() >= patience {
                    return Err(Failure::Input(format!("{address}: {error}")));
                }
            }
        }
        Ok(())
    }

    /// Uses one connection until everything has arrived.
    fn converse(&mut self, mut stream: &TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(LISTEN_FOR))?;
        let (mut sink, mut buffer) = (StreamSink::new(self.origin), [0; 4096]);
        let asked = self.mirror.stats().asked;
        while !self.is_done() {
            self.mirror.drive(self.clock.now(), &mut self.queue, &mut sink).map_err(told)?;
            if self.mirror.is_halted() {
                return Ok(());
            }
            // It would ask once more, because nothing was heard: that takes a new connection.
            if self.mirror.stats().asked > asked + 1 {
                return Err(io::ErrorKind::TimedOut.into());
            }
            stream.write_all(&sink.poll_output())?;
            match stream.read(&mut buffer) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(octets) => sink.handle_input(&buffer[..octets]).map_err(io::Error::other)?,
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {}
                Err(error) => return Err(error),
            }
            self.mirror.drive(self.clock.now(), &mut self.queue, &mut sink).map_err(told)?;
        }
        Ok(())
    }

    fn is_done(&self) -> bool {
        self.mirror.stats().asked > 0 && self.mirror.acknowledged() == self.queue.next_offset()
    }

    /// Lets go of what the other side has.
    fn let_go(&mut self) -> Result<(), Failure> {
        let confirmed = self.mirror.confirmed();
        if confirmed > self.let_go_of {
            self.let_go_of = confirmed;
            if self.what_arrived == WhatArrived::Goes {
                self.queue.ack_before(confirmed).map_err(|error| refused(&self.path, &error))?;
            }
            self.queue.commit().map_err(|error| refused(&self.path, &error))?;
        }
        Ok(())
    }

    /// Says what happened.
    fn tell(&mut self) -> Result<(), Failure> {
        let events: VecDeque<_> = core::iter::from_fn(|| self.mirror.poll_event()).collect();
        for event in events {
            match event {
                MirrorEvent::Missed(gap) => eprintln!("iot: messages {} to {} are missing", gap.from, gap.until),
                MirrorEvent::Ahead(offset) | MirrorEvent::Fenced(offset) => {
                    let words = "the other side has messages at or behind this place that this queue never sent there";
                    return Err(Failure::Input(format!("{}: {offset}: {words}", self.path.display())));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// With its reason, which an error of the connection does not print by itself.
fn told<E: std::error::Error + 'static>(error: MirrorError<E>) -> io::Error {
    let words = std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
    io::Error::other(words)
}

/// Runs `queue receive`.
pub fn run_receive(mut parser: Parser) -> Result<(), Failure> {
    let (mut path, mut listen, mut connections, mut memory) = (None, None, usize::MAX, Memory::default());
    while let Some(argument) = parser.next()? {
        match argument {
            Long("listen") => listen = Some(parser.value()?.string()?),
            Long("connections") => connections = within(&mut parser, "--connections", 1..)?,
            Long("sources") => memory.sources = within(&mut parser, "--sources", ..)?,
            Long("ids") => memory.ids = within(&mut parser, "--ids", ..)?,
            Value(value) if path.is_none() => path = Some(PathBuf::from(value)),
            other => return Err(other.unexpected().into()),
        }
    }
    let path = path.ok_or_else(directory::no_directory)?;
    let listen = listen.ok_or_else(|| Failure::Usage("--listen is missing".into()))?;
    host_and_port("--listen", &listen, 0)?;
    let (queue, _) = directory::open(&path, memory)?;
    let mut intake = Intake::new(MAX_FEEDS);
    intake.recover(&queue).map_err(|error| refused(&path, &error))?;
    let fail = |error: io::Error| Failure::Input(format!("{listen}: {error}"));
    let listener = TcpListener::bind(&listen).map_err(fail)?;
    say!("listening on {}", listener.local_addr().map_err(fail)?);
    let receiver = Mutex::new((queue, intake));
    std::thread::scope(|threads| {
        for stream in listener.incoming().take(connections) {
            let Ok(stream) = stream else { continue };
            let receiver = &receiver;
            threads.spawn(move || {
                if let Err(error) = receive(&stream, receiver) {
                    eprintln!("iot: a connection has ended: {error}");
                }
            });
        }
    });
    let (queue, _) = receiver.into_inner().map_err(|_| Failure::Input("a connection failed badly".into()))?;
    queue.close().map_err(|error| refused(&path, &error))?;
    Ok(())
}

/// Serves one connection until the sender ends it.
fn receive(mut stream: &TcpStream, receiver: &Mutex<(Queue<FileStorage>, Intake)>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (mut server, mut buffer) = (StreamServer::new(MAX_PAYLOAD), vec![0; 64 << 10]);
    loop {
        let octets = stream.read(&mut buffer)?;
        if octets == 0 {
            return Ok(());
        }
        let mut receiver = receiver.lock().map_err(|_| io::Error::other("another connection failed badly"))?;
        let (queue, intake) = &mut *receiver;
        let outcome = server.handle_input(&buffer[..octets], queue, intake);
        drop(receiver);
        stream.write_all(&server.poll_output())?;
        for notice in outcome.map_err(io::Error::other)?.gaps {
            let gap = notice.gap;
            eprintln!("iot: messages {} to {} of a log are missing: {}", gap.from, gap.until, gap.cause.name());
        }
    }
}
