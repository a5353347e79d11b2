//! Everything of a stream that is read from outside or from storage. The first octet says which decoder gets the rest.
//!
//! - A message, an invitation, a counter, a saved receiver, sender or tracker: each has one encoding, so what was read
//!   is written as it was, or shorter where something in it is not kept. A message in its long form is the
//!   `COSE_Encrypt0` that the reader of those sees in it.
//! - A statement that was changed on the way is nobody's; a body that its source signed is read as it was written.
//! - An opening begins an epoch if it answers the invitation, and in no other case.
//! - A receiver opens each true message once, whatever came before, in either form, and nothing else.

#![no_main]

use std::collections::BTreeSet;

use iot_codec::cbor::{Cursor, Kind, Writer, validate};
use iot_core::{Freshness, Topic, Window};
use iot_crypto::cose::{Algorithm, Encrypt0, Sign1};
use iot_crypto::stream::{
    AcceptError, Counter, Epoch, Invitation, Reservation, Skipped, StreamMemory, StreamMessage, StreamReceiver,
    StreamSender, Streams,
};
use iot_crypto::{Answer, Opener, ReplayGuard, Sealer, Trackers, scratch_len};
use iot_fuzz::cose::is_same_but_uncovered;
use iot_fuzz::party::{PAYLOAD, Ram, TODAY, rng, topic};
use iot_fuzz::streams::{COUNT, FIRST, STREAM};
use iot_fuzz::tamper::{Steps, tampered};
use libfuzzer_sys::fuzz_target;
use minicbor::Decoder;

fuzz_target!(|input: &[u8]| {
    let Some((decoder, octets)) = input.split_first() else { return };
    match decoder & 7 {
        0 => {
            message(octets);
            invitation(octets);
            counter(octets);
        }
        1 => {
            receiver(octets);
            sender(octets);
        }
        2 => tracker(octets),
        3 => changed_statement(&STREAM.skipped, octets, |statement| {
            Skipped::verify(statement, &STREAM.source.key()).is_ok()
        }),
        4 => changed_statement(&STREAM.answer, octets, |statement| {
            Answer::verify(statement, &STREAM.challenge, STREAM.reader.id(), &STREAM.source.key()).is_ok()
        }),
        5 => signed_body(octets),
        6 => opening(octets),
        _ => traffic(octets),
    }
});

fn message(octets: &[u8]) {
    let parsed = StreamMessage::parse(octets);
    let model = Encrypt0::parse(octets).ok().filter(is_of_a_stream);
    if octets.first() == Some(&0x83) {
        assert_eq!(parsed.is_ok(), model.is_some(), "{parsed:?} is not {model:?}");
    }
    let Ok(parsed) = parsed else { return };
    assert!(octets.ends_with(parsed.ciphertext()));
    let (mut compact, mut cose) = (vec![0; parsed.compact_len()], vec![0; parsed.cose_len()]);
    parsed.write_compact(&mut compact).expect("the buffer has its length");
    parsed.write_cose(&mut cose).expect("the buffer has its length");
    assert!(octets == if octets[0] == 0x83 { &*cose } else { &*compact }, "a message has a second encoding");
    for form in [&compact, &cose] {
        assert_eq!(StreamMessage::parse(form), Ok(parsed));
    }
    let sealed = Encrypt0::parse(&cose).expect("it stands for a structure of COSE");
    assert!(is_of_a_stream(&sealed));
    assert_eq!(sealed.headers().kid, Some(parsed.context().as_bytes()));
    assert_eq!(sealed.ciphertext(), parsed.ciphertext());
}

/// Whether a structure has the headers of `docs/formats/stream.md` and no other.
fn is_of_a_stream(sealed: &Encrypt0<'_>) -> bool {
    let headers = sealed.headers();
    let count = Decoder::new(headers.unprotected).map().ok().flatten();
    let number = headers.partial_iv.and_then(|octets| match octets {
        [] | [0, _, ..] => None,
        _ if octets.len() > 8 => None,
        _ => Some(octets.iter().fold(0, |number, octet| number << 8 | u64::from(*octet))),
    });
    headers.algorithm == Algorithm::ChaCha20Poly1305
        && headers.protected == [0xa1, 0x01, 0x18, 0x18]
        && count == Some(2)
        && headers.kid.is_some_and(|kid| (1..=8).contains(&kid.len()))
        && number.is_some_and(|number| number <= iot_core::limits::LAST_SEQUENCE)
        && (16..=65_551).contains(&sealed.ciphertext().len())
}

