//! What a mirror holds, what it lets go of, and what it says of messages that never reached it.

use iot_core::{DeviceId, Incarnation, Instant, Position, StreamId};
use iot_queue::mirror::{Mirror, MirrorConfig, MirrorError, StreamServer, StreamSink};
use iot_queue::sink::{Answer, Forwarded, Intake, QueueSink, ResumePoint};
use iot_queue::{
    AppendError, Consumers, CursorError, Durability, Entry, GapCause, GapNotice, GapSigner, GapSigningError, MaxLag,
    MemoryStorage, Message, Offset, Queue, QueueConfig, Seek, WhenFull,
};

const ORIGIN: DeviceId = DeviceId::from_bytes([9; 32]);
const NOW: Instant = Instant::START;

#[derive(Debug)]
struct Signer;

impl GapSigner for Signer {
    fn signature_len(&self) -> usize {
        4
    }

    fn sign(&mut self, claim: &[u8]) -> Result<Vec<u8>, GapSigningError> {
        Ok(signature_of(claim))
    }
}

fn signature_of(claim: &[u8]) -> Vec<u8> {
    claim.iter().fold(5_u32, |sum, &octet| sum.wrapping_mul(0x0100_0193) ^ u32::from(octet)).to_le_bytes().to_vec()
}

fn config(max_payload: u32) -> QueueConfig {
    let config = QueueConfig::default().max_payload(max_payload).and_then(|config| config.segment_len(4096));
    let config = config.and_then(|config| config.segments(4)).expect("in range").durability(Durability::Manual);
    config.consumers(Consumers::CursorsOnly)
}

/// What is to take all that comes, and keep it.
fn open_target(max_payload: u32) -> Queue<MemoryStorage> {
    open(config(max_payload).consumers(Consumers::Leasing).segments(16).expect("in range"), 2)
}

fn open(config: QueueConfig, random: u8) -> Queue<MemoryStorage> {
    let mut queue = Queue::open(MemoryStorage::new(), config, [random; 8]).expect("nothing is wrong with it");
    queue.sign_gaps_with(Box::new(Signer));
    queue
}

fn mirror_of(queue: &mut Queue<MemoryStorage>, max_lag: MaxLag) -> Mirror {
    let cursor = queue.open_cursor("mirror", Seek::Oldest, max_lag).expect("there is room");
    Mirror::new(MirrorConfig::default(), queue, cursor, 1).expect("the cursor is there")
}

/// Appends messages of five devices in turn.
fn append(queue: &mut Queue<MemoryStorage>, count: u64) -> Result<(), AppendError> {
    for _ in 0..count {
        let number = queue.next_offset().number();
        let source = DeviceId::from_bytes([number as u8 % 5; 32]);
        let (stream, incarnation) = (StreamId::new(0), Incarnation::from_bytes([5; 8]));
        let position = Position { source, stream, incarnation, sequence: number / 5 };
        queue.append(&Message::new(&number.to_le_bytes()).at(position))?;
    }
    queue.commit().expect("the medium works");
    Ok(())
}

/// Everything that the queue behind a mirror holds: messages by their places in `None`, and notices.
fn arrived(target: &Queue<MemoryStorage>) -> Vec<Option<GapNotice>> {
    let notice = |entry| match entry {
        Entry::Message(stored) => stored.gap_notice(),
        Entry::Gap(gap) => panic!("{gap:?}"),
    };
    target.entries_from(Offset::START).map(|entry| notice(entry.expect("the medium works"))).collect()
}

#[test]
fn a_mirror_that_nobody_drives_holds_the_log_until_its_lag_ends() {
    let mut held = open(config(64), 1);
    mirror_of(&mut held, MaxLag::UNLIMITED);
    assert!(matches!(append(&mut held, 1000), Err(AppendError::Full { .. })));

    let mut queue = open(config(64), 1);
    let mut mirror = mirror_of(&mut queue, MaxLag::UNLIMITED.messages(20));
    append(&mut queue, 1000).expect("it is moved on");
    // Whoever comes again finds what is left, and is told of the rest.
    let (mut target, mut intake) = (open_target(64), Intake::new(8));
    mirror.drive(NOW, &mut queue, &mut QueueSink::new(&mut target, &mut intake, ORIGIN)).expect("nothing is wrong");
    let arrived = arrived(&target);
    let notice = arrived[0].clone().expect("a gap first");
    assert_eq!(
        (notice.gap.from, notice.gap.until, notice.gap.cause),
        (Offset::START, Offset::new(980), GapCause::Expired)
    );
    assert_eq!((notice.record(), arrived.len()), (None, 21));
}

