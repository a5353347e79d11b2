use alloc::vec;

use iot_core::Timestamp;
use iot_crypto::SigningKey;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;

use super::*;
use crate::id::Id;
use crate::wire::{Endpoint, Introduced, MAX_AMPLIFICATION, Message, Role};

const NOW: Instant = Instant::START;

fn peer(name: u8, ip: u8, port: u16) -> Peer<32> {
    Peer { id: NodeId::from_bytes([name; 32]), address: SocketAddr::from(([20, 0, 0, ip], port)) }
}

fn node(links: usize) -> Node {
    let mut rng = ChaCha20Rng::seed_from_u64(2);
    Node::new(NodeConfig::default().links(links), SigningKey::from_seed(&[1; 32]), NOW, &mut rng)
}

/// What a node does with a word over a link: whom it answers with what.
fn hear(node: &mut Node, now: Instant, from: SocketAddr, pass: Pass, word: Word<'_>) -> Vec<(SocketAddr, bool)> {
    let datagram = Message::new(0, pass, NodeId::from_bytes([7; 32]), Role::Client, Body::Word(word)).encode();
    node.handle_datagram(now, Timestamp::EPOCH, from, &datagram);
    said(node)
}

/// To whom a node punches, or says that it was heard.
fn said(node: &mut Node) -> Vec<(SocketAddr, bool)> {
    let mut buffer = [0; crate::wire::MAX_DATAGRAM_LEN];
    let transmits = core::iter::from_fn(|| {
        let transmit = node.poll_transmit(&mut buffer)?;
        let message = Message::decode(&buffer[..transmit.len]).unwrap();
        Some((transmit.to, message.body))
            .map(|(to, body)| (to, matches!(body, Body::Word(Word::Punch(_))), matches!(body, Body::Word(_))))
    });
    transmits.filter(|(.., is_word)| *is_word).map(|(to, is_punch, _)| (to, is_punch)).collect()
}

fn path_of(node: &Node) -> Option<Path> {
    node.links().next().map(|linked| linked.path)
}

fn octets_heard(node: &mut Node) -> usize {
    core::iter::from_fn(|| node.poll_event()).filter(|event| matches!(event, Event::Datagram { .. })).count()
}

/// Somebody who knows the pass of a link speaks from elsewhere: that is where the other end is once it was shown to hear
/// there, and nothing that it says counts before.
#[test]
fn a_path_leads_only_to_where_the_other_end_has_shown_that_it_hears() {
    let (mut node, home, away) = (node(4), peer(7, 1, 4000), peer(7, 2, 5000).address);
    let pass = node.expect_visitor(NOW, home).unwrap();
    let (data, empty) = (Data { payload: b"said" }, Empty {});
    hear(&mut node, NOW, away, pass, Word::Punched(empty));
    assert_eq!(path_of(&node), None, "it was not asked there");
    hear(&mut node, NOW, home.address, pass, Word::Punched(empty));
    assert_eq!(path_of(&node), Some(Path::Direct(home.address)));
    let answer = hear(&mut node, NOW, away, pass, Word::Data(data));
    assert_eq!((answer, octets_heard(&mut node)), (vec![(away, true)], 0), "it is asked whether it hears there");
    assert_eq!(path_of(&node), Some(Path::Direct(home.address)));
    hear(&mut node, NOW, peer(8, 3, 1).address, pass, Word::Punched(empty));
    assert_eq!(path_of(&node), Some(Path::Direct(home.address)), "and nobody else is");
    hear(&mut node, NOW, away, pass, Word::Punched(empty));
    assert_eq!(path_of(&node), Some(Path::Direct(away)));
    hear(&mut node, NOW, away, pass, Word::Data(data));
    assert_eq!(octets_heard(&mut node), 1);
}

