//! With the checks of a group switched off, forgeries and past epochs get in: the tests of groups would notice.

#![cfg(iot_fault)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[allow(dead_code, reason = "the tests of groups use the rest")]
#[path = "group/support.rs"]
mod support;

use iot_crypto::fault::{Check, switch_off};
use iot_crypto::group::{Batch, ConfirmError, RekeyError, SignedBatch};

use support::*;

#[test]
fn a_member_forges_another_when_nobody_compares_the_hash() {
    let (alice, mallory) = (Party::new(1), Party::new(2));
    let mut plant = Plant::found(&[&alice, &mallory]);
    let (writer, forger) = (plant.member(&alice), plant.member(&mallory));
    let mut batch: Batch = Batch::new(plant.group());
    publisher(&writer, &alice).publish(PAYLOAD, &mut batch).unwrap();
    let record = batch.sign(&alice.signing).unwrap();
    let forged = publisher(&forger, &alice).publish(b"open the valve", &mut Batch::<1>::new(plant.group())).unwrap();

    let (known, mut scratch) = (known(&[&alice]), [0; SignedBatch::SCRATCH_LEN]);
    let signed = SignedBatch::verify(&record, &plant.group(), &known, &mut scratch).unwrap();
    let accepted = || {
        let (mut message, mut seen) = (forged.clone(), Seen::default());
        let opened = writer.open_unconfirmed(Some(topic()), Some(alice.id()), &mut message, &seen).unwrap();
        signed.accept(opened, &mut seen).map(|verified| verified.payload().to_vec())
    };
    assert_eq!(accepted(), Err(ConfirmError::Forged));
    switch_off(Check::BatchHash);
    assert_eq!(accepted().unwrap(), b"open the valve");
}

#[test]
fn a_member_goes_back_when_nobody_compares_epochs() {
    let alice = Party::new(1);
    let mut plant = Plant::found(&[&alice]);
    let first = plant.messages();
    plant.manages.change(&[], &[], &mut plant.rng).unwrap();
    let mut member = plant.member(&alice);
    let old = RekeyError::OldEpoch { epoch: 0, floor: 2 };
    assert_eq!(plant.enter(&alice, &mut member, &first), Err(Refused::Rekey(old)));
    switch_off(Check::EpochFloor);
    assert_eq!(plant.enter(&alice, &mut member, &first), Ok(0));
}
