//! Others read the streams that this crate writes.

use iot_core::{DeviceId, Freshness, Incarnation, KeyId, Position, StreamId, Topic};
use iot_crypto::Heading;
use iot_crypto::stream::{ContextId, Counter, Epoch, EpochSecret, Reservation, StreamMessage, StreamSender};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng as _};

use crate::child::{hex, python};

/// Each compact message is expanded to its COSE object, whose partial IV Python replaces by the full one that
/// `docs/formats/stream.md` defines; python-cwt opens it. A second time with one bit flipped, it must be refused.
#[test]
#[ignore = "needs the python packages cwt, cbor2 and cryptography"]
fn python_cwt_opens_10000_expanded_messages() {
    let mut rng = ChaCha20Rng::from_seed([12; 32]);
    let mut lines = String::new();
    for _ in 0..500 {
        push_messages_of_an_epoch(&mut rng, 20, &mut lines);
    }
    let said = python("stream.py", &lines);
    assert_eq!(said, "python-cwt opened 10000 messages of streams, and refused each with a flipped bit\n");
}

/// Lines of hexadecimal fields, as `stream.py` reads them.
fn push_messages_of_an_epoch(rng: &mut ChaCha20Rng, count: usize, lines: &mut String) {
    let (mut secret, mut source, mut reader, mut incarnation) = ([0; 32], [0; 32], [0; 32], [0; 8]);
    rng.fill_bytes(&mut secret);
    rng.fill_bytes(&mut source);
    rng.fill_bytes(&mut reader);
    rng.fill_bytes(&mut incarnation);
    let mut salt = vec![0; [0, 16, 32][(rng.next_u32() % 3) as usize]];
    rng.fill_bytes(&mut salt);
    let topic = format!("plant/{}", rng.next_u32() % 1000);
    let mut context = vec![0; 1 + (rng.next_u32() % 8) as usize];
    rng.fill_bytes(&mut context);
    let stream = rng.next_u32() >> (rng.next_u32() % 32);
    // Often shortly before a change of keys.
    let first = match rng.next_u32() % 2 {
        0 => rng.next_u64() >> (1 + rng.next_u32() % 63),
        _ => (u64::from(rng.next_u32()) + 1) * 65_536 - 10,
    };
    let position = Position {
        source: DeviceId::from_bytes(source),
        stream: StreamId::new(stream),
        incarnation: Incarnation::from_bytes(incarnation),
        sequence: first,
    };
    let heading = Heading { topic: Topic::new(&topic).unwrap(), position };
    let agreed = EpochSecret {
        secret: &secret,
        transcript: &salt,
        key: KeyId::from_bytes([0; 8]),
        freshness: Freshness::Unproven,
    };
    let epoch = Epoch::from_agreed(ContextId::new(&context).unwrap(), &heading, DeviceId::from_bytes(reader), &agreed);
    let mut sender: StreamSender<Option<Counter>> = StreamSender::begin(epoch, None, Reservation::default()).unwrap();
    for _ in 0..count {
        let mut payload = vec![0; (rng.next_u32() % 100) as usize];
        rng.fill_bytes(&mut payload);
        let (_, message) = sender.send(&payload).unwrap();
        let mut expanded = vec![0; 256];
        let message = StreamMessage::parse(&message).unwrap();
        let len = message.write_cose(&mut expanded).unwrap();
        expanded.truncate(len);
        let fields = [
            hex(&secret),
            hex(&salt),
            hex(&source),
            hex(&reader),
            hex(topic.as_bytes()),
            stream.to_string(),
            hex(&incarnation),
            first.to_string(),
            hex(&expanded),
            hex(&payload),
        ];
        lines.push_str(&fields.join(" "));
        lines.push('\n');
    }
}
