/// How far a message has come, in words that name who says so and what it proves.
///
/// A broker's acknowledgement is [`HandedOver`](Self::HandedOver), however durable the broker claims to be. Only the
/// receiver makes a message [`Acknowledged`](Self::Acknowledged) or [`Rejected`](Self::Rejected), and only those two
/// are [final](Self::is_final).
///
/// ```
/// use iot_core::Delivery;
///
/// let mut delivery = Delivery::Queued;
/// delivery = delivery.advance(Delivery::Acknowledged);
/// // The broker's word comes late, and changes nothing.
/// delivery = delivery.advance(Delivery::HandedOver);
/// assert_eq!(delivery, Delivery::Acknowledged);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Delivery {
    /// The sender's own storage says: the message is on it, and survives what that storage promises to survive. Nobody
    /// owes its delivery yet.
    Stored,
    /// A queue on the sender's side says: the message has a place in its order, and the queue owes its delivery. It is
    /// as durable as that queue's settings.
    Queued,
    /// The next hop says (a broker, a DHT node, a gateway): it took the message. Proves nothing about the receiver, and
    /// the hop may still lose it, so the sender keeps its copy.
    HandedOver,
    /// The receiver says, by position and over an authentic channel: it verified the message and recorded it. The
    /// sender may delete its copy.
    Acknowledged,
    /// The receiver says, by position and over an authentic channel: it will never accept the message. Sending it again
    /// does not help. (A hop that refuses a message rejects nothing: it stays queued.)
    Rejected,
}

impl Delivery {
    /// The state after a report: the further of the two, because reports come late and out of order.
    ///
    /// A final state stays: of two contradicting words of the receiver the first one stands.
    #[must_use]
    pub const fn advance(self, report: Self) -> Self {
        if report.rank() > self.rank() { report } else { self }
    }

    /// Whether the receiver has spoken, so that nothing more will happen to the message.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Acknowledged | Self::Rejected)
    }

    /// Acknowledged and rejected are equally far, so there is no total order to derive.
    const fn rank(self) -> u8 {
        match self {
            Self::Stored => 0,
            Self::Queued => 1,
            Self::HandedOver => 2,
            Self::Acknowledged | Self::Rejected => 3,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Delivery::{self, Acknowledged, HandedOver, Queued, Rejected, Stored};

    const ALL: [Delivery; 5] = [Stored, Queued, HandedOver, Acknowledged, Rejected];

    #[test]
    fn a_final_state_stays_whatever_is_reported() {
        for state in [Acknowledged, Rejected] {
            assert!(state.is_final());
            assert!(ALL.iter().all(|&report| state.advance(report) == state));
        }
    }

    #[test]
    fn a_late_report_does_not_set_a_message_back() {
        for (index, &state) in [Stored, Queued, HandedOver].iter().enumerate() {
            assert!(!state.is_final());
            for (at, &report) in ALL.iter().enumerate() {
                assert_eq!(state.advance(report), if at > index { report } else { state });
            }
        }
    }

    #[test]
    fn the_order_of_reports_does_not_matter_unless_the_receiver_contradicts_itself() {
        for first in ALL {
            for second in ALL {
                let contradiction = first.is_final() && second.is_final() && first != second;
                assert_eq!(first.advance(second) == second.advance(first), !contradiction);
            }
        }
    }
}
