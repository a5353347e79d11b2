//! The vector of `docs/formats/group.md`, which `tests/interop/group.py` wrote from that page.

use iot_crypto::Sealer;
use iot_crypto::group::{Batch, Group, GroupId, GroupPublisher, MemberSetHash, SignedBatch};
use iot_crypto::stream::Reservation;
use sha2::{Digest as _, Sha256};

use crate::support::*;

#[test]
fn writes_and_reads_the_octets_of_the_vector() {
    let (manager, alice, bob) = (Party::new(0x7f), Party::new(1), Party::new(2));
    assert_eq!(
        (manager.id().as_bytes()[..].to_vec(), alice.id().as_bytes()[..].to_vec()),
        (octets("manager"), octets("publisher"))
    );
    let group = Group { manager: manager.id(), id: GroupId::from_bytes(octets("group").try_into().unwrap()) };
    let mut members = [alice.id(), bob.id()];
    members.sort();
    let members = MemberSetHash::of(&members).unwrap();
    assert_eq!(members.as_bytes()[..], octets("members"));
    assert_eq!(Sha256::digest(octets("bound"))[..], octets("binding"));

    // The manager says what the vector has.
    let member = |party: &Party| {
        let mut member = Member::new(group);
        let sealer = Sealer::new(manager.id(), &manager.signing, party.bundle());
        let seal =
            |sequence, name| sealer.seal(&manager.keys_heading(sequence), &octets(name), NOW, &mut rng()).unwrap();
        let (rekeying, history) = (seal(0, "rekeying"), seal(1, "history"));
        assert_eq!(party.opened(&manager, &rekeying, |opened| member.enter(opened)).unwrap(), Ok(300));
        assert_eq!(party.opened(&manager, &history, |opened| member.take_history(opened)).unwrap(), Ok(1));
        assert!(member.late_epochs().eq([299]));
        assert_eq!(member.members(), Some(members));
        member
    };
    let (writer, reader) = (member(&alice), member(&bob));
    let first = u64::from_be_bytes(octets("first").try_into().unwrap());
    let mut publisher: Publisher =
        GroupPublisher::begin(&writer, &alice.heading(first), Ram::default(), Reservation::default()).unwrap();
    let mut batch: Batch = Batch::new(group);
    let messages = ["message 0", "message 1", "message 2"];
    for name in messages {
        assert_eq!(publisher.publish(&octets("payload"), &mut batch).unwrap(), octets(name), "{name}");
    }
    assert_eq!(batch.sign(&alice.signing).unwrap(), octets("batch"));

    let (record, mut scratch, mut seen) = (octets("batch"), [0; SignedBatch::SCRATCH_LEN], Seen::default());
    let signed = SignedBatch::verify(&record, &group, &known(&[&alice]), &mut scratch).unwrap();
    for name in messages {
        let mut message = octets(name);
        let opened = reader.open_unconfirmed(Some(topic()), Some(alice.id()), &mut message, &seen).unwrap();
        assert_eq!(signed.accept(opened, &mut seen).unwrap().payload(), octets("payload"));
    }
}

/// The manager's own record is the vector's, but for what it draws.
#[test]
fn the_manager_writes_the_record_of_the_vector() {
    let (alice, bob) = (Party::new(1), Party::new(2));
    let manager = Party::new(0x7f);
    let limits = iot_crypto::group::GroupLimits::default();
    let bundles = [alice.bundle(), bob.bundle()];
    let manages = iot_crypto::group::GroupManager::found(group(&manager), limits, 300, &bundles, &mut rng()).unwrap();
    let sealed = manages.seal_epoch(&manager.signing, &manager.keys_heading(0), NOW, &mut rng()).unwrap();
    let payload = alice.opened(&manager, &sealed[0], |opened| opened.payload().to_vec()).unwrap();
    let expected = octets("rekeying");
    let secret = expected.len() - 32;
    assert_eq!(payload.len(), expected.len());
    assert_eq!(payload[..secret], expected[..secret]);
    assert_ne!(payload[secret..], [0; 32]);
}

fn octets(name: &str) -> Vec<u8> {
    let text = include_str!("../vectors/group.txt");
    let digits = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).unwrap();
    (0..digits.len() / 2).map(|i| u8::from_str_radix(&digits[2 * i..2 * i + 2], 16).unwrap()).collect()
}
