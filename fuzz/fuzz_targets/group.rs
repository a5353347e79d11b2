//! Everything of a group that is read from outside or from storage. The first octet says which decoder gets the rest.
//!
//! - A message is a routing header and the `COSE_Encrypt0` that the reader of those sees in it, and has one encoding;
//!   so has a saved member, or a shorter one where it was saved with more epochs than are kept.
//! - A batch that was changed on the way is nobody's. What its publisher signed and what the manager sealed is read as
//!   it was written, or refused without any change.
//! - A member opens each true message once, whatever came before, and nothing else; what another member forged is never
//!   verified.

#![no_main]

use std::collections::BTreeSet;
use std::sync::LazyLock;

use iot_codec::cbor::{Cursor, EncodeError, Kind, Writer, validate};
use iot_core::limits::LAST_SEQUENCE;
use iot_core::{DeviceId, Topic};
use iot_crypto::cose::{Algorithm, Encrypt0, Sign1};
use iot_crypto::group::{ConfirmError, GroupMember, GroupMessage, LAST_EPOCH, SignedBatch};
use iot_crypto::{ReplayGuard, RoutingHeader, Sealer, Trackers};
use iot_fuzz::cose::is_same_but_uncovered;
use iot_fuzz::groups::{COUNT, PLANT, heading, opened};
use iot_fuzz::party::{PAYLOAD, TODAY, rng, topic};
use iot_fuzz::tamper::{Steps, tampered};
use libfuzzer_sys::fuzz_target;
use minicbor::Decoder;

fuzz_target!(|input: &[u8]| {
    let Some((decoder, octets)) = input.split_first() else { return };
    match decoder % 6 {
        0 => message(octets),
        1 => member(octets),
        2 => changed_batch(octets),
        3 => signed_body(octets),
        4 => managers_payload(octets),
        _ => traffic(octets),
    }
});

fn message(octets: &[u8]) {
    let parsed = GroupMessage::parse(octets);
    let model = RoutingHeader::parse(octets).ok().and_then(|(routing, len)| {
        let sealed = Encrypt0::parse(&octets[len..]).ok()?;
        let epoch = epoch_of(&routing, &octets[len..], &sealed)?;
        Some((routing, epoch, sealed))
    });
    match (parsed, model) {
        (Ok(parsed), Some((routing, epoch, sealed))) => {
            assert_eq!((*parsed.routing(), parsed.epoch()), (routing, epoch));
            assert_eq!(parsed.ciphertext(), sealed.ciphertext());
            assert!(octets.ends_with(parsed.ciphertext()));
            assert_eq!(written(&parsed).expect("a vector always has room"), octets, "a message has a second encoding");
        }
        (parsed, model) => assert!(parsed.is_err() && model.is_none(), "{parsed:?} is not {model:?}"),
    }
}

/// The epoch of a structure that has the headers of `docs/formats/group.md` and no other.
fn epoch_of(routing: &RoutingHeader<'_>, structure: &[u8], sealed: &Encrypt0<'_>) -> Option<u64> {
    let headers = sealed.headers();
    let is_alike = structure[0] == 0x83
        && headers.algorithm == Algorithm::ChaCha20Poly1305
        && headers.protected == [0xa1, 0x01, 0x18, 0x18]
        && Decoder::new(headers.unprotected).map().ok()? == Some(3)
        && matches!(headers.unprotected_value(10)?, [0x48, ..])
        && number(headers.partial_iv?)? == routing.sequence
        && routing.sequence <= LAST_SEQUENCE
        && (16..=65_551).contains(&sealed.ciphertext().len());
    is_alike.then_some(number(headers.kid?)?)
}

/// A number in as many octets as it needs.
fn number(octets: &[u8]) -> Option<u64> {
    match octets {
        [] | [0, _, ..] => None,
        _ if octets.len() > 8 => None,
        _ => Some(octets.iter().fold(0, |number, octet| number << 8 | u64::from(*octet))),
    }
}

fn shortest(number: u64) -> Vec<u8> {
    let octets = number.to_be_bytes();
    octets[(number.leading_zeros() as usize / 8).min(7)..].to_vec()
}

