//! Signatures that come back later, from whatever holds the key.

#![cfg(feature = "alloc")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use iot_core::{Incarnation, Position, StreamId, Timestamp, Topic};
use iot_crypto::cose::Sign1;
use iot_crypto::*;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;

const NOW: Timestamp = Timestamp::from_secs(1_767_225_600);
const PAYLOAD: &[u8] = b"sixteen octets!!";

fn element() -> SigningKey {
    SigningKey::from_seed(&[1; 32])
}

fn reader() -> KeyBundle {
    let server = SigningKey::from_seed(&[2; 32]);
    let agreement = AgreementSecret::from_bytes(&[3; 32]);
    let bundle = KeyBundle::issue(&server, agreement.public(), 1, Timestamp::from_secs(1_800_000_000)).unwrap();
    KeyBundle::verify(&bundle, &server.verifying_key().device_id(), NOW).unwrap()
}

fn heading() -> Heading<'static> {
    let source = element().verifying_key().device_id();
    let incarnation = Incarnation::from_bytes([4; 8]);
    let position = Position { source, stream: StreamId::new(0), incarnation, sequence: 5 };
    Heading { topic: Topic::new("plant/7").unwrap(), position }
}

fn rng() -> ChaCha20Rng {
    ChaCha20Rng::from_seed([6; 32])
}

#[test]
fn a_message_in_two_steps_is_the_message_in_one() {
    let (element, source) = (element(), heading().position.source);
    let whole = Sealer::new(source, &element, reader()).seal(&heading(), PAYLOAD, NOW, &mut rng()).unwrap();

    let elsewhere = SignsElsewhere(element.verifying_key());
    let sealer = Sealer::new(source, &elsewhere, reader());
    let mut buffer = vec![0; sealer.buffer_len(&heading(), PAYLOAD.len()).unwrap()];
    assert_eq!(
        sealer.seal_into(&heading(), PAYLOAD, NOW, &mut rng(), &mut buffer),
        Err(SealError::Signer(SignerError))
    );
    let unsigned = sealer.begin(&heading(), PAYLOAD, NOW, &mut buffer).unwrap();
    let signature = element.sign(unsigned.to_be_signed());
    let len = unsigned.finish(signature, &mut rng()).unwrap();
    assert_eq!(buffer[..len], whole);
    assert!(!holds_payload(&buffer), "what was signed is wiped");
}

#[test]
fn a_wrong_signature_is_not_sealed_and_nothing_is_left() {
    let elsewhere = SignsElsewhere(element().verifying_key());
    let sealer = Sealer::new(heading().position.source, &elsewhere, reader());
    let mut buffer = vec![0; sealer.buffer_len(&heading(), PAYLOAD.len()).unwrap()];
    let unsigned = sealer.begin(&heading(), PAYLOAD, NOW, &mut buffer).unwrap();
    let other = element().sign(b"something else");
    assert_eq!(unsigned.finish(other, &mut rng()), Err(SealError::Signature(SignatureError)));
    assert!(!holds_payload(&buffer));

    drop(sealer.begin(&heading(), PAYLOAD, NOW, &mut buffer).unwrap());
    assert!(!holds_payload(&buffer), "an element that never answers leaves nothing, either");
}

#[test]
fn a_structure_in_two_steps_is_the_structure_in_one() {
    let element = element();
    let key = element.verifying_key();
    let mut buffer = vec![0; Sign1::buffer_len(PAYLOAD.len(), 8)];
    let unsigned = Sign1::prepare(&key, PAYLOAD, b"external", &mut buffer).unwrap();
    assert!(!format!("{unsigned:?}").contains("115, 105, 120"));
    let signature = element.sign(unsigned.to_be_signed());
    let len = unsigned.finish(signature).unwrap();
    assert_eq!(buffer[..len], Sign1::sign(&element, PAYLOAD, b"external").unwrap());

    let unsigned = Sign1::prepare(&key, PAYLOAD, b"external", &mut buffer).unwrap();
    assert_eq!(unsigned.finish(element.sign(b"something else")), Err(SignatureError));
    let needed = buffer.len();
    let short = Sign1::prepare(&key, PAYLOAD, b"external", &mut buffer[1..]).map(drop);
    assert_eq!(short, Err(BufferTooSmall { needed, available: needed - 1 }));
}

fn holds_payload(buffer: &[u8]) -> bool {
    buffer.windows(PAYLOAD.len()).any(|window| window == PAYLOAD)
}
