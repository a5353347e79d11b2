//! What an opener says of the messages that it was given.

#![cfg(feature = "alloc")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use iot_core::{Incarnation, Position, StreamId, Timestamp, Topic};
use iot_crypto::*;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;

const NOW: Timestamp = Timestamp::from_secs(1_767_225_600);

#[test]
fn every_message_is_counted_once() {
    let (device, server) = (SigningKey::from_seed(&[1; 32]), SigningKey::from_seed(&[2; 32]));
    let secrets = [AgreementSecret::from_bytes(&[3; 32]), AgreementSecret::from_bytes(&[4; 32])];
    let topic = Topic::new("plant/7").unwrap();
    let seal = |signer: &SigningKey, secret: &AgreementSecret, sequence| {
        let bundle = KeyBundle::issue(&server, secret.public(), 1, Timestamp::from_secs(1_800_000_000)).unwrap();
        let reader = KeyBundle::verify(&bundle, &server.verifying_key().device_id(), NOW).unwrap();
        let source = signer.verifying_key().device_id();
        let position =
            Position { source, stream: StreamId::new(0), incarnation: Incarnation::from_bytes([5; 8]), sequence };
        let mut rng = ChaCha20Rng::from_seed([6; 32]);
        Sealer::new(source, signer, reader).seal(&Heading { topic, position }, b"21.5 Cel", NOW, &mut rng).unwrap()
    };
    let genuine = seal(&device, &secrets[0], 0);
    let mut altered = seal(&device, &secrets[0], 1);
    *altered.last_mut().unwrap() ^= 1;
    let strangers = seal(&SigningKey::from_seed(&[9; 32]), &secrets[0], 2);
    let for_another = seal(&device, &secrets[1], 3);

    let mut opener = Opener::new(&secrets[..1], device.verifying_key(), <Trackers>::new(1, 1).unwrap());
    let mut open = |message: &[u8], scratch: usize| {
        let opened = opener.open(Some(topic), &mut message.to_vec(), &mut vec![0; scratch]).is_ok();
        (opened, opener.stats())
    };
    assert!(open(&genuine, 512).0);
    for (message, scratch) in
        [(&genuine, 512), (&altered, 512), (&strangers, 512), (&for_another, 512), (&vec![0xff], 512), (&genuine, 1)]
    {
        assert!(!open(message, scratch).0);
    }
    let stats = opener.stats();
    assert_eq!((stats.opened, stats.repeated, stats.forged), (1, 1, 1));
    assert_eq!((stats.unknown_senders, stats.not_for_us), (1, 1));
    assert_eq!((stats.malformed, stats.failed_here, stats.refused()), (1, 1, 6));
}
