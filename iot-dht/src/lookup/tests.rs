use core::time::Duration;
use std::collections::BTreeMap;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;

fn peer(number: u16) -> Peer<2> {
    Peer { id: Id::from_bytes(number.to_be_bytes()), address: ([127, 0, 0, 1], number).into() }
}

fn number(peer: &Peer<2>) -> u16 {
    number_of(&peer.id)
}

fn number_of(id: &Id<2>) -> u16 {
    u16::from_be_bytes(*id.as_bytes())
}

fn lookup(target: u16, start: &[u16], closest: usize) -> Lookup<2> {
    let config = LookupConfig::default().closest(closest);
    Lookup::new(Id::from_bytes([0xff; 2]), Id::from_bytes(target.to_be_bytes()), config, start.iter().map(|n| peer(*n)))
}

const NOW: Instant = Instant::START;

/// The time-outs of all peers: 200 ms until somebody else is asked, 500 ms until an answer is overdue.
const PATIENCE: Patience = Patience { hedge: Duration::from_millis(200), timeout: Duration::from_millis(500) };

fn at(millis: u64) -> Instant {
    Instant::from_micros(millis * 1000)
}

fn next<const N: usize>(lookup: &mut Lookup<N>, now: Instant) -> Option<Peer<N>> {
    lookup.next(now, |_| PATIENCE)
}

#[test]
fn asks_the_closest_first_and_three_at_once() {
    let mut lookup = lookup(0, &[9, 5, 7, 3], 2);
    // Only the two closest matter until one of them fails.
    assert_eq!(next(&mut lookup, NOW).map(|p| number(&p)), Some(3));
    assert_eq!(next(&mut lookup, NOW).map(|p| number(&p)), Some(5));
    assert_eq!(next(&mut lookup, NOW), None);
    lookup.handle_failure(&peer(3).id);
    assert_eq!(next(&mut lookup, NOW).map(|p| number(&p)), Some(7));
}

#[test]
fn ends_when_the_closest_have_answered_and_says_who_failed() {
    let mut lookup = lookup(0, &[8], 2);
    assert_eq!(next(&mut lookup, NOW), Some(peer(8)));
    lookup.handle_response(&peer(8).id, [peer(1), peer(2), peer(3)]);
    assert_eq!((next(&mut lookup, NOW), next(&mut lookup, NOW)), (Some(peer(1)), Some(peer(2))));
    lookup.handle_failure(&peer(1).id);
    lookup.handle_response(&peer(2).id, []);
    assert!(!lookup.is_done(NOW));
    assert_eq!(next(&mut lookup, NOW), Some(peer(3)));
    lookup.handle_response(&peer(3).id, [peer(0xffff)]);
    assert!(lookup.is_done(NOW));
    assert_eq!(lookup.closest().collect::<Vec<_>>(), [peer(2), peer(3)]);
    assert_eq!(lookup.summary(), Summary { asked: 4, answered: 3, failed: 1, agreed: 0, hops: 2 });
}

/// A search in a network so dense that nobody is crowded.
fn lookup_of_known_size(start: &[u16], closest: usize) -> Lookup<2> {
    let config = LookupConfig::default().closest(closest).network(1 << 16);
    Lookup::new(Id::from_bytes([0xff; 2]), Id::from_bytes([0; 2]), config, start.iter().map(|n| peer(*n)))
}

fn asked_at(lookup: &mut Lookup<2>, now: Instant) -> Vec<u16> {
    core::iter::from_fn(|| next(lookup, now)).map(|peer| number(&peer)).collect()
}

fn known(lookup: &Lookup<2>, now: Instant) -> Vec<u16> {
    lookup.known(now).map(|peer| number(&peer)).collect()
}

#[test]
fn who_names_nobody_that_answers_is_believed_no_further() {
    let mut lookup = lookup_of_known_size(&[100, 101], 2);
    assert_eq!(asked_at(&mut lookup, NOW), [100, 101]);
    lookup.handle_response(&peer(100).id, (1..=20).map(peer));
    assert_eq!(asked_at(&mut lookup, NOW), [1], "the others wait for what becomes of the first");
    assert!(asked_at(&mut lookup, at(200)).is_empty(), "the first is silent");
    lookup.handle_response(&peer(101).id, [50, 51, 52].map(peer));
    assert_eq!(asked_at(&mut lookup, at(200)), [50]);
    lookup.handle_response(&peer(50).id, []);
    assert_eq!(asked_at(&mut lookup, at(200)), [51]);
    lookup.handle_response(&peer(51).id, []);
    assert!(!lookup.is_done(at(200)), "the first may still answer");
    lookup.handle_failure(&peer(1).id);
    assert!(lookup.is_done(at(200)));
    assert_eq!(lookup.closest().collect::<Vec<_>>(), [50, 51].map(peer));
}

