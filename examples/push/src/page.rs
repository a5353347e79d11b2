//! What the publisher answers to those who come to it: how it is with each subscriber, and messages for a subscriber that
//! cannot be posted to.

use std::io::Read as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use iot_codec::framing::frame_header;
use iot_crypto::KeyBundle;
use iot_link::Failure;
use iot_queue::{Entry, Offset, Seek};
use tiny_http::{Method, Request, Response, Server};

use crate::keys::Keys;
use crate::publisher::{Files, State, incarnation, lock, seal_oldest};
use crate::receipt;

/// Octets of the longest receipt.
const MAX_RECEIPT: u64 = 4096;

/// Messages in an answer.
const MAX_MESSAGES: usize = 64;

/// How long a request is awaited before it looks whether it is to stop.
const TICK: Duration = Duration::from_millis(100);

/// Answers requests.
pub struct Page<'p> {
    /// The messages.
    pub queue: &'p Files,
    /// The publisher's keys.
    pub keys: &'p Keys,
    /// To whom it seals.
    pub bundles: &'p [KeyBundle],
    /// How it is with each subscriber.
    pub states: &'p [Mutex<State>],
}

impl Page<'_> {
    /// Answers until it is to stop.
    pub fn keep(&self, server: &Server, stop: &AtomicBool) {
        while !stop.load(Ordering::Relaxed) {
            match server.recv_timeout(TICK) {
                Ok(Some(request)) => self.answer(request),
                Ok(None) => {}
                Err(error) => eprintln!("push publisher: {error}"),
            }
        }
    }

    fn answer(&self, mut request: Request) {
        let name = request.url().strip_prefix("/pull/").map(ToOwned::to_owned);
        // Who hung up asks again.
        let _ = match (request.method(), name) {
            (Method::Get, None) => request.respond(Response::from_string(self.describe())),
            (Method::Post, Some(name)) => {
                let mut receipt = Vec::new();
                let read = request.as_reader().take(MAX_RECEIPT).read_to_end(&mut receipt);
                match read.map_err(Failure::from).and_then(|_| self.pull(&name, &mut receipt)) {
                    Ok(body) => request.respond(Response::from_data(body)),
                    Err(failure) => {
                        eprintln!("push publisher: {name}: {failure}");
                        request.respond(Response::empty(400))
                    }
                }
            }
            _ => request.respond(Response::empty(404)),
        };
    }

    /// What comes behind what a subscriber has, as its receipt says; each message behind its length.
    fn pull(&self, name: &str, receipt: &mut [u8]) -> Result<Vec<u8>, Failure> {
        let subscriber = self.keys.others.iter().find(|other| other.name == name).ok_or("nobody has this name")?;
        let cursor = self.queue.with(|queue, _| queue.cursor(name)).ok_or("it is not among the --subscriber")?;
        // Who has nothing, or messages of another queue, begins at the start.
        let (of, next) = receipt::open(self.keys, subscriber, receipt)?;
        let next = Offset::new(if of == incarnation(self.queue) { next } else { 0 });
        self.queue.commit()?;
        let entries = self.queue.with(|queue, now| {
            // Whatever it had before, and whichever messages it was given and lost: this is where it is.
            queue.seek_cursor(cursor, Seek::Offset(next))?;
            queue.read_cursor(now, cursor, MAX_MESSAGES)
        })?;
        let mut messages = Vec::new();
        let mut expected = next;
        for entry in entries {
            match entry {
                Entry::Message(message) => {
                    if message.offset > expected {
                        messages.push(seal_oldest(self.queue, self.keys, self.bundles, message.offset)?);
                    }
                    expected = message.offset.next();
                    messages.push(message.payload);
                }
                Entry::Gap(gap) => {
                    expected = gap.until;
                    messages.push(seal_oldest(self.queue, self.keys, self.bundles, gap.until)?);
                }
            }
        }
        let mut body = Vec::new();
        for message in messages {
            body.extend(frame_header(message.len())?);
            body.extend(message);
        }
        Ok(body)
    }

    /// A line for each subscriber.
    fn describe(&self) -> String {
        let lags: Vec<_> = self.queue.with(|queue, _| queue.cursors().collect());
        let line = |state: &Mutex<State>| {
            let State { name, delivered, failures, waits, complaint } = lock(state).clone();
            let lag = lags.iter().find(|cursor| cursor.name == name).map_or(0, |cursor| cursor.lag);
            let trouble = match failures {
                0 => "well".to_owned(),
                _ => format!("failed {failures} times, tries again every {:.1} s: {complaint}", waits.as_secs_f32()),
            };
            format!("{name}: {delivered} delivered, {lag} wait, {trouble}\n")
        };
        self.states.iter().map(line).collect()
    }
}
