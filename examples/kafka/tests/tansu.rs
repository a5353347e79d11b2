//! Against tansu, which is killed and started again in the middle, as both ends are.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Instant;

use bytes::{BufMut as _, Bytes, BytesMut};
use iot_trial::{Trial, free_port, make_topic, start_tansu};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{ApiKey, ProduceRequest, ProduceResponse, RequestHeader, ResponseHeader, TopicName};
use kafka_protocol::protocol::{Decodable as _, Encodable as _, HeaderVersion as _, StrBytes};
use kafka_protocol::records::{
    Compression, NO_PARTITION_LEADER_EPOCH, NO_PRODUCER_EPOCH, NO_PRODUCER_ID, NO_SEQUENCE, Record, RecordBatchEncoder,
    RecordEncodeOptions, TimestampType,
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_kafka");

#[test]
#[ignore = "needs tansu"]
fn nothing_is_lost_through_kills_of_all_three() {
    let port = free_port();
    // A broker that is killed loses nothing that the system has not written yet; so nothing need settle for long.
    let trial = Trial::new(PROGRAM, format!("127.0.0.1:{port}"), 2_000).with(&["--settle", "1"]);
    let device = trial.endless_device(&["--rate", "300"]);
    device.wait_for(1, "trying again");
    let first = start_tansu(trial.folder(), port);
    // There is a broker, but what it is to keep must be said.
    device.wait_for(1, "there is no partition 0 of a topic iot-commands");
    ["iot-readings", "iot-commands"].iter().for_each(|topic| make_topic(port, topic));
    let receiver = trial.receiver(&[]);
    receiver.wait_for(30, "accepted");
    first.kill();
    receiver.wait_for(1, "trying again");
    let _second = start_tansu(trial.folder(), port);
    trial.survives_kills(device, receiver, [&[], &[]]);
}

/// Requests of the protocol: the version that is spoken.
const PRODUCE: i16 = 8;

/// A request that appends so many records, of as many octets as a reading has, and is answered when the broker has them.
fn produce(records: i64) -> BytesMut {
    let record = |offset| Record {
        transactional: false,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: NO_PARTITION_LEADER_EPOCH,
        producer_id: NO_PRODUCER_ID,
        producer_epoch: NO_PRODUCER_EPOCH,
        timestamp_type: TimestampType::Creation,
        offset,
        sequence: NO_SEQUENCE,
        timestamp: 1_767_225_600_000,
        key: None,
        value: Some(Bytes::from_static(&[7; 176])),
        headers: [].into_iter().collect(),
    };
    let (records, mut batch): (Vec<_>, _) = ((0..records).map(record).collect(), BytesMut::new());
    let options = RecordEncodeOptions { version: 2, compression: Compression::None };
    RecordBatchEncoder::encode(&mut batch, &records, &options).unwrap();
    let data = PartitionProduceData::default().with_index(0).with_records(Some(batch.freeze()));
    let topic = TopicProduceData::default().with_name(TopicName(StrBytes::from_static_str("raw")));
    let request = ProduceRequest::default().with_acks(-1).with_timeout_ms(5_000);
    let request = request.with_topic_data(vec![topic.with_partition_data(vec![data])]);
    let header = RequestHeader::default().with_request_api_key(ApiKey::Produce as i16);
    let mut frame = BytesMut::new();
    frame.put_i32(0);
    header.with_request_api_version(PRODUCE).encode(&mut frame, ProduceRequest::header_version(PRODUCE)).unwrap();
    request.encode(&mut frame, PRODUCE).unwrap();
    let len = frame.len() as u32 - 4;
    frame[..4].copy_from_slice(&len.to_be_bytes());
    frame
}

/// What a client without a queue, keys or positions appends in a second: as many octets, acknowledged by the broker, and 512
/// records on their way, which is what the mirror has, in four batches.
fn raw_rate(port: u16, batches: usize) -> f64 {
    const BATCH: i64 = 128;
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_nodelay(true).unwrap();
    let start = Instant::now();
    for number in 0..batches + 4 {
        if number < batches {
            stream.write_all(&produce(BATCH)).unwrap();
        }
        if number >= 4 {
            let mut len = [0; 4];
            stream.read_exact(&mut len).unwrap();
            let mut answer = vec![0; u32::from_be_bytes(len) as usize];
            stream.read_exact(&mut answer).unwrap();
            let mut answer = Bytes::from(answer);
            ResponseHeader::decode(&mut answer, ProduceResponse::header_version(PRODUCE)).unwrap();
            let answer = ProduceResponse::decode(&mut answer, PRODUCE).unwrap();
            assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);
        }
    }
    batches as f64 * BATCH as f64 / start.elapsed().as_secs_f64()
}

#[test]
#[ignore = "needs tansu"]
fn what_it_costs_beside_a_raw_client() {
    let port = free_port();
    let trial = Trial::new(PROGRAM, format!("127.0.0.1:{port}"), 2_000).with(&["--settle", "0"]);
    let _running = start_tansu(trial.folder(), port);
    ["iot-readings", "iot-commands", "raw"].iter().for_each(|topic| make_topic(port, topic));
    let (ours, raw) = (trial.rate(&[]), raw_rate(port, 16));
    println!("kafka: {ours:.0} messages a second, a raw client {raw:.0}");
    assert!(ours > raw / 200.0, "{ours} of {raw}");
}
