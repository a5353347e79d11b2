//! Sealed readings posted to HTTP subscribers, or fetched by them. Each has a cursor of its own in one outbox, retries of its
//! own and a state of its own. A subscriber is a receiver as all other applications have it.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use iot_core::Instant;
use iot_exchange::fanout::Publisher;
use iot_exchange::{folder, frames};
use iot_fanout::{Fanout, TICK};
use iot_link::process::{self, now, rng, wall};
use iot_link::{Application, Failure, Feedback, Options};
use iot_queue::{FileStorage, MaxLag};
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
    options: &[
        ("client", "END       which end makes requests: `device`, by default, or `receiver`, which fetches"),
        iot_tls::CA,
        iot_tls::CERTIFICATE,
        iot_tls::KEY,
    ],
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
  --ca FILE                  the CA that signed the certificates of https:// subscribers, in PEM; by default those of
                             the system
  --page ADDRESS             where the publisher answers how it is with each, and those who fetch
  --input FILE               take readings from lines `seconds,value`, in place of a thermometer's
  --readings N               end when every subscriber has so many; by default never
  --batch N                  readings in a message, 1 to 256, by default 10
  --rate N                   readings a second, by default 10; 0 for as fast as they go
  --max-lag N                messages that a subscriber may stay behind before it is told that it missed some, by
                             default 50000";

/// How long an acknowledgement may take.
const PATIENCE: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some("receiver" | "list") => SUBSCRIBER.main(),
        _ => process::end("push", run(lexopt::Parser::from_env())),
    }
}

fn run(mut parser: lexopt::Parser) -> Result<(), Failure> {
    let (mut words, mut posted, mut ca, mut page, mut max_lag) = (Vec::new(), Vec::new(), None, None, 50_000);
    let mut feed = FeedOptions::default();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("help") | Short('h') => {
                println!("{HELP}");
                return Ok(());
            }
            Long("subscriber") => posted.push(parser.value()?.string()?),
            Long("ca") => ca = Some(parser.value()?.string()?),
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
        [task, folder] if task == "publisher" => {
            publish(folder.into(), Feed::open(&feed)?, (&posted, ca), page, max_lag)
        }
        _ => Err(lexopt::Error::from("a command is missing or incomplete: see --help").into()),
    }
}

/// Runs the publisher until every subscriber has everything, or somebody stops it.
fn publish(
    root: PathBuf,
    feed: Feed,
    (posted, ca): (&[String], Option<String>),
    page: Option<String>,
    max_lag: u64,
) -> Result<(), Failure> {
    let (stop, folder, mut rng) = (process::stop_flag()?, root.join("publisher"), rng()?);
    let keys = folder::load_publisher_keys(&folder, wall())?;
    let outbox = folder::open_published(&folder, rng.next_u64().to_be_bytes())?;
    let publisher = Publisher::new(&keys, outbox, PATIENCE, MaxLag::UNLIMITED.messages(max_lag), rng)?;
    let posted = posted.iter().map(|word| {
        let (name, address) = word.split_once('=').ok_or("--subscriber takes NAME=ADDRESS")?;
        let id = publisher.subscriber(name).ok_or_else(|| format!("there are no keys of a subscriber {name}"))?;
        // Others have no use for it.
        let ca = ca.clone().filter(|_| address.starts_with("https://"));
        let own = ca.map(|file| ("ca", file)).into_iter().collect();
        let options = Options { server: address.into(), own, ..Options::default() };
        // What makes no sense is said before anything is posted.
        iot_http::server(&options)?;
        Ok((id, options))
    });
    let posted = posted.collect::<Result<Vec<_>, Failure>>()?;
    let page = page.as_deref().map(iot_http::listen).transpose()?;
    println!("push publisher: {} subscribers", keys.subscribers.len());
    let fanout = Fanout::new("push", publisher, stop);
    std::thread::scope(|threads| {
        let fanout = &fanout;
        for (id, options) in posted {
            threads.spawn(move || fanout.run(|| fanout.push(id, iot_http::dialer(&options)?)));
        }
        if let Some(server) = page {
            threads.spawn(move || {
                while !fanout.is_over() {
                    if let Ok(Some(request)) = server.recv_timeout(TICK) {
                        threads.spawn(move || fanout.run(|| answer(fanout, request)));
                    }
                }
            });
        }
        fanout.run(|| fanout.read(feed));
        fanout.stop();
    });
    let publisher = fanout.into_publisher()?;
    let seconds = now().saturating_since(Instant::START).as_secs_f64();
    println!("push publisher: ends after {seconds:.1} s: wrote {} messages", publisher.written());
    Ok(publisher.into_queue().close().map(drop)?)
}

/// Answers who asks how it is with each subscriber, and who fetches.
fn answer(fanout: &Fanout<'_, FileStorage>, request: Request) -> Result<(), Failure> {
    // Who hung up asks again.
    if *request.method() == Method::Get {
        let lines: String = fanout.standings().iter().map(|standing| format!("{standing}\n")).collect();
        return request.respond(Response::from_string(lines)).or(Ok(()));
    }
    let Some((request, packets)) = iot_http::take(request) else { return Ok(()) };
    let body = frames::join(fanout.fetch(packets, iot_http::HOLD)?)?;
    request.respond(Response::from_data(body)).or(Ok(()))
}