#[test]
fn what_was_confirmed_is_where_the_cursor_is_and_goes() {
    let mut queue = open(config(64), 1);
    let (mut target, mut intake) = (open_target(64), Intake::new(8));
    // Ten times what fits.
    for _ in 0..50 {
        append(&mut queue, 50).expect("there is room again");
        let mut mirror = mirror_of(&mut queue, MaxLag::UNLIMITED);
        mirror.drive(NOW, &mut queue, &mut QueueSink::new(&mut target, &mut intake, ORIGIN)).expect("all is well");
        target.ack_before(target.next_offset()).expect("it is there");
        assert!(queue.cursors().all(|status| status.position == queue.next_offset()));
    }
    // A power cut takes back what was not committed, and no more.
    let mut storage = queue.into_storage();
    storage.crash(|_| iot_queue::Fate::Lost);
    let mut queue = Queue::open(storage, config(64), [3; 8]).expect("it opens");
    assert!(mirror_of(&mut queue, MaxLag::UNLIMITED).confirmed() >= Offset::new(2450));
}

#[test]
fn what_the_other_side_lost_is_needed_again() {
    let mut queue = open(config(64), 1);
    let mut mirror = mirror_of(&mut queue, MaxLag::UNLIMITED);
    append(&mut queue, 30).expect("there is room");
    for (has, acknowledged) in [(0, 30), (12, 12), (40, 30)] {
        assert!(mirror.poll_ask(NOW.saturating_add(core::time::Duration::from_secs(100_000))));
        mirror.handle_answer(NOW, &mut queue, Answer::Resume(ResumePoint::From(Offset::new(has))));
        let sent = mirror.poll_entries(NOW, &mut queue).expect("the medium works");
        assert_eq!(queue.cursors().next().map(|status| status.position), Some(Offset::new(has.min(12))));
        mirror.handle_acknowledged(NOW, Offset::new(acknowledged));
        mirror.poll_entries(NOW, &mut queue).expect("the medium works");
        assert_eq!(mirror.confirmed(), Offset::new(if has == 0 { 30 } else { 12 }));
        if mirror.is_halted() {
            return;
        }
        assert_eq!(sent.len() as u64, 30 - has);
        mirror.handle_failure(NOW);
    }
    panic!("a log that was set back is not noticed");
}

#[test]
fn a_mirror_without_its_cursor_says_so() {
    let mut queue = open(config(64), 1);
    let cursor = queue.open_cursor("mirror", Seek::Oldest, MaxLag::UNLIMITED).expect("there is room");
    let mut mirror = Mirror::new(MirrorConfig::default(), &queue, cursor, 1).expect("the cursor is there");
    append(&mut queue, 1).expect("there is room");
    queue.delete_cursor(cursor).expect("it is there");
    let (mut target, mut intake) = (open_target(64), Intake::new(8));
    let outcome = mirror.drive(NOW, &mut queue, &mut QueueSink::new(&mut target, &mut intake, ORIGIN));
    assert!(matches!(outcome, Err(MirrorError::Source(CursorError::NotFound))));
    assert!(matches!(Mirror::new(MirrorConfig::default(), &queue, cursor, 1), Err(CursorError::NotFound)));
}

/// A queue that dropped some of what its mirror had not forwarded, and the mirror.
fn dropping() -> (Queue<MemoryStorage>, Mirror) {
    let mut queue = open(config(64).when_full(WhenFull::DropOldest), 1);
    let mirror = mirror_of(&mut queue, MaxLag::UNLIMITED);
    append(&mut queue, 500).expect("the oldest make room");
    (queue, mirror)
}

