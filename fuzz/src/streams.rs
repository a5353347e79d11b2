//! A stream across the border of two generations of keys, and what its source has signed.

use std::sync::LazyLock;

use iot_core::{Freshness, KeyId};
use iot_crypto::stream::{
    ContextId, Counter, Epoch, EpochSecret, GENERATION_LEN, Invitation, Opening, Reservation, Skipped, StreamMessage,
    StreamReceiver, StreamSender,
};
use iot_crypto::{Answer, Challenge, ReplayGuard, Trackers};

use crate::party::{PAYLOAD, Party, Ram, rng, topic};

/// Messages of the stream.
pub const COUNT: usize = 8;

/// Where the stream begins: half of the messages have keys of the next generation.
pub const FIRST: u64 = GENERATION_LEN - COUNT as u64 / 2;

pub struct Stream {
    pub source: Party,
    pub reader: Party,
    /// Both forms of each message.
    pub messages: Vec<[Vec<u8>; 2]>,
    /// A receiver that has accepted nothing.
    pub fresh: Vec<u8>,
    /// One that has accepted the first, the third and the last message.
    pub receiver: Vec<u8>,
    /// The sender, as it was saved when it had begun.
    pub sender: Vec<u8>,
    /// What of a stream was accepted.
    pub tracker: Vec<u8>,
    pub skipped: Vec<u8>,
    pub challenge: Challenge,
    pub answer: Vec<u8>,
    pub invitation: Invitation,
    /// The payload of an opening that answers the invitation.
    pub opening: Vec<u8>,
    pub counter: Counter,
}

pub static STREAM: LazyLock<Stream> = LazyLock::new(|| {
    let (source, reader) = (Party::new(1), Party::new(2));
    let context = ContextId::new(&[0, 1]).expect("two octets");
    let first = source.heading(FIRST);
    let secret =
        EpochSecret { secret: &[3; 32], transcript: &[], key: KeyId::from_bytes([4; 8]), freshness: Freshness::Proven };
    let epoch = || Epoch::from_agreed(context, &first, reader.id(), &secret);

    let mut sender: StreamSender<_> =
        StreamSender::begin(epoch(), Ram::default(), Reservation::default()).expect("the storage is empty");
    let mut saved = vec![0; <StreamSender<Ram>>::MAX_SAVED_LEN];
    let len = sender.save_into(&mut saved).expect("the buffer takes the longest");
    saved.truncate(len);
    let at_begin = saved;
    let messages: Vec<[Vec<u8>; 2]> = (0..COUNT)
        .map(|_| {
            let (_, compact) = sender.send(PAYLOAD).expect("numbers are left");
            let parsed = StreamMessage::parse(&compact).expect("what was sent is a message");
            let mut cose = vec![0; parsed.cose_len()];
            parsed.write_cose(&mut cose).expect("the buffer has its length");
            [compact, cose]
        })
        .collect();
    let mut statement = [0; Skipped::BUFFER_LEN];
    let len = Skipped::issue_into(source.id(), &source.signing, &sender, &(FIRST + 20..FIRST + 30), &mut statement);
    let skipped = statement[..len.expect("the key is at hand")].to_vec();

    let mut receiver: StreamReceiver<&str> =
        StreamReceiver::new(epoch(), topic().as_str()).expect("the topic is the epoch's");
    let saved = |receiver: &StreamReceiver<&str>| {
        let mut saved = vec![0; receiver.saved_len()];
        receiver.save_into(&mut saved).expect("the buffer has its length");
        saved
    };
    let fresh = saved(&receiver);
    for index in [0, 2, COUNT - 1] {
        receiver.open(topic(), &mut messages[index][0].clone()).expect("it is genuine");
    }
    let receiver = saved(&receiver);

    let mut trackers = <Trackers>::new(1, 1).expect("within limits");
    for sequence in [3, 4, 9] {
        trackers.accept(&source.heading(sequence).position).expect("it is new");
    }
    let position = source.heading(0).position;
    let mut tracker = vec![0; trackers.saved_len(position.source, position.stream)];
    trackers.save_into(position.source, position.stream, &mut tracker).expect("the buffer has its length");

    let challenge = Challenge::from_bytes([5; 16]);
    let answer =
        Answer { source: source.id(), stream: position.stream, incarnation: position.incarnation, next: FIRST + 3 };
    let mut buffer = [0; Answer::BUFFER_LEN];
    let len = answer.issue_into(&challenge, reader.id(), &source.signing, &mut buffer).expect("the key is at hand");
    let answer = buffer[..len].to_vec();

    let invitation = Invitation::draw(context, &mut rng(6));
    let mut opening = vec![0; Opening::MAX_LEN];
    let len = Opening::draw(&invitation, &mut rng(7)).promising(std::time::Duration::from_secs(60)).write(&mut opening);
    opening.truncate(len.expect("the buffer takes the longest"));
    let counter = Counter { incarnation: position.incarnation, unused_from: FIRST };
    Stream {
        source,
        reader,
        messages,
        fresh,
        receiver,
        sender: at_begin,
        tracker,
        skipped,
        challenge,
        answer,
        invitation,
        opening,
        counter,
    }
});

/// What the target takes: the octet that names the decoder, and what it reads.
pub fn seeds() -> Vec<(String, Vec<u8>)> {
    let stream = &*STREAM;
    let mut invitation = vec![0; Invitation::MAX_LEN];
    let len = stream.invitation.write(&mut invitation).expect("the buffer takes the longest");
    let every_message: Vec<u8> = (0..COUNT as u8).flat_map(|index| [index, 0]).collect();
    [
        (0, "message-compact", &*stream.messages[0][0]),
        (0, "message-cose", &*stream.messages[COUNT - 1][1]),
        (0, "invitation", &invitation[..len]),
        (0, "counter", &stream.counter.to_bytes()),
        (1, "receiver", &*stream.receiver),
        (1, "sender", &*stream.sender),
        (1, "receiver-fresh", &*stream.fresh),
        (2, "tracker", &*stream.tracker),
        (3, "skipped-unchanged", &[]),
        (3, "skipped-bit", &[0, 40, 0, 1]),
        (3, "skipped-tagged", &[1, 0, 0, 0xd2]),
        (4, "answer-unchanged", &[]),
        (4, "answer-bit", &[0, 40, 0, 1]),
        (5, "skipped-body", b"\xa4\x01\x01\x02\x48\x07\x07\x07\x07\x07\x07\x07\x07\x03\x04\x04\x05"),
        (6, "opening", &*stream.opening),
        (7, "each-once", &*every_message),
        (7, "bit-then-true", &[0, 4, 0, 20, 0, 1, 0, 0, 0x50, 0, 0x20, 0]),
    ]
    .map(|(decoder, name, octets)| (name.to_owned(), [&[decoder], octets].concat()))
    .to_vec()
}