fn written(message: &GroupMessage<'_>) -> Result<Vec<u8>, EncodeError> {
    let mut routing = vec![0; message.routing().encoded_len()];
    message.routing().encode(&mut routing).expect("the buffer has its length");
    let mut writer = Writer::new(routing);
    writer.array(3)?;
    writer.bytes(&[0xa1, 0x01, 0x18, 0x18])?;
    writer.map(3)?;
    writer.unsigned(4)?;
    writer.bytes(&shortest(message.epoch()))?;
    writer.unsigned(6)?;
    writer.bytes(&shortest(message.routing().sequence))?;
    writer.unsigned(10)?;
    writer.bytes(message.group().as_bytes())?;
    writer.bytes(message.ciphertext())?;
    Ok(writer.into_output())
}

fn member(octets: &[u8]) {
    let Ok(member) = <GroupMember>::restore(PLANT.group, octets) else { return };
    let mut saved = vec![0; <GroupMember>::MAX_SAVED_LEN];
    let len = member.save_into(&mut saved).expect("the buffer takes the longest");
    assert_rewritten(octets, &saved[..len]);
    let again = <GroupMember>::restore(PLANT.group, &saved[..len]).expect("what was saved can be restored");
    assert_eq!(epochs(&again), epochs(&member));
    assert!(member.current_epoch().is_none_or(|epoch| epoch < member.floor()));
    let (topic, source) = (Some(topic()), Some(PLANT.publisher.id()));
    for message in &PLANT.messages {
        // The keys may be others.
        let _ = member.open(topic, source, &mut message.clone(), &mut <Trackers>::new(1, 1).expect("within limits"));
    }
}

fn epochs(member: &GroupMember) -> (u64, Option<u64>, Vec<u64>) {
    (member.floor(), member.current_epoch(), member.late_epochs().collect())
}

fn changed_batch(changes: &[u8]) {
    let octets = tampered(&PLANT.batch, changes);
    let mut scratch = [0; SignedBatch::SCRATCH_LEN];
    let verified = SignedBatch::verify(&octets, &PLANT.group, &PLANT.publisher.key(), &mut scratch);
    match verified {
        Ok(batch) => {
            assert!(is_same_but_uncovered(&octets, &PLANT.batch, Sign1::TAG, 4), "a changed batch is verified");
            assert_eq!((batch.count(), *batch.first()), (BATCH.count(), *BATCH.first()));
        }
        Err(error) => assert!(octets != PLANT.batch, "a true batch is refused: {error}"),
    }
}

/// A body that the publisher signs, if it could be one.
fn signed_body(body: &[u8]) {
    if !is_map(body) {
        return;
    }
    let publisher = &PLANT.publisher;
    let external = (|| {
        let mut external = Writer::new(Vec::new());
        external.array(4)?;
        external.text("iot group batch 1")?;
        external.bytes(PLANT.manager.id().as_bytes())?;
        external.bytes(PLANT.group.id.as_bytes())?;
        external.bytes(publisher.id().as_bytes())?;
        Ok::<_, EncodeError>(external.into_output())
    })();
    let external = external.expect("a vector always has room");
    let signed = Sign1::sign(&publisher.signing, body, &external).expect("the key is at hand");
    let mut scratch = [0; SignedBatch::SCRATCH_LEN];
    let Ok(batch) = SignedBatch::verify(&signed, &PLANT.group, &publisher.key(), &mut scratch) else { return };
    let first = batch.first();
    assert!((1..=SignedBatch::MAX_MESSAGES).contains(&batch.count()));
    assert!(first.sequence <= LAST_SEQUENCE - (batch.count() as u64 - 1) && first.source == publisher.id());
    assert!(batch.covers(batch.epoch(), first));
    let behind = iot_core::Position { sequence: first.sequence + batch.count() as u64, ..*first };
    assert!(!batch.covers(batch.epoch(), &behind));
    assert!(batch.count() * 32 < body.len());
}

