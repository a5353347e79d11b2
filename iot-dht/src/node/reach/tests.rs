use std::vec::Vec;

use iot_crypto::SigningKey;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;

use super::*;
use crate::record::Record;
use crate::table::{SubnetLimit, TableConfig};
use crate::wire::{Challenge, MAX_DATAGRAM_LEN};

const NOW: Instant = Instant::START;
const WALL: Timestamp = Timestamp::EPOCH;
const INTERVAL: Duration = Duration::from_secs(600);

fn at(net: u8, port: u16) -> SocketAddr {
    SocketAddr::from(([20, 0, net, 1], port))
}

fn local(host: u8, port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, host], port))
}

fn later(secs: u64) -> Instant {
    NOW.saturating_add(Duration::from_secs(secs))
}

/// Where others see the node.
fn own() -> SocketAddr {
    at(1, 7)
}

fn id(octet: u8) -> NodeId {
    NodeId::from_bytes([octet; 32])
}

/// A node that wants to know whether it is reached, and knows those at these addresses.
fn node(known: &[SocketAddr]) -> Node {
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let table = TableConfig::default().subnets(SubnetLimit::Off);
    let config = NodeConfig::default().table(table).service(Service::WhenReachable).probe_interval(INTERVAL);
    let mut node = Node::new(config, SigningKey::from_seed(&[1; 32]), NOW, &mut rng);
    for (n, address) in (0..).zip(known) {
        let _ = node.table.insert(NOW, Peer { id: id(n), address: *address });
    }
    node
}

/// Has a stranger ask something, and say where it has asked.
fn ask(node: &mut Node, now: Instant, from: SocketAddr, asked: SocketAddr) {
    let mut message = Message::new(0, [1; 8], id(200), Role::Server, Body::Ping(Empty {}));
    message.challenge = Some(Challenge { nonce: [1; 8], asked: Endpoint(asked) });
    let arrival = Arrival { from, len: 100, message, at: now };
    node.note_request(now, WALL, &arrival);
}

/// Has somebody send what a trial waits for.
fn try_it(node: &mut Node, from: SocketAddr, nonce: Transaction, address: SocketAddr) {
    let tried = Tried { address: Endpoint(address) };
    let message = Message::new(0, nonce, id(200), Role::Server, Body::Word(Word::Tried(tried)));
    node.handle_tried(NOW, WALL, &Arrival { from, len: 100, message, at: NOW }, &tried);
}

/// To whom a node sends an order to try an address.
fn ordered(node: &mut Node) -> Vec<SocketAddr> {
    let mut buffer = [0; MAX_DATAGRAM_LEN];
    let transmits = core::iter::from_fn(|| {
        let transmit = node.poll_transmit(&mut buffer)?;
        let body = Message::decode(&buffer[..transmit.len]).unwrap().body;
        Some((transmit.to, matches!(body, Body::Word(Word::Try(_)))))
    });
    transmits.filter(|(_, is_order)| *is_order).map(|(to, _)| to).collect()
}

/// Asks a node for a probe, and tells whom it asks to carry it out.
fn probe(node: &mut Node, now: Instant, from: SocketAddr, role: Role) -> Option<SocketAddr> {
    let message = Message::new(0, [1; 8], id(201), role, Body::Ask(Ask::Probe(Empty {})));
    let reply = node.serve_probe(now, from, &message);
    let helper = ordered(node).first().copied();
    assert_eq!(helper.is_some(), matches!(reply, Reply::Probed(_)));
    helper
}

fn reached() -> Reachability {
    Reachability::Reachable { address: own() }
}

#[test]
fn three_silences_in_a_row_make_a_node_unreachable_and_no_fewer_do() {
    let mut node = node(&[at(2, 7)]);
    let silences = |node: &mut Node, count: usize| (0..count).for_each(|_| node.end_trial(NOW, WALL, Outcome::Silence));
    for before in [Reachability::Unknown, reached()] {
        silences(&mut node, 2);
        assert_eq!((node.reachability(), node.reach.next), (before, Some(NOW)), "it tries again at once");
        node.end_trial(NOW, WALL, Outcome::Reached(own()));
        assert_eq!(node.reachability(), reached());
    }
    silences(&mut node, 3);
    assert!(matches!(node.reachability(), Reachability::Unreachable { .. }));
    assert!(node.reach.next > Some(later(30)));
    silences(&mut node, 1);
    assert_eq!(node.reach.next, Some(NOW), "the next three are counted from the first");
}

#[test]
fn what_was_found_is_provisional_for_one_generation_and_then_lasts() {
    for (after, provisional) in [(GENERATION.as_secs() - 1, true), (GENERATION.as_secs(), false)] {
        let mut node = node(&[]);
        node.end_trial(later(after), WALL, Outcome::Reached(own()));
        let pause = node.reach.next.unwrap().saturating_since(later(after));
        // Between three and five quarters.
        assert_eq!(pause <= PROVISIONAL * 5 / 4, provisional, "{pause:?}");
        assert!(provisional || (INTERVAL * 3 / 4..=INTERVAL * 5 / 4).contains(&pause), "{pause:?}");
    }
}