#[test]
fn a_late_answer_restores_who_named_the_node() {
    let mut lookup = lookup_of_known_size(&[100], 3);
    assert_eq!(asked_at(&mut lookup, NOW), [100]);
    lookup.handle_response(&peer(100).id, (1..=9).map(peer));
    assert_eq!(asked_at(&mut lookup, NOW), [1]);
    assert!(asked_at(&mut lookup, at(200)).is_empty());
    lookup.handle_response(&peer(1).id, []);
    assert_eq!(asked_at(&mut lookup, at(300)), [2, 3]);
    // Twice as many may be silent as have answered, and no more.
    assert_eq!(asked_at(&mut lookup, at(500)), [4, 5]);
    assert!(asked_at(&mut lookup, at(700)).is_empty());
}

#[test]
fn two_may_lie_together_and_whom_three_name_is_asked() {
    let start = [100, 101, 102];
    for (liars, asked) in [(1, &[1][..]), (2, &[1]), (3, &[1, 2, 3])] {
        let mut lookup = lookup_of_known_size(&start, 8);
        assert_eq!(asked_at(&mut lookup, NOW), start);
        for (n, from) in start.into_iter().enumerate() {
            lookup.handle_response(&peer(from).id, (1..=20).map(peer).filter(|_| n < liars));
        }
        assert_eq!(asked_at(&mut lookup, NOW), asked, "{liars} name the same");
    }
}

#[test]
fn whoever_the_search_began_with_needs_nobody_to_vouch_for_it() {
    let mut lookup = lookup_of_known_size(&[1, 2, 3, 4, 5, 100], 5);
    assert_eq!(asked_at(&mut lookup, NOW), [1, 2, 3]);
    assert_eq!(asked_at(&mut lookup, at(200)), [4, 5, 100]);
    lookup.handle_response(&peer(100).id, [4, 5].map(peer));
    for silent in 1..=3 {
        lookup.handle_failure(&peer(silent).id);
    }
    lookup.handle_response(&peer(4).id, [6].map(peer));
    lookup.handle_response(&peer(5).id, [7].map(peer));
    assert_eq!(asked_at(&mut lookup, at(200)), [6, 7]);
}

#[test]
fn another_search_does_not_begin_with_whom_a_liar_named() {
    let mut lookup = lookup_of_known_size(&[100, 101], 4);
    assert_eq!(asked_at(&mut lookup, NOW), [100, 101]);
    lookup.handle_response(&peer(100).id, (1..=20).map(peer));
    lookup.handle_response(&peer(101).id, [50, 51].map(peer));
    assert_eq!(asked_at(&mut lookup, NOW), [1, 50]);
    let all: Vec<_> = (1..=20).chain([50, 51, 100, 101]).collect();
    assert_eq!(known(&lookup, NOW), all, "nobody is silent yet");
    lookup.handle_response(&peer(50).id, []);
    assert_eq!(known(&lookup, at(200)), [50, 51, 100, 101]);
}

#[test]
fn whom_somebody_else_names_too_need_not_wait() {
    let mut lookup = lookup_of_known_size(&[100, 101], 4);
    assert_eq!(asked_at(&mut lookup, NOW), [100, 101]);
    lookup.handle_response(&peer(100).id, (1..=20).map(peer));
    lookup.handle_response(&peer(101).id, [20, 50].map(peer));
    assert_eq!(asked_at(&mut lookup, NOW), [1, 20]);
}

