//! A partition, and what is asked about it.

use bytes::Bytes;
use iot_queue_driven::{ConnectionError, Dial};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    BrokerId, FetchRequest, FindCoordinatorRequest, InitProducerIdRequest, ListOffsetsRequest, MetadataRequest,
    ProduceRequest, ProduceResponse, TopicName, TransactionalId,
};
use kafka_protocol::protocol::StrBytes;
use std::time::Duration;

use crate::ANSWER_WITHIN;
use crate::connection::Connection;
use crate::error::KafkaError;

pub(crate) const METADATA: i16 = 8;
const FIND_COORDINATOR: i16 = 2;
const INIT_PRODUCER_ID: i16 = 3;
pub(crate) const PRODUCE: i16 = 8;
const FETCH: i16 = 11;
const LIST_OFFSETS: i16 = 5;

/// `FindCoordinator`: of a transactional identifier.
const TRANSACTION: i8 = 1;

/// `ListOffsets`: of the first record that there is.
const EARLIEST: i64 = -2;

/// Every replica in sync has what was produced.
const ALL: i16 = -1;

/// Octets of records that are asked for at a time.
const FETCHED: i32 = 64 << 10;

/// Kafka's numbers of errors that are told apart.
const OFFSET_OUT_OF_RANGE: i16 = 1;
const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
const LEADER_NOT_AVAILABLE: i16 = 5;
const INVALID_PRODUCER_EPOCH: i16 = 47;
const PRODUCER_FENCED: i16 = 90;

/// A partition of a topic, and where to ask for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    servers: Vec<String>,
    topic: String,
    partition: i32,
}

/// Who writes: the identifier and the epoch that the coordinator gave out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Producer {
    pub(crate) id: i64,
    pub(crate) epoch: i16,
}

impl Partition {
    /// The partition with this number, from 0, of a topic; `server` is `HOST:PORT` of any broker of the cluster.
    pub fn new(server: impl Into<String>, topic: impl Into<String>, partition: i32) -> Self {
        Self { servers: vec![server.into()], topic: topic.into(), partition }
    }

    /// Another broker, which is asked when those before are not there.
    #[must_use]
    pub fn or_server(mut self, server: impl Into<String>) -> Self {
        self.servers.push(server.into());
        self
    }

    /// A connection to any broker, and the address of the one that leads the partition.
    pub(crate) async fn find<D: Dial>(&self, dial: &D) -> Result<(Connection<D::Stream>, String), KafkaError> {
        let mut outcome = Err(self.nobody());
        for server in &self.servers {
            outcome = self.find_by(dial, server).await;
            if outcome.is_ok() {
                break;
            }
        }
        outcome
    }

    async fn find_by<D: Dial>(&self, dial: &D, server: &str) -> Result<(Connection<D::Stream>, String), KafkaError> {
        let mut connection = Connection::open(dial, server).await?;
        let topic = MetadataRequestTopic::default().with_name(Some(self.topic_name()));
        let request = MetadataRequest::default().with_topics(Some(vec![topic])).with_allow_auto_topic_creation(false);
        let answer = connection.call(&request, METADATA).await?;
        let topic = answer.topics.first().ok_or(KafkaError::Malformed)?;
        let partition = topic.partitions.iter().find(|partition| partition.partition_index == self.partition);
        let code = partition.map_or(UNKNOWN_TOPIC_OR_PARTITION, |partition| partition.error_code);
        self.check("metadata", if topic.error_code == 0 { code } else { topic.error_code })?;
        let leader = partition.map(|partition| partition.leader_id);
        let leader =
            answer.brokers.iter().find(|broker| Some(broker.node_id) == leader).ok_or_else(|| self.nobody())?;
        Ok((connection, format!("{}:{}", leader.host, leader.port)))
    }

    /// A connection to the broker that leads the partition.
    pub(crate) async fn lead<D: Dial>(&self, dial: &D) -> Result<Connection<D::Stream>, KafkaError> {
        let (_, leader) = self.find(dial).await?;
        Connection::open(dial, &leader).await
    }

    /// Becomes the producer of the partition, instead of whoever was. `connection` is to any broker.
    pub(crate) async fn produce_as<D: Dial>(
        &self,
        dial: &D,
        connection: &mut Connection<D::Stream>,
    ) -> Result<Producer, KafkaError> {
        let name = StrBytes::from_string(format!("iot-queue/{}/{}", self.topic, self.partition));
        let request = FindCoordinatorRequest::default().with_key(name.clone()).with_key_type(TRANSACTION);
        let found = connection.call(&request, FIND_COORDINATOR).await?;
        self.check("find-coordinator", found.error_code)?;
        let mut coordinator = Connection::open(dial, &format!("{}:{}", found.host, found.port)).await?;
        let request = InitProducerIdRequest::default()
            .with_transactional_id(Some(TransactionalId(name)))
            .with_transaction_timeout_ms(60_000)
            .with_producer_id((-1).into())
            .with_producer_epoch(-1);
        let given = coordinator.call(&request, INIT_PRODUCER_ID).await?;
        self.check("init-producer-id", given.error_code)?;
        Ok(Producer { id: *given.producer_id, epoch: given.producer_epoch })
    }

