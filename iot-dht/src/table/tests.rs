use std::vec::Vec;

use core::net::SocketAddr;

use proptest::prelude::*;

use super::*;

type Small = Id<4>;

fn address(host: u32, port: u16) -> SocketAddr {
    (core::net::Ipv4Addr::from(0x0a00_0000 | host), port).into()
}

fn peer(id: [u8; 4]) -> Peer<4> {
    Peer { id: Id::from_bytes(id), address: address(u32::from_be_bytes(id) & 0xff_ffff, 1) }
}

fn at(secs: u64) -> Instant {
    Instant::from_micros(secs * 1_000_000)
}

fn open(bucket_size: usize) -> Table<4> {
    Table::new(Id::from_bytes([0; 4]), TableConfig::default().bucket_size(bucket_size).subnets(SubnetLimit::Off))
}

#[test]
fn an_empty_table_and_an_entry_are_small() {
    let config = TableConfig::default().subnets(SubnetLimit::Off).replacements(0);
    let mut table = Table::<32>::new(Id::from_bytes([0; 32]), config);
    assert!(table.allocated() <= 2048, "{} octets", table.allocated());
    for n in 0..200_u8 {
        let mut id = [n; 32];
        id[0] = n.reverse_bits();
        let _ = table.insert(at(0), Peer { id: Id::from_bytes(id), address: address(n.into(), 1) });
    }
    let each = (table.allocated() - size_of::<Table<32>>()) / table.len();
    assert!(size_of::<Entry<32>>() <= 80 && each <= 96, "{each} octets an entry");
}

#[test]
fn a_live_entry_keeps_its_place_until_it_fails() {
    let mut table = open(2);
    assert_eq!(table.insert(at(1), peer([0x80, 0, 0, 1])), Insert::Added);
    assert_eq!(table.insert(at(2), peer([0x80, 0, 0, 2])), Insert::Added);
    let newcomer = peer([0x80, 0, 0, 3]);
    assert_eq!(table.insert(at(3), newcomer), Insert::Waiting(peer([0x80, 0, 0, 1])));
    assert_eq!(table.insert(at(4), peer([0x80, 0, 0, 1])), Insert::Refreshed);
    assert_eq!(table.failed(&peer([0x80, 0, 0, 1]).id), None);
    assert_eq!(table.failed(&peer([0x80, 0, 0, 1]).id), Some(newcomer));
    assert!(table.entry(&newcomer.id).is_some() && table.entry(&peer([0x80, 0, 0, 1]).id).is_none());
}

#[test]
fn a_failed_entry_without_successor_stays_and_yields_to_the_next_newcomer() {
    let mut table = open(1);
    let (old, new) = (peer([0x80, 0, 0, 1]), peer([0x80, 0, 0, 2]));
    assert_eq!(table.insert(at(1), old), Insert::Added);
    assert_eq!((table.failed(&old.id), table.failed(&old.id)), (None, None));
    assert_eq!(table.entry(&old.id).unwrap().failures(), 2);
    assert_eq!(table.insert(at(2), new), Insert::Replaced(old));
}

#[test]
fn a_live_identifier_does_not_move_to_another_address() {
    let mut table = open(2);
    let here = peer([0x80, 0, 0, 1]);
    let there = Peer { address: address(9, 9), ..here };
    assert_eq!(table.insert(at(1), here), Insert::Added);
    assert_eq!(table.insert(at(2), there), Insert::Elsewhere(here));
    assert_eq!(table.entry(&here.id).unwrap().address(), here.address);
    let _ = (table.failed(&here.id), table.failed(&here.id));
    assert_eq!(table.insert(at(3), there), Insert::Refreshed);
    assert_eq!(table.entry(&here.id).unwrap().address(), there.address);
}

#[test]
fn a_subnet_fills_neither_a_bucket_nor_the_table() {
    let limit = SubnetLimit::Entries { bucket: 2, table: 3 };
    let mut table = Table::<4>::new(Id::from_bytes([0; 4]), TableConfig::default().subnets(limit));
    let same = |id: [u8; 4], host: u32| Peer { id: Id::from_bytes(id), address: address(host, 1) };
    assert_eq!(table.insert(at(0), same([0x80, 0, 0, 1], 1)), Insert::Added);
    assert_eq!(table.insert(at(0), same([0x80, 0, 0, 2], 2)), Insert::Added);
    assert_eq!(table.insert(at(0), same([0x80, 0, 0, 3], 3)), Insert::SubnetFull);
    assert_eq!(table.insert(at(0), same([0x40, 0, 0, 3], 3)), Insert::Added);
    assert_eq!(table.insert(at(0), same([0x20, 0, 0, 3], 4)), Insert::SubnetFull);
    assert_eq!(table.insert(at(0), same([0x20, 0, 0, 3], 0x100)), Insert::Added);
}