#[test]
fn two_of_three_may_be_silent_and_whom_two_named_counts_once() {
    let mut lookup = lookup_of_known_size(&[100, 101], 3);
    assert_eq!(asked_at(&mut lookup, NOW), [100, 101]);
    lookup.handle_response(&peer(100).id, [1, 2, 3, 9, 10].map(peer));
    lookup.handle_response(&peer(101).id, [3].map(peer));
    assert_eq!(asked_at(&mut lookup, NOW), [1, 3]);
    lookup.handle_response(&peer(3).id, []);
    assert_eq!(asked_at(&mut lookup, NOW), [2]);
    assert_eq!(known(&lookup, at(200)), [1, 2, 3, 9, 10, 100, 101], "two are silent, one has answered");
    assert_eq!(asked_at(&mut lookup, at(200)), [9, 10]);
    lookup.handle_response(&peer(10).id, []);
    assert_eq!(known(&lookup, at(400)), [1, 2, 3, 9, 10, 100, 101], "three are silent, two have answered");
    let mut lookup = lookup_of_known_size(&[100], 4);
    assert_eq!(asked_at(&mut lookup, NOW), [100]);
    lookup.handle_response(&peer(100).id, [1, 2, 3, 9, 10].map(peer));
    assert_eq!(asked_at(&mut lookup, NOW), [1]);
    lookup.handle_response(&peer(1).id, []);
    assert_eq!(asked_at(&mut lookup, NOW), [2, 3, 9]);
    assert_eq!(known(&lookup, at(200)), [1, 100], "three are silent, one has answered");
}

#[test]
fn whoever_names_a_node_again_and_again_counts_once() {
    let mut lookup = lookup_of_known_size(&[100, 101], 4);
    assert_eq!(asked_at(&mut lookup, NOW), [100, 101]);
    let ghosts = || (1..=6).flat_map(|n| [peer(n); 3]);
    lookup.handle_response(&peer(100).id, ghosts());
    // Somebody may be asked about a second subtree.
    let place = lookup.place(&peer(100).id).unwrap();
    lookup.candidates[place].state = State::Asked { hedge: at(200), timeout: at(500), twice: at(1000) };
    lookup.handle_response(&peer(100).id, ghosts());
    assert_eq!(asked_at(&mut lookup, NOW), [1]);
    lookup.handle_response(&peer(101).id, [50].map(peer));
    assert_eq!(asked_at(&mut lookup, at(200)), [50]);
    assert_eq!(known(&lookup, at(200)), [50, 100, 101]);
    lookup.handle_response(&peer(50).id, [100, 100].map(peer));
    assert_eq!(lookup.summary().agreed, 0, "each was named by one");
}

/// A search of which eight that exist have named 160 that do not, closer than whoever exists, and a ninth has not answered.
fn crowded(network: Option<u64>) -> Lookup<2> {
    let config = LookupConfig { network, ..LookupConfig::default().closest(20) };
    let start: Vec<u16> = (0x1000..=0x1008).collect();
    let mut lookup =
        Lookup::new(Id::from_bytes([0xff; 2]), Id::from_bytes([0; 2]), config, start.iter().map(|n| peer(*n)));
    let asked: Vec<_> = [0, 200, 400].into_iter().flat_map(|millis| asked_at(&mut lookup, at(millis))).collect();
    assert_eq!(asked, start);
    let mut ghosts = 1..=160;
    for liar in 0x1000..0x1008 {
        lookup.handle_response(&peer(liar).id, ghosts.by_ref().take(20).map(peer).collect::<Vec<_>>());
    }
    assert_eq!(lookup.candidates.len(), Lookup::<2>::CANDIDATES);
    lookup
}

#[test]
fn nobody_makes_a_search_forget_who_has_answered() {
    for network in [None, Some(1 << 16)] {
        let lookup = crowded(network);
        assert!(lookup.closest().map(|peer| number(&peer)).eq(0x1000..0x1008), "{network:?}");
    }
}

#[test]
fn whom_only_liars_named_leave_room_for_others() {
    let mut lookup = crowded(Some(1 << 16));
    let mut millis = 400;
    while !asked_at(&mut lookup, at(millis)).is_empty() {
        millis += 200;
    }
    lookup.handle_response(&peer(0x1008).id, (0x2000..0x2000 + 20).map(peer));
    assert!(known(&lookup, at(millis)).into_iter().eq((0x1000..=0x1008).chain(0x2000..0x2000 + 20)));
}

/// What is forgotten where nearly all were asked are the farthest: the search still comes closer.
#[test]
fn a_search_that_has_asked_all_whom_it_remembers_hears_of_others() {
    let config = LookupConfig::default().closest(2).requests(1024);
    let mut lookup = Lookup::new(Id::from_bytes([0xff; 2]), Id::from_bytes([0; 2]), config, [peer(0x8000)]);
    // Each names the next one alone.
    while let Some(asked) = next(&mut lookup, NOW) {
        lookup.handle_response(&asked.id, [number(&asked) - 1].into_iter().filter(|n| *n > 0x8000 - 500).map(peer));
    }
    assert_eq!(lookup.closest().next(), Some(peer(0x8000 - 499)));
}