    /// The request that appends a batch.
    pub(crate) fn produce_request(&self, batch: Bytes) -> ProduceRequest {
        let data = PartitionProduceData::default().with_index(self.partition).with_records(Some(batch));
        let topic = TopicProduceData::default().with_name(self.topic_name()).with_partition_data(vec![data]);
        let patience = ANSWER_WITHIN.as_millis().try_into().unwrap_or(i32::MAX);
        ProduceRequest::default().with_acks(ALL).with_timeout_ms(patience).with_topic_data(vec![topic])
    }

    /// Where a batch begins that was appended.
    pub(crate) fn appended(&self, answer: &ProduceResponse) -> Result<i64, KafkaError> {
        let topic = answer.responses.first().and_then(|topic| topic.partition_responses.first());
        let partition = topic.ok_or(KafkaError::Malformed)?;
        self.check("produce", partition.error_code)?;
        Ok(partition.base_offset)
    }

    /// The first record that there is.
    pub(crate) async fn earliest<S>(&self, connection: &mut Connection<S>) -> Result<i64, KafkaError>
    where
        Connection<S>: Sized,
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    {
        let partition = ListOffsetsPartition::default().with_partition_index(self.partition).with_timestamp(EARLIEST);
        let partition = partition.with_current_leader_epoch(-1);
        let topic = ListOffsetsTopic::default().with_name(self.topic_name()).with_partitions(vec![partition]);
        let request = ListOffsetsRequest::default().with_replica_id(BrokerId(-1)).with_topics(vec![topic]);
        let answer = connection.call(&request, LIST_OFFSETS).await?;
        let partition = answer.topics.first().and_then(|topic| topic.partitions.first());
        let partition = partition.ok_or(KafkaError::Malformed)?;
        self.check("list-offsets", partition.error_code)?;
        Ok(partition.offset.max(0))
    }

    /// Batches of records from `offset` on, the first of which may begin before it; waits for some as long as `patience`.
    pub(crate) async fn fetch<S>(
        &self,
        connection: &mut Connection<S>,
        offset: i64,
        patience: Duration,
    ) -> Result<Bytes, KafkaError>
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    {
        let partition = FetchPartition::default().with_partition(self.partition).with_fetch_offset(offset);
        let partition = partition.with_partition_max_bytes(FETCHED).with_current_leader_epoch(-1);
        let topic = FetchTopic::default().with_topic(self.topic_name()).with_partitions(vec![partition]);
        let request = FetchRequest::default()
            .with_replica_id(BrokerId(-1))
            .with_max_wait_ms(patience.as_millis().try_into().unwrap_or(i32::MAX))
            .with_min_bytes(1)
            .with_max_bytes(FETCHED)
            .with_session_epoch(-1)
            .with_topics(vec![topic]);
        connection.send(&request, FETCH).await?;
        let answer = tokio::time::timeout(ANSWER_WITHIN + patience, connection.receive()).await;
        let answer = connection.read::<FetchRequest>(answer.map_err(|_| ConnectionError::Unanswered)??, FETCH)?;
        self.check("fetch", answer.error_code)?;
        let topic = answer.responses.into_iter().next();
        let partition = topic.and_then(|topic| topic.partitions.into_iter().next()).ok_or(KafkaError::Malformed)?;
        match partition.error_code {
            OFFSET_OUT_OF_RANGE => Err(KafkaError::OutOfRange { offset }),
            code => self.check("fetch", code).map(|()| partition.records.unwrap_or_default()),
        }
    }

    fn check(&self, request: &'static str, code: i16) -> Result<(), KafkaError> {
        match code {
            0 => Ok(()),
            UNKNOWN_TOPIC_OR_PARTITION => {
                Err(KafkaError::NoPartition { topic: self.topic.clone(), partition: self.partition })
            }
            LEADER_NOT_AVAILABLE => Err(self.nobody()),
            INVALID_PRODUCER_EPOCH | PRODUCER_FENCED => Err(KafkaError::Fenced),
            code => Err(KafkaError::Refused { request, code }),
        }
    }

    fn nobody(&self) -> KafkaError {
        KafkaError::NoLeader { topic: self.topic.clone(), partition: self.partition }
    }

    fn topic_name(&self) -> TopicName {
        TopicName(StrBytes::from_string(self.topic.clone()))
    }
}