#[test]
fn identifiers_that_share_eight_octets_are_still_ordered() {
    let mut table = Table::<32>::new(Id::from_bytes([0; 32]), TableConfig::default().subnets(SubnetLimit::Off));
    for last in [5_u8, 1, 4, 2, 3] {
        let mut id = [0x80; 32];
        id[31] = last;
        let _ = table.insert(at(0), Peer { id: Id::from_bytes(id), address: address(last.into(), 1) });
    }
    let mut target = [0x80; 32];
    target[31] = 0;
    let order: Vec<u8> = table.closest(&Id::from_bytes(target)).map(|entry| entry.id().as_bytes()[31]).collect();
    assert_eq!(order, [1, 2, 3, 4, 5]);
}

#[test]
fn an_entry_with_an_identifier_of_twenty_octets_is_smaller() {
    let mut table = Table::<20>::new(Id::from_bytes([0; 20]), TableConfig::default());
    for n in 0..100_u8 {
        let peer = Peer { id: Id::from_bytes([n.reverse_bits() | 1; 20]), address: address(u32::from(n) << 8, 1) };
        let _ = table.insert(at(n.into()), peer);
    }
    assert!(table.len() >= 50 && size_of::<Entry<20>>() <= 72);
    let target = Id::from_bytes([0x35; 20]);
    let found: Vec<_> = table.closest(&target).map(|entry| *entry.id()).collect();
    let mut expected = found.clone();
    expected.sort_by_key(|id| id.distance(&target));
    assert_eq!((found.len(), found), (table.len(), expected));
    assert_eq!(Snapshot::parse(&table.snapshot().to_vec()), Ok(table.snapshot()));
}

#[test]
fn patience_follows_the_node_then_all_nodes_then_the_rfc() {
    let mut table = open(2);
    let (near, far, stranger) = (peer([0x80, 0, 0, 1]), peer([0x80, 0, 0, 2]), peer([0x40, 0, 0, 3]));
    assert_eq!(table.patience(&near.id), Patience::INITIAL);
    let _ = (table.insert(at(1), near), table.insert(at(1), far));
    for _ in 0..50 {
        table.measured(&near.id, Duration::from_millis(10));
        table.measured(&far.id, Duration::from_millis(400));
    }
    let timeout = |peer: &Peer<4>| table.patience(&peer.id).timeout.as_millis();
    assert!(timeout(&near) < 80 && (440..600).contains(&timeout(&far)), "{} {}", timeout(&near), timeout(&far));
    assert!((1000..2000).contains(&timeout(&stranger)), "{}", timeout(&stranger));
    assert_eq!(table.entry(&near.id).unwrap().rtt().unwrap().as_millis(), 9, "in units of 256 µs");
    let moved = Peer { address: address(7, 7), ..near };
    let _ = (table.failed(&near.id), table.failed(&near.id), table.insert(at(2), moved));
    assert_eq!(table.entry(&near.id).unwrap().rtt(), None, "another address is another path");
}

#[test]
fn a_snapshot_is_hearsay_until_its_nodes_answer() {
    let mut table = open(2);
    let (good, lossy, dead) = (peer([0x80, 0, 0, 1]), peer([0x40, 0, 0, 2]), peer([0x20, 0, 0, 3]));
    for peer in [lossy, dead, good] {
        let _ = table.insert(at(1), peer);
    }
    let _ = (table.failed(&lossy.id), table.insert(at(9), lossy), table.failed(&dead.id));
    let octets = table.snapshot().to_vec();
    let snapshot = Snapshot::<4>::parse(&octets).unwrap();
    assert_eq!(snapshot.peers(), [good, lossy], "the most reliable first, and none that is silent");

    let mut restored = open(2);
    let _ = restored.insert(at(0), lossy);
    restored.restore(snapshot);
    assert_eq!((restored.len(), restored.hearsay()), (1, 2));
    assert_eq!((restored.next_hearsay(), restored.next_hearsay()), (Some(good), None), "who is known is not asked");
    assert_eq!(restored.len(), 1);

    for len in 0..octets.len() {
        assert!(Snapshot::<4>::parse(&octets[..len]).is_err());
    }
    assert!(Snapshot::<4>::parse(&[&octets[..], &[0]].concat()).is_err());
    for bit in 0..octets.len() * 8 {
        let mut flipped = octets.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(Snapshot::<4>::parse(&flipped).map_or(true, |snapshot| snapshot.to_vec() != octets));
    }
    assert_eq!(Snapshot::<4>::parse(&[0x82, 2, 0x80]), Err(SnapshotError::Version(2)));
    // Two billion nodes are claimed, and none is there.
    assert!(Snapshot::<4>::parse(&[0x82, 1, 0x9a, 0x7f, 0xff, 0xff, 0xff]).is_err());
}