/// Twenty nodes that do not exist, closer than all others, are not the horizon beyond which somebody must be asked about
/// each subtree.
#[test]
fn a_result_does_not_end_where_a_liar_says() {
    let honest: Vec<u16> = (0x400..0x400 + 12).collect();
    let mut lookup = lookup_of_known_size(&[&honest[..], &[0x8000]].concat(), 12);
    let mut questions = 0;
    let mut now = NOW;
    while !lookup.is_done(now) {
        while let Some(asked) = next(&mut lookup, now) {
            questions += 1;
            assert!(questions <= 16, "{questions} questions");
            assert_eq!(number_of(&lookup.point_for(&asked.id)), 0, "{asked:?} is asked about a subtree");
            match number(&asked) {
                0x400 => lookup.handle_response(&asked.id, (1..=20).map(peer)),
                0x401.. => lookup.handle_response(&asked.id, []),
                _ => {}
            }
        }
        now = now.saturating_add(Duration::from_millis(200));
        if now >= at(1000) {
            lookup.handle_failure(&peer(1).id);
        }
    }
    assert!(lookup.closest().map(|peer| number(&peer)).eq(honest));
}

#[test]
fn a_slow_node_holds_nobody_up() {
    let mut lookup = lookup(0, &[1, 2, 3, 4], 3);
    for n in 1..=3 {
        assert_eq!(next(&mut lookup, NOW), Some(peer(n)));
    }
    assert_eq!(next(&mut lookup, NOW), None);
    let slow = lookup.poll_timeout().unwrap();
    assert_eq!(slow, at(200));
    assert_eq!(next(&mut lookup, slow), Some(peer(4)));
    assert!(!lookup.is_done(slow), "a slow node may still answer");
    assert_eq!(lookup.poll_timeout(), Some(at(400)), "the fourth is slow then");
}

#[test]
fn all_that_remain_are_asked_at_once_when_nobody_nearer_is_known() {
    let start: Vec<u16> = (1..=12).collect();
    let mut lookup = lookup(0, &start, 10);
    let first: Vec<_> = core::iter::from_fn(|| next(&mut lookup, NOW)).collect();
    assert_eq!(first, [peer(1), peer(2), peer(3)]);
    lookup.handle_response(&peer(2).id, []);
    assert_eq!(next(&mut lookup, NOW), Some(peer(4)), "somebody nearer may still be known to the first");
    assert_eq!(next(&mut lookup, NOW), None);
    lookup.handle_response(&peer(1).id, []);
    let rest: Vec<_> = core::iter::from_fn(|| next(&mut lookup, NOW)).map(|peer| number(&peer)).collect();
    assert_eq!(rest, [5, 6, 7, 8, 9, 10]);
}

#[test]
fn an_overdue_answer_is_waited_for_unless_many_are() {
    let start: Vec<u16> = (1..=8).collect();
    let run = |silent: u16| {
        let mut lookup = lookup(0, &start, 4);
        let mut asked = Vec::new();
        for millis in [0, 10, 250, 260] {
            while let Some(peer) = next(&mut lookup, at(millis)) {
                asked.push(number(&peer));
                if number(&peer) > silent {
                    lookup.handle_response(&peer.id, []);
                }
            }
        }
        (lookup, asked)
    };
    let (mut one, asked) = run(1);
    assert_eq!(asked, [1, 2, 3, 4, 5], "the fifth takes the place of the slow one");
    assert!(!one.is_done(at(600)), "one lost datagram does not hide a node");
    one.handle_response(&peer(1).id, []);
    assert!(one.is_done(at(600)));
    assert_eq!(one.closest().map(|peer| number(&peer)).collect::<Vec<_>>(), [1, 2, 3, 4]);

    let (three, asked) = run(3);
    assert_eq!(asked, [1, 2, 3, 4, 5, 6, 7]);
    assert!(!three.is_done(at(400)) && three.is_done(at(500)), "three of seven are gone");
    assert_eq!(three.summary().unanswered(), 3);
}

