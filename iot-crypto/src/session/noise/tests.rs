use super::*;
use crate::session::transport::{Incoming, Outgoing};
use crate::vectors::{hex, lines};

const VECTORS: &str = include_str!("../../../tests/vectors/noise.txt");

fn octets(digits: &str) -> Vec<u8> {
    (0..digits.len() / 2).map(|i| hex::<1>(&digits[2 * i..])[0]).collect()
}

struct Vector {
    initiator: Start,
    responder: Start,
    hash: [u8; 32],
    messages: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Vector {
    fn read(pattern: Pattern, text: &str) -> Self {
        let one = |name: &str| lines(text).find(|line| line.0 == name).map(|line| line.1);
        let key = |name: &str| hex::<32>(one(name).expect("the vector has it"));
        let prologue = octets(one("prologue").expect("the vector has it"));
        let start = |role, secret: &str, ephemeral: &str, remote: Option<[u8; 32]>| Start {
            pattern,
            role,
            secret: Zeroizing::new(key(secret)),
            ephemeral: Zeroizing::new(key(ephemeral)),
            remote: remote.map(|key| AgreementKey::from_bytes(&key).expect("the key is usable")),
            prologue: prologue.clone(),
        };
        let all = |name: &'static str| lines(text).filter(move |line| line.0 == name).map(|line| octets(line.1));
        Self {
            initiator: start(Role::Initiator, "init_static", "init_ephemeral", one("init_remote_static").map(hex)),
            responder: start(Role::Responder, "resp_static", "resp_ephemeral", None),
            hash: key("handshake_hash"),
            messages: all("payload").zip(all("ciphertext")).collect(),
        }
    }

    fn all() -> [Self; 2] {
        let (_, rest) = VECTORS.split_once("pattern: IK\n").expect("IK is there");
        let (ik, xx) = rest.split_once("pattern: XX\n").expect("XX is there");
        [Self::read(Pattern::Ik, ik), Self::read(Pattern::Xx, xx)]
    }
}

#[test]
fn handshakes_and_transport_are_those_of_the_published_vectors() {
    for vector in Vector::all() {
        let handshake_len = if vector.initiator.pattern == Pattern::Ik { 2 } else { 3 };
        assert_eq!(vector.messages.len(), 6);
        let (handshake, transport) = vector.messages.split_at(handshake_len);
        let (mut initiator, mut responder) = (vector.initiator.noise(), vector.responder.noise());
        for (turn, (payload, ciphertext)) in handshake.iter().enumerate() {
            let (writer, reader) =
                if turn % 2 == 0 { (&mut initiator, &mut responder) } else { (&mut responder, &mut initiator) };
            let mut written = Vec::new();
            writer.write(payload, &mut written).expect("it is the writer's turn");
            assert_eq!(written, *ciphertext);
            assert_eq!(reader.read(ciphertext), Ok(payload.clone()));
        }
        let (ours, theirs) = (initiator.split().expect("it is over"), responder.split().expect("it is over"));
        assert_eq!((ours.hash, theirs.hash), (vector.hash, vector.hash));
        let mut sent = [Outgoing::new(ours.initiator.clone()), Outgoing::new(theirs.responder.clone())];
        let mut received = [Incoming::new(theirs.initiator), Incoming::new(ours.responder)];
        for (turn, (payload, ciphertext)) in transport.iter().enumerate() {
            let side = (handshake_len + turn) % 2;
            let mut written = Vec::new();
            let number = sent[side].seal(payload, &mut written).expect("numbers are left");
            assert_eq!(written, *ciphertext);
            assert_eq!(received[side].open(number, ciphertext), Ok(payload.clone()));
        }
    }
}

/// A state that has refused a message is made anew: it must then be the same as before.
#[test]
fn a_handshake_made_anew_goes_on_as_the_first_would_have() {
    for vector in Vector::all() {
        let mut again = vector.initiator.noise();
        let mut written = Vec::new();
        again.write(&vector.messages[0].0, &mut written).expect("it is the initiator's turn");
        assert_eq!(written, vector.messages[0].1);
        assert_eq!(again.read(&vector.messages[1].1), Ok(vector.messages[1].0.clone()));
    }
}

#[test]
fn the_overheads_are_what_noise_adds() {
    for vector in Vector::all() {
        let pattern = vector.initiator.pattern;
        let overhead = |index: usize| vector.messages[index].1.len() - vector.messages[index].0.len();
        assert_eq!(overhead(0), pattern.first_overhead());
        assert_eq!(overhead(1), pattern.second_overhead());
        assert_eq!(overhead(if pattern == Pattern::Ik { 0 } else { 2 }), pattern.last_overhead());
    }
}

/// With a point of small order every agreement yields the same secret, so what is sealed under it is sealed to nobody.
#[test]
fn refuses_an_ephemeral_key_of_small_order() {
    for vector in Vector::all() {
        let mut message = vector.messages[1].1.clone();
        message[..32].fill(0);
        let mut initiator = vector.initiator.noise();
        initiator.write(&vector.messages[0].0, &mut Vec::new()).expect("it is the initiator's turn");
        assert_eq!(initiator.read(&message), Err(HandshakeError::Noise));
    }
}
