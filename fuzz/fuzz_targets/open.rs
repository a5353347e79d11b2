//! Opening messages of every form that were changed on the way, under every policy.
//!
//! The first octet says which form (low three bits), which policy (next three), that the transport says no topic
//! (bit 6) or another one (bit 7); the rest is a list of changes.
//!
//! - Only the unchanged message opens, with or without the tag of its `COSE_Encrypt0`, and only if the policy and the
//!   topic admit it.
//! - Nothing that was decrypted stays in the buffer or the scratch of a refused one, and its position is not remembered.

#![no_main]

use std::sync::LazyLock;

use iot_core::{DeviceId, Freshness, Topic, TopicFilter};
use iot_crypto::{Audience, Opener, Policy, Proof, ReplayGuard, RoutingHeader, Strength, Trackers, scratch_len};
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
    // Nothing covers the tag of a `COSE_Encrypt0`, which may be there or not (RFC 9052 §2).
    let routing_len = RoutingHeader::parse(&envelope.octets).expect("it is a message").1;
    let is_tagged = envelope.octets[routing_len] == 0x83 && message.get(routing_len) == Some(&0xd0);
    let untagged =
        message.iter().enumerate().filter(|(at, _)| !is_tagged || *at != routing_len).map(|(_, octet)| octet);
    let is_changed = !untagged.eq(&envelope.octets);
    let held_payload = holds_payload(&message);
    let mut scratch = vec![0; scratch_len(message.len(), topic().as_str().len())];
    let trackers = <Trackers>::new(1, 1).expect("within limits");
    let opener = Opener::new(&ENVELOPES.reader.secrets, ENVELOPES.device.key(), trackers);
    let mut opener = opener.with_x_wing(&ENVELOPES.x_wing).with_policy(policy);
    let position = ENVELOPES.device.heading(sequence(index)).position;
    match opener.open(said, &mut message, &mut scratch) {
        Ok(opened) => {
            assert!(!is_changed, "opened a message that was changed");
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
