//! What talks to the server.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_nats::connection::State;
use async_nats::header::{NATS_EXPECTED_LAST_MESSAGE_ID, NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, NATS_MESSAGE_ID};
use async_nats::jetstream::stream::{LastRawMessageErrorKind, RetentionPolicy};
use async_nats::{Client, HeaderValue, Message, Subject, Subscriber, jetstream};
use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _};
use iot_queue::sink::{Answer, Forwarded, ResumePoint};
use iot_queue::{Epoch, GapNotice, Offset};
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use crate::entry::{EntryHeaders, headers_of, hexadecimal};
use crate::sink::JetStreamError;

/// How often the connection is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How long the server may take to answer a question.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);

/// JetStream: the last message of the subject has another sequence.
const WRONG_LAST_SEQUENCE: u64 = 10071;

/// JetStream: the last message of the stream has another identifier.
const WRONG_LAST_ID: u64 = 10070;

/// JetStream: there is no message; what it answers to a question about a subject's last.
const NO_MESSAGE: u64 = 10037;

/// Octets that the identifiers of a driver begin with.
const NONCE_LEN: usize = 10;

/// Octets of a header of a notice, at the most.
const LONGEST_HEADER: usize = 128;

pub(crate) enum Command {
    Ask { turn: u64, feed: Epoch },
    Send { turn: u64, entries: Vec<Forwarded> },
}

/// What was said, and to which question.
pub(crate) type Said = (u64, Result<Answer, JetStreamError>);

/// What does for a [`JetStreamSink`](crate::JetStreamSink) what has to wait: asks, publishes, hears acknowledgements.
#[derive(Debug)]
pub struct Driver {
    client: Client,
    context: jetstream::Context,
    stream: String,
    prefix: String,
    commands: mpsc::UnboundedReceiver<Command>,
    said: mpsc::UnboundedSender<Said>,
    inbox: String,
    /// Drawn at random: no other driver gives a message an identifier that begins so.
    nonce: String,
    chain: Chain,
    /// The log and the connection of the last refusal, where the log goes on, and the sequence of the message before.
    refused: Option<(Epoch, Option<u64>, Offset, u64)>,
}

/// What is under way on one subject, each message behind the one before it.
#[derive(Debug, Default)]
struct Chain {
    turn: u64,
    feed: Option<Epoch>,
    /// Which connection was asked.
    connection: Option<u64>,
    /// The end of the last message that was acknowledged in this turn, and its sequence.
    stored: Option<(Offset, u64)>,
    subject: Option<Subject>,
    /// The sequence of the last message of the subject, while nothing is under way.
    last: u64,
    /// The identifier of the last message that is.
    last_id: String,
    /// The ends of what is under way.
    ends: VecDeque<Offset>,
    /// The number of the first of these, and of the next that is published.
    numbers: (u64, u64),
}

/// What became of a message.
enum Heard {
    /// It is in the stream, which has everything before this place.
    Stored(Offset),
    /// Another one stands where it was to stand.
    Refused,
}

/// What JetStream answers to a message.
#[derive(Deserialize)]
struct PubAck {
    #[serde(default)]
    seq: u64,
    #[serde(default)]
    duplicate: bool,
    error: Option<PubError>,
}

#[derive(Deserialize)]
struct PubError {
    #[serde(default)]
    err_code: u64,
}

impl Driver {
    pub(crate) fn new(
        client: Client,
        stream: String,
        prefix: String,
        commands: mpsc::UnboundedReceiver<Command>,
        said: mpsc::UnboundedSender<Said>,
    ) -> Self {
        let (mut context, inbox) = (jetstream::new(client.clone()), client.new_inbox());
        // Shorter than a mirror waits: a question that is lost with a connection holds up the next one.
        context.set_timeout(ANSWER_WITHIN);
        // An inbox ends in the most random part of its name.
        let nonce = inbox.chars().skip(inbox.len().saturating_sub(NONCE_LEN)).collect();
        Self { client, context, stream, prefix, commands, said, inbox, nonce, chain: Chain::default(), refused: None }
    }

