//! The program around a [`Publisher`], as `iot-link` is that around an end with one peer: what each subscriber is sent goes
//! over a [`Link`] of its own, on a thread of its own, and a way that broke is made again.
//!
//! An application brings the transport, as a [`Dialer`] for each subscriber that it [pushes](Fanout::push) to; those that
//! nobody can connect to come themselves, and [fetch](Fanout::fetch). What travels is the exchange's business.
//!
//! ```no_run
//! use std::sync::atomic::Ordering;
//! use iot_exchange::fanout::Publisher;
//! use iot_fanout::Fanout;
//! use iot_link::{Failure, Options, process};
//! use iot_queue::FileStorage;
//! use iot_readings::Feed;
//!
//! /// Runs until the subscriber of this name has everything.
//! fn run(
//!     publisher: Publisher<'_, FileStorage>,
//!     feed: Feed,
//!     name: &str,
//!     dial: fn() -> iot_link::Dialer,
//! ) -> Result<(), Failure> {
//!     let id = publisher.subscriber(name).ok_or("nobody knows it")?;
//!     let fanout = Fanout::new("push", publisher, process::stop_flag()?);
//!     std::thread::scope(|threads| {
//!         threads.spawn(|| fanout.run(|| fanout.push(id, dial())));
//!         fanout.run(|| fanout.read(feed));
//!         fanout.stop();
//!     });
//!     fanout.into_publisher()?.into_queue().close()?;
//!     Ok(())
//! }
//! ```

#![forbid(unsafe_code)]

use std::io::{self, ErrorKind};
use std::iter;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::Duration;

use iot_core::Instant;
use iot_exchange::ExchangeError;
use iot_exchange::fanout::{Publisher, Standing, SubscriberId};
use iot_link::process::{now, wall};
use iot_link::{Dialer, Failure, Link};
use iot_queue::{AppendError, Storage};
use iot_readings::Feed;

/// How long a thread waits before it looks at everything else.
pub const TICK: Duration = Duration::from_millis(20);

/// A publisher that runs. Each of [`push`](Self::push), [`read`](Self::read) and [`fetch`](Self::fetch) is for a thread of
/// its own.
pub struct Fanout<'k, S: Storage> {
    name: &'static str,
    publisher: Mutex<Publisher<'k, S>>,
    stop: Arc<AtomicBool>,
    failed: OnceLock<Failure>,
}

impl<'k, S: Storage> Fanout<'k, S> {
    /// The publisher of the application `name`, until somebody sets `stop`.
    pub fn new(name: &'static str, publisher: Publisher<'k, S>, stop: Arc<AtomicBool>) -> Self {
        Self { name, publisher: Mutex::new(publisher), stop, failed: OnceLock::new() }
    }

    /// Does a part of it. When that fails everything ends: something is wrong with the publisher itself.
    pub fn run(&self, part: impl FnOnce() -> Result<(), Failure>) {
        if let Err(failure) = part() {
            self.stop();
            // One is enough to be told of.
            let _ = self.failed.set(failure);
        }
    }

