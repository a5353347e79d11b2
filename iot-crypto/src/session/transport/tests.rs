use alloc::vec::Vec;

use iot_core::SequenceError;
use zeroize::Zeroizing;

use super::*;

fn ends() -> (Outgoing, Incoming) {
    let key = Zeroizing::new([7; 32]);
    (Outgoing::new(key.clone()), Incoming::new(key))
}

fn seal(outgoing: &mut Outgoing) -> (u64, Vec<u8>) {
    let mut message = Vec::new();
    let number = outgoing.seal(b"21.5 Cel", &mut message).expect("numbers are left");
    (number, message)
}

#[test]
fn a_message_opens_once_and_unaltered_only() {
    let (mut outgoing, mut incoming) = ends();
    let (number, message) = seal(&mut outgoing);
    for bit in 0..message.len() * 8 {
        let mut altered = message.clone();
        altered[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(incoming.open(number, &altered), Err(Closed::Tag));
    }
    for len in 0..message.len() {
        assert_eq!(incoming.open(number, &message[..len]), Err(Closed::Tag));
    }
    assert_eq!(incoming.open(number + 1, &message), Err(Closed::Tag));
    assert_eq!(incoming.open(number, &message).as_deref(), Ok(&b"21.5 Cel"[..]));
    assert_eq!(incoming.open(number, &message), Err(Closed::Number(SequenceError::Repeated { sequence: number })));
}

#[test]
fn the_key_changes_by_itself_and_messages_around_the_change_may_swap() {
    let (mut outgoing, mut incoming) = ends();
    outgoing.next = GENERATION_LEN - 2;
    let messages: Vec<_> = (0..4).map(|_| seal(&mut outgoing)).collect();
    for index in [0, 2, 1, 3] {
        let (number, message) = &messages[index];
        assert!(incoming.open(*number, message).is_ok(), "message {index}");
    }
    assert_eq!((outgoing.chain.generation, incoming.chain.generation), (1, 1));
    assert!(*outgoing.chain.key != [7; 32] && *outgoing.chain.key == *incoming.chain.key);
}

/// So the key before is never tried on it.
#[test]
fn what_is_older_than_the_key_before_is_refused_by_its_number() {
    let (mut outgoing, mut incoming) = ends();
    let (number, late) = seal(&mut outgoing);
    for _ in 0..2 {
        outgoing.rekey();
        let (number, message) = seal(&mut outgoing);
        assert!(incoming.open(number, &message).is_ok());
    }
    assert!(matches!(incoming.open(number, &late), Err(Closed::Number(_))));
}

#[test]
fn a_receiver_follows_eight_changes_and_no_more() {
    let (mut outgoing, mut incoming) = ends();
    for change in 1..=MAX_AHEAD + 1 {
        outgoing.rekey();
        outgoing.rekey();
        let (number, message) = seal(&mut outgoing);
        assert_eq!(number, change * GENERATION_LEN);
        if change == MAX_AHEAD {
            let mut altered = message.clone();
            altered[0] ^= 1;
            assert_eq!(incoming.open(number, &altered), Err(Closed::Tag));
            assert_eq!(incoming.chain.generation, 0, "a forger moved the key");
        }
        if change > MAX_AHEAD {
            assert_eq!(incoming.open(number, &message), Err(Closed::Ahead));
        }
        if change == MAX_AHEAD {
            let (_, mut other) = ends();
            assert!(other.open(number, &message).is_ok());
            assert_eq!(other.chain.generation, MAX_AHEAD);
        }
    }
}

#[test]
fn the_last_number_is_used_and_none_after_it() {
    let (mut outgoing, _) = ends();
    outgoing.next = u64::MAX - 1;
    outgoing.chain.generation = u64::MAX / GENERATION_LEN;
    assert_eq!(seal(&mut outgoing).0, u64::MAX - 1);
    assert_eq!(outgoing.seal(b"", &mut Vec::new()), None);
    outgoing.rekey();
    assert_eq!(outgoing.seal(b"", &mut Vec::new()), None);
}

/// As `docs/formats/session.md` says, with HKDF used apart.
#[test]
fn secrets_of_epochs_follow_from_the_key_and_the_hash() {
    let expand = |key: &[u8], purpose: &[u8]| {
        let mut octets = [0; 32];
        Hkdf::<Sha256>::from_prk(key).unwrap().expand(purpose, &mut octets).unwrap();
        octets
    };
    let (extracted, _) = Hkdf::<Sha256>::extract(Some(&[8; 32]), &[7; 32]);
    let mut exporter = Exporter::new(&Zeroizing::new([7; 32]), &[8; 32]);
    let first = expand(&extracted, b"iot session epochs 1");
    assert_eq!(*exporter.take(), expand(&first, b"secret"));
    assert_eq!(*exporter.take(), expand(&expand(&first, b"next"), b"secret"));
}

#[test]
fn secrets_of_epochs_differ_and_both_sides_have_the_same() {
    let (key, hash) = (Zeroizing::new([7; 32]), [8; 32]);
    let (mut ours, mut theirs) = (Exporter::new(&key, &hash), Exporter::new(&key, &hash));
    let secrets: Vec<_> = (0..4).map(|_| ours.take()).collect();
    for (index, secret) in secrets.iter().enumerate() {
        assert!(**secret == *theirs.take());
        assert!(secrets[..index].iter().all(|earlier| **earlier != **secret) && **secret != *key);
    }
}