fn invitation(octets: &[u8]) {
    let Ok(invitation) = Invitation::parse(octets) else { return };
    let mut buffer = [0; Invitation::MAX_LEN];
    let len = invitation.write(&mut buffer).expect("the buffer takes the longest");
    assert_rewritten(octets, &buffer[..len]);
    assert_eq!(Invitation::parse(&buffer[..len]), Ok(invitation));
}

fn counter(octets: &[u8]) {
    let Ok(octets) = octets.try_into() else { return };
    if let Some(counter) = Counter::from_bytes(octets) {
        assert_eq!(counter.to_bytes(), *octets);
    }
    // With the checksum that belongs there.
    let (incarnation, unused_from) = octets.split_at(8);
    let incarnation = iot_core::Incarnation::from_bytes(incarnation.try_into().expect("eight octets"));
    let unused_from = u64::from_be_bytes(unused_from[..8].try_into().expect("eight octets"));
    let counter = Counter { incarnation, unused_from };
    assert_eq!(Counter::from_bytes(&counter.to_bytes()), Some(counter));
}

fn receiver(octets: &[u8]) {
    restored::<iot_core::Ranges<8>>(octets);
    restored::<Window<2>>(octets);
    let mut streams: Streams = Streams::new(4, 2).expect("within limits");
    if streams.restore(octets).is_ok() {
        let name = streams.iter().next().expect("it was added").topic();
        assert!(Topic::new(std::str::from_utf8(name.as_ref()).expect("a topic is text")).is_ok());
        let _ = streams.open_without_topic(&mut STREAM.messages[1][0].clone());
    }
}

fn restored<S: StreamMemory>(octets: &[u8]) {
    let restore = |octets| StreamReceiver::<_, S>::restore(octets, topic().as_str());
    let Ok(mut receiver) = restore(octets) else { return };
    let mut saved = vec![0; receiver.saved_len()];
    receiver.save_into(&mut saved).expect("the buffer has its length");
    assert_rewritten(octets, &saved);
    let again = restore(&saved).expect("what was saved can be restored");
    assert_eq!(again.first(), receiver.first());
    assert_eq!(again.proven_from(), receiver.proven_from());
    for [compact, _] in &STREAM.messages {
        // The keys may be others, and generations may be missing.
        let _ = receiver.open(topic(), &mut compact.clone());
    }
    receiver.doubt();
    assert_eq!(receiver.proven_from(), None);
}

fn sender(octets: &[u8]) {
    let resume = |octets| -> Option<StreamSender<Ram>> {
        StreamSender::resume(octets, Ram(Some(STREAM.counter)), Reservation::default()).ok()
    };
    let Some(mut sender) = resume(octets) else { return };
    let mut saved = vec![0; <StreamSender<Ram>>::MAX_SAVED_LEN];
    let len = sender.save_into(&mut saved).expect("the buffer takes the longest");
    // Its keys may be later ones now, under a number that is no longer.
    assert!(len <= octets.len());
    assert!(resume(&saved[..len]).is_some(), "what was saved cannot be resumed");
    let (sequence, message) = sender.send(PAYLOAD).expect("numbers are left");
    assert!(sequence >= FIRST, "a number was used twice");
    assert_eq!(StreamMessage::parse(&message).map(|message| message.sequence()), Ok(sequence));
}

fn tracker(octets: &[u8]) {
    let mut trackers = <Trackers>::new(1, 1).expect("within limits");
    if trackers.restore(octets).is_err() {
        return;
    }
    let (source, stream) = trackers.streams().next().expect("it was added");
    let mut saved = vec![0; trackers.saved_len(source, stream)];
    trackers.save_into(source, stream, &mut saved).expect("the buffer has its length");
    // Names of closed incarnations are not kept where proof is demanded.
    assert_rewritten(octets, &saved);
    let position = iot_core::Position { source, stream, ..STREAM.source.heading(5).position };
    if trackers.accept(&position).is_ok() {
        assert!(trackers.check(&position).is_err(), "a position was accepted twice");
    }
}

/// A statement that was changed on the way is nobody's.
fn changed_statement(truth: &[u8], changes: &[u8], verifies: impl Fn(&[u8]) -> bool) {
    let statement = tampered(truth, changes);
    if verifies(&statement) {
        assert!(is_same_but_uncovered(&statement, truth, Sign1::TAG, 4), "a changed statement is verified");
    } else {
        assert!(statement != truth, "a true statement is refused");
    }
}

