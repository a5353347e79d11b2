//! Opening messages of every form that were changed on the way, under every policy.
//!
//! The first octet says which form (low three bits), which policy (next three), that the transport says no topic
//! (bit 6) or another one (bit 7); the rest is a list of changes.
//!
//! - Only a message opens that is unchanged in all that a signature or a cipher covers, and only if the policy and the
//!   topic admit it.
//! - Nothing that was decrypted stays in the buffer or the scratch of a refused one, and its position is not
//!   remembered.

#![no_main]

use std::sync::LazyLock;

use iot_core::{DeviceId, Freshness, Topic, TopicFilter};
use iot_crypto::cose::{Encrypt, Encrypt0, Sign1};
use iot_crypto::{Audience, Opener, Policy, Proof, ReplayGuard, RoutingHeader, Strength, Trackers, scratch_len};
use iot_fuzz::cose::is_same_but_uncovered;
use iot_fuzz::envelopes::{ENVELOPES, sequence};
use iot_fuzz::party::{PAYLOAD, holds_payload, topic};
use iot_fuzz::tamper::tampered;
use libfuzzer_sys::fuzz_target;

static SENDERS: LazyLock<[DeviceId; 2]> = LazyLock::new(|| [ENVELOPES.device.id(), ENVELOPES.reader.id()]);

fuzz_target!(|input: &[u8]| {
    let Some((choice, changes)) = input.split_first() else { return };
    let index = usize::from(choice & 7);
    let envelope = &ENVELOPES.all[index];
    let (policy, admits_unsealed, admits_sealed) = policy(choice >> 3 & 7);
    let said = match choice & 0xc0 {
        0 => Some(topic()),
        0x40 => None,
        _ => Some(Topic::new("plant/8").expect("a topic")),
    };
    let is_admitted = if envelope.is_sealed { admits_sealed } else { admits_unsealed };
    let is_topic = said.map_or(envelope.says_topic, |said| said == topic());

    let mut message = tampered(&envelope.octets, changes);
    let is_changed = message != envelope.octets;
    let is_uncovered = is_changed && is_change_uncovered(&message, &envelope.octets);
    let held_payload = holds_payload(&message);
    let mut scratch = vec![0; scratch_len(message.len(), topic().as_str().len())];
    let trackers = <Trackers>::new(1, 1).expect("within limits");
    let opener = Opener::new(&ENVELOPES.reader.secrets, ENVELOPES.device.key(), trackers);
    let mut opener = opener.with_x_wing(&ENVELOPES.x_wing).with_policy(policy);
    let position = ENVELOPES.device.heading(sequence(index)).position;
    match opener.open(said, &mut message, &mut scratch) {
        Ok(opened) => {
            assert!(!is_changed || is_uncovered, "opened a message that was changed");
            assert!(is_admitted && is_topic, "opened against the policy");
            assert_eq!((opened.payload(), *opened.position()), (PAYLOAD, position));
            assert_eq!((opened.heading().topic, opened.proof()), (topic(), Proof::Signature));
            assert_eq!(opened.audience() == Audience::Everybody, !envelope.is_sealed);
            assert!(opener.replay().check(&position).is_err());
        }
        Err(refused) => {
            assert!(is_changed || !is_admitted || !is_topic, "refused a good message: {refused}");
            assert!(held_payload || !holds_payload(&message), "plaintext of a refused message");
            assert!(opener.replay().check(&position).is_ok(), "the position of a refused message is remembered");
        }
    }
    assert!(scratch.iter().all(|octet| *octet == 0), "what was signed stays in the scratch");
});

/// Whether a message was changed only where no signature and no cipher covers it.
fn is_change_uncovered(message: &[u8], truth: &[u8]) -> bool {
    let len = RoutingHeader::parse(truth).expect("it is a message").1;
    let (Some((routing, envelope)), (header, original)) = (message.split_at_checked(len), truth.split_at(len)) else {
        return false;
    };
    let (tag, members) = match original {
        [0xd2, ..] => (Sign1::TAG, 4),
        [0xd8, ..] => (Encrypt::TAG, 4),
        _ => (Encrypt0::TAG, 3),
    };
    routing == header && is_same_but_uncovered(envelope, original, tag, members)
}

/// A policy, and whether it admits what is not sealed and what is.
fn policy(choice: u8) -> (Policy<'static>, bool, bool) {
    let (policy, signed) = (Policy::new(), Policy::new().at_least(Strength::Signed));
    let filter = |filter| TopicFilter::new(filter).expect("a filter");
    match choice {
        0 => (policy, false, true),
        1 => (signed, true, true),
        2 => (signed.topics(filter("plant/+/#")), true, true),
        3 => (signed.topics(filter("plant/8/#")), false, false),
        4 => (signed.senders(&SENDERS[..]), true, true),
        5 => (signed.senders(&SENDERS[1..]), false, false),
        6 => (policy.proof(Proof::Signature), false, true),
        _ => (signed.fresh(Freshness::Proven), false, false),
    }
}