/// Two of twenty are gone, fewer than a sixth: the third sending of each would end after three and a half seconds.
#[test]
fn who_is_overdue_twice_is_not_waited_for_unless_others_were_late() {
    let start: Vec<u16> = (1..=30).collect();
    // The first ones are silent, and so many after them answer late.
    let run = |silent: u16, late: u16| {
        let mut lookup = lookup(0, &start, 20);
        let mut waiting = Vec::new();
        for millis in [0, 10, 250, 260, 450, 700, 710] {
            while let Some(peer) = next(&mut lookup, at(millis)) {
                if number(&peer) > silent + late {
                    lookup.handle_response(&peer.id, []);
                } else if number(&peer) > silent {
                    waiting.push(peer.id);
                }
            }
            if millis == 700 {
                waiting.drain(..).for_each(|id| lookup.handle_response(&id, []));
            }
        }
        lookup
    };
    let two = run(2, 0);
    assert_eq!(two.poll_timeout(), Some(at(1000)));
    assert!(!two.is_done(at(999)) && two.is_done(at(1000)), "two were asked twice, and said nothing");
    assert_eq!(two.closest().map(|peer| number(&peer)).collect::<Vec<_>>(), (3..=22).collect::<Vec<_>>());
    assert!(!run(1, 0).is_done(at(3000)), "one may have been lost twice");

    let lossy = run(2, 1);
    assert!(!lossy.is_done(at(3000)), "one has answered to the second request: the network loses them");
    assert!(run(3, 1).is_done(at(1000)));
}

/// What an overdue answer means, said without rounding: of the requests more than a sixth and one, or more than one in 36, one,
/// and one for each that came late.
#[test]
fn silence_means_what_the_share_of_those_who_are_silent_says() {
    for (asked, late) in (0..130).flat_map(|asked| (0..4).map(move |late| (asked, late))) {
        for (once, twice) in (0..30).flat_map(|once| (0..=once).map(move |twice| (once, twice))) {
            let is_gone = 6 * once > 6 + asked;
            let is_gone_if_twice = 36 * twice > 36 + 36 * late + asked;
            let expected = match (is_gone, is_gone_if_twice) {
                (true, _) => Silence::Gone,
                (false, true) => Silence::GoneIfTwice,
                (false, false) => Silence::Late,
            };
            assert_eq!(Silence::of(asked, late, once, twice), expected, "{asked} {late} {once} {twice}");
        }
    }
    let [timeout, twice] = [500, 1000].map(at);
    let given_up = |silence: Silence| [0, 499, 500, 999, 1000].map(|now| silence.gives_up(at(now), timeout, twice));
    assert_eq!(given_up(Silence::Late), [false; 5]);
    assert_eq!(given_up(Silence::GoneIfTwice), [false, false, false, false, true]);
    assert_eq!(given_up(Silence::Gone), [false, false, true, true, true]);
}

/// Whose failure was reported is gone as much as those who are silent.
#[test]
fn those_who_failed_count_among_the_silent() {
    // Whoever comes first fails, the next are silent, and all others answer.
    let run = |failing: u16, silent: u16, closest: usize, until: &[u64]| {
        let start: Vec<u16> = (1..=30).collect();
        let mut lookup = lookup(0, &start, closest);
        for millis in until {
            while let Some(peer) = next(&mut lookup, at(*millis)) {
                match number(&peer) {
                    number if number <= failing => lookup.handle_failure(&peer.id),
                    number if number <= failing + silent => {}
                    _ => lookup.handle_response(&peer.id, []),
                }
            }
        }
        lookup
    };
    let many = run(2, 1, 4, &[0, 10, 250, 260]);
    assert!(!many.is_done(at(499)) && many.is_done(at(500)), "three of eight are gone");
    let few = run(0, 1, 4, &[0, 10, 250, 260]);
    assert!(!few.is_done(at(3000)), "one of five may be late");
    let twice = run(1, 1, 20, &[0, 10, 250, 260, 450, 700, 710]);
    assert!(!twice.is_done(at(999)) && twice.is_done(at(1000)), "two of twenty-two, and nobody was late");
}

/// Three of four are silent, and there is nobody to take their place.
#[test]
fn those_who_are_silent_are_waited_for_where_nobody_else_is_left() {
    let mut lookup = lookup(0, &[1, 2, 3, 4], 4);
    for millis in [0, 250, 300, 600, 1200] {
        while let Some(peer) = next(&mut lookup, at(millis)) {
            if number(&peer) == 4 {
                lookup.handle_response(&peer.id, []);
            }
        }
        assert!(!lookup.is_done(at(millis)), "after {millis} ms");
    }
    (1..=3).for_each(|n| lookup.handle_failure(&peer(n).id));
    assert!(lookup.is_done(at(1200)));
    assert_eq!(lookup.closest().collect::<Vec<_>>(), [peer(4)]);
}

