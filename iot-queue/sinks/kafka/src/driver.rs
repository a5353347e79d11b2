//! What talks to the brokers.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use iot_queue::mirror::MirrorConfig;
use iot_queue::sink::{Answer, Forwarded, ResumePoint};
use iot_queue::{Epoch, Offset};
use iot_queue_driven::{ConnectionError, Dial, DrivenSink, Link, Orders, Server, Tcp, driven, serve};
use kafka_protocol::messages::{MetadataRequest, ProduceRequest};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep_until};

use crate::ANSWER_WITHIN;
use crate::connection::Connection;
use crate::error::KafkaError;
use crate::partition::{METADATA, PRODUCE, Partition, Producer};
use crate::records::{self, Content, Found};

/// Octets of the payloads in a batch; one message may go beyond.
const BATCH: usize = 256 << 10;

/// How many records before the fence are looked at.
const LOOK_BACK: i64 = 10_000;

/// After how long a connection that says nothing is asked whether it is there. Brokers close those that are idle for ten
/// minutes.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// How to mirror into Kafka: 512 entries under way, fifteen seconds for an answer, for a broker that is gone is not the
/// only one, and a tail of a minute behind what was acknowledged, for by then a system has written what it was given.
pub fn mirror_config() -> MirrorConfig {
    MirrorConfig::default().answer_within(Duration::from_secs(15)).settle_after(Duration::from_secs(60))
}

/// A sink that appends to `partition`, and the driver that does it: the caller runs it beside, for example as a task.
pub fn kafka_sink(partition: Partition) -> (DrivenSink<KafkaError>, Driver<Tcp>) {
    kafka_sink_over(Tcp, partition)
}

/// The same over connections that `dial` makes.
pub fn kafka_sink_over<D: Dial>(dial: D, partition: Partition) -> (DrivenSink<KafkaError>, Driver<D>) {
    let (sink, orders) = driven();
    (sink, Driver { cluster: Cluster { dial, partition }, orders })
}

/// What does for a sink what has to wait: asks, appends, hears acknowledgements.
#[derive(Debug)]
pub struct Driver<D: Dial> {
    cluster: Cluster<D>,
    orders: Orders<KafkaError>,
}

impl<D: Dial + Sync> Driver<D> {
    /// Works until the sink is dropped.
    pub async fn run(self) {
        serve(self.cluster, self.orders).await;
    }
}

#[derive(Debug)]
struct Cluster<D> {
    dial: D,
    partition: Partition,
}

impl<D: Dial + Sync> Server for Cluster<D> {
    type Error = KafkaError;
    type Link = Appending<D::Stream>;

    /// Fences off whoever wrote before, and finds where the log goes on.
    async fn ask(
        &mut self,
        feed: Epoch,
        _: Option<Appending<D::Stream>>,
    ) -> Result<(Appending<D::Stream>, ResumePoint), KafkaError> {
        let (mut any, leader) = self.partition.find(&self.dial).await?;
        let producer = self.partition.produce_as(&self.dial, &mut any).await?;
        let mut connection = Connection::open(&self.dial, &leader).await?;
        let batch = records::batch(producer, 0, vec![Content::fence(feed)])?;
        let appended = connection.call(&self.partition.produce_request(batch), PRODUCE).await?;
        let fence = self.partition.appended(&appended)?;
        let point = self.find_end(&mut connection, feed, fence).await?;
        let (partition, due) = (self.partition.clone(), Instant::now() + LOOK_EVERY);
        let under_way = VecDeque::new();
        Ok((Appending { connection, partition, feed, producer, sequence: 1, under_way, due }, point))
    }
}