    /// Ends everything.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Whether it ends.
    pub fn is_over(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Takes readings as they fall due, until every subscriber has them all.
    ///
    /// # Errors
    ///
    /// When the outbox fails, or nothing can be sealed.
    pub fn read(&self, mut feed: Feed) -> Result<(), Failure> {
        while !self.is_over() {
            let mut publisher = self.lock();
            let lags: Vec<_> = publisher.standings().map(|standing| standing.waiting).collect();
            if feed.is_over(publisher.written()) && lags.iter().all(|lag| *lag == 0) {
                break;
            }
            // Whoever is away does not hold the others up.
            let (written, least) = (publisher.written(), lags.into_iter().min().unwrap_or(0));
            let due = feed.due(now().saturating_since(Instant::START), written, least);
            let appended = due.map(|payload| publisher.append(wall(), &payload)).transpose();
            drop(publisher);
            match appended {
                Ok(Some(())) => feed.take(),
                // When the outbox is full, readings wait until the slowest has taken some, or is too far behind.
                Ok(None) | Err(ExchangeError::Append(AppendError::Full { .. })) => std::thread::sleep(TICK),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Sends a subscriber what there is, over links that `dial` makes: another one, after a wait that grows, whenever one
    /// breaks, cannot be made, or brings no acknowledgement in time.
    ///
    /// # Errors
    ///
    /// When the outbox fails, or nothing can be sealed.
    pub fn push(&self, id: SubscriberId, mut dial: Dialer) -> Result<(), Failure> {
        while !self.is_over() {
            let Err(broken) = dial().and_then(|mut link| self.serve(id, &mut *link)) else { continue };
            let broken = match broken.downcast::<ExchangeError>() {
                Ok(own) => return Err(own.into()),
                Err(broken) => broken,
            };
            let standing = self.lock().handle_failure(now(), id, broken.to_string())?;
            if standing.failures == 1 {
                eprintln!("{} publisher: {standing}", self.name);
            }
            let end = now().saturating_add(standing.waits);
            while now() < end && !self.is_over() {
                std::thread::sleep(TICK.min(end.saturating_since(now())));
            }
        }
        Ok(())
    }

    /// Takes what a subscriber sent that comes by itself, and gives what there is for it; waits up to `patience` until there
    /// is something. Who sends nothing that can be verified gets nothing, and at once.
    ///
    /// # Errors
    ///
    /// When the outbox fails, or nothing can be sealed.
    pub fn fetch(&self, packets: Vec<Vec<u8>>, patience: Duration) -> Result<Vec<Vec<u8>>, ExchangeError> {
        let (mut who, mut going, asked) = (None, Vec::new(), now());
        for packet in packets {
            who = self.take(packet)?.or(who);
        }
        while let Some(id) = who.filter(|_| going.is_empty() && now().saturating_since(asked) < patience) {
            while let Some(packet) = self.lock().poll_transmit(now(), wall(), id)? {
                going.push(packet);
            }
            std::thread::sleep(if going.is_empty() { TICK } else { Duration::ZERO });
        }
        Ok(going)
    }

    /// How it is with each subscriber.
    pub fn standings(&self) -> Vec<Standing> {
        self.lock().standings().collect()
    }

    /// The publisher again, when nothing of it runs any longer.
    ///
    /// # Errors
    ///
    /// What has gone wrong meanwhile.
    pub fn into_publisher(self) -> Result<Publisher<'k, S>, Failure> {
        match self.failed.into_inner() {
            Some(failure) => Err(failure),
            None => Ok(self.publisher.into_inner().map_err(|_| "a thread panicked")?),
        }
    }

    /// Lets packets come and go.
    fn serve(&self, id: SubscriberId, link: &mut dyn Link) -> io::Result<()> {
        while !self.is_over() {
            while let Some(packet) = self.lock().poll_transmit(now(), wall(), id)? {
                link.send(&packet)?;
            }
            if let Some(packet) = link.receive(TICK)? {
                self.take(packet)?;
            }
            if self.lock().is_overdue(now(), id) {
                return Err(io::Error::new(ErrorKind::TimedOut, "it acknowledged nothing in time"));
            }
        }
        Ok(())
    }

    /// Takes a packet. Gives who wrote it, if that is a subscriber.
    fn take(&self, mut packet: Vec<u8>) -> Result<Option<SubscriberId>, ExchangeError> {
        let mut publisher = self.lock();
        let came = publisher.handle_packet(now(), &mut packet);
        iter::from_fn(|| publisher.poll_event()).for_each(|event| println!("{} publisher: {event}", self.name));
        came
    }

    fn lock(&self) -> MutexGuard<'_, Publisher<'k, S>> {
        self.publisher.lock().expect("nobody panics with the lock")
    }
}
