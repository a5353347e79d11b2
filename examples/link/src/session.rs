//! The loop of an end: it connects, lets packets come and go, and connects again when the link breaks.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use iot_core::Instant;
use iot_exchange::{Endpoint, Event, ExchangeError};
use iot_queue::{AppendError, Backoff, FileStorage};
use iot_readings::{Feed, describe};

use crate::process::{Failure, now, wall};
use crate::{Application, Dialer, Link, Options, Sink};

/// How long an end waits for packets before it looks at everything else.
const TICK: Duration = Duration::from_millis(50);

/// How often a sink gets what was accepted meanwhile: each time costs it and the ledger a sync.
const POUR_EVERY: Duration = Duration::from_millis(500);

/// Packets that are sent before it looks whether one came.
const BURST: usize = 16;

/// An end that runs. What is wrong with the end itself is an [`ExchangeError`] in an error of its link.
pub(crate) struct Session<'s> {
    pub application: &'s Application,
    pub options: &'s Options,
    pub endpoint: Endpoint<'s, FileStorage>,
    pub stop: Arc<AtomicBool>,
    pub feed: Option<Feed>,
    pub commands: Option<mpsc::Receiver<String>>,
    /// Where accepted messages go on to, and when that is due.
    pub sink: Option<(Sink, Instant)>,
    /// Packets and octets.
    pub sent: (usize, usize),
    pub received: (usize, usize),
    /// What was wrong last.
    pub complaint: String,
}

impl Session<'_> {
    /// Runs until there is nothing left to do, or somebody stops it.
    pub fn run(mut self, mut dial: Dialer) -> Result<(), Failure> {
        let backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5));
        let (server, mut attempts, mut was_up) = (&self.options.server, 0, false);
        while !self.is_over() {
            // Readings are taken and kept whether there is a link or not.
            self.take_input()?;
            let ended = dial().map(|mut link| {
                (attempts, was_up) = (0, true);
                self.serve(&mut *link)
            });
            match ended {
                Ok(Ok(())) => break,
                // A signal is no fault of the link: it may be over.
                Ok(Err(error)) | Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Ok(Err(broken)) => match broken.downcast::<ExchangeError>() {
                    Ok(own) => return Err(own.into()),
                    Err(broken) => self.complain(format!("the link ended: {broken}")),
                },
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                Err(error) if !was_up && is_final(&error) => return Err(format!("{server}: {error}").into()),
                Err(error) => self.complain(format!("{server}: {error}; {}", self.application.hint)),
            }
            attempts += 1;
            let end = now().saturating_add(backoff.delay(attempts, now().as_micros()));
            while now() < end && !self.is_over() {
                std::thread::sleep(TICK.min(end.saturating_since(now())));
                self.take_input()?;
            }
        }
        // The last of it is due at once.
        self.sink.iter_mut().for_each(|(_, due)| *due = Instant::START);
        self.pour()?;
        let ((out, octets_out), (came, octets_in)) = (self.sent, self.received);
        let (seconds, end) = (now().saturating_since(Instant::START).as_secs_f64(), &self.endpoint);
        let wrote = format!("ends after {seconds:.1} s: wrote {} messages, {} wait", end.written(), end.waiting());
        self.say(&format!("{wrote}; sent {out} packets of {octets_out} octets, received {came} of {octets_in}"));
        Ok(self.endpoint.into_queues().into_iter().try_for_each(|queue| queue.close().map(drop))?)
    }

    /// Lets packets come and go.
    fn serve(&mut self, link: &mut dyn Link) -> io::Result<()> {
        self.say(link.greeting());
        self.endpoint.handle_connected(now())?;
        let mut has_more = false;
        loop {
            self.take_input()?;
            self.endpoint.handle_turn(link.turn());
            let mut room = if link.forward(now(), self.endpoint.outbox()?)? { 0 } else { BURST };
            while room > 0
                && let Some(packet) = self.endpoint.poll_transmit(now(), wall())?
            {
                link.send(&packet)?;
                self.sent = (self.sent.0 + 1, self.sent.1 + packet.len());
                room -= 1;
                has_more |= room == 0;
            }
            if self.is_over() {
                return Ok(());
            }
            let due = self.endpoint.poll_timeout().map_or(TICK, |due| due.saturating_since(now()));
            let arrived = link.receive(if has_more { Duration::ZERO } else { due.min(TICK) })?;
            has_more = arrived.is_some();
            let Some(mut packet) = arrived else { continue };
            self.received = (self.received.0 + 1, self.received.1 + packet.len());
            self.endpoint.handle_packet(now(), &mut packet)?;
            let events: Vec<_> = std::iter::from_fn(|| self.endpoint.poll_event()).collect();
            events.iter().for_each(|event| self.say(&describe(event)));
            // Later ones are about packets that came before.
            if let Some(Event::Refused(_) | Event::Unknown(_)) = events.first() {
                link.refuse()?;
            }
        }
    }

    /// Hands on what was accepted.
    fn pour(&mut self) -> io::Result<()> {
        let Some((sink, due)) = self.sink.as_mut().filter(|(_, due)| *due <= now()) else { return Ok(()) };
        loop {
            *due = now().saturating_add(POUR_EVERY);
            let messages = self.endpoint.accepted(now())?;
            match if messages.is_empty() { break } else { sink(&messages).map(|()| self.complaint.clear()) } {
                Ok(()) => self.endpoint.let_go(&messages)?,
                Err(error) if is_final(&error) => return Err(error),
                Err(error) => break self.complain(format!("the ledger keeps what was accepted meanwhile: {error}")),
            }
        }
        Ok(())
    }

    /// Takes readings that are due, or commands that were typed, into the outbox.
    fn take_input(&mut self) -> io::Result<()> {
        self.pour()?;
        for line in self.commands.iter().flat_map(mpsc::Receiver::try_iter) {
            self.endpoint.append(wall(), line.as_bytes())?;
        }
        let Some(feed) = &mut self.feed else { return Ok(()) };
        let elapsed = now().saturating_since(Instant::START);
        while let Some(payload) = feed.due(elapsed, self.endpoint.written(), self.endpoint.waiting()) {
            match self.endpoint.append(wall(), &payload) {
                Err(ExchangeError::Append(AppendError::Full { .. })) => {
                    self.complain("the outbox is full: readings wait until the receiver has taken some".into());
                    break;
                }
                appended => appended?,
            }
            feed.take();
        }
        Ok(())
    }

    /// Whether somebody stopped this, or every reading that there is has been acknowledged.
    fn is_over(&self) -> bool {
        let is_done = |feed: &Feed| feed.is_over(self.endpoint.written()) && self.endpoint.waiting() == 0;
        self.stop.load(Ordering::Relaxed) || self.feed.as_ref().is_some_and(is_done)
    }

    /// Says what is wrong, once.
    fn complain(&mut self, words: String) {
        if words != self.complaint {
            self.say(&words);
            self.complaint = words;
        }
    }

    fn say(&self, words: &str) {
        println!("{} {}: {words}", self.application.name, self.options.role);
    }
}

fn is_final(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::InvalidInput)
}
