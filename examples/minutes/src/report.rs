//! What a gateway says of readings that it took: means, and what it left out.

use std::fmt;
use std::ops::Range;

use iot_codec::{cbor, record};
use iot_core::DeviceId;
use iot_queue::{Gap, GapNotice};

record! {
    /// The readings of a device in a minute. Should the minute have been split, there is another one.
    #[derive(Clone, Debug, PartialEq)]
    pub struct Mean {
        /// Whose.
        1 => pub device: [u8; 32],
        /// When it began, in seconds since the Unix epoch.
        2 => pub minute: u64,
        /// How many there were.
        3 => pub readings: u64,
        /// Their mean.
        4 => pub mean: f64,
        /// The least of them.
        5 => pub least: f64,
        /// The greatest.
        6 => pub most: f64,
    }
}

/// What one message of a gateway says.
#[derive(Clone, Debug, PartialEq)]
pub enum Report {
    /// What became of readings.
    Mean(Mean),
    /// Nothing came of these places. Each reading has two.
    LeftOut(Gap),
}

impl Report {
    /// Reads the payload of a message; nothing if no gateway made it.
    pub fn parse(payload: &[u8]) -> Option<Self> {
        match GapNotice::from_slice(payload) {
            Some(notice) => Some(Self::LeftOut(notice.gap)),
            None => cbor::from_slice(payload).ok().map(Self::Mean),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mean(Mean { device, minute, readings, mean, least, most }) => {
                let device = DeviceId::from_bytes(*device);
                write!(f, "{device},{minute},{mean:.3},{least},{most},{readings}")
            }
            Self::LeftOut(Gap { from, until, cause }) => write!(f, "# places {from}..{until}: {}", cause.name()),
        }
    }
}

/// What became of every place of a log of readings, as a gateway reports it: a mean stands for one place, a gap for all
/// of its own, and behind the last one nothing is said yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// How many means there are.
    pub means: u64,
    /// How many readings are in them.
    pub readings: u64,
    /// How many places were left out.
    pub left_out: u64,
    /// Places of which the gateway says nothing.
    pub unexplained: Vec<Range<u64>>,
    next: u64,
}

impl Account {
    /// Takes note of the next message of a gateway. One that says again what was said counts once.
    pub fn note(&mut self, report: &Report) {
        let (from, until) = match report {
            Report::Mean(mean) => {
                (self.means, self.readings) = (self.means + 1, self.readings + mean.readings);
                (self.next, self.next + 1)
            }
            Report::LeftOut(gap) => (gap.from.number(), gap.until.number()),
        };
        if self.next < from {
            self.unexplained.push(self.next..from);
        }
        if let Report::LeftOut(_) = report {
            self.left_out += until.saturating_sub(from.max(self.next));
        }
        self.next = self.next.max(until);
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { means, readings, left_out, unexplained, next } = self;
        write!(f, "# {means} means of {readings} readings; of {next} places {left_out} were left out, and ")?;
        let unexplained: u64 = unexplained.iter().map(|places| places.end - places.start).sum();
        write!(f, "{unexplained} are not accounted for")
    }
}

#[cfg(test)]
mod tests {
    use iot_queue::{GapCause, Offset};

    use super::*;

    fn gap(from: u64, until: u64) -> Report {
        Report::LeftOut(Gap { from: Offset::new(from), until: Offset::new(until), cause: GapCause::Filtered })
    }

    fn mean() -> Report {
        Report::Mean(Mean { device: [7; 32], minute: 120, readings: 60, mean: 20.25, least: -1.0, most: 21.0 })
    }

    #[test]
    fn what_is_said_comes_back() {
        let Report::Mean(said) = mean() else { unreachable!() };
        assert_eq!(Report::parse(&cbor::to_vec(&said)), Some(mean()));
        let notice = GapNotice::unsigned(Gap { from: Offset::START, until: Offset::new(9), cause: GapCause::Filtered });
        assert_eq!(Report::parse(&notice.to_vec()), Some(gap(0, 9)));
        assert_eq!(Report::parse(b"sample every 10 s"), None);
    }

    #[test]
    fn every_place_is_accounted_for_or_named() {
        let mut account = Account::default();
        for report in [gap(0, 121), mean(), gap(122, 241), mean(), gap(200, 250), gap(260, 270), gap(280, 290)] {
            account.note(&report);
        }
        let (left_out, unexplained) = (121 + 119 + 8 + 10 + 10, vec![250..260, 270..280]);
        let expected = Account { means: 2, readings: 120, left_out, unexplained, next: 290 };
        assert_eq!(account, expected);
        assert!(account.to_string().ends_with("of 290 places 268 were left out, and 20 are not accounted for"));
    }
}
