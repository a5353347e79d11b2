//! The sending half behind a broker that cannot be asked.

use iot_queue::sink::{Answer, Forwarded};
use iot_queue::{Epoch, Offset};

use crate::properties::Published;
use crate::reception::{Receipt, SINCE};

/// What a driver knows of the log that it publishes through a broker that cannot be asked, since the mirror's last question:
/// it makes messages of entries, and answers of the receipts that a [`Reception`](crate::Reception) gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outbound {
    feed: Epoch,
    /// Where the first entry begins that was sent since: the mirror begins behind what has arrived.
    since: Option<Offset>,
    /// The end of the last.
    sent: Offset,
}

impl Outbound {
    /// The log `feed`. Nothing of it was sent.
    pub const fn new(feed: Epoch) -> Self {
        Self { feed, since: None, sent: Offset::START }
    }

    /// The log.
    pub const fn feed(&self) -> Epoch {
        self.feed
    }

    /// The properties and the payload of the next entry, of a notice without the claim where it has more than `longest`
    /// octets. The entry counts as sent.
    pub fn publish(&mut self, entry: Forwarded, longest: usize) -> (Vec<(&'static str, String)>, Vec<u8>) {
        let since = *self.since.get_or_insert(entry.start());
        self.sent = entry.end();
        let mut properties = Published::properties(self.feed, &entry);
        properties.push((SINCE, since.to_string()));
        (properties, Published::payload(entry, longest))
    }

    /// What the payload of a message on the way back tells the mirror; nothing if it is no receipt, for then another program
    /// wrote it, or one of another log, or of what was sent before the question alone. A receiver may have more than was sent
    /// since, and the mirror hears of no more than it has sent.
    pub fn handle(&self, payload: &[u8]) -> Option<Answer> {
        let receipt: Receipt = std::str::from_utf8(payload).ok()?.parse().ok()?;
        self.since.filter(|&since| receipt.feed == self.feed && since < receipt.until)?;
        Some(Answer::Acknowledged(receipt.until.min(self.sent)))
    }
}

#[cfg(test)]
mod tests {
    use iot_queue::{Lane, Stored};

    use super::*;

    const FEED: Epoch = Epoch::from_bytes([1; 8]);

    fn message(number: u64) -> Forwarded {
        Forwarded::Message(Stored {
            offset: Offset::new(number),
            position: None,
            key: None,
            lane: Lane::NORMAL,
            id: None,
            payload: b"21.5".to_vec(),
        })
    }

    fn receipt(feed: Epoch, until: u64) -> Vec<u8> {
        Receipt { feed, until: Offset::new(until) }.to_string().into_bytes()
    }

    #[test]
    fn each_entry_says_where_the_first_began() {
        let mut outbound = Outbound::new(FEED);
        for number in [7, 8, 9] {
            let (properties, payload) = outbound.publish(message(number), 100);
            assert!(properties.contains(&(SINCE, "7".into())), "{properties:?}");
            assert_eq!(payload, b"21.5");
        }
    }

    #[test]
    fn a_receipt_acknowledges_no_more_than_was_sent() {
        let mut outbound = Outbound::new(FEED);
        assert_eq!(outbound.handle(&receipt(FEED, 8)), None);
        (7..10).for_each(|number| drop(outbound.publish(message(number), 100)));
        let heard = |until| outbound.handle(&receipt(FEED, until));
        assert_eq!(heard(7), None);
        assert_eq!(heard(8), Some(Answer::Acknowledged(Offset::new(8))));
        assert_eq!(heard(10), Some(Answer::Acknowledged(Offset::new(10))));
        assert_eq!(heard(11), Some(Answer::Acknowledged(Offset::new(10))));
        assert_eq!(outbound.handle(&receipt(Epoch::from_bytes([2; 8]), 8)), None);
        assert_eq!(outbound.handle(b"21.5"), None);
    }
}