    /// Works until the sink is dropped.
    pub async fn run(mut self) {
        // Acknowledgements come to `INBOX.TURN.NUMBER`.
        let Ok(mut answers) = self.client.subscribe(format!("{}.*.*", self.inbox)).await else { return };
        let mut look = tokio::time::interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                command = self.commands.recv() => match command {
                    Some(Command::Ask { turn, feed }) => self.ask(turn, feed).await,
                    Some(Command::Send { turn, entries }) => self.send(turn, entries).await,
                    None => return,
                },
                answer = answers.next() => match answer {
                    Some(answer) => self.hear(answer, &mut answers),
                    None => return,
                },
                _ = look.tick() => {
                    // The server may have lost what it acknowledged last, also when nothing is under way.
                    if self.chain.subject.is_some() && self.connection() != self.chain.connection {
                        self.fail(JetStreamError::Disconnected);
                    }
                }
            }
        }
    }

    async fn ask(&mut self, turn: u64, feed: Epoch) {
        let subject = Subject::from(format!("{}.{}", self.prefix, hexadecimal(feed.as_bytes())));
        let (refused, connection) = (std::mem::take(&mut self.refused), self.connection());
        let refused = refused.filter(|&(of, on, ..)| (of, on) == (feed, connection));
        self.chain = Chain { turn, ..Chain::default() };
        // After a refusal the acknowledgements before it have told all. Should that be wrong, because somebody else writes
        // to the subject, then the first message is refused, nothing was acknowledged, and the server is asked.
        let end = match refused {
            Some((.., until, last)) => Ok((ResumePoint::From(until), last)),
            None => self.find_end(&subject).await,
        };
        match end {
            Ok((point, last)) => {
                let (feed, subject) = (Some(feed), Some(subject));
                self.chain = Chain { turn, feed, connection, subject, last, ..Chain::default() };
                self.say(Ok(Answer::Resume(point)));
            }
            Err(error) => self.fail(error),
        }
    }

    /// Where the log goes on, and the last sequence of the subject.
    async fn find_end(&self, subject: &Subject) -> Result<(ResumePoint, u64), JetStreamError> {
        if self.connection().is_none() {
            return Err(JetStreamError::Disconnected);
        }
        let no_stream = || JetStreamError::NoStream { stream: self.stream.clone(), subject: subject.to_string() };
        let stream = self.context.get_stream(&self.stream).await.map_err(|error| match error.kind() {
            jetstream::context::GetStreamErrorKind::JetStream(_) => no_stream(),
            _ => JetStreamError::Unanswered,
        })?;
        let info = stream.cached_info();
        if info.config.retention != RetentionPolicy::Limits || info.config.no_ack {
            return Err(JetStreamError::Unsuitable { stream: self.stream.clone() });
        }
        match stream.get_last_raw_message_by_subject(subject).await {
            Ok(message) => {
                let entry = EntryHeaders::read(&message.headers);
                let foreign = |cause| JetStreamError::Foreign { subject: subject.to_string(), cause };
                let until = entry.map_err(foreign)?.until;
                Ok((ResumePoint::From(until), message.sequence))
            }
            Err(error) => match error.kind() {
                LastRawMessageErrorKind::NoMessageFound => Ok((ResumePoint::Unknown, 0)),
                LastRawMessageErrorKind::JetStream(said) if said.error_code().0 == NO_MESSAGE => {
                    Ok((ResumePoint::Unknown, 0))
                }
                _ => Err(JetStreamError::Unanswered),
            },
        }
    }

    async fn send(&mut self, turn: u64, entries: Vec<Forwarded>) {
        let Some(subject) = self.chain.subject.clone().filter(|_| turn == self.chain.turn) else { return };
        for entry in entries {
            let mut headers = headers_of(&entry);
            if self.chain.ends.is_empty() {
                headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, HeaderValue::from(self.chain.last));
            } else {
                headers.insert(NATS_EXPECTED_LAST_MESSAGE_ID, self.chain.last_id.as_str());
            }
            self.chain.last_id = format!("{}{}", self.nonce, entry.start());
            headers.insert(NATS_MESSAGE_ID, self.chain.last_id.as_str());
            let end = entry.end();
            let payload = match entry {
                Forwarded::Message(message) => message.payload,
                Forwarded::Gap(notice) => self.payload_of(&notice, headers.len()),
            };
            let reply = format!("{}.{turn}.{}", self.inbox, self.chain.numbers.1);
            if self
                .client
                .publish_with_reply_and_headers(subject.clone(), reply, headers, Bytes::from(payload))
                .await
                .is_err()
            {
                return self.fail(JetStreamError::Disconnected);
            }
            self.chain.numbers.1 += 1;
            self.chain.ends.push_back(end);
        }
    }

    /// The octets of a notice: without its claim, where the server does not take messages as long as that.
    fn payload_of(&self, notice: &GapNotice, headers: usize) -> Vec<u8> {
        let (whole, longest) = (notice.to_vec(), self.client.server_info().max_payload);
        // Names and values of headers are short.
        if whole.len() + headers * LONGEST_HEADER <= longest { whole } else { GapNotice::unsigned(notice.gap).to_vec() }
    }

    /// Hears an answer, and those that came with it.
    fn hear(&mut self, answer: Message, answers: &mut Subscriber) {
        let (mut until, mut next) = (None, Some(answer));
        while let Some(answer) = next {
            match self.hear_one(&answer) {
                Some(Heard::Stored(end)) => until = Some(end),
                Some(Heard::Refused) => {
                    until.into_iter().for_each(|until| self.say(Ok(Answer::Acknowledged(until))));
                    return self.say(Ok(Answer::Refused));
                }
                // It was of an earlier turn, or it was a failure, and that was said.
                None => {}
            }
            next = if self.chain.subject.is_some() { answers.next().now_or_never().flatten() } else { None };
        }
        if let Some(until) = until.filter(|_| self.chain.subject.is_some()) {
            self.say(Ok(Answer::Acknowledged(until)));
        }
    }

    /// What became of the next message, if this says so. Answers come in the order in which the stream takes messages.
    fn hear_one(&mut self, answer: &Message) -> Option<Heard> {
        self.chain.subject.as_ref()?;
        let mut names = answer.subject.rsplitn(3, '.');
        let (number, turn) = (names.next()?.parse::<u64>().ok()?, names.next()?.parse::<u64>().ok()?);
        if turn != self.chain.turn || number != self.chain.numbers.0 || self.chain.ends.is_empty() {
            return None;
        }
        match serde_json::from_slice(&answer.payload) {
            Ok(PubAck { error: None, seq, duplicate: false }) if seq > 0 => {
                self.chain.numbers.0 += 1;
                let end = self.chain.ends.pop_front();
                self.chain.stored = end.map(|end| (end, seq));
                if self.chain.ends.is_empty() {
                    self.chain.last = seq;
                }
                return end.map(Heard::Stored);
            }
            // What is there already is there because of somebody else, or came late.
            Ok(
                PubAck { error: Some(PubError { err_code: WRONG_LAST_SEQUENCE | WRONG_LAST_ID }), .. }
                | PubAck { duplicate: true, .. },
            ) => {
                let Chain { feed, connection, stored, .. } = self.chain;
                self.refused = feed.zip(stored).map(|(feed, (until, last))| (feed, connection, until, last));
                self.chain.subject = None;
                return Some(Heard::Refused);
            }
            Ok(PubAck { error, .. }) => {
                let code = error.map_or(0, |error| error.err_code);
                self.fail(JetStreamError::Refused { code });
            }
            // No responders: no stream takes the subject.
            Err(_) => {
                let subject = self.chain.subject.as_ref().map_or_else(String::new, ToString::to_string);
                self.fail(JetStreamError::NoStream { stream: self.stream.clone(), subject });
            }
        }
        None
    }

    fn fail(&mut self, error: JetStreamError) {
        self.chain.subject = None;
        self.chain.ends.clear();
        self.say(Err(error));
    }

    fn say(&self, said: Result<Answer, JetStreamError>) {
        // Nobody listens once the sink is gone, and then the driver ends.
        let _ = self.said.send((self.chain.turn, said));
    }

    /// The number of the connection that there is.
    fn connection(&self) -> Option<u64> {
        let number = self.client.statistics().connects.load(Ordering::Relaxed);
        (self.client.connection_state() == State::Connected).then_some(number)
    }
}