#[test]
fn a_node_that_learns_nothing_twice_looks_for_relays() {
    let mut node = node(&[]);
    for lacks in [false, true] {
        node.end_trial(NOW, WALL, Outcome::Nothing);
        assert_eq!(node.reach.lacks_reach(Service::WhenReachable), lacks);
        assert_eq!(node.reachability(), Reachability::Unknown);
    }
}

/// Its neighbours have what belongs to a server and lack what one held that serves no more.
#[test]
fn who_begins_to_serve_compares_soon_and_who_ends_to_hands_over_at_once() {
    let (mut node, now) = (node(&[at(2, 7)]), later(1000));
    node.finish_join(NOW, 1);
    node.end_trial(now, WALL, Outcome::Reached(own()));
    assert_eq!(node.role(), Role::Server);
    assert!(node.next_replication() > Some(now), "it looks again from now on");
    let record = Record::sign(&SigningKey::from_seed(&[3; 32]), b"r", 1, Timestamp::from_secs(1000), b"value").unwrap();
    node.store.put(WALL, record).unwrap();
    (0..3).for_each(|_| node.end_trial(now, WALL, Outcome::Silence));
    assert_eq!((node.role(), node.next_replication()), (Role::Client, Some(now)));
}

#[test]
fn whom_a_node_has_sent_to_is_no_stranger_in_this_generation_and_the_next() {
    let mut node = node(&[]);
    node.note_contact(at(2, 7));
    node.note_contact(local(1, 7));
    let stranger = |node: &Node| [at(2, 7), at(2, 8), at(3, 7)].map(|address| node.is_stranger(address));
    // Many NATs let in whoever shares an address with those who were sent to, and one machine has one address for all.
    assert_eq!(stranger(&node), [false, false, true]);
    assert!(!node.is_stranger(local(1, 7)) && node.is_stranger(local(1, 8)));
    node.handle_reach_timeout(later(300), WALL);
    assert_eq!(stranger(&node), [false, false, true]);
    node.handle_reach_timeout(later(599), WALL);
    assert_eq!(stranger(&node), [false, false, true]);
    node.handle_reach_timeout(later(600), WALL);
    assert_eq!(stranger(&node), [true; 3]);
}

#[test]
fn a_stranger_that_asks_where_the_node_is_seen_proves_that_it_is_reached() {
    let trial = Trial { nonce: [1; 8], seen: None, until: later(1) };
    let nowhere = SocketAddr::from(([0, 0, 0, 0], 7));
    for (seen, trial, from, asked, proves) in [
        (None, None, at(2, 7), own(), true),
        (Some(own()), None, at(2, 7), own(), true),
        (Some(at(3, 7)), None, at(2, 7), own(), false),
        (None, None, at(2, 7), nowhere, false),
        (None, None, at(2, 7), local(1, 7), false),
        (None, Some(trial), at(2, 7), own(), false),
        (None, None, at(4, 7), own(), false),
    ] {
        let mut node = node(&[]);
        node.note_contact(at(4, 9));
        (node.reach.seen, node.reach.trial) = (seen, trial);
        ask(&mut node, NOW, from, asked);
        let expected = if proves { reached() } else { Reachability::Unknown };
        assert_eq!(node.reachability(), expected, "{seen:?} {trial:?} {from} {asked}");
    }
}

/// Whoever was asked says where it sees the node; who comes must have come there.
#[test]
fn a_trial_ends_well_only_where_the_node_was_seen() {
    for (tried, expected) in [(own(), reached()), (at(3, 7), Reachability::Unknown)] {
        let mut node = node(&[]);
        node.reach.trial = Some(Trial { nonce: [1; 8], seen: None, until: later(1) });
        node.settle_probe(NOW, WALL, &[1; 8], Answer::Reply(Reply::Probed(Probed { seen: Endpoint(own()) })));
        try_it(&mut node, at(2, 7), [1; 8], tried);
        assert_eq!((node.reachability(), node.reach.trial.is_none()), (expected, true));
    }
}

#[test]
fn three_witnesses_in_a_row_of_three_subnets_make_a_node_try_again() {
    let six = SocketAddr::from(([0x2600, 0, 0, 0, 0, 0, 0, 1], 7));
    let elsewhere = at(9, 7);
    for (sightings, tries_again) in [
        ([(2, elsewhere), (3, elsewhere), (4, elsewhere)], true),
        ([(2, elsewhere), (3, elsewhere), (3, elsewhere)], false),
        ([(2, elsewhere), (3, own()), (4, elsewhere)], false),
        ([(2, elsewhere), (3, elsewhere), (4, six)], false),
        ([(2, elsewhere), (3, elsewhere), (4, SocketAddr::from(([192, 168, 0, 1], 7)))], false),
    ] {
        let mut node = node(&[]);
        node.end_trial(NOW, WALL, Outcome::Reached(own()));
        for (net, seen) in sightings {
            assert_ne!(node.reach.next, Some(later(5)));
            node.note_sighting(later(5), at(net, 7), seen);
            assert_eq!(node.reach.seen, Some(seen));
        }
        assert_eq!(node.reach.next == Some(later(5)), tries_again, "{sightings:?}");
        assert_eq!(node.reachability(), reached());
    }
    // What agrees in between begins the count anew.
    let mut node = node(&[]);
    node.end_trial(NOW, WALL, Outcome::Reached(own()));
    for (net, seen) in [(2, elsewhere), (3, elsewhere), (4, own()), (5, elsewhere), (6, elsewhere)] {
        node.note_sighting(later(5), at(net, 7), seen);
    }
    assert_ne!(node.reach.next, Some(later(5)));
}