/// A body that the source signs, if it could be one.
fn signed_body(body: &[u8]) {
    if !is_map(body) {
        return;
    }
    let source = &STREAM.source;
    let mut external = Writer::new(Vec::new());
    let written = external
        .array(2)
        .and_then(|()| external.text("iot skipped 1"))
        .and_then(|()| external.bytes(source.id().as_bytes()));
    written.expect("a vector always has room");
    let statement = Sign1::sign(&source.signing, body, &external.into_output()).expect("the key is at hand");
    let Ok(skipped) = Skipped::verify(&statement, &source.key()) else { return };
    assert!(!skipped.numbers().is_empty() && skipped.source() == source.id());
    let mut again = Writer::new(Vec::new());
    let written = (|| {
        again.map(4)?;
        again.unsigned(1)?;
        again.unsigned(skipped.stream().number().into())?;
        again.unsigned(2)?;
        again.bytes(skipped.incarnation().as_bytes())?;
        again.unsigned(3)?;
        again.unsigned(skipped.numbers().start)?;
        again.unsigned(4)?;
        again.unsigned(skipped.numbers().end)
    })();
    written.expect("a vector always has room");
    assert_rewritten(body, &again.into_output());
}

/// A payload that the source signs and seals for the reader, if it could be an opening.
fn opening(payload: &[u8]) {
    if !is_map(payload) || payload.len() > 1024 {
        return;
    }
    let (source, reader) = (&STREAM.source, &STREAM.reader);
    let sealer = Sealer::new(source.id(), &source.signing, reader.bundle);
    let mut sealed = sealer.seal(&source.heading(0), payload, TODAY, &mut rng(8)).expect("within limits");
    let mut scratch = vec![0; scratch_len(sealed.len(), topic().as_str().len())];
    let mut opener = Opener::new(&reader.secrets, source.key(), <Trackers>::new(1, 1).expect("within limits"));
    let opened = opener.open(Some(topic()), &mut sealed, &mut scratch).expect("it is genuine");
    match Epoch::accept(&opened, reader.id(), &STREAM.invitation) {
        Ok(epoch) => {
            // The context and the nonce are those of the invitation, where they stand first.
            let mut invitation = [0; Invitation::MAX_LEN];
            STREAM.invitation.write(&mut invitation).expect("the buffer takes the longest");
            assert_eq!(payload[1..5], invitation[1..5]);
            assert_eq!((epoch.context(), epoch.first().position.sequence), (STREAM.invitation.context(), 1));
        }
        Err(error) => {
            assert!(matches!(error, AcceptError::Malformed(_) | AcceptError::OtherInvitation), "{error}");
            assert_ne!(payload, STREAM.opening, "refused an opening that is in order");
        }
    }
}

/// Each step opens a message: which (low three bits), in which form (bit 4), without the topic (bit 5), under another
/// one (bit 6), by a receiver that was just restored (bit 7), and how the message was changed.
fn traffic(steps: &[u8]) {
    let restore = |octets: &[u8]| -> StreamReceiver<&str> {
        StreamReceiver::restore(octets, topic().as_str()).expect("it was saved")
    };
    let mut receiver = restore(&STREAM.fresh);
    let mut accepted = BTreeSet::new();
    for (step, changes) in Steps(steps).take(32) {
        let sequence = FIRST + u64::from(step & 7);
        let truth = &STREAM.messages[usize::from(step & 7) % COUNT][usize::from(step >> 4 & 1)];
        let mut message = tampered(truth, changes);
        let is_true = message == *truth;
        if step & 0x80 != 0 {
            let mut saved = vec![0; receiver.saved_len()];
            receiver.save_into(&mut saved).expect("the buffer has its length");
            receiver = restore(&saved);
        }
        let (opened, is_topic) = match step & 0x60 {
            0x20 => (receiver.open_without_topic(&mut message), true),
            0x40 => (receiver.open(Topic::new("plant/8").expect("a topic"), &mut message), false),
            _ => (receiver.open(topic(), &mut message), true),
        };
        match opened {
            Ok(opened) => {
                // The other form of a message is the same message.
                assert!(is_true || StreamMessage::parse(&tampered(truth, changes)) == StreamMessage::parse(truth));
                assert!(is_topic, "opened under another topic");
                assert_eq!((opened.payload(), opened.position().sequence), (PAYLOAD, sequence));
                assert_eq!(opened.freshness(), Freshness::Proven);
                assert!(accepted.insert(sequence), "opened twice");
            }
            Err(error) => {
                assert!(!is_true || !is_topic || accepted.contains(&sequence), "refused a true message: {error}");
            }
        }
    }
}

fn is_map(octets: &[u8]) -> bool {
    Cursor::new(octets).peek() == Ok(Kind::Map) && validate(octets, &Default::default()).is_ok()
}

/// The same octets, or fewer where something is not kept, such as unknown keys.
fn assert_rewritten(read: &[u8], written: &[u8]) {
    assert!(written.len() < read.len() || written == read, "{read:02x?} has a second encoding: {written:02x?}");
}
