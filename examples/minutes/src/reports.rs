//! Where means go: into the outbox of the gateway's end of its exchange with the receiver, each once.

use std::collections::VecDeque;

use iot_exchange::{Endpoint, ExchangeError};
use iot_link::process::wall;
use iot_queue::sink::{Answer, Forwarded, ResumePoint, Sink};
use iot_queue::{Entry, Epoch, MessageId, Offset, Storage};

/// An outbox as a [`Sink`]: each of its messages is named for the place up to which it stands for the log. The last one
/// is stored at least until another one is, acknowledged or not, and tells where the log goes on.
pub struct Reports<'k, S: Storage> {
    /// The end that signs, seals and sends.
    pub end: Endpoint<'k, S>,
    feed: Epoch,
    answers: VecDeque<Answer>,
}

impl<'k, S: Storage> Reports<'k, S> {
    /// Nothing is asked yet.
    pub fn new(end: Endpoint<'k, S>) -> Self {
        Self { end, feed: Epoch::from_bytes([0; 8]), answers: VecDeque::new() }
    }

    /// The place of the log up to which the outbox has had it.
    fn known(&mut self) -> Result<ResumePoint, ExchangeError> {
        let outbox = self.end.outbox()?;
        for number in (0..outbox.next_offset().number()).rev() {
            match outbox.read(Offset::new(number))? {
                Some(Entry::Message(message)) => {
                    let place = message.id.and_then(|id| place_in(self.feed, &id));
                    return Ok(place.map_or(ResumePoint::Unknown, ResumePoint::From));
                }
                // It is damaged: the one before tells, and what stands there is said twice.
                Some(Entry::Gap(_)) => {}
                None => break,
            }
        }
        Ok(ResumePoint::Unknown)
    }
}

impl<S: Storage> Sink for &mut Reports<'_, S> {
    type Error = ExchangeError;

    fn ask(&mut self, feed: Epoch) -> Result<(), ExchangeError> {
        self.answers.clear();
        self.feed = feed;
        let known = self.known()?;
        self.answers.push_back(Answer::Resume(known));
        Ok(())
    }

    fn send(&mut self, entries: &[Forwarded]) -> Result<(), ExchangeError> {
        for entry in entries {
            let id = name_of(self.feed, entry.end());
            match entry {
                Forwarded::Message(mean) => self.end.append_named(wall(), &mean.payload, id)?,
                Forwarded::Gap(notice) => self.end.append_named(wall(), &notice.to_vec(), id)?,
            }
        }
        self.end.outbox()?;
        self.answers.extend(entries.last().map(|last| Answer::Acknowledged(last.end())));
        Ok(())
    }

    fn poll_answer(&mut self) -> Result<Option<Answer>, ExchangeError> {
        Ok(self.answers.pop_front())
    }
}

/// The name of what stands for a log up to a place.
fn name_of(feed: Epoch, until: Offset) -> MessageId {
    let mut name = [0; MessageId::LEN];
    name[..8].copy_from_slice(feed.as_bytes());
    name[8..].copy_from_slice(&until.number().to_be_bytes());
    MessageId::from_bytes(name)
}

/// The place that a name says, if it is of this log.
fn place_in(feed: Epoch, name: &MessageId) -> Option<Offset> {
    let (of, place) = name.as_bytes().split_at(8);
    (of == feed.as_bytes()).then_some(())?;
    Some(Offset::new(u64::from_be_bytes(place.try_into().ok()?)))
}

#[cfg(test)]
mod tests {
    use iot_exchange::{Feedback, Keys, Role, queue_config};
    use iot_link::process::rng;
    use iot_queue::{Fate, Gap, GapCause, GapNotice, MemoryStorage, Queue};

    use super::*;

    #[test]
    fn what_is_acknowledged_to_the_log_is_there_after_a_power_cut() {
        let [keys, _] = Keys::draw(wall(), &mut rng().unwrap()).map(|file| Keys::parse(&file, wall()).unwrap());
        let open = |disks: [MemoryStorage; 2]| {
            let queues = disks.map(|disk| Queue::open(disk, queue_config(), [2; 8]).unwrap());
            let feedback = Feedback::Acknowledged { within: std::time::Duration::from_secs(1) };
            Reports::new(Endpoint::new(&keys, Role::Device, feedback, queues, rng().unwrap()).unwrap())
        };
        let (mut reports, feed) = (open([MemoryStorage::new(), MemoryStorage::new()]), Epoch::from_bytes([7; 8]));
        let resume = |mut reports: &mut Reports<'_, MemoryStorage>, feed| {
            reports.ask(feed).unwrap();
            reports.poll_answer().unwrap()
        };
        assert_eq!(resume(&mut reports, feed), Some(Answer::Resume(ResumePoint::Unknown)));
        for (from, until) in [(0, 121), (121, 242)] {
            let gap = Gap { from: Offset::new(from), until: Offset::new(until), cause: GapCause::Filtered };
            let mut sink = &mut reports;
            sink.send(&[Forwarded::Gap(GapNotice::unsigned(gap))]).unwrap();
            assert_eq!(sink.poll_answer().unwrap(), Some(Answer::Acknowledged(Offset::new(until))));
        }
        let mut reports = open(reports.end.into_queues().map(|queue| {
            let mut disk = queue.into_storage();
            disk.crash(|_| Fate::Lost);
            disk
        }));
        assert_eq!(resume(&mut reports, feed), Some(Answer::Resume(ResumePoint::From(Offset::new(242)))));
        // Of another log it knows nothing.
        let other = Epoch::from_bytes([8; 8]);
        assert_eq!(resume(&mut reports, other), Some(Answer::Resume(ResumePoint::Unknown)));
    }
}
