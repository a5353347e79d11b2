use std::collections::BTreeMap;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;

fn peer(number: u16) -> Peer<2> {
    Peer { id: Id::from_bytes(number.to_be_bytes()), address: ([127, 0, 0, 1], number).into() }
}

fn number(peer: &Peer<2>) -> u16 {
    u16::from_be_bytes(*peer.id.as_bytes())
}

fn lookup(target: u16, start: &[u16], closest: usize) -> Lookup<2> {
    let config = LookupConfig::default().closest(closest);
    Lookup::new(Id::from_bytes([0xff; 2]), Id::from_bytes(target.to_be_bytes()), config, start.iter().map(|n| peer(*n)))
}

const NOW: Instant = Instant::START;

#[test]
fn asks_the_closest_first_and_three_at_once() {
    let mut lookup = lookup(0, &[9, 5, 7, 3], 2);
    // Only the two closest matter until one of them fails.
    assert_eq!(lookup.next(NOW).map(|p| number(&p)), Some(3));
    assert_eq!(lookup.next(NOW).map(|p| number(&p)), Some(5));
    assert_eq!(lookup.next(NOW), None);
    lookup.handle_failure(&peer(3).id);
    assert_eq!(lookup.next(NOW).map(|p| number(&p)), Some(7));
}

#[test]
fn ends_when_the_closest_have_answered_and_says_who_failed() {
    let mut lookup = lookup(0, &[8], 2);
    assert_eq!(lookup.next(NOW), Some(peer(8)));
    lookup.handle_response(&peer(8).id, [peer(1), peer(2), peer(3)]);
    assert_eq!((lookup.next(NOW), lookup.next(NOW)), (Some(peer(1)), Some(peer(2))));
    lookup.handle_failure(&peer(1).id);
    lookup.handle_response(&peer(2).id, []);
    assert!(!lookup.is_done());
    assert_eq!(lookup.next(NOW), Some(peer(3)));
    lookup.handle_response(&peer(3).id, [peer(0xffff)]);
    assert!(lookup.is_done());
    assert_eq!(lookup.closest().collect::<Vec<_>>(), [peer(2), peer(3)]);
    assert_eq!(lookup.summary(), Summary { asked: 4, answered: 3, failed: 1 });
}

#[test]
fn a_slow_node_holds_nobody_up() {
    let mut lookup = lookup(0, &[1, 2, 3, 4], 3);
    for n in 1..=3 {
        assert_eq!(lookup.next(NOW), Some(peer(n)));
    }
    assert_eq!(lookup.next(NOW), None);
    let slow = lookup.poll_timeout(NOW).unwrap();
    assert_eq!(slow, Instant::from_micros(500_000));
    assert_eq!(lookup.next(slow), Some(peer(4)));
    assert!(!lookup.is_done(), "a slow node may still answer");
}

#[test]
fn answers_that_nobody_asked_for_change_nothing() {
    let mut lookup = lookup(0, &[8], 2);
    lookup.handle_response(&peer(8).id, [peer(1)]);
    lookup.handle_response(&peer(4).id, [peer(2)]);
    lookup.handle_failure(&peer(8).id);
    assert_eq!(lookup.summary(), Summary::default());
    assert_eq!(lookup.next(NOW), Some(peer(8)));
    assert_eq!(lookup.next(NOW), None);
}

#[test]
fn stops_early_and_at_its_limit_of_requests() {
    let mut early = lookup(0, &[1, 2, 3], 3);
    assert!(early.next(NOW).is_some());
    early.stop();
    assert!(early.is_done() && early.next(NOW).is_none() && early.poll_timeout(NOW).is_none());

    let config = LookupConfig::default().closest(3).requests(2);
    let mut limited = Lookup::new(Id::from_bytes([0xff; 2]), Id::from_bytes([0; 2]), config, (1..9).map(peer));
    let (a, b) = (limited.next(NOW).unwrap(), limited.next(NOW).unwrap());
    assert_eq!(limited.next(NOW), None);
    limited.handle_failure(&a.id);
    assert!(!limited.is_done());
    limited.handle_failure(&b.id);
    assert!(limited.is_done());
}

#[test]
fn liars_cannot_make_it_remember_more_than_its_bound() {
    let mut lookup = lookup(0, &[0x8000], 4);
    assert!(lookup.next(NOW).is_some());
    lookup.handle_response(&peer(0x8000).id, (1..2000).map(peer));
    assert_eq!(lookup.candidates.len(), Lookup::<2>::CANDIDATES);
    assert_eq!(lookup.next(NOW), Some(peer(1)));
}

proptest! {
    /// In a network where everyone knows its own buckets, the lookup finds what a full scan finds.
    #[test]
    fn finds_the_true_closest(
        nodes in proptest::collection::btree_set(0_u16..0xffff, 30..120), target: u16, order: u64, start in 0_usize..30
    ) {
        let nodes: Vec<u16> = nodes.into_iter().collect();
        let known: BTreeMap<u16, Vec<u16>> = nodes.iter().map(|own| {
            let mut known: BTreeMap<u32, Vec<u16>> = BTreeMap::new();
            nodes.iter().filter(|other| *other != own).for_each(|other| known.entry((own ^ other).leading_zeros()).or_default().push(*other));
            (*own, known.into_values().flat_map(|bucket| bucket.into_iter().take(8)).collect())
        }).collect();
        let mut lookup = lookup(target, &[nodes[start]], 8);
        let mut under_way = Vec::new();
        let mut order = order;
        loop {
            while let Some(peer) = lookup.next(NOW) { under_way.push(peer); }
            if under_way.is_empty() { break; }
            order = order.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let from = under_way.remove((order >> 33) as usize % under_way.len());
            let mut near = known[&number(&from)].clone();
            near.sort_by_key(|n| n ^ target);
            lookup.handle_response(&from.id, near.into_iter().take(8).map(peer));
        }
        prop_assert!(lookup.is_done());
        let mut expected = nodes;
        expected.sort_by_key(|n| n ^ target);
        expected.truncate(8);
        prop_assert_eq!(lookup.closest().map(|p| number(&p)).collect::<Vec<_>>(), expected);
    }
}
