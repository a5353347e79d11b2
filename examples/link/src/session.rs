//! The loop of an end: it connects, lets packets come and go, and connects again when the link breaks.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use iot_core::Instant;
use iot_queue::{AppendError, Backoff, FileStorage, Queue};

use crate::readings::{self, Readings};
use crate::{Endpoint, Event, Failure, Options, Role, Sink};

/// A transport, as an end sees it: packets leave and arrive, each whole, or not at all.
pub trait Link {
    /// Hands a packet over to the transport.
    ///
    /// # Errors
    ///
    /// The link is broken; it is dropped then, and another is dialled.
    fn send(&mut self, packet: &[u8]) -> io::Result<()>;

    /// The next packet, or `None` when none came for so long.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    fn receive(&mut self, patience: Duration) -> io::Result<Option<Vec<u8>>>;

    /// Takes what it wants from the outbox by itself, at its own pace, and lets go of what is handed over; `false` if
    /// it wants packets one by one.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    fn forward(&mut self, now: Instant, outbox: &mut Queue<FileStorage>) -> io::Result<bool> {
        let _ = (now, outbox);
        Ok(false)
    }

    /// Hears that the packet which was received last is not what it says: a broker may have a place for such.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    fn refuse(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Makes a link, or says why there is none: [`WouldBlock`](io::ErrorKind::WouldBlock) if nobody has come yet. What
/// [`PermissionDenied`](io::ErrorKind::PermissionDenied) and [`InvalidInput`](io::ErrorKind::InvalidInput) say, no
/// second try will mend: before the first link was made, they end the program.
pub type Dialer = Box<dyn FnMut() -> io::Result<Box<dyn Link>>>;

/// How long an end waits for packets before it looks at everything else.
const TICK: Duration = Duration::from_millis(50);

/// How long a sink that failed is left alone.
const POUR_AGAIN: Duration = Duration::from_secs(1);

/// Packets that are sent before it looks whether one came.
const BURST: usize = 16;

/// Readings are sealed so far ahead of the link when they come as fast as they go.
const AHEAD: u64 = 512;

/// An end that runs.
pub(crate) struct Session<'s> {
    name: &'s str,
    hint: &'s str,
    options: &'s Options,
    endpoint: Endpoint<'s>,
    readings: Option<Readings>,
    commands: Option<Receiver<String>>,
    sink: Option<Box<dyn Sink>>,
    /// When the sink is tried again, after it failed.
    pour_at: Instant,
    stop: Arc<AtomicBool>,
    started: std::time::Instant,
    /// Packets and octets, out and in.
    counts: [u64; 4],
    /// Readings that this run has taken.
    taken: u64,
    is_full: bool,
}

impl<'s> Session<'s> {
    pub fn new(
        (name, hint): (&'s str, &'s str),
        options: &'s Options,
        endpoint: Endpoint<'s>,
        stop: Arc<AtomicBool>,
        sink: Option<Box<dyn Sink>>,
    ) -> io::Result<Self> {
        let (mut readings, mut commands) = (None, None);
        match (options.role, &options.input) {
            (Role::Device, Some(path)) => {
                let fail = |error: io::Error| io::Error::other(format!("{}: {error}", path.display()));
                readings = Some(Readings::from_file(path).map_err(fail)?);
            }
            (Role::Device, None) => readings = Some(Readings::Thermometer(options.readings)),
            (Role::Receiver, _) => commands = Some(lines_of_stdin()),
        }
        let started = std::time::Instant::now();
        Ok(Self {
            name,
            hint,
            options,
            endpoint,
            readings,
            commands,
            sink,
            pour_at: Instant::START,
            stop,
            started,
            counts: [0; 4],
            taken: 0,
            is_full: false,
        })
    }