#[test]
fn the_signed_claim_of_many_sources_arrives_in_its_place() {
    let (mut queue, mut mirror) = dropping();
    let (mut target, mut intake) = (open_target(1024), Intake::new(8));
    mirror.drive(NOW, &mut queue, &mut QueueSink::new(&mut target, &mut intake, ORIGIN)).expect("nothing is wrong");
    let first = arrived(&target)[0].clone().expect("a gap first");
    assert_eq!(first.gap.cause, GapCause::Dropped);
    assert_eq!(first.signature, signature_of(&first.claim));
    let (about, record) = first.record().expect("a claim");
    assert_eq!((about, record.feeds.len(), record.unnamed), (queue.epoch(), 5, 0));
    assert_eq!(record.messages, first.gap.until.number());
    assert_eq!(arrived(&target).iter().flatten().count(), 1, "the rest are messages");
    // A consumer that leases finds it, too, before the others.
    let leased = target.reserve(NOW, core::time::Duration::from_secs(1), 1).expect("the medium works");
    assert_eq!(leased[0].gap_notice(), Some(first));
    // The mirror was told: the record goes.
    queue.commit().expect("the medium works");
    assert_eq!(queue.dropped(), None);
}

#[test]
fn a_claim_that_the_other_side_cannot_take_is_left_out_and_the_gap_is_told() {
    for max_payload in [1024, 100] {
        let (mut queue, mut mirror) = dropping();
        let (mut target, mut intake) = (open_target(max_payload), Intake::new(8));
        let (mut sink, mut server) = (StreamSink::new(ORIGIN), StreamServer::new(max_payload));
        for _ in 0..4 {
            mirror.drive(NOW, &mut queue, &mut sink).expect("nothing is wrong");
            let taken = server.handle_input(&sink.poll_output(), &mut target, &mut intake).expect("it is taken");
            assert_eq!(taken.claims_left_out, 0, "the sender knew");
            sink.handle_input(&server.poll_output()).expect("it is understood");
        }
        let first = arrived(&target)[0].clone().expect("a gap first");
        assert_eq!((first.gap.cause, first.claim.is_empty()), (GapCause::Dropped, max_payload == 100));
        assert_eq!(mirror.confirmed(), queue.next_offset());
    }
    let (mut queue, mut mirror) = dropping();
    let (mut target, mut intake) = (open_target(100), Intake::new(8));
    mirror.drive(NOW, &mut queue, &mut QueueSink::new(&mut target, &mut intake, ORIGIN)).expect("nothing is wrong");
    let first = arrived(&target)[0].clone().expect("a gap first");
    assert_eq!((first.gap.cause, first.claim.len()), (GapCause::Dropped, 0));
}

#[test]
fn every_cause_comes_through() {
    use GapCause::{Damaged, Dropped, Expired, Filtered, Uncertain};
    let (mut target, mut intake) = (open_target(64), Intake::new(8));
    let causes = [Damaged, Uncertain, Expired, Dropped, Filtered];
    let gap = |(at, cause): (u64, GapCause)| {
        let gap = iot_queue::Gap { from: Offset::new(at * 10), until: Offset::new(at * 10 + 10), cause };
        Forwarded::Gap(GapNotice::unsigned(gap))
    };
    let entries: Vec<_> = (0..).zip(causes).map(gap).collect();
    let feed = iot_queue::Epoch::from_bytes([4; 8]);
    intake.take(&mut target, feed, ORIGIN, &entries).expect("there is room");
    target.commit().expect("the medium works");
    let notices: Vec<_> = arrived(&target).into_iter().flatten().map(Forwarded::Gap).collect();
    assert_eq!(notices, entries);
    // Another process goes on behind the last of them.
    let mut again = Intake::new(8);
    again.recover(&target).expect("the medium works");
    assert_eq!(again.resume_point(&target, feed), ResumePoint::From(Offset::new(50)));
    for cause in causes {
        assert_eq!(GapCause::from_name(cause.name()), Some(cause));
    }
}

#[test]
fn octets_that_are_no_notice_are_none() {
    let notice = GapNotice {
        gap: iot_queue::Gap { from: Offset::new(3), until: Offset::new(70_000), cause: GapCause::Dropped },
        claim: vec![1; 300],
        signature: vec![2; 64],
    };
    let octets = notice.to_vec();
    assert_eq!(GapNotice::from_slice(&octets), Some(notice));
    assert!((0..octets.len()).all(|len| GapNotice::from_slice(&octets[..len]).is_none()));
    assert_eq!(GapNotice::from_slice(&[&octets[..], &[0]].concat()), None);
    // A message that says the same under an identifier of its own is a message.
    let mut queue = open(config(1024), 1);
    let id = iot_queue::MessageId::from_bytes([7; 16]);
    queue.append_batch(&[Message::new(&octets), Message::new(&octets).id(id)]).expect("there is room");
    assert!(arrived(&queue).iter().all(Option::is_none));
}
