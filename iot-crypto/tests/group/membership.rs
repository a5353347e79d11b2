//! Who may read what: joining, leaving, history.

use std::collections::HashSet;

use iot_core::DeviceId;
use iot_crypto::group::{Batch, GroupLimits, GroupManager, MemberSetHash, MembershipError, RekeyError, RekeyingError};
use iot_crypto::{KeyBundle, MAX_READERS, OpenError};
use proptest::prelude::*;

use crate::support::*;

/// A step of a program: who of eight does what.
#[derive(Clone, Copy, Debug)]
enum Step {
    Join(usize),
    Leave(usize),
    Swap(usize, usize),
    Renew,
    /// The member gets the keys of the last so many epochs.
    History(usize, u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0_usize..8).prop_map(Step::Join),
        3 => (0_usize..8).prop_map(Step::Leave),
        1 => (0_usize..8, 0_usize..8).prop_map(|(join, leave)| Step::Swap(join, leave)),
        1 => Just(Step::Renew),
        2 => (0_usize..8, 1_u64..4).prop_map(|(member, count)| Step::History(member, count)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// The model: a party may read an epoch if it was a member in it, or was given it. Everybody hears everything,
    /// forgets nothing and tries everything, those who have left included.
    #[test]
    fn who_was_no_member_of_an_epoch_reads_nothing_of_it(steps in proptest::collection::vec(step(), 1..10)) {
        let parties: Vec<Party> = (1..9).map(Party::new).collect();
        let mut plant = Plant::found(&[&parties[0]]);
        let mut members: Vec<Member> = parties.iter().map(|_| Member::new(plant.group())).collect();
        let mut inside = HashSet::from([0_usize]);
        let mut may_read = HashSet::from([(0_usize, 0_u64)]);
        let announced = plant.messages();
        plant.enter(&parties[0], &mut members[0], &announced).unwrap();
        let mut written: Vec<(u64, usize, Vec<u8>)> = Vec::new();

        for step in steps {
            let (joining, leaving) = match step {
                Step::Join(who) => (vec![who], vec![]),
                Step::Leave(who) => (vec![], vec![who]),
                Step::Swap(join, leave) => (vec![join], vec![leave]),
                Step::Renew => (vec![], vec![]),
                Step::History(who, count) => {
                    let epoch = plant.manages.epoch();
                    let first = epoch.saturating_sub(count);
                    if inside.contains(&who) && first < epoch {
                        let message = plant.history(&parties[who], first..epoch);
                        for (other, (party, member)) in parties.iter().zip(&mut members).enumerate() {
                            let taken = party.opened(&plant.manager, &message, |opened| member.take_history(opened));
                            prop_assert_eq!(taken.is_ok(), other == who);
                        }
                        may_read.extend((first..epoch).map(|epoch| (who, epoch)));
                    }
                    continue;
                }
            };
            let bundles: Vec<_> = joining.iter().map(|who| parties[*who].bundle()).collect();
            let leavers: Vec<_> = leaving.iter().map(|who| parties[*who].id()).collect();
            let sound = leaving.iter().all(|who| inside.contains(who))
                && joining.iter().all(|who| !inside.contains(who) || leaving.contains(who));
            let before = plant.manages.epoch();
            let changed = plant.manages.change(&bundles, &leavers, &mut plant.rng);
            prop_assert_eq!(changed.is_ok(), sound);
            if !sound {
                prop_assert_eq!(plant.manages.epoch(), before);
                continue;
            }
            leaving.iter().for_each(|who| { inside.remove(who); });
            inside.extend(joining);
            let epoch = plant.manages.epoch();
            may_read.extend(inside.iter().map(|who| (*who, epoch)));
            if inside.is_empty() {
                prop_assert_eq!(plant.messages().len(), 0);
                continue;
            }
            let announced = plant.messages();
            for (who, (party, member)) in parties.iter().zip(&mut members).enumerate() {
                let entered = plant.enter(party, member, &announced);
                prop_assert_eq!(entered.is_ok(), inside.contains(&who), "party {} and epoch {}", who, epoch);
            }
            let writer = *inside.iter().min().unwrap();
            let mut publisher = publisher(&members[writer], &parties[writer]);
            let message = publisher.publish(PAYLOAD, &mut Batch::<1>::new(plant.group())).unwrap();
            written.push((epoch, writer, message));
        }
        for (epoch, writer, message) in &written {
            for (who, member) in members.iter().enumerate() {
                let mut message = message.clone();
                let source = Some(parties[*writer].id());
                let opened = member.open(Some(topic()), source, &mut message, &mut Seen::default());
                prop_assert_eq!(opened.is_ok(), may_read.contains(&(who, *epoch)), "party {} and epoch {}", who, epoch);
            }
        }
    }
}

#[test]
fn a_removed_member_reads_nothing_more() {
    let (alice, bob) = (Party::new(1), Party::new(2));
    let mut plant = Plant::found(&[&alice, &bob]);
    let (mut writer, mut leaver) = (plant.member(&alice), plant.member(&bob));
    assert_eq!(plant.manages.change(&[], &[bob.id()], &mut plant.rng), Ok(1));
    let messages = plant.messages();
    assert_eq!(plant.enter(&alice, &mut writer, &messages), Ok(1));
    let refused = plant.enter(&bob, &mut leaver, &messages);
    assert!(matches!(refused, Err(Refused::Open(OpenError::OtherReader(_)))));
    let mut message = publisher(&writer, &alice).publish(PAYLOAD, &mut Batch::<1>::new(plant.group())).unwrap();
    let refused = leaver.open(Some(topic()), Some(alice.id()), &mut message, &mut Seen::default()).map(drop);
    assert_eq!(refused, Err(iot_crypto::group::GroupError::NotEntered { epoch: 1 }));

    // Nor is it heard by those who forgot the epoch in which it was.
    let mut late = publisher(&leaver, &bob).publish(PAYLOAD, &mut Batch::<1>::new(plant.group())).unwrap();
    writer.forget_late();
    let refused = writer.open(Some(topic()), Some(bob.id()), &mut late, &mut Seen::default()).map(drop);
    assert_eq!(refused, Err(iot_crypto::group::GroupError::NotKept { epoch: 0 }));
}

#[test]
fn a_new_epoch_owes_nothing_to_the_old_one() {
    let alice = Party::new(1);
    let secret = |seed: u8, plant: &mut Plant| {
        plant.rng = rand_core::SeedableRng::from_seed([seed; 32]);
        plant.manages.change(&[], &[], &mut plant.rng).unwrap();
        let message = &plant.messages()[0];
        let payload = alice.opened(&plant.manager, message, |opened| opened.payload().to_vec()).unwrap();
        payload[payload.len() - 32..].to_vec()
    };
    let (mut first, mut second) = (Plant::found(&[&alice]), Plant::found(&[&alice]));
    // From equal epochs come equal ones if what is drawn is equal, and others if it is not; and from different epochs
    // comes the same secret if what is drawn is: nothing else enters.
    assert_eq!(secret(1, &mut first), secret(1, &mut second));
    assert_ne!(secret(2, &mut first), secret(3, &mut second));
    assert_eq!(secret(4, &mut first), secret(4, &mut second));
}

#[test]
fn many_members_take_several_messages() {
    let parties: Vec<Party> = (1..=(MAX_READERS as u8 + 6)).map(Party::new).collect();
    let mut plant = Plant::found(&parties.iter().collect::<Vec<_>>());
    assert_eq!(plant.manages.message_count(), 2);
    let messages = plant.messages();
    assert_eq!(messages.len(), 2);
    assert_eq!(messages[0].len(), 8_471);
    for party in &parties {
        let mut member = Member::new(plant.group());
        assert_eq!(plant.enter(party, &mut member, &messages), Ok(0));
        assert_eq!(member.members(), Some(plant.manages.member_set_hash()));
    }
    let mut ids: Vec<DeviceId> = parties.iter().map(Party::id).collect();
    ids.sort();
    assert_eq!(MemberSetHash::of(&ids), Some(plant.manages.member_set_hash()));
    ids.swap(0, 1);
    assert_eq!(MemberSetHash::of(&ids), None);
    assert_eq!(MemberSetHash::of([&ids[0], &ids[0]]), None);
}

#[test]
fn the_manager_refuses_what_makes_no_group() {
    let (alice, bob) = (Party::new(1), Party::new(2));
    let mut plant = Plant::found(&[&alice]);
    let (group, limits) = (plant.group(), GroupLimits::default().members(1).unwrap());
    let rng = &mut plant.rng;
    let both: [KeyBundle; 2] = [alice.bundle(), bob.bundle()];
    let refused = GroupManager::found(group, limits, 0, &both, rng).map(drop);
    assert_eq!(refused, Err(MembershipError::TooMany { count: 2, max: 1 }));
    let refused = GroupManager::found(group, limits, u64::MAX, &both[..1], rng).map(drop);
    assert_eq!(refused, Err(MembershipError::Exhausted));
    let mut last = GroupManager::found(group, limits, u64::MAX - 1, &both[..1], rng).unwrap();
    assert_eq!(last.change(&[], &[], rng), Err(MembershipError::Exhausted));
    assert_eq!(plant.manages.change(&both[..1], &[], rng), Err(MembershipError::Member(alice.id())));
    assert_eq!(plant.manages.change(&[both[1]; 2], &[], rng), Err(MembershipError::Member(bob.id())));
    assert_eq!(plant.manages.change(&[], &[bob.id()], rng), Err(MembershipError::NoMember(bob.id())));
    assert_eq!(plant.manages.change(&[], &[alice.id(); 2], rng), Err(MembershipError::NoMember(alice.id())));
    assert!(GroupLimits::default().members(0).is_err());
    assert!(GroupLimits::default().members(GroupLimits::MAX_MEMBERS + 1).is_err());
    assert!(GroupLimits::default().history(GroupLimits::MAX_HISTORY + 1).is_err());

    let signer = &plant.manager.signing;
    let refused = plant.manages.seal_epoch(signer, &alice.heading(0), NOW, rng);
    assert_eq!(refused, Err(RekeyingError::OtherSource { found: alice.id() }));
    let heading = plant.manager.keys_heading(0);
    let refused = plant.manages.seal_epoch_to(&bob.id(), signer, &heading, NOW, rng);
    assert_eq!(refused, Err(RekeyingError::NoMember(bob.id())));
    for (start, end) in [(0, 1), (0, 0), (1, 0), (0, u64::MAX)] {
        let refused = plant.manages.seal_history(&alice.id(), start..end, signer, &heading, NOW, rng);
        assert_eq!(refused, Err(RekeyingError::NotKept { start, end }));
    }
}

#[test]
fn history_is_no_epoch_and_comes_after_one() {
    let (alice, bob) = (Party::new(1), Party::new(2));
    let mut plant = Plant::found(&[&alice]);
    plant.manages.change(&[bob.bundle()], &[], &mut plant.rng).unwrap();
    let history = plant.history(&bob, 0..1);
    let mut joiner = Member::new(plant.group());
    let taken = bob.opened(&plant.manager, &history, |opened| joiner.take_history(opened)).unwrap();
    assert_eq!(taken, Err(RekeyError::NoEpoch));
    assert!(bob.opened(&plant.manager, &history, |opened| joiner.enter(opened)).unwrap().is_err());
    let messages = plant.messages();
    plant.enter(&bob, &mut joiner, &messages).unwrap();
    for expected in [1, 0] {
        let taken = bob.opened(&plant.manager, &history, |opened| joiner.take_history(opened)).unwrap();
        assert_eq!(taken, Ok(expected));
    }
    assert!(joiner.late_epochs().eq([0]));
    assert_eq!(joiner.floor(), 2);
}
