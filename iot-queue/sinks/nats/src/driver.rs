//! What talks to the server.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_nats::connection::State;
use async_nats::header::{NATS_EXPECTED_LAST_MESSAGE_ID, NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, NATS_MESSAGE_ID};
use async_nats::jetstream::stream::{LastRawMessageErrorKind, RetentionPolicy};
use async_nats::{Client, HeaderMap, HeaderValue, Message, Subject, Subscriber, jetstream};
use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _};
use iot_queue::mirror::MirrorConfig;
use iot_queue::sink::{Answer, Forwarded, ResumePoint};
use iot_queue::{Epoch, Offset};
use iot_queue_driven::{DrivenSink, Link, Orders, Published, Server, driven, hexadecimal, serve};
use serde::Deserialize;
use tokio::time::{Interval, MissedTickBehavior};

use crate::entry::published;
use crate::error::JetStreamError;

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

/// How to mirror into JetStream: 512 entries under way, five seconds for an answer, and a tail of two minutes and a
/// half behind what was acknowledged, for by default the server syncs every two minutes.
pub fn mirror_config() -> MirrorConfig {
    MirrorConfig::default().answer_within(Duration::from_secs(5)).settle_after(Duration::from_secs(150))
}

/// A sink that publishes to the subject `PREFIX.EPOCH` of the stream, and the driver that does it: the caller runs it beside,
/// for example as a task. `prefix` is for one gateway; the stream has the subjects `PREFIX.*`.
pub fn nats_sink(
    client: Client,
    stream: impl Into<String>,
    prefix: impl Into<String>,
) -> (DrivenSink<JetStreamError>, Driver) {
    let (sink, orders) = driven();
    let (mut context, inbox) = (jetstream::new(client.clone()), client.new_inbox());
    // Shorter than a mirror waits: a question that is lost with a connection holds up the next one.
    context.set_timeout(ANSWER_WITHIN);
    // An inbox ends in the most random part of its name.
    let nonce = inbox.chars().skip(inbox.len().saturating_sub(NONCE_LEN)).collect();
    let server = JetStream { client, context, stream: stream.into(), prefix: prefix.into(), nonce };
    (sink, Driver { server, orders })
}

/// What does for a sink what has to wait: asks, publishes, hears acknowledgements.
#[derive(Debug)]
pub struct Driver {
    server: JetStream,
    orders: Orders<JetStreamError>,
}

impl Driver {
    /// Works until the sink is dropped.
    pub async fn run(self) {
        serve(self.server, self.orders).await;
    }
}

#[derive(Debug)]
struct JetStream {
    client: Client,
    context: jetstream::Context,
    stream: String,
    prefix: String,
    /// Drawn at random: no other driver gives a message an identifier that begins so.
    nonce: String,
}

impl Server for JetStream {
    type Error = JetStreamError;
    type Link = Chain;

    async fn ask(&mut self, feed: Epoch, before: Option<Chain>) -> Result<(Chain, ResumePoint), JetStreamError> {
        let subject = Subject::from(format!("{}.{}", self.prefix, hexadecimal(feed.as_bytes())));
        let connection = connection_of(&self.client);
        // After a refusal the acknowledgements before it have told all. Should that be wrong, because somebody else writes
        // to the subject, then the first message is refused, nothing was acknowledged, and the server is asked.
        let known = before.as_ref().filter(|chain| chain.is_refused && chain.connection == connection);
        let (point, last) = match known.filter(|chain| chain.subject == subject).and_then(|chain| chain.stored) {
            Some((until, last)) => (ResumePoint::From(until), last),
            None => self.find_end(&subject).await?,
        };
        let replies = match before {
            Some(chain) => chain.replies,
            None => Replies::open(&self.client).await?,
        };
        let mut look = tokio::time::interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let chain = Chain {
            client: self.client.clone(),
            stream: self.stream.clone(),
            nonce: self.nonce.clone(),
            subject,
            connection,
            replies,
            look,
            stored: None,
            last,
            last_id: String::new(),
            ends: VecDeque::new(),
            is_refused: false,
        };
        Ok((chain, point))
    }
}

