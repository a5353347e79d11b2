//! A subscriber: it verifies what is posted, keeps it, and answers with a receipt.

use std::collections::BTreeMap;
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use iot_codec::framing::LengthDelimited;
use iot_core::{Incarnation, Position, Topic};
use iot_crypto::{Opener, RoutingHeader};
use iot_exchange::folder::open_ledger;
use iot_link::Failure;
use iot_link::process::{now, rng, wall};
use iot_queue::{Backoff, Entry, FileStorage, Message, Offset, Queue, Stored};
use rand_chacha::ChaCha20Rng;
use rand_core::Rng as _;
use tiny_http::{Method, Request, Response, Server};
use ureq::Agent;

use crate::keys::Keys;
use crate::receipt::{self, Anything};
use crate::{MESSAGES, OLDEST, Options, READINGS};

/// Octets of the longest message.
const MAX_BODY: u64 = 64 * 1024;

/// Octets of the longest answer of the publisher.
const MAX_ANSWER: u64 = 64 * MAX_BODY;

/// How long the publisher may take for it.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long the server waits for a request before it looks at everything else.
const TICK: Duration = Duration::from_millis(200);

struct Subscriber {
    keys: Keys,
    ledger: Queue<FileStorage>,
    /// The first message of each incarnation that is not in the ledger.
    next: BTreeMap<Incarnation, u64>,
    /// The incarnation of the last message.
    latest: Incarnation,
    rng: ChaCha20Rng,
}

/// Runs a subscriber until somebody stops it.
pub fn run(folder: &Path, name: &str, options: &Options, stop: &AtomicBool) -> Result<(), Failure> {
    let folder = folder.join(name);
    let keys = Keys::load(&folder, wall())?;
    let mut rng = rng()?;
    let ledger = open_ledger(&folder, rng.next_u64().to_be_bytes())?;
    let (mut next, mut latest) = (BTreeMap::new(), Incarnation::from_bytes([0; 8]));
    for entry in ledger.entries_from(Offset::START) {
        if let Entry::Message(Stored { position: Some(position), .. }) = entry? {
            next.insert(position.incarnation, position.sequence + 1);
            latest = position.incarnation;
        }
    }
    let mut subscriber = Subscriber { keys, ledger, next, latest, rng };
    if let Some(url) = &options.pull {
        return subscriber.pull(&format!("{}/pull/{name}", url.trim_end_matches('/')), stop);
    }
    let address = options.listen.as_deref().unwrap_or("127.0.0.1:8080");
    let server = Server::http(address).map_err(|error| io::Error::other(format!("{address}: {error}")))?;
    println!("push subscriber: {name} listens at {address}");
    while !stop.load(Ordering::Relaxed) {
        if let Some(request) = server.recv_timeout(TICK)? {
            subscriber.serve(request)?;
        }
    }
    subscriber.ledger.close()?;
    println!("push subscriber: {name} ends");
    Ok(())
}

impl Subscriber {
    /// Fetches what there is, until somebody stops it.
    fn pull(mut self, url: &str, stop: &AtomicBool) -> Result<(), Failure> {
        let agent: Agent = Agent::config_builder().timeout_global(Some(PATIENCE)).build().into();
        let backoff = Backoff::new(TICK, Duration::from_secs(10));
        let mut failures = 0;
        while !stop.load(Ordering::Relaxed) {
            match self.fetch(&agent, url) {
                Ok(0) => {
                    failures = 0;
                    std::thread::sleep(TICK);
                }
                Ok(_) => failures = 0,
                Err(failure) => {
                    failures += 1;
                    if failures == 1 {
                        println!("push subscriber: {url}: {failure}; trying again");
                    }
                    std::thread::sleep(backoff.delay(failures, now().as_micros()));
                }
            }
        }
        self.ledger.close()?;
        Ok(())
    }

    /// Says what it has, and takes what comes behind that. Returns how many messages there were.
    fn fetch(&mut self, agent: &Agent, url: &str) -> Result<usize, Failure> {
        let next = self.next.get(&self.latest).copied().unwrap_or(0);
        let receipt = receipt::seal(&self.keys, self.latest, next, &mut self.rng)?;
        let mut answer = agent.post(url).send(receipt.as_slice())?;
        let body = answer.body_mut().with_config().limit(MAX_ANSWER).read_to_vec()?;
        let (mut decoder, mut rest, mut count) = (LengthDelimited::new(vec![0; MAX_BODY as usize]), &body[..], 0);
        while !rest.is_empty() {
            rest = &rest[decoder.push(rest)?..];
            while let Some(message) = decoder.next_frame() {
                self.take(&mut message.to_vec())?.ok_or("what it sent is no message of the publisher")?;
                count += 1;
            }
        }
        decoder.finish()?;
        Ok(count)
    }

    fn serve(&mut self, mut request: Request) -> Result<(), Failure> {
        let mut message = Vec::new();
        let read = request.as_reader().take(MAX_BODY).read_to_end(&mut message);
        let answer = match (read, request.method()) {
            (Ok(_), Method::Post) => self.take(&mut message)?,
            _ => None,
        };
        // Who hung up posts again. And who posts rubbish hears that it is, and nothing else.
        let _ = match answer {
            Some(receipt) => request.respond(Response::from_data(receipt)),
            None => request.respond(Response::empty(400)),
        };
        Ok(())
    }

    /// Takes a message, if it is the next one, and makes a receipt for everything that is in the ledger; nothing for what
    /// is no message of the publisher.
    fn take(&mut self, message: &mut [u8]) -> Result<Option<Vec<u8>>, Failure> {
        let Ok((RoutingHeader { stream, incarnation, sequence, .. }, _)) = RoutingHeader::parse(message) else {
            return Ok(None);
        };
        let next = self.next.get(&incarnation).copied().unwrap_or(0);
        let is_wanted = (stream == MESSAGES && sequence == next) || (stream == OLDEST && sequence > next);
        if is_wanted {
            let publisher = self.keys.others.first().ok_or("the keys name no publisher")?;
            let mut opener = Opener::new(&self.keys.agreement, publisher, Anything);
            let mut scratch = vec![0; iot_crypto::scratch_len(message.len(), READINGS.len())];
            let opened = match opener.open(Some(Topic::new(READINGS)?), message, &mut scratch) {
                Ok(opened) => opened,
                Err(error) => {
                    println!("push subscriber: refused: {error}");
                    return Ok(None);
                }
            };
            let position: Position = *opened.position();
            if stream == OLDEST {
                println!("push subscriber: missing {next}..{sequence}");
                self.next.insert(incarnation, sequence);
            } else {
                self.ledger.append(&Message::new(opened.payload()).at(position))?;
                self.ledger.commit()?;
                self.next.insert(incarnation, sequence + 1);
                self.latest = incarnation;
                println!("push subscriber: accepted {sequence}");
            }
        }
        let next = self.next.get(&incarnation).copied().unwrap_or(0);
        receipt::seal(&self.keys, incarnation, next, &mut self.rng).map(Some)
    }
}