#[test]
fn a_link_lasts_as_long_as_the_other_end_is_heard_and_no_longer() {
    let (mut node, home) = (node(4), peer(7, 1, 4000));
    let pass = node.expect_visitor(NOW, home).unwrap();
    hear(&mut node, NOW, home.address, pass, Word::Punched(Empty {}));
    let at = |secs: u64| NOW.saturating_add(Duration::from_secs(secs));
    for secs in (40..=200).step_by(40) {
        node.handle_link_timeout(at(secs));
        hear(&mut node, at(secs), home.address, pass, Word::Punch(Empty {}));
        assert!(path_of(&node).is_some(), "after {secs} s");
    }
    // Meanwhile it asks by itself before a NAT forgets it.
    assert_eq!(node.links.next_deadline(), Some(at(220)));
    node.handle_link_timeout(at(220));
    assert_eq!(said(&mut node), [(home.address, true)]);
    node.handle_link_timeout(at(249));
    assert!(path_of(&node).is_some());
    node.handle_link_timeout(at(250));
    let parted = core::iter::from_fn(|| node.poll_event()).last();
    assert!(matches!(parted, Some(Event::Parted { reason: Parting::Silent, .. })), "{parted:?}");
}

/// The other end was late: its first datagram comes after all of this one's were let fall by its NAT.
#[test]
fn who_is_heard_after_all_punches_is_sent_one_more() {
    let (mut node, home) = (node(4), peer(7, 1, 4000));
    let pass = node.expect_visitor(NOW, home).unwrap();
    node.handle_link_timeout(NOW);
    let mut punches = said(&mut node).len();
    let mut now = NOW;
    for _ in 1..PUNCHES {
        now = now.saturating_add(PUNCH_INTERVAL);
        node.handle_link_timeout(now);
        punches += said(&mut node).len();
    }
    now = now.saturating_add(PUNCH_INTERVAL);
    node.handle_link_timeout(now);
    assert_eq!((punches, said(&mut node).len()), (usize::from(PUNCHES), 0));
    let answer = hear(&mut node, now, home.address, pass, Word::Punch(Empty {}));
    assert!(answer.contains(&(home.address, true)) && answer.contains(&(home.address, false)), "{answer:?}");
}

#[test]
fn nobody_makes_a_node_wait_long_before_it_punches() {
    let mut link = Link::new(NOW, NodeId::from_bytes([7; 32]), Opening::Asked);
    link.begin(NOW, [1; 8], None, Some(peer(7, 1, 4000).address), u16::MAX);
    assert_eq!(link.next_deadline(), Some(NOW.saturating_add(Duration::from_secs(2))));
}

#[test]
fn a_node_that_is_named_as_its_own_relay_does_not_ask_itself() {
    let mut node = node(4);
    let own = Peer { id: *node.id(), address: peer(1, 1, 4000).address };
    let key = SigningKey::from_seed(&[2; 32]);
    let record = Contact::sign(&key, 1, Timestamp::EPOCH, Duration::from_secs(60), &[own]).unwrap();
    let link = node.meet(NOW, &Contact::read(&record, Timestamp::EPOCH).unwrap()).unwrap();
    let events: Vec<_> = core::iter::from_fn(|| node.poll_event()).collect();
    assert_eq!(events, [Event::Parted { link, reason: Parting::Unmet }]);
    assert!(node.poll_transmit(&mut [0; crate::wire::MAX_DATAGRAM_LEN]).is_none());
}

/// One asks under many names from one address, and one has two.
#[test]
fn strangers_who_only_ask_take_the_places_neither_of_others_nor_of_the_user() {
    let (now, mut node) = (NOW, node(4));
    let peer = |ip: u8, n: u8| peer(n, ip, 4000 + u16::from(n));
    let ask = |node: &mut Node, ip, names: core::ops::Range<u8>| {
        names.filter(|name| node.expect_visitor(now, peer(ip, *name)).is_some()).count()
    };
    assert_eq!((ask(&mut node, 1, 0..10), ask(&mut node, 2, 10..20), ask(&mut node, 3, 20..30)), (2, 2, 0));
    let there =
        Contact::sign(&SigningKey::from_seed(&[2; 32]), 1, Timestamp::EPOCH, Duration::from_secs(60), &[peer(4, 40)]);
    let contact = Contact::read(&there.unwrap(), Timestamp::EPOCH).unwrap();
    (0..4).for_each(|_| assert!(node.meet(now, &contact).is_ok()));
    assert_eq!(node.meet(now, &contact), Err(LinkError::Full { limit: 4 }), "the user's own are left alone");
    assert_eq!(ask(&mut node, 3, 20..30), 0);
}