#[test]
fn a_path_that_leads_astray_does_not_end_the_others() {
    let config = LookupConfig::default().closest(4).paths(2);
    let own = Id::from_bytes([0xff; 2]);
    let mut lookup = Lookup::new(own, Id::from_bytes([0; 2]), config, [0x4000, 0x4001].map(peer));
    // The first is a liar, and names nodes closer than anybody true, who name each other.
    let liars = || (1..20).map(peer);
    let mut honest = Vec::new();
    let mut asked = 0;
    while let Some(peer) = next(&mut lookup, NOW) {
        asked += 1;
        match number(&peer) {
            0x4000 | 1..20 => lookup.handle_response(&peer.id, liars()),
            number => {
                honest.push(number);
                lookup.handle_response(&peer.id, [0x100, 0x101, 0x102].map(super::tests::peer));
            }
        }
    }
    assert!(lookup.is_done(NOW) && asked <= 10, "{asked}");
    assert!(honest.contains(&0x4001) && honest.contains(&0x100), "{honest:?}");

    let mut plain = Lookup::new(own, Id::from_bytes([0; 2]), config.paths(1), [0x4000, 0x4001].map(peer));
    let first: Vec<_> = core::iter::from_fn(|| next(&mut plain, NOW)).collect();
    first.iter().for_each(|peer| plain.handle_response(&peer.id, liars()));
    let mut named = Vec::new();
    while let Some(peer) = next(&mut plain, NOW) {
        named.push(number(&peer));
        plain.handle_response(&peer.id, liars());
    }
    assert!(named.iter().all(|number| *number < 20), "a single path is captured: {named:?}");
}

#[test]
fn says_how_many_of_the_closest_others_named() {
    let mut lookup = lookup(0, &[8, 9], 3);
    while let Some(peer) = next(&mut lookup, NOW) {
        lookup.handle_response(&peer.id, [1, 8].map(super::tests::peer));
    }
    // All three others named the first, two named the eighth, and nobody the ninth.
    assert_eq!(lookup.summary(), Summary { asked: 3, answered: 3, failed: 0, agreed: 2, hops: 2 });
}

#[test]
fn answers_that_nobody_asked_for_change_nothing() {
    let mut lookup = lookup(0, &[8], 2);
    lookup.handle_response(&peer(8).id, [peer(1)]);
    lookup.handle_response(&peer(4).id, [peer(2)]);
    lookup.handle_failure(&peer(8).id);
    assert_eq!(lookup.summary(), Summary::default());
    assert_eq!(next(&mut lookup, NOW), Some(peer(8)));
    assert_eq!(next(&mut lookup, NOW), None);
}

/// Two nodes of five are gone, everybody else knows everybody, and names the eight closest to the point, gone or not.
#[test]
fn goes_on_where_those_that_are_named_are_gone() {
    let hash = |n: u32| n.wrapping_mul(0x9e37_79b1).rotate_left(13).wrapping_mul(0x85eb_ca6b);
    let nodes: BTreeMap<u16, bool> = (0..600).map(|n| ((hash(n) >> 16) as u16, hash(n) & 0xffff < 0x9999)).collect();
    let closest = |point: u16, count: usize, lives: fn(bool) -> bool| {
        let mut of: Vec<u16> = nodes.iter().filter(|(_, live)| lives(**live)).map(|(node, _)| *node).collect();
        of.sort_by_key(|node| node ^ point);
        of.truncate(count);
        of
    };
    let (mut exact, mut asked) = (0, 0);
    for trial in 0..200 {
        let target = (hash(trial + 1000) >> 16) as u16;
        let start: Vec<_> = nodes.keys().copied().skip(trial as usize).step_by(40).collect();
        let mut lookup = lookup(target, &start, 8);
        while let Some(peer) = next(&mut lookup, NOW) {
            if nodes[&number(&peer)] {
                let named = closest(number_of(&lookup.point_for(&peer.id)), 8, |_| true);
                lookup.handle_response(&peer.id, named.into_iter().map(super::tests::peer));
            } else {
                lookup.handle_failure(&peer.id);
            }
        }
        assert!(lookup.is_done(NOW));
        exact += usize::from(lookup.closest().map(|peer| number(&peer)).eq(closest(target, 8, |live| live)));
        asked += lookup.summary().asked;
    }
    // Where all are asked about the target alone, none is.
    assert!(exact >= 70 && asked <= 200 * 22, "{exact} of 200 are exact, for {asked} requests");
}

