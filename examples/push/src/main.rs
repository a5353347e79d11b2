//! Sealed readings posted to HTTP subscribers, or fetched by them. Each has a cursor of its own in one outbox, retries of its
//! own and a state of its own. A subscriber is a receiver as all other applications have it.

use std::io::{self, ErrorKind};
use std::iter;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock};
use std::time::Duration;

use iot_core::Instant;
use iot_exchange::fanout::{Publisher, SubscriberId};
use iot_exchange::{ExchangeError, folder, frames};
use iot_link::process::{self, now, rng, wall};
use iot_link::{Application, Failure, Feedback, Link, Options};
use iot_queue::{AppendError, FileStorage, MaxLag};
use iot_readings::{Feed, FeedOptions};
use lexopt::prelude::*;
use rand_core::Rng as _;
use tiny_http::{Method, Request, Response};

/// The other end of it.
const SUBSCRIBER: Application = Application {
    name: "push",
    about: "Takes what a publisher posts, or with `--client receiver` fetches it.",
    server: "127.0.0.1:8080",
    hint: "is the publisher there, with a --page? trying again",
    options: &[("client", "END   which end makes requests: `device`, by default, or `receiver`, which fetches")],
    feedback: Feedback::Acknowledged { within: PATIENCE },
    dialer: iot_http::dialer,
    sink: None,
};

const HELP: &str = "Posts sealed readings to subscribers over HTTP, until each has said that it has them.

  push keys FOLDER NAME...     draw keys for the publisher and for subscribers of these names
  push publisher FOLDER        read, seal, keep, and post until every subscriber has it
  push receiver FOLDER/NAME    verify, keep, acknowledge; `push receiver --help` says more
  push list FOLDER/NAME        show what a subscriber accepted, as lines `seconds,value`

  --subscriber NAME=ADDRESS  where to post for a subscriber; may be said again. The others fetch
  --page ADDRESS             where the publisher answers how it is with each, and those who fetch
  --input FILE               take readings from lines `seconds,value`, in place of a thermometer's
  --readings N               end when every subscriber has so many; by default never
  --batch N                  readings in a message, 1 to 256, by default 10
  --rate N                   readings a second, by default 10; 0 for as fast as they go
  --max-lag N                messages that a subscriber may stay behind before it is told that it missed some, by
                             default 50000";

/// How long an acknowledgement may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a thread waits before it looks at everything else.
const TICK: Duration = Duration::from_millis(20);

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some("receiver" | "list") => SUBSCRIBER.main(),
        _ => process::end("push", run(lexopt::Parser::from_env())),
    }
}

fn run(mut parser: lexopt::Parser) -> Result<(), Failure> {
    let (mut words, mut posted, mut page, mut max_lag) = (Vec::new(), Vec::new(), None, 50_000);
    let mut feed = FeedOptions::default();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("help") | Short('h') => {
                println!("{HELP}");
                return Ok(());
            }
            Long("subscriber") => posted.push(parser.value()?.string()?),
            Long("page") => page = Some(parser.value()?.string()?),
            Long("input") => feed.input = Some(parser.value()?.into()),
            Long("readings") => feed.count = parser.value()?.parse()?,
            Long("batch") => feed.batch = parser.value()?.parse()?,
            Long("rate") => feed.rate = parser.value()?.parse()?,
            Long("max-lag") => max_lag = parser.value()?.parse()?,
            Value(word) => words.push(word.string()?),
            other => return Err(other.unexpected().into()),
        }
    }
    match &words[..] {
        [task, folder, names @ ..] if task == "keys" && !names.is_empty() => {
            Ok(folder::provision_fanout(folder.as_ref(), names, wall(), &mut rng()?)?)
        }
        [task, folder] if task == "publisher" => publish(folder.into(), Feed::open(&feed)?, &posted, page, max_lag),
        _ => Err(lexopt::Error::from("a command is missing or incomplete: see --help").into()),
    }
}