/// The first relay of two says at once that it carries no more. The link was forgotten then, with the way over the second,
/// and whoever met anew was told so by the first again.
#[test]
fn a_link_that_a_relay_closes_can_still_go_another_way() {
    let (mut now, mut node) = (NOW, node(1));
    let device = NodeId::from_bytes([9; 32]);
    let relays =
        [1, 2].map(|n| Peer { id: NodeId::from_bytes([n; 32]), address: SocketAddr::from(([20, 0, n, 1], 4000)) });
    let life = Duration::from_secs(60);
    let key = SigningKey::from_seed(&[2; 32]);
    let record = Contact::sign_relayed(&key, 1, Timestamp::EPOCH, life, &[], &device, &relays).unwrap();
    let contact = Contact::read(&record, Timestamp::EPOCH).unwrap();
    let parted = |node: &mut Node| {
        core::iter::from_fn(|| node.poll_event()).find_map(|event| match event {
            Event::Parted { link, reason } => Some((link, reason)),
            _ => None,
        })
    };
    // As if the relay had introduced the two, and nobody had come through.
    let relayed = |node: &mut Node, now, id, relay: usize| {
        let pass = [relay as u8; 8];
        let link = node.links.links.get_mut(&id).unwrap();
        assert_eq!((link.peer, link.ways.len()), (device, 1 - relay));
        link.begin(now, pass, Some(relays[relay].address), None, 0);
        let later = now.saturating_add(PATIENCE);
        node.handle_timeout(later, Timestamp::EPOCH);
        let path = node.links().find(|linked| linked.link == id).map(|linked| linked.path);
        assert_eq!(path, Some(Path::Relayed(relays[relay].address)));
        (later, Message::new(0, pass, relays[relay].id, Role::Server, Body::Word(Word::Closed(Empty {}))).encode())
    };
    let first = node.meet(now, &contact).unwrap();
    let (later, closed) = relayed(&mut node, now, first, 0);
    now = later;
    node.handle_datagram(now, Timestamp::EPOCH, relays[0].address, &closed);
    assert_eq!(parted(&mut node), Some((first, Parting::Closed)));
    assert_eq!((node.links().count(), node.send(now, first, b"x")), (0, Err(LinkError::Unknown(first))));
    let second = node.reroute(now, first).unwrap();
    assert_eq!(node.reroute(now, first), Err(LinkError::Unknown(first)));
    let (later, closed) = relayed(&mut node, now, second, 1);
    now = later;
    node.handle_datagram(now, Timestamp::EPOCH, relays[1].address, &closed);
    assert_eq!(parted(&mut node), Some((second, Parting::Closed)));
    assert_eq!(node.reroute(now, second), Err(LinkError::Unknown(second)), "there were two ways");

    // What is over neither takes anybody's place nor stays.
    for outlives in [true, false] {
        let third = node.meet(now, &contact).unwrap();
        let (later, closed) = relayed(&mut node, now, third, 0);
        now = later;
        node.handle_datagram(now, Timestamp::EPOCH, relays[0].address, &closed);
        assert_eq!(parted(&mut node), Some((third, Parting::Closed)));
        if outlives {
            let fourth = node.meet(now, &contact).unwrap();
            node.part(fourth);
        } else {
            let at = node.links.next_deadline().unwrap();
            assert_eq!(at, now.saturating_add(RECOURSE));
            node.handle_link_timeout(at);
        }
        assert_eq!(node.reroute(now, third), Err(LinkError::Unknown(third)));
        assert!(node.links.links.is_empty() && parted(&mut node).is_none());
    }
}