impl<D: Dial + Sync> Cluster<D> {
    /// Where the log goes on, as its last record before `fence` says.
    async fn find_end(
        &self,
        connection: &mut Connection<D::Stream>,
        feed: Epoch,
        fence: i64,
    ) -> Result<ResumePoint, KafkaError> {
        let earliest = self.partition.earliest(connection).await?.max(fence.saturating_sub(LOOK_BACK));
        let (mut until, mut count) = (fence, 1);
        while until > earliest {
            let from = (until - count).max(earliest);
            let (mut next, mut end) = (from, None);
            while next < until {
                let octets = self.partition.fetch(connection, next, Duration::ZERO).await?;
                let found = records::read(&octets, next)?;
                let Some(&(last, _)) = found.last() else { break };
                for (offset, found) in found.into_iter().filter(|&(offset, _)| offset < until) {
                    match found {
                        Found::Entry(published) if published.feed == feed => end = Some(published.entry.end()),
                        Found::Foreign(cause) => return Err(KafkaError::Foreign { offset, cause }),
                        Found::Entry(_) | Found::Fence => {}
                    }
                }
                next = last + 1;
            }
            if let Some(end) = end {
                return Ok(ResumePoint::From(end));
            }
            (until, count) = (from, count * 8);
        }
        Ok(ResumePoint::Unknown)
    }
}

/// A connection to the broker that leads the partition, whose producer we are.
#[derive(Debug)]
struct Appending<S> {
    connection: Connection<S>,
    partition: Partition,
    feed: Epoch,
    producer: Producer,
    sequence: i32,
    under_way: VecDeque<Expected>,
    /// When the answer to the first of these is overdue; while there is none, when to look.
    due: Instant,
}

/// What a broker is to answer to.
#[derive(Debug)]
enum Expected {
    /// A batch of entries that end at this place.
    Batch(Offset),
    /// Is it there?
    Look,
}

/// What happens on the connection.
enum Event {
    Answered(Bytes),
    Due,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Link for Appending<S> {
    type Error = KafkaError;
    type Event = Event;

    async fn send(&mut self, entries: Vec<Forwarded>) -> Result<(), KafkaError> {
        let (mut contents, mut octets) = (Vec::new(), 0);
        let count = entries.len();
        for (number, entry) in entries.into_iter().enumerate() {
            let end = entry.end();
            let content = Content::of(self.feed, entry);
            octets += content.len();
            contents.push(content);
            if octets >= BATCH || number + 1 == count {
                octets = 0;
                self.send_batch(std::mem::take(&mut contents), end).await?;
            }
        }
        Ok(())
    }

    async fn wait(&mut self) -> Result<Event, KafkaError> {
        tokio::select! {
            answer = self.connection.receive() => answer.map(Event::Answered),
            () = sleep_until(self.due) => Ok(Event::Due),
        }
    }

    async fn handle(&mut self, event: Event) -> Result<Vec<Answer>, KafkaError> {
        match event {
            Event::Answered(answer) => self.hear(answer),
            Event::Due if self.under_way.is_empty() => self.look().await.map(|()| Vec::new()),
            Event::Due => Err(ConnectionError::Unanswered.into()),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Appending<S> {
    async fn send_batch(&mut self, contents: Vec<Content>, end: Offset) -> Result<(), KafkaError> {
        let count = contents.len();
        let batch = records::batch(self.producer, self.sequence, contents)?;
        self.sequence = records::advance(self.sequence, count);
        self.connection.send(&self.partition.produce_request(batch), PRODUCE).await?;
        self.expect(Expected::Batch(end));
        Ok(())
    }

    async fn look(&mut self) -> Result<(), KafkaError> {
        self.connection.send(&MetadataRequest::default().with_topics(Some(Vec::new())), METADATA).await?;
        self.expect(Expected::Look);
        Ok(())
    }

    fn expect(&mut self, expected: Expected) {
        if self.under_way.is_empty() {
            self.due = Instant::now() + ANSWER_WITHIN;
        }
        self.under_way.push_back(expected);
    }

    /// Takes an answer, which may say up to which place the partition has the log.
    fn hear(&mut self, answer: Bytes) -> Result<Vec<Answer>, KafkaError> {
        let until = match self.under_way.pop_front() {
            Some(Expected::Batch(until)) => {
                self.partition.appended(&self.connection.read::<ProduceRequest>(answer, PRODUCE)?)?;
                Some(until)
            }
            Some(Expected::Look) => self.connection.read::<MetadataRequest>(answer, METADATA).map(|_| None)?,
            None => return Err(KafkaError::Malformed),
        };
        self.due = Instant::now() + if self.under_way.is_empty() { LOOK_EVERY } else { ANSWER_WITHIN };
        Ok(until.map(Answer::Acknowledged).into_iter().collect())
    }
}