/// Seven who name only each other have answered. Somebody far away, who might know others, is asked about the target like
/// them, where the network is known to be large; the nodes of a small one would all say the same.
#[test]
fn asks_about_the_target_who_is_far_away() {
    let asks_about = |network: u64| {
        let config = LookupConfig::default().closest(8).network(network);
        let (close, far) = ([1, 2, 3, 4, 5, 6, 7, 8].map(|n| peer(0x200 * n)), peer(0x4000));
        let start = close.into_iter().chain([far]);
        let mut lookup = Lookup::new(Id::from_bytes([0xff; 2]), Id::from_bytes([0; 2]), config, start);
        while let Some(asked) = next(&mut lookup, NOW).filter(|asked| *asked != far) {
            if asked == close[7] {
                lookup.handle_failure(&asked.id);
            } else {
                lookup.handle_response(&asked.id, close);
            }
        }
        assert_eq!(lookup.summary().asked, 9);
        number_of(&lookup.point_for(&far.id))
    };
    // Of 10,000, one in four shares no more with the target than its first bit.
    assert_eq!(asks_about(10_000), 0);
    assert_eq!(asks_about(60), 0x4000);
}

#[test]
fn takes_no_notice_of_whom_an_earlier_search_has_asked() {
    let own = Id::from_bytes([0xff; 2]);
    let ignored = [peer(1).id, peer(9).id];
    let config = LookupConfig::default().closest(2);
    let mut lookup = Lookup::ignoring(own, Id::from_bytes([0; 2]), config, &ignored, [9, 12].map(peer));
    assert_eq!(next(&mut lookup, NOW), Some(peer(12)));
    lookup.handle_response(&peer(12).id, [1, 2, 9, 3].map(peer));
    let asked: Vec<_> = core::iter::from_fn(|| next(&mut lookup, NOW)).collect();
    assert_eq!(asked, [peer(2), peer(3)]);
}

#[test]
fn stops_early_and_at_its_limit_of_requests() {
    let mut early = lookup(0, &[1, 2, 3], 3);
    assert!(next(&mut early, NOW).is_some());
    early.stop();
    assert!(early.is_done(NOW) && next(&mut early, NOW).is_none() && early.poll_timeout().is_none());

    let config = LookupConfig::default().closest(3).requests(2);
    let mut limited = Lookup::new(Id::from_bytes([0xff; 2]), Id::from_bytes([0; 2]), config, (1..9).map(peer));
    let (a, b) = (next(&mut limited, NOW).unwrap(), next(&mut limited, NOW).unwrap());
    assert_eq!(next(&mut limited, NOW), None);
    limited.handle_failure(&a.id);
    assert!(!limited.is_done(NOW));
    limited.handle_failure(&b.id);
    assert!(limited.is_done(NOW));
}

#[test]
fn liars_cannot_make_it_remember_more_than_its_bound() {
    let mut lookup = lookup(0, &[0x8000], 4);
    assert!(next(&mut lookup, NOW).is_some());
    lookup.handle_response(&peer(0x8000).id, (1..2000).map(peer));
    assert_eq!(lookup.candidates.len(), Lookup::<2>::CANDIDATES);
    assert_eq!(next(&mut lookup, NOW), Some(peer(1)));
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
            while let Some(peer) = next(&mut lookup, NOW) { under_way.push(peer); }
            if under_way.is_empty() { break; }
            order = order.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let from = under_way.remove((order >> 33) as usize % under_way.len());
            let mut near = known[&number(&from)].clone();
            let point = number_of(&lookup.point_for(&from.id));
            near.sort_by_key(|n| n ^ point);
            lookup.handle_response(&from.id, near.into_iter().take(8).map(peer));
        }
        prop_assert!(lookup.is_done(NOW));
        let mut expected = nodes;
        expected.sort_by_key(|n| n ^ target);
        expected.truncate(8);
        prop_assert_eq!(lookup.closest().map(|p| number(&p)).collect::<Vec<_>>(), expected);
    }
}
