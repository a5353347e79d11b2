//! A reading of 20 bytes, signed by its device and sealed for one reader, or in a stream; and the parsing of what is
//! signed.

mod ours;
mod peer;
pub mod stream;

use std::hint::black_box;

use iot_crypto::cose::Sign1;
use iot_crypto::stream::{Ring, RustCrypto};

use crate::measure::{Effort, Side, interleaved};
use crate::report::{Failure, Row, RowSpec};

/// What is signed and sealed.
const PAYLOAD: &[u8; 20] = b"twenty octets, yes: ";
const TOPIC: &str = "plant/7/boiler/12";
/// Seeds of the keys, the same on both sides.
const DEVICE_SEED: [u8; 32] = [1; 32];
const READER_SECRET: [u8; 32] = [2; 32];
/// How many messages, at consecutive positions, are opened in turn.
const MESSAGES: usize = 64;

/// The rows.
pub const ROWS: &[RowSpec] = &[
    RowSpec { name: "crypto/size", measure: size },
    RowSpec { name: "crypto/seal", measure: |effort| Ok(Row::ratio(&interleaved(effort, seal_sides()), 1.0)) },
    RowSpec { name: "crypto/open", measure: |effort| Ok(Row::ratio(&interleaved(effort, open_sides()), 1.0)) },
    RowSpec { name: "crypto/parse-sign1", measure: parse_sign1 },
    RowSpec { name: "crypto/stream-size", measure: stream::size },
    RowSpec { name: "crypto/stream-open", measure: |effort| stream::open::<RustCrypto>(effort, 2.0e-6) },
    RowSpec { name: "crypto/stream-open-fast", measure: |effort| stream::open::<Ring>(effort, 0.7e-6) },
];

/// Signing and sealing: ours, and `coset` with the same primitives.
pub fn seal_sides() -> Vec<Side<'static>> {
    let (mut ours, mut peer) = (ours::Sender::new(), peer::Sender::new());
    vec![
        Side::new("ours", move || black_box(ours.seal(black_box(PAYLOAD))).len()),
        Side::new("coset + RustCrypto", move || black_box(peer.seal(black_box(PAYLOAD))).len()),
    ]
}

/// Opening and verifying: ours, with the check of topic and position; and `coset` with the same primitives, without.
/// Both begin with a copy of the message as it came.
pub fn open_sides() -> Vec<Side<'static>> {
    let (mut ours, peer) = (ours::Receiver::new(), peer::Receiver::new());
    let mut sender = ours::Sender::new();
    let our_messages: Vec<Vec<u8>> = (0..MESSAGES).map(|_| sender.seal(PAYLOAD).to_vec()).collect();
    let mut sender = peer::Sender::new();
    let peer_messages: Vec<Vec<u8>> = (0..MESSAGES).map(|_| sender.seal(PAYLOAD)).collect();
    let mut space = vec![0; our_messages[0].len()];
    let (mut our_next, mut peer_next) = (0, 0);
    vec![
        Side::new("ours", move || {
            if our_next == 0 {
                ours.forget();
            }
            let message = &our_messages[our_next];
            our_next = (our_next + 1) % MESSAGES;
            space.clear();
            space.extend_from_slice(black_box(message));
            assert!(ours.opens(&mut space, PAYLOAD));
        }),
        Side::new("coset + RustCrypto", move || {
            let message = &peer_messages[peer_next];
            peer_next = (peer_next + 1) % MESSAGES;
            assert!(peer.opens(black_box(message), PAYLOAD));
        }),
    ]
}

/// Parsing a `COSE_Sign1` with a key id: ours and `coset`.
pub fn parse_sides() -> Vec<Side<'static>> {
    let for_ours = peer::signed(PAYLOAD);
    let for_coset = for_ours.clone();
    assert!(Sign1::parse(&for_ours).is_ok() && peer::parses(&for_coset));
    vec![
        Side::new("ours", move || black_box(Sign1::parse(black_box(&for_ours))).is_ok()),
        Side::new("coset", move || peer::parses(black_box(&for_coset))),
    ]
}

/// Octets over the payload, position and both key ids inside.
fn size(_: Effort) -> Result<Row, Failure> {
    let overhead = |len: usize| (len - PAYLOAD.len()) as u64;
    let ours = overhead(ours::Sender::new().seal(PAYLOAD).len());
    let peer = overhead(peer::Sender::new().seal(PAYLOAD).len());
    Ok(Row::count(ours, &[("coset, without position", peer)], "B", 165))
}

/// At most 60 ns where `coset` takes 865 ns.
fn parse_sign1(effort: Effort) -> Result<Row, Failure> {
    Ok(Row::scaled(&interleaved(effort, parse_sides()), 60e-9, &[865e-9]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_refuse_an_altered_message() {
        let mut message = ours::Sender::new().seal(PAYLOAD).to_vec();
        assert!(ours::Receiver::new().opens(&mut message.clone(), PAYLOAD));
        *message.last_mut().unwrap() ^= 1;
        assert!(!ours::Receiver::new().opens(&mut message, PAYLOAD));

        let mut message = peer::Sender::new().seal(PAYLOAD);
        assert!(peer::Receiver::new().opens(&message, PAYLOAD));
        *message.last_mut().unwrap() ^= 1;
        assert!(!peer::Receiver::new().opens(&message, PAYLOAD));
    }

    #[test]
    fn our_receiver_refuses_a_repetition_until_it_forgets() {
        let message = ours::Sender::new().seal(PAYLOAD).to_vec();
        let mut receiver = ours::Receiver::new();
        assert!(receiver.opens(&mut message.clone(), PAYLOAD));
        assert!(!receiver.opens(&mut message.clone(), PAYLOAD));
        receiver.forget();
        assert!(receiver.opens(&mut message.clone(), PAYLOAD));
    }
}