impl JetStream {
    /// Where the log goes on, and the last sequence of the subject.
    async fn find_end(&self, subject: &Subject) -> Result<(ResumePoint, u64), JetStreamError> {
        if connection_of(&self.client).is_none() {
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
                let last = published(subject, Some(&message.headers), &message.payload);
                let foreign = |cause| JetStreamError::Foreign { subject: subject.to_string(), cause };
                Ok((ResumePoint::From(last.map_err(foreign)?.entry.end()), message.sequence))
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
}

/// Where acknowledgements come: to `INBOX.NUMBER`.
#[derive(Debug)]
struct Replies {
    inbox: String,
    answers: Subscriber,
    /// The number of the next message that is published.
    next: u64,
}

impl Replies {
    async fn open(client: &Client) -> Result<Self, JetStreamError> {
        let inbox = client.new_inbox();
        let subscribed = client.subscribe(format!("{inbox}.*")).await;
        Ok(Self { inbox, answers: subscribed.map_err(|_| JetStreamError::Disconnected)?, next: 0 })
    }
}

/// What is under way on one subject, each message behind the one before it.
#[derive(Debug)]
struct Chain {
    client: Client,
    stream: String,
    nonce: String,
    subject: Subject,
    /// Which connection was asked.
    connection: Option<u64>,
    replies: Replies,
    look: Interval,
    /// The end of the last message that was acknowledged since the question, and its sequence.
    stored: Option<(Offset, u64)>,
    /// The sequence of the last message of the subject, while nothing is under way.
    last: u64,
    /// The identifier of the last message that is.
    last_id: String,
    /// The ends of what is under way.
    ends: VecDeque<Offset>,
    /// Whether a message was: those behind it are, too.
    is_refused: bool,
}

/// What happens.
enum Event {
    Answered(Message),
    Look,
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

impl Link for Chain {
    type Error = JetStreamError;
    type Event = Event;

    async fn send(&mut self, entries: Vec<Forwarded>) -> Result<(), JetStreamError> {
        if self.is_refused {
            return Ok(());
        }
        let max_payload = self.client.server_info().max_payload;
        for entry in entries {
            let mut headers = HeaderMap::new();
            for (name, value) in Published::properties_beside_log(&entry) {
                headers.insert(name, value);
            }
            if self.ends.is_empty() {
                headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, HeaderValue::from(self.last));
            } else {
                headers.insert(NATS_EXPECTED_LAST_MESSAGE_ID, self.last_id.as_str());
            }
            self.last_id = format!("{}{}", self.nonce, entry.start());
            headers.insert(NATS_MESSAGE_ID, self.last_id.as_str());
            let end = entry.end();
            // Names and values of headers are short.
            let longest = max_payload.saturating_sub(headers.len() * LONGEST_HEADER);
            let payload = Bytes::from(Published::payload(entry, longest));
            let reply = format!("{}.{}", self.replies.inbox, self.replies.next);
            let sent = self.client.publish_with_reply_and_headers(self.subject.clone(), reply, headers, payload).await;
            sent.map_err(|_| JetStreamError::Disconnected)?;
            self.replies.next += 1;
            self.ends.push_back(end);
        }
        Ok(())
    }

    async fn wait(&mut self) -> Result<Event, JetStreamError> {
        tokio::select! {
            answer = self.replies.answers.next() => answer.map(Event::Answered).ok_or(JetStreamError::Disconnected),
            _ = self.look.tick() => Ok(Event::Look),
        }
    }

    async fn handle(&mut self, event: Event) -> Result<Vec<Answer>, JetStreamError> {
        let mut next = match event {
            Event::Answered(answer) => Some(answer),
            // The server may have lost what it acknowledged last, also when nothing is under way.
            Event::Look if !self.is_refused && connection_of(&self.client) != self.connection => {
                return Err(JetStreamError::Disconnected);
            }
            Event::Look => None,
        };
        let mut until = None;
        // What comes behind a refusal says nothing more.
        if self.is_refused {
            return Ok(Vec::new());
        }
        // This answer, and those that came with it.
        while let Some(answer) = next.filter(|_| !self.is_refused) {
            match self.hear(&answer)? {
                Some(Heard::Stored(end)) => until = Some(end),
                Some(Heard::Refused) => self.is_refused = true,
                None => {}
            }
            next = self.replies.answers.next().now_or_never().flatten();
        }
        let refused = self.is_refused.then_some(Answer::Refused);
        Ok(until.map(Answer::Acknowledged).into_iter().chain(refused).collect())
    }
}

impl Chain {
    /// What became of a message under way, if this says so, and of those before it: if one is stored they are, for each
    /// names the one before it, and if one is refused and theirs is still to come, then they or their answers were lost.
    fn hear(&mut self, answer: &Message) -> Result<Option<Heard>, JetStreamError> {
        let number = answer.subject.rsplit('.').next().and_then(|number| number.parse::<u64>().ok());
        let first = self.replies.next - self.ends.len() as u64;
        let Some(before) = number.filter(|number| (first..self.replies.next).contains(number)).map(|it| it - first)
        else {
            return Ok(None);
        };
        match serde_json::from_slice(&answer.payload) {
            Ok(PubAck { error: None, seq, duplicate: false }) if seq > 0 => {
                let end = self.ends.drain(..=before as usize).next_back();
                self.stored = end.map(|end| (end, seq));
                if self.ends.is_empty() {
                    self.last = seq;
                }
                Ok(end.map(Heard::Stored))
            }
            // What is there already is there because of somebody else, or came late.
            Ok(
                PubAck { error: Some(PubError { err_code: WRONG_LAST_SEQUENCE | WRONG_LAST_ID }), .. }
                | PubAck { duplicate: true, .. },
            ) => Ok(Some(Heard::Refused)),
            Ok(PubAck { error, .. }) => Err(JetStreamError::Refused { code: error.map_or(0, |error| error.err_code) }),
            // No responders: no stream takes the subject.
            Err(_) => Err(JetStreamError::NoStream { stream: self.stream.clone(), subject: self.subject.to_string() }),
        }
    }
}

/// The number of the connection that there is.
fn connection_of(client: &Client) -> Option<u64> {
    let number = client.statistics().connects.load(Ordering::Relaxed);
    (client.connection_state() == State::Connected).then_some(number)
}