/// With room for two, each address gets one. Whoever gives a path up for another asks anew within seconds, and its first
/// link, which falls silent only after a minute, was all that it got.
#[test]
fn who_asks_anew_takes_the_place_of_its_own_earlier_link_and_of_no_other() {
    let (now, mut node) = (NOW, node(2));
    let first = node.expect_visitor(now, peer(7, 1, 4000)).unwrap();
    let link = node.links.of_pass(&first).unwrap().0;
    assert_eq!(node.expect_visitor(now, peer(8, 1, 4001)), None, "another name at the same address");
    let second = node.expect_visitor(now, peer(7, 1, 4002)).unwrap();
    assert_eq!(node.poll_event(), Some(Event::Parted { link, reason: Parting::Replaced }));
    assert!(node.links.of_pass(&first).is_none() && node.links.of_pass(&second).is_some());
    // There is room for another address, and nobody takes it away under the same name.
    assert!(node.expect_visitor(now, peer(8, 2, 4000)).is_some());
    assert_eq!(node.expect_visitor(now, peer(7, 3, 4000)), None);
    assert!(node.expect_visitor(now, peer(8, 2, 4001)).is_some());
    assert!(node.links.of_pass(&second).is_some() && node.links.links.len() == 2);
}

#[test]
fn the_punches_of_a_meeting_are_no_longer_than_three_times_what_calls_for_them() {
    let len = |body: Body<'_>| Message::new(0, [255; 8], Id::from_bytes([255; 32]), Role::Client, body).encode().len();
    let address = Endpoint(SocketAddr::from(([10, 0, 0, 1], 1)));
    let (peer, pass) = (Id::from_bytes([255; 32]), [255; 8]);
    let punches = usize::from(PUNCHES) * len(Body::Word(Word::Punch(Empty {})));
    let meet = len(Body::Word(Word::Meet(Meet { peer, address, after: 0 })));
    let introduced = len(Body::Reply(Reply::Introduced(Introduced { address, pass, after: 0 })));
    assert!(punches <= MAX_AMPLIFICATION * meet, "{punches} for {meet}");
    // The asker has asked before it was answered, and with more.
    let asked = len(Body::Ask(Ask::Introduce(Introduce { to: peer, rtt: None })));
    assert!(punches <= MAX_AMPLIFICATION * introduced.min(asked) + introduced, "{punches} for {introduced}");
}

/// The answer to a question was lost, and it is asked again.
#[test]
fn who_asks_twice_from_one_address_has_one_link() {
    let mut node = node(4);
    let pass = node.expect_visitor(NOW, peer(7, 1, 4000)).unwrap();
    let later = NOW.saturating_add(Duration::from_secs(1));
    assert_eq!(node.expect_visitor(later, peer(7, 1, 4000)), Some(pass));
    assert_eq!(node.links.links.len(), 1);
    let other = node.expect_visitor(later, peer(8, 1, 4000)).unwrap();
    assert!(other != pass && node.links.links.len() == 2);
}

/// With room for four, each address gets two. Of those of one end the one makes room that was not heard of for longer.
#[test]
fn of_two_earlier_links_the_quieter_one_makes_room() {
    let at = |secs: u64| NOW.saturating_add(Duration::from_secs(secs));
    for speaks in [0, 1] {
        let mut node = node(4);
        let passes = [4000, 4001].map(|port| node.expect_visitor(NOW, peer(7, 1, port)).unwrap());
        let port = 4000 + speaks as u16;
        hear(&mut node, at(1), peer(7, 1, port).address, passes[speaks], Word::Punch(Empty {}));
        assert!(node.expect_visitor(at(2), peer(7, 1, 4002)).is_some());
        assert_eq!([0, 1].map(|n| node.links.of_pass(&passes[n]).is_some()), [0, 1].map(|n| n == speaks));
    }
}