#[test]
fn hearsay_is_bounded_and_kept_only_where_there_is_room() {
    let config = TableConfig::default().bucket_size(1).subnets(SubnetLimit::Off).replacements(3);
    let mut table = Table::<4>::new(Id::from_bytes([0; 4]), config);
    let _ = table.insert(at(1), peer([0x80, 0, 0, 1]));
    for last in 2..9 {
        table.hear_of(peer([0x80, 0, 0, last]));
        table.hear_of(peer([0x40, 0, 0, last]));
        table.hear_of(peer([0x40, 0, 0, 2]));
    }
    assert_eq!(table.hearsay(), 3);
    assert_eq!(table.next_hearsay(), Some(peer([0x40, 0, 0, 4])));
    let _ = table.insert(at(2), peer([0x40, 0, 0, 4]));
    assert_eq!((table.next_hearsay(), table.hearsay()), (None, 0), "the place is taken");
}

/// What a table does, said with a plain list.
struct Model {
    bucket_size: usize,
    /// Identifier, failures in a row, when it was seen, and its last eight outcomes.
    entries: Vec<(Small, u8, u64, u8)>,
    candidates: Vec<(Small, u64)>,
}

#[derive(Clone, Debug)]
enum Step {
    Insert([u8; 4]),
    Fail(usize),
    Remove(usize),
}

fn bucket(id: &Small) -> usize {
    id.shared_prefix(&Id::from_bytes([0; 4]))
}

impl Model {
    fn members(&mut self, of: &Small) -> Vec<&mut (Small, u8, u64, u8)> {
        let index = bucket(of);
        self.entries.iter_mut().filter(|(id, ..)| bucket(id) == index).collect()
    }

    fn insert(&mut self, id: Small, now: u64) {
        let size = self.bucket_size;
        if let Some(entry) = self.entries.iter_mut().find(|(other, ..)| *other == id) {
            *entry = (id, 0, now, entry.3 << 1);
            return;
        }
        self.candidates.retain(|(other, _)| *other != id);
        let mut members = self.members(&id);
        if members.len() < size {
            self.entries.push((id, 0, now, 0));
        } else if let Some(dead) = members
            .iter_mut()
            .filter(|(_, failures, ..)| *failures >= 2)
            .max_by_key(|entry| (entry.1, entry.3.count_ones(), core::cmp::Reverse(entry.2)))
        {
            **dead = (id, 0, now, 0);
        } else {
            self.candidates.push((id, now));
        }
    }

    fn fail(&mut self, id: &Small) {
        self.candidates.retain(|(other, _)| other != id);
        let Some(entry) = self.entries.iter_mut().find(|(other, ..)| other == id) else { return };
        entry.1 += 1;
        entry.3 = entry.3 << 1 | 1;
        if entry.1 >= 2 {
            if let Some(next) = self.candidates.iter().rposition(|(other, _)| bucket(other) == bucket(id)) {
                let (next, seen) = self.candidates.remove(next);
                *entry = (next, 0, seen, 0);
            }
        }
    }
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        // Few leading zeros and few values, so that buckets fill and identifiers come again.
        6 => (0_u8..4, 0_u8..12).prop_map(|(zeros, last)| Step::Insert([0x80 >> zeros, 0, 0, last])),
        3 => any::<usize>().prop_map(Step::Fail),
        1 => any::<usize>().prop_map(Step::Remove),
    ]
}

proptest! {
    #[test]
    fn behaves_as_a_plain_list(steps in proptest::collection::vec(step(), 1..150), target: [u8; 4]) {
        let mut table = open(3);
        let mut model = Model { bucket_size: 3, entries: Vec::new(), candidates: Vec::new() };
        let target = Id::from_bytes(target);
        for (now, step) in steps.into_iter().enumerate() {
            match step {
                Step::Insert(id) => {
                    let _ = table.insert(at(now as u64), peer(id));
                    model.insert(Id::from_bytes(id), now as u64);
                }
                Step::Fail(of) if !model.entries.is_empty() => {
                    let id = model.entries[of % model.entries.len()].0;
                    table.failed(&id);
                    model.fail(&id);
                }
                Step::Remove(of) if !model.entries.is_empty() => {
                    let (id, ..) = model.entries.swap_remove(of % model.entries.len());
                    prop_assert_eq!(table.remove(&id).map(|entry| *entry.id()), Some(id));
                }
                Step::Fail(_) | Step::Remove(_) => {}
            }
            let mut expected: Vec<_> = model.entries.iter().map(|(id, failures, seen, outcomes)| (id.distance(&target), *failures, at(*seen), outcomes.count_ones())).collect();
            expected.sort_unstable();
            let found: Vec<_> =
                table.closest(&target).map(|entry| (entry.id().distance(&target), entry.failures(), entry.seen(), entry.lost_of_eight())).collect();
            prop_assert_eq!(&found, &expected);
            prop_assert_eq!(table.buckets().map(|(_, len)| len).sum::<usize>(), table.len());
            prop_assert!(table.buckets().all(|(_, len)| (1..=3).contains(&len)));
        }
    }
}