#[test]
fn who_carries_out_a_probe_lives_at_another_address_of_the_same_family_and_answers() {
    let asker = at(5, 7);
    let six = SocketAddr::from(([0x2600, 0, 0, 0, 0, 0, 0, 1], 7));
    let wrong = [SocketAddr::new(asker.ip(), 8), six];
    assert_eq!(probe(&mut node(&wrong), NOW, asker, Role::Server), None);
    let mut node = node(&[wrong[0], six, at(6, 7)]);
    for _ in 0..20 {
        assert_eq!(probe(&mut node, NOW, asker, Role::Server), Some(at(6, 7)));
    }
    node.table.failed(&id(2));
    assert_eq!(probe(&mut node, NOW, asker, Role::Server), None);
}

#[test]
fn a_client_of_the_last_minute_carries_out_a_probe_where_few_nodes_are_known() {
    let few: Vec<_> = (10..13).map(|net| at(net, 7)).collect();
    let (visitor, asker) = (at(5, 7), at(6, 7));
    for (known, role, after, expected) in
        [(&few[..], Role::Client, 59, true), (&few[..], Role::Client, 60, false), (&few[..], Role::Server, 1, false)]
    {
        let mut node = node(known);
        probe(&mut node, NOW, visitor, role);
        let helper = probe(&mut node, later(after), asker, Role::Server).unwrap();
        assert_eq!(helper == visitor, expected, "{role:?} after {after} s: {helper}");
    }
    // Enough nodes are preferred to it, because their addresses are no NAT's.
    let enough: Vec<_> = (0..64).map(|n| (n, at(10 + n, 7))).collect();
    let mut node = node(&[]);
    for (n, address) in enough {
        let _ = node.table.insert(NOW, Peer { id: id(4 * n), address });
    }
    assert!(node.table.len() >= FEW);
    probe(&mut node, NOW, visitor, Role::Client);
    assert_ne!(probe(&mut node, NOW, asker, Role::Server), Some(visitor));
}

#[test]
fn the_last_sixteen_visitors_are_remembered_each_once() {
    let mut node = node(&[]);
    for net in (0..30).chain([29, 29]) {
        probe(&mut node, later(net / 10), at(net as u8, 7), Role::Client);
    }
    let visitors: Vec<_> = node.reach.visitors.iter().map(|(peer, _)| peer.address).collect();
    let expected: Vec<_> = (14..30).rev().map(|net| at(net, 7)).collect();
    assert_eq!(visitors, expected);
}

#[test]
fn no_more_probes_are_passed_on_than_ten_a_second_and_fifty_at_once() {
    let mut node = node(&[at(6, 7)]);
    let passed = |node: &mut Node, now| (0..100).filter(|_| probe(node, now, at(5, 7), Role::Server).is_some()).count();
    assert_eq!(passed(&mut node, NOW), 50);
    assert_eq!(passed(&mut node, later(1)), 10);
}

/// Only those make a node send elsewhere whom it knows at that address, or to whom it gave a cookie there.
#[test]
fn a_cookie_is_as_good_as_acquaintance_to_have_somebody_tried() {
    let (known, target) = (at(2, 7), at(3, 7));
    let order = |sender, cookie| {
        let mut message =
            Message::new(0, [1; 8], sender, Role::Server, Body::Word(Word::Try(Try { address: Endpoint(target) })));
        message.cookie = cookie;
        message
    };
    let mut node = node(&[known]);
    let good = node.secrets.cookie(NOW, at(4, 7), &id(100));
    for (from, sender, cookie, tries) in [
        (known, id(0), None, true),
        (at(4, 7), id(0), None, false),
        (at(4, 7), id(100), None, false),
        (at(4, 7), id(100), Some(good), true),
        (at(5, 7), id(100), Some(good), false),
    ] {
        let message = order(sender, cookie);
        node.handle_try(NOW, &Arrival { from, len: 100, message, at: NOW }, &Try { address: Endpoint(target) });
        let mut buffer = [0; MAX_DATAGRAM_LEN];
        let sent = core::iter::from_fn(|| node.poll_transmit(&mut buffer)).map(|transmit| transmit.to);
        assert_eq!(sent.collect::<Vec<_>>(), if tries { Vec::from([target]) } else { Vec::new() }, "{from} {cookie:?}");
    }
}
