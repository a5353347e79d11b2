use std::string::String;
use std::vec;

use super::*;
use crate::gap::GapNotice;
use crate::offset::{Gap, GapCause};

fn vectors() -> Vec<(String, Vec<u8>)> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/formats/mirror.md");
    let page = std::fs::read_to_string(path).expect("the page is there");
    let section = page.split("## Vectors").nth(1).and_then(|text| text.split("```").nth(1)).expect("a block");
    let octets = |digits: &str| {
        let pairs = (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16));
        pairs.collect::<Result<Vec<_>, _>>().expect("hexadecimal")
    };
    let line = |line: &str| {
        let (name, digits) = line.split_once(' ').expect("two columns");
        (name.into(), octets(&digits.replace(' ', "")))
    };
    section.lines().filter(|line| !line.is_empty()).map(line).collect()
}

fn gap_of(from: u64, until: u64, cause: GapCause) -> GapNotice {
    GapNotice::unsigned(Gap { from: Offset::new(from), until: Offset::new(until), cause })
}

fn frames() -> Vec<Frame<'static>> {
    static CLAIMED: std::sync::OnceLock<[GapNotice; 2]> = std::sync::OnceLock::new();
    let [bare, claimed] = CLAIMED.get_or_init(|| {
        let dropped = gap_of(100, 1000, GapCause::Dropped);
        [gap_of(100, 1000, GapCause::Expired), GapNotice { claim: vec![1, 2], signature: vec![3], ..dropped }]
    });
    let message = MessageFrame { offset: 100, payload: b"hello", position: None, key: None, lane: None, id: None };
    vec![
        Frame::Hello(Hello { version: VERSION, feed: [1, 2, 3, 4, 5, 6, 7, 8], origin: [9; 32] }),
        Frame::Welcome(Welcome { version: VERSION, next: Some(100), max_payload: 65_536 }),
        Frame::Welcome(Welcome { version: VERSION, next: None, max_payload: 65_536 }),
        Frame::Message(message),
        Frame::Gap(GapItem::of(bare)),
        Frame::Gap(GapItem::of(claimed)),
        Frame::Acknowledged(65_536),
        Frame::Fault(StreamFault::Full),
    ]
}

#[test]
fn frames_are_the_vectors_of_the_page() {
    let vectors = vectors();
    assert_eq!(vectors.len(), frames().len());
    for ((name, octets), frame) in vectors.iter().zip(frames()) {
        let mut written = Vec::new();
        frame.write(&mut written);
        assert_eq!(written, *octets, "{name}");
        assert_eq!(Frame::read(&octets[4..]), Ok(frame), "{name}");
    }
}

fn whole_message() -> Stored {
    let position = Position {
        source: DeviceId::from_bytes([1; 32]),
        stream: StreamId::new(u32::MAX),
        incarnation: Incarnation::from_bytes([2; 8]),
        sequence: u64::MAX - 1,
    };
    Stored {
        offset: Offset::new(u64::MAX - 1),
        position: Some(position),
        key: Some(vec![3; 255]),
        lane: Lane::LEAST_URGENT,
        id: Some(MessageId::from_bytes([4; 16])),
        payload: vec![5; 300],
    }
}

#[test]
fn entries_come_back_and_stay_within_the_limits() {
    let gap = |cause| Forwarded::Gap(gap_of(3, u64::MAX, cause));
    let whole = whole_message();
    let bare = Stored { position: None, key: None, lane: Lane::NORMAL, id: None, payload: Vec::new(), ..whole.clone() };
    use GapCause::{Damaged, Dropped, Expired, Filtered, Uncertain};
    let gaps = [Damaged, Uncertain, Expired, Dropped, Filtered].map(gap);
    for entry in [Forwarded::Message(whole), Forwarded::Message(bare)].into_iter().chain(gaps) {
        let mut written = Vec::new();
        Frame::of(&entry).write(&mut written);
        assert!(written.len() <= 300 + MAX_OVERHEAD);
        assert_eq!(Frame::read(&written[4..]).ok().and_then(Frame::into_entry), Some(entry));
    }
}

#[test]
fn a_gap_that_ends_before_it_begins_and_a_lane_that_is_none_are_no_entries() {
    let gap = gap_of(7, 7, GapCause::Damaged);
    assert_eq!(Frame::Gap(GapItem::of(&gap)).into_entry(), None);
    let message = MessageFrame { offset: 0, payload: b"", position: None, key: None, lane: Some(8), id: None };
    assert_eq!(Frame::Message(message).into_entry(), None);
    assert_eq!(Frame::Acknowledged(1).into_entry(), None);
}

#[test]
fn rejects_every_truncation_and_trailing_octets() {
    let entry = Forwarded::Message(whole_message());
    for frame in frames().into_iter().chain([Frame::of(&entry)]) {
        let octets = cbor::to_vec(&frame);
        for len in 0..octets.len() {
            assert!(Frame::read(&octets[..len]).is_err(), "{frame:?} cut at {len}");
        }
        assert!(Frame::read(&[&octets[..], &[0]].concat()).is_err(), "{frame:?}");
    }
}

/// A flipped bit is refused or read as another frame, which is written as it was read: nothing is read two ways.
#[test]
fn a_flipped_bit_is_refused_or_makes_another_frame() {
    let entry = Forwarded::Message(whole_message());
    for frame in frames().into_iter().chain([Frame::of(&entry)]) {
        let octets = cbor::to_vec(&frame);
        for bit in 0..octets.len() * 8 {
            let mut flipped = octets.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            if let Ok(read) = Frame::read(&flipped) {
                assert_ne!(read, frame);
                // An unknown key is skipped, and not written again.
                assert!(cbor::to_vec(&read).len() <= flipped.len());
            }
        }
    }
}