    /// Runs until there is nothing left to do, or somebody stops it.
    pub fn run(mut self, mut dial: Dialer) -> Result<(), Failure> {
        let backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5));
        let (mut attempts, mut was_up, mut complaint) = (0, false, String::new());
        while !self.is_over() {
            // Readings are taken and kept whether there is a link or not.
            self.take_input()?;
            let words = match dial() {
                Ok(mut link) => {
                    (attempts, was_up) = (0, true);
                    self.say("connected");
                    self.endpoint.handle_connected(self.now())?;
                    match self.serve(&mut *link)? {
                        Ok(()) => break,
                        Err(broken) => format!("the link ended: {broken}"),
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                Err(error) if !was_up && is_final(&error) => {
                    return Err(format!("{}: {error}", self.options.server).into());
                }
                Err(error) => format!("{}: {error}; {}", self.options.server, self.hint),
            };
            if words != complaint {
                self.say(&words);
                complaint = words;
            }
            attempts += 1;
            self.pause(backoff.delay(attempts, self.started.elapsed().as_micros() as u64))?;
        }
        self.pour()?;
        let [out, octets_out, came, octets_in] = self.counts;
        let (written, waiting) = (self.endpoint.written(), self.endpoint.waiting());
        let seconds = self.started.elapsed().as_secs_f64();
        self.say(&format!(
            "ends after {seconds:.1} s: wrote {written} messages, {waiting} wait; sent {out} packets of {octets_out} \
             octets, received {came} of {octets_in}"
        ));
        self.endpoint.close()
    }

    /// Lets packets come and go. The inner result is what broke the link.
    fn serve(&mut self, link: &mut dyn Link) -> Result<io::Result<()>, Failure> {
        loop {
            self.take_input()?;
            let (now, mut sent) = (self.now(), 0);
            let forwards = match link.forward(now, self.endpoint.outbox()?) {
                Ok(forwards) => forwards,
                Err(broken) => return Ok(Err(broken)),
            };
            while sent < BURST && !forwards {
                let Some(packet) = self.endpoint.poll_transmit(now)? else { break };
                if let Err(broken) = link.send(&packet) {
                    return Ok(Err(broken));
                }
                sent += 1;
                self.count(0, &packet);
            }
            if self.is_over() {
                return Ok(Ok(()));
            }
            let due = self.endpoint.poll_timeout().map_or(TICK, |due| due.saturating_since(self.now()));
            let mut patience = if sent == BURST { Duration::ZERO } else { due.min(TICK) };
            loop {
                match link.receive(patience) {
                    Ok(None) => break,
                    Ok(Some(mut packet)) => {
                        self.count(2, &packet);
                        self.endpoint.handle_packet(self.now(), &mut packet)?;
                    }
                    Err(broken) => return Ok(Err(broken)),
                }
                let events: Vec<_> = std::iter::from_fn(|| self.endpoint.poll_event()).collect();
                events.iter().for_each(|event| self.tell(event));
                // Later ones are about packets that came before.
                if let Some(Event::Refused(_) | Event::Unknown(_)) = events.first()
                    && let Err(broken) = link.refuse()
                {
                    return Ok(Err(broken));
                }
                patience = Duration::ZERO;
                if self.endpoint.poll_timeout().is_some_and(|due| due <= self.now()) {
                    break;
                }
            }
        }
    }

    /// Hands on what was accepted.
    fn pour(&mut self) -> Result<(), Failure> {
        let now = self.now();
        let Some(sink) = self.sink.as_deref_mut().filter(|_| self.pour_at <= now) else { return Ok(()) };
        match self.endpoint.pour(now, sink)? {
            Ok(()) => {}
            Err(error) if is_final(&error) => return Err(error.into()),
            Err(error) => {
                self.say(&format!("the ledger keeps what was accepted meanwhile: {error}"));
                self.pour_at = self.now().saturating_add(POUR_AGAIN);
            }
        }
        Ok(())
    }

    /// Takes readings that are due, or commands that were typed, into the outbox.
    fn take_input(&mut self) -> Result<(), Failure> {
        self.pour()?;
        for line in self.commands.iter().flat_map(Receiver::try_iter).collect::<Vec<_>>() {
            self.endpoint.append(line.as_bytes())?;
        }
        let Some(readings) = &self.readings else { return Ok(()) };
        let batch = self.options.batch as u64;
        let due = match self.options.rate {
            0 => u64::MAX,
            rate => (self.started.elapsed().as_secs_f64() * f64::from(rate)) as u64,
        };
        while self.taken < due && (self.options.rate > 0 || self.endpoint.waiting() < AHEAD) {
            let first = self.endpoint.written() * batch;
            let Some((payload, count)) = readings.payload(first, self.options.batch) else { break };
            match self.endpoint.append(&payload) {
                Ok(()) => self.is_full = false,
                Err(failure) => {
                    let is_full = matches!(failure.downcast_ref(), Some(AppendError::Full { .. }));
                    if is_full && !std::mem::replace(&mut self.is_full, true) {
                        self.say("the outbox is full: readings wait until the receiver has taken some");
                    }
                    return if is_full { Ok(()) } else { Err(failure) };
                }
            }
            self.taken += count as u64;
        }
        Ok(())
    }

    /// Whether somebody stopped this, or every reading that there is has been acknowledged.
    fn is_over(&self) -> bool {
        let batch = self.options.batch as u64;
        let is_done = |readings: &Readings| {
            self.endpoint.written() >= readings.count().div_ceil(batch) && self.endpoint.waiting() == 0
        };
        self.stop.load(Ordering::Relaxed) || self.readings.as_ref().is_some_and(is_done)
    }

    fn tell(&self, event: &Event) {
        match event {
            Event::Accepted { sequence, payload } if self.options.role == Role::Receiver => {
                let count = readings::decode(payload).map_or(0, |readings| readings.len());
                self.say(&format!("accepted {sequence}: {count} readings"));
            }
            Event::Accepted { sequence, payload } => {
                self.say(&format!("command {sequence}: {:?}", String::from_utf8_lossy(payload)));
            }
            Event::Missing(numbers) => self.say(&format!("missing {}..{}", numbers.start, numbers.end)),
            Event::Refused(error) => self.say(&format!("refused: {error}")),
            Event::Unknown(stream) => self.say(&format!("refused: packets of stream {stream} are not known here")),
        }
    }

    fn say(&self, words: &str) {
        println!("{} {}: {words}", self.name, self.options.role);
    }

    fn count(&mut self, place: usize, packet: &[u8]) {
        self.counts[place] += 1;
        self.counts[place + 1] += packet.len() as u64;
    }

    /// Waits before the next try, and takes readings meanwhile.
    fn pause(&mut self, delay: Duration) -> Result<(), Failure> {
        let end = self.now().saturating_add(delay);
        while self.now() < end && !self.is_over() {
            std::thread::sleep(TICK.min(end.saturating_since(self.now())));
            self.take_input()?;
        }
        Ok(())
    }

    fn now(&self) -> Instant {
        Instant::from_micros(self.started.elapsed().as_micros() as u64)
    }
}

fn is_final(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::InvalidInput)
}

fn lines_of_stdin() -> Receiver<String> {
    let (line, lines) = mpsc::channel();
    std::thread::spawn(move || io::stdin().lines().map_while(Result::ok).try_for_each(|typed| line.send(typed)));
    lines
}
