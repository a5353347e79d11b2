//! Against tansu, which is killed and started again in the middle, as both ends are.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use bytes::{BufMut as _, Bytes, BytesMut};
use iot_link::runtime;
use iot_queue::sink::Forwarded;
use iot_queue_driven::Published;
use iot_queue_kafka::{Partition, PartitionReader};
use iot_trial::{Counts, Interference, Mischief, Trial, free_port, make_topic, start_tansu};
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

/// What an entry's message says.
fn packet(published: &Published) -> &[u8] {
    let Forwarded::Message(message) = &published.entry else { panic!("no message was dropped unread") };
    &message.payload
}

/// The first messages of a topic, so many of them.
fn consume(port: u16, topic: &str, messages: usize) -> Vec<Published> {
    let (runtime, mut found) = (runtime().unwrap(), Vec::new());
    let mut reader = PartitionReader::new(Partition::new(format!("127.0.0.1:{port}"), topic, 0), 0);
    while found.len() < messages {
        let records = runtime.block_on(reader.read(Duration::from_millis(250))).unwrap();
        found.extend(records.into_iter().map(|record| record.published.unwrap()));
    }
    found
}

/// What arrives of messages that were sent, each as its place among them and what it says. The last one is spared: that it
/// is missing would show by one behind it.
fn meddle(sent: &[Published], mut interference: Interference) -> Vec<(usize, Vec<u8>)> {
    const PLACE: usize = size_of::<usize>();
    let placed: Vec<_> =
        sent.iter().enumerate().map(|(place, sent)| [&place.to_be_bytes()[..], packet(sent)].concat()).collect();
    let (last, others) = placed.split_last().unwrap();
    let interfere = |whole: &Vec<u8>| interference.interfere_within(whole, PLACE..whole.len(), |_| u8::MAX);
    let arriving = others.iter().flat_map(interfere).chain([last.clone()]);
    let parts = arriving.map(|whole| (whole[..PLACE].try_into().unwrap(), whole[PLACE..].to_vec()));
    parts.map(|(place, packet)| (usize::from_be_bytes(place), packet)).collect()
}

/// A broker, or who can write where it keeps its records, does to them what he likes. What he altered is refused, what he
/// repeated is taken once, and what he left as it was is accepted as it comes; all that did not come is named as missing.
#[test]
#[ignore = "needs tansu"]
fn what_is_altered_in_a_partition_is_refused_and_what_is_missing_there_is_named() {
    let (port, messages) = (free_port(), 300);
    let trial = Trial::new(PROGRAM, format!("127.0.0.1:{port}"), 4 * 300).with(&["--settle", "0"]);
    let _running = start_tansu(trial.folder(), port);
    // Each end has topics of its own, so everything goes through the one in the middle.
    ["near-readings", "near-commands", "far-readings", "far-commands"].iter().for_each(|topic| make_topic(port, topic));
    let receiver = trial.receiver(&["--name", "far"]);
    receiver.wait_for(1, "connected");
    let device = trial.device(&["--name", "near", "--rate", "0", "--batch", "4"]);
    assert!(device.wait().success());
    let (sent, counts) = (consume(port, "near-readings", messages), Arc::<Counts>::default());
    let left = meddle(&sent, Interference::new(Mischief::OF_EACH, 7, &counts));
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    for some in left.chunks(16) {
        let record = |(place, packet): &(usize, Vec<u8>)| {
            let Published { feed, entry } = &sent[*place];
            (Bytes::from(packet.clone()), Published::properties(*feed, entry))
        };
        stream.write_all(&produce("far-readings", some.iter().map(record))).unwrap();
        wait_until_appended(&mut stream);
    }
    receiver.wait_for(1, &format!("accepted {}:", messages - 1));
    let (refused, said) = (receiver.count("refused"), receiver.lines());
    assert!(receiver.terminate().success());
    let altered = counts.altered.load(Relaxed) as usize;
    // One whose number became that of a message which is there already is passed over unopened.
    assert!(counts.is_of_each() && (1..=altered).contains(&refused), "{refused} are refused: {counts:?}\n{said}");

    let mut arrived = Vec::new();
    for (place, octets) in &left {
        if octets == packet(&sent[*place]) && !arrived.contains(place) {
            arrived.push(*place);
        }
    }
    let (read, listed): (Vec<_>, _) = (trial.readings().lines().collect(), trial.list());
    let expected: Vec<_> = arrived.iter().flat_map(|place| &read[4 * place..][..4]).copied().collect();
    assert_eq!(listed.lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>(), expected);
    let ranges = said.lines().filter_map(|line| line.split_once("missing ")?.1.split_once(".."));
    let named = ranges.flat_map(|(start, end)| start.parse().unwrap()..end.parse().unwrap());
    // What is late is named, too, until it comes.
    let missing: Vec<usize> = named.filter(|place| !arrived.contains(place)).collect();
    assert_eq!(missing, (0..messages).filter(|place| !arrived.contains(place)).collect::<Vec<_>>());
}

/// Requests of the protocol: the version that is spoken.
const PRODUCE: i16 = 8;

/// What is in a record: its value and its headers.
type Content = (Bytes, Vec<(&'static str, String)>);

/// A request that appends records, and is answered when the broker has them.
fn produce(topic: &'static str, records: impl Iterator<Item = Content>) -> BytesMut {
    let record = |(offset, (value, headers)): (i64, Content)| Record {
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
        value: Some(value),
        headers: headers
            .into_iter()
            .map(|(name, value)| (StrBytes::from_static_str(name), Some(Bytes::from(value))))
            .collect(),
    };
    let (records, mut batch): (Vec<_>, _) = ((0..).zip(records).map(record).collect(), BytesMut::new());
    let options = RecordEncodeOptions { version: 2, compression: Compression::None };
    RecordBatchEncoder::encode(&mut batch, &records, &options).unwrap();
    let data = PartitionProduceData::default().with_index(0).with_records(Some(batch.freeze()));
    let topic = TopicProduceData::default().with_name(TopicName(StrBytes::from_static_str(topic)));
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

/// Waits for the answer to a request: the broker has the records.
fn wait_until_appended(stream: &mut TcpStream) {
    let mut len = [0; 4];
    stream.read_exact(&mut len).unwrap();
    let mut answer = vec![0; u32::from_be_bytes(len) as usize];
    stream.read_exact(&mut answer).unwrap();
    let mut answer = Bytes::from(answer);
    ResponseHeader::decode(&mut answer, ProduceResponse::header_version(PRODUCE)).unwrap();
    let answer = ProduceResponse::decode(&mut answer, PRODUCE).unwrap();
    assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);
}

/// What a client without a queue, keys or positions appends in a second: as many octets, acknowledged by the broker, and 512
/// records on their way, which is what the mirror has, in four batches.
fn raw_rate(port: u16, batches: usize) -> f64 {
    const BATCH: usize = 128;
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_nodelay(true).unwrap();
    // As many octets as a reading has.
    let records = || std::iter::repeat_n((Bytes::from_static(&[7; 176]), Vec::new()), BATCH);
    let start = Instant::now();
    for number in 0..batches + 4 {
        if number < batches {
            stream.write_all(&produce("raw", records())).unwrap();
        }
        if number >= 4 {
            wait_until_appended(&mut stream);
        }
    }
    (batches * BATCH) as f64 / start.elapsed().as_secs_f64()
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