/// Runs the publisher until every subscriber has everything, or somebody stops it.
fn publish(root: PathBuf, feed: Feed, posted: &[String], page: Option<String>, max_lag: u64) -> Result<(), Failure> {
    let (stop, folder, mut rng) = (process::stop_flag()?, root.join("publisher"), rng()?);
    let keys = folder::load_publisher_keys(&folder, wall())?;
    let outbox = folder::open_published(&folder, rng.next_u64().to_be_bytes())?;
    let publisher = Publisher::new(&keys, outbox, PATIENCE, MaxLag::UNLIMITED.messages(max_lag), rng)?;
    let posted = posted.iter().map(|word| {
        let (name, address) = word.split_once('=').ok_or("--subscriber takes NAME=ADDRESS")?;
        let id = publisher.subscriber(name).ok_or_else(|| format!("there are no keys of a subscriber {name}"))?;
        let mut options = Options { server: address.into(), ..Options::default() };
        options.server = options.address("http")?.into();
        Ok((id, options))
    });
    let posted = posted.collect::<Result<Vec<_>, Failure>>()?;
    let page = page.as_deref().map(iot_http::listen).transpose()?;
    println!("push publisher: {} subscribers", keys.subscribers.len());
    let running = Running { publisher: Mutex::new(publisher), stop: &stop, failed: OnceLock::new() };
    std::thread::scope(|threads| {
        let running = &running;
        for (id, options) in posted {
            threads.spawn(move || running.post(id, &options).unwrap_or_else(|failure| running.fail(failure)));
        }
        if let Some(server) = page {
            threads.spawn(move || {
                while !running.is_over() {
                    if let Ok(Some(request)) = server.recv_timeout(TICK) {
                        let answer = move || running.answer(request).unwrap_or_else(|failure| running.fail(failure));
                        threads.spawn(answer);
                    }
                }
            });
        }
        running.read(feed).unwrap_or_else(|failure| running.fail(failure));
        stop.store(true, Ordering::Relaxed);
    });
    if let Some(failure) = running.failed.into_inner() {
        return Err(failure);
    }
    let publisher = running.publisher.into_inner().map_err(|_| "a thread panicked")?;
    let seconds = now().saturating_since(Instant::START).as_secs_f64();
    println!("push publisher: ends after {seconds:.1} s: wrote {} messages", publisher.written());
    Ok(publisher.into_queue().close().map(drop)?)
}

/// A publisher that runs, on a thread for each subscriber that is posted to.
struct Running<'r> {
    publisher: Mutex<Publisher<'r, FileStorage>>,
    stop: &'r AtomicBool,
    failed: OnceLock<Failure>,
}

impl<'r> Running<'r> {
    fn lock(&self) -> MutexGuard<'_, Publisher<'r, FileStorage>> {
        self.publisher.lock().expect("nobody panics with the lock")
    }

    fn is_over(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Ends everything: something is wrong with the publisher itself.
    fn fail(&self, failure: Failure) {
        self.stop.store(true, Ordering::Relaxed);
        // One is enough to be told of.
        let _ = self.failed.set(failure);
    }

    /// Takes readings as they fall due, until every subscriber has them all.
    fn read(&self, mut feed: Feed) -> Result<(), Failure> {
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

    /// Posts to a subscriber.
    fn post(&self, id: SubscriberId, options: &Options) -> Result<(), Failure> {
        let mut dial = iot_http::dialer(options)?;
        while !self.is_over() {
            let Err(broken) = dial().and_then(|mut link| self.serve(id, &mut *link)) else { continue };
            let broken = match broken.downcast::<ExchangeError>() {
                Ok(own) => return Err(own.into()),
                Err(broken) => broken,
            };
            let standing = self.lock().handle_failure(now(), id, broken.to_string())?;
            if standing.failures == 1 {
                eprintln!("push publisher: {standing}");
            }
            let end = now().saturating_add(standing.waits);
            while now() < end && !self.is_over() {
                std::thread::sleep(TICK.min(end.saturating_since(now())));
            }
        }
        Ok(())
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
        iter::from_fn(|| publisher.poll_event()).for_each(|event| println!("push publisher: {event}"));
        came
    }

    /// Answers who asks how it is with each subscriber, and who fetches.
    fn answer(&self, request: Request) -> Result<(), Failure> {
        if *request.method() == Method::Get {
            let lines: String = self.lock().standings().map(|standing| format!("{standing}\n")).collect();
            // Who hung up asks again.
            return request.respond(Response::from_string(lines)).or(Ok(()));
        }
        let Some((request, packets)) = iot_http::take(request) else { return Ok(()) };
        let (mut who, mut going, asked) = (None, Vec::new(), now());
        for packet in packets {
            who = self.take(packet)?.or(who);
        }
        while let Some(id) = who.filter(|_| going.is_empty() && now().saturating_since(asked) < iot_http::HOLD) {
            while let Some(packet) = self.lock().poll_transmit(now(), wall(), id)? {
                going.push(packet);
            }
            std::thread::sleep(if going.is_empty() { TICK } else { Duration::ZERO });
        }
        let body = frames::join(going)?;
        request.respond(Response::from_data(body)).or(Ok(()))
    }
}