/// A payload that the manager signs and seals for the reader, if it could change what a member knows.
fn managers_payload(payload: &[u8]) {
    if !is_map(payload) || payload.len() > 1024 {
        return;
    }
    let Some(mut member) = restored() else { return };
    let before = epochs(&member);
    let sealer = Sealer::new(PLANT.manager.id(), &PLANT.manager.signing, PLANT.reader.bundle);
    let sealed = sealer.seal(&PLANT.manager.heading(0), payload, TODAY, &mut rng(8)).expect("within limits");
    opened(&PLANT.manager, &PLANT.reader, &sealed, |opened| {
        let (floor, current, late) = before.clone();
        match member.take_history(opened) {
            Ok(taken) => {
                let after = epochs(&member);
                assert_eq!((after.0, after.1, after.2.len()), (floor, current, late.len() + taken));
                assert!(after.2.is_sorted_by(|later, earlier| later > earlier));
                assert!(after.2.iter().all(|epoch| Some(*epoch) < current));
            }
            Err(_) => assert_eq!(epochs(&member), before, "a refused history changed the member"),
        }
        let before = epochs(&member);
        match member.enter(opened) {
            Ok(epoch) => {
                assert!(floor <= epoch && epoch <= LAST_EPOCH);
                assert_eq!((member.floor(), member.current_epoch()), (epoch + 1, Some(epoch)));
                assert_eq!(member.late_epochs().next(), current);
            }
            Err(_) => assert_eq!(epochs(&member), before, "a refused epoch changed the member"),
        }
    });
}

fn restored() -> Option<GroupMember> {
    GroupMember::restore(PLANT.group, &PLANT.member).ok()
}

static BATCH: LazyLock<SignedBatch<'static>> = LazyLock::new(|| {
    let mut scratch = [0; SignedBatch::SCRATCH_LEN];
    let batch = SignedBatch::verify(&PLANT.batch, &PLANT.group, &PLANT.publisher.key(), &mut scratch);
    batch.expect("it is genuine")
});

/// Each step opens a message: which (low two bits), under another topic (bit 3), as another source's (bit 4), which
/// another member forged (bit 6), only if the batch has it (bit 7), and how it was changed.
fn traffic(steps: &[u8]) {
    let member = restored().expect("it was saved");
    let mut trackers = <Trackers>::new(1, 1).expect("within limits");
    let mut accepted = BTreeSet::new();
    for (step, changes) in Steps(steps).take(32) {
        let (index, is_forged) = if step & 0x40 == 0 { (usize::from(step & 3), false) } else { (1, true) };
        let truth = if is_forged { &PLANT.forged } else { &PLANT.messages[index % COUNT] };
        let mut message = tampered(truth, changes);
        let is_true = message == *truth;
        let said = if step & 8 == 0 { topic() } else { Topic::new("plant/8").expect("a topic") };
        let source = if step & 0x10 == 0 { PLANT.publisher.id() } else { DeviceId::from_bytes([9; 32]) };
        let is_addressed = step & 0x18 == 0;
        let position = heading(index).position;
        let payload = if is_forged { b"forged" } else { PAYLOAD };
        if step & 0x80 == 0 {
            match member.open(Some(said), Some(source), &mut message, &mut trackers) {
                Ok(opened) => {
                    assert!(is_true && is_addressed, "a member opened what was changed");
                    assert_eq!((opened.payload(), opened.claimed().position), (payload, position));
                    assert!(accepted.insert(index), "opened twice");
                    let expected = match index {
                        0 => Some(ConfirmError::NotCovered),
                        _ if is_forged => Some(ConfirmError::Forged),
                        _ => None,
                    };
                    assert_eq!(BATCH.confirm(opened).err(), expected);
                }
                Err(error) => {
                    assert!(!is_true || !is_addressed || accepted.contains(&index), "refused a true message: {error}");
                }
            }
        } else if let Ok(opened) = member.open_unconfirmed(Some(said), Some(source), &mut message, &trackers) {
            assert!(is_true && is_addressed && !accepted.contains(&index));
            match BATCH.accept(opened, &mut trackers) {
                Ok(verified) => {
                    assert_eq!((verified.payload(), *verified.position()), (PAYLOAD, position));
                    assert!(!is_forged && index > 0 && accepted.insert(index));
                }
                Err(_) => assert!(is_forged || index == 0),
            }
        }
        assert_eq!(trackers.check(&position).is_err(), accepted.contains(&index));
    }
}

fn is_map(octets: &[u8]) -> bool {
    Cursor::new(octets).peek() == Ok(Kind::Map) && validate(octets, &Default::default()).is_ok()
}

/// The same octets, or fewer where unknown keys were skipped.
fn assert_rewritten(read: &[u8], written: &[u8]) {
    assert!(written.len() < read.len() || written == read, "{read:02x?} has a second encoding: {written:02x?}");
}
