//! Opening a sealed message that was changed on the way.
//!
//! The input is a list of changes to one good message: an offset (u16, little endian) and what to xor there. Unless they
//! change nothing, the message does not open, and nothing of it that was decrypted stays in the buffer.

#![no_main]

use std::sync::LazyLock;

use iot_core::{Incarnation, Position, StreamId, Timestamp, Topic};
use iot_crypto::{
    AgreementSecret, Heading, KeyBundle, Opener, Sealer, SigningKey, Trackers, VerifyingKey, scratch_len,
};
use libfuzzer_sys::fuzz_target;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

const PAYLOAD: &[u8] = b"a payload that nobody in between may read";

struct Sealed {
    message: Vec<u8>,
    sender: VerifyingKey,
    secrets: [AgreementSecret; 1],
}

static SEALED: LazyLock<Sealed> = LazyLock::new(|| {
    let mut rng = ChaCha20Rng::from_seed([1; 32]);
    let server = SigningKey::generate(&mut rng);
    let secrets = [AgreementSecret::generate(&mut rng)];
    let expires = Timestamp::from_secs(2_000_000_000);
    let bundle = KeyBundle::issue(&server, secrets[0].public(), 1, expires).expect("the key is at hand");
    let now = Timestamp::from_secs(1_767_225_600);
    let reader = KeyBundle::verify(&bundle, &server.verifying_key().device_id(), now).expect("it is the server's");
    let device = SigningKey::generate(&mut rng);
    let source = device.verifying_key().device_id();
    let incarnation = Incarnation::from_bytes([7; 8]);
    let position = Position { source, stream: StreamId::new(1), incarnation, sequence: 70_001 };
    let heading = Heading { topic: topic(), position };
    let message = Sealer::new(source, &device, reader).seal(&heading, PAYLOAD, now, &mut rng).expect("within limits");
    Sealed { message, sender: device.verifying_key(), secrets }
});

fn topic() -> Topic<'static> {
    Topic::new("plant/7/boiler/12").expect("a topic")
}

fuzz_target!(|input: &[u8]| {
    let sealed = &*SEALED;
    let mut message = sealed.message.clone();
    for change in input.chunks_exact(3) {
        let offset = usize::from(u16::from_le_bytes([change[0], change[1]])) % message.len();
        message[offset] ^= change[2];
    }
    let is_changed = message != sealed.message;
    let mut scratch = vec![0; scratch_len(message.len(), topic().as_str().len())];
    let mut opener = Opener::new(&sealed.secrets, sealed.sender, <Trackers>::new(1, 1).unwrap());
    let opened = opener.open(Some(topic()), &mut message, &mut scratch);
    match opened {
        Ok(opened) => {
            assert!(!is_changed, "opened a message that was changed");
            assert_eq!(opened.payload(), PAYLOAD);
        }
        Err(refused) => {
            assert!(is_changed, "refused a good message: {refused}");
            assert!(!message.windows(PAYLOAD.len()).any(|window| window == PAYLOAD), "plaintext of a refused message");
        }
    }
});
