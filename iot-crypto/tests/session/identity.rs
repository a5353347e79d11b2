//! Who is at the other end, and what of that is refused.

use iot_core::Timestamp;
use iot_crypto::session::{Context, HandshakeError, Identity, Initiator, Link, Peer, Progress, Responder, Settings};
use iot_crypto::{AgreementSecret, BundleError, KeyBundle, Succession};

use crate::support::{Device, EXPIRES, PATTERNS, START, TODAY, answer, begin, context, established, rng};

fn stream() -> Context<'static> {
    context().with_settings(Settings::default().with_link(Link::Stream))
}

#[test]
fn an_identity_whose_bundle_names_another_key_neither_begins_nor_answers() {
    let (device, server) = (Device::new(1), Device::new(2));
    let crossed = Identity::new(&device.secret, &server.bundle);
    let begun = Initiator::begin(&crossed, Peer::Anyone, &context(), START, &mut rng(1));
    assert_eq!(begun.err(), Some(HandshakeError::OtherKey));
    let first = begin(PATTERNS[1], &device, &server, &context()).poll_transmit().unwrap();
    let answered = Responder::answer(&first, &crossed, Peer::Anyone, &context(), START, &mut rng(2));
    assert_eq!(answered.err(), Some(HandshakeError::OtherKey));
}

#[test]
fn another_device_than_the_expected_one_is_refused_on_both_sides() {
    let (device, server, other) = (Device::new(1), Device::new(2), Device::new(3));
    let mut initiator =
        Initiator::begin(&device.identity(), Peer::Device(other.id()), &stream(), START, &mut rng(1)).unwrap();
    let mut responder = answer(&initiator.poll_transmit().unwrap(), &server, &stream());
    let refused = initiator.handle_message(START, &responder.poll_transmit().unwrap());
    assert_eq!(refused.err(), Some(HandshakeError::OtherPeer { found: server.id() }));

    let mut initiator = begin(PATTERNS[0], &device, &server, &stream());
    let first = initiator.poll_transmit().unwrap();
    let peer = Peer::Device(other.id());
    let refused = Responder::answer(&first, &server.identity(), peer, &stream(), START, &mut rng(2));
    assert_eq!(refused.err(), Some(HandshakeError::OtherPeer { found: device.id() }));

    let mut initiator = begin(PATTERNS[1], &device, &server, &stream());
    let first = initiator.poll_transmit().unwrap();
    let mut responder = Responder::answer(&first, &server.identity(), peer, &stream(), START, &mut rng(2)).unwrap();
    let mut ours = established(initiator.handle_message(START, &responder.poll_transmit().unwrap()).unwrap());
    let refused = responder.handle_message(&ours.poll_transmit().unwrap());
    assert_eq!(refused.err(), Some(HandshakeError::OtherPeer { found: device.id() }));
}

#[test]
fn an_expired_bundle_is_refused() {
    let (device, server) = (Device::new(1), Device::new(2));
    let late = Context::new(b"plant 7", EXPIRES);
    let expired = HandshakeError::Bundle(BundleError::Expired { expires: EXPIRES });
    let begun = Initiator::begin(&device.identity(), Peer::Anyone, &late, START, &mut rng(1));
    assert_eq!(begun.err(), Some(expired));
    let mut initiator = begin(PATTERNS[0], &device, &server, &context());
    let first = initiator.poll_transmit().unwrap();
    let lasting =
        KeyBundle::issue(&server.signing, server.secret.public(), 2, Timestamp::from_secs(1_800_000_000)).unwrap();
    let identity = Identity::new(&server.secret, &lasting);
    let answered = Responder::answer(&first, &identity, Peer::Anyone, &late, START, &mut rng(2));
    assert_eq!(answered.err(), Some(expired));
}

#[test]
fn another_overlay_or_another_server_refuses_the_first_message() {
    let (device, server, other) = (Device::new(1), Device::new(2), Device::new(3));
    let elsewhere = Context::new(b"plant 8", TODAY);
    let mut initiator = begin(PATTERNS[0], &device, &server, &context());
    let first = initiator.poll_transmit().unwrap();
    for (at, context) in [(&server, &elsewhere), (&other, &context())] {
        let refused = Responder::answer(&first, &at.identity(), Peer::Anyone, context, START, &mut rng(2));
        assert_eq!(refused.err(), Some(HandshakeError::Noise));
    }
    // XX shows only with the answer that the two mean different things.
    let initiator_xx = || begin(PATTERNS[1], &device, &server, &stream());
    let mut responder = answer(&initiator_xx().poll_transmit().unwrap(), &server, &elsewhere);
    let refused = initiator_xx().handle_message(START, &responder.poll_transmit().unwrap());
    assert_eq!(refused.err(), Some(HandshakeError::Noise));
}

/// The server answers a first message whoever sends it; no session comes of it without the keys that it asks for.
#[test]
fn a_replayed_first_message_becomes_no_session() {
    let (device, server) = (Device::new(1), Device::new(2));
    let mut initiator = begin(PATTERNS[0], &device, &server, &context());
    let first = initiator.poll_transmit().unwrap();
    let mut responder = answer(&first, &server, &context());
    let mut ours = established(initiator.handle_message(START, &responder.poll_transmit().unwrap()).unwrap());
    let third = ours.poll_transmit().unwrap();
    // Later, all of what was recorded is sent again, to a server that draws another ephemeral key.
    let responder =
        Responder::answer(&first, &server.identity(), Peer::Anyone, &context(), START, &mut rng(77)).unwrap();
    let Ok(Progress::Waiting { refused, .. }) = responder.handle_message(&third) else { panic!("a session began") };
    assert_eq!(refused, Some(HandshakeError::Noise));
}

#[test]
fn a_device_that_has_rotated_is_known_by_its_first_key() {
    let (device, next, after) = (Device::new(1), Device::new(5), Device::new(6));
    let server = Device::new(2);
    let mut chain = vec![0; Succession::BUFFER_LEN];
    let commitment = after.signing.verifying_key().thumbprint();
    let len = Succession::begin_into(&device.signing, &next.signing.verifying_key(), &commitment, &mut chain).unwrap();
    chain.truncate(len);
    let secret = AgreementSecret::from_bytes(&[9; 32]);
    let bundle = KeyBundle::issue(&next.signing, secret.public(), 1, EXPIRES).unwrap();
    let identity = Identity::new(&secret, &bundle).with_succession(&chain);
    let known = server.known();
    for peer in [Peer::Bundle(&known), Peer::Device(server.id()), Peer::Anyone] {
        let mut initiator = Initiator::begin(&identity, peer, &context(), START, &mut rng(1)).unwrap();
        let mut responder = answer(&initiator.poll_transmit().unwrap(), &server, &context());
        let mut ours = established(initiator.handle_message(START, &responder.poll_transmit().unwrap()).unwrap());
        let theirs = established(responder.handle_message(&ours.poll_transmit().unwrap()).unwrap());
        assert_eq!((theirs.peer().device(), theirs.peer().rotations()), (device.id(), 1));
    }
}
