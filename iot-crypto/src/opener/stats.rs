use super::{OpenError, ReplayError};

/// What an [`Opener`](super::Opener) has made of the messages that it was given, since it was made. Each message is
/// counted once. A counter stays at its highest number rather than to begin anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct OpenerStats {
    /// Opened and verified.
    pub opened: u64,
    /// Octets that are no message of these formats.
    pub malformed: u64,
    /// Sealed to keys that this reader does not have.
    pub not_for_us: u64,
    /// Signed with keys that the directory does not know.
    pub unknown_senders: u64,
    /// Altered, forged or moved: what decryption, the signature, or the source and the topic of the header refuse.
    pub forged: u64,
    /// Not what the policy demands.
    pub unwanted: u64,
    /// At positions that were accepted before.
    pub repeated: u64,
    /// At positions that lie too far back to know.
    pub too_old: u64,
    /// Refused because the memory of positions is full. More room would have opened them.
    pub no_room: u64,
    /// Not opened for a reason on this side: a short scratch, a missing topic, or a key whose holder did not agree.
    pub failed_here: u64,
}

impl OpenerStats {
    pub(super) const NONE: Self = Self {
        opened: 0,
        malformed: 0,
        not_for_us: 0,
        unknown_senders: 0,
        forged: 0,
        unwanted: 0,
        repeated: 0,
        too_old: 0,
        no_room: 0,
        failed_here: 0,
    };

    /// All that were refused or failed.
    pub const fn refused(&self) -> u64 {
        let by_others = self.malformed.saturating_add(self.not_for_us).saturating_add(self.unknown_senders);
        let by_checks = self.forged.saturating_add(self.unwanted).saturating_add(self.repeated);
        let by_memory = self.too_old.saturating_add(self.no_room).saturating_add(self.failed_here);
        by_others.saturating_add(by_checks).saturating_add(by_memory)
    }

    pub(super) fn count<T>(&mut self, opened: &Result<T, OpenError>) {
        let counter = match opened {
            Ok(_) => &mut self.opened,
            Err(refused) => self.counter_of(refused),
        };
        *counter = counter.saturating_add(1);
    }

    fn counter_of(&mut self, refused: &OpenError) -> &mut u64 {
        match refused {
            OpenError::Routing(_)
            | OpenError::Cose(_)
            | OpenError::NoKeyId
            | OpenError::NoEncapsulatedKey
            | OpenError::ReaderOrder
            | OpenError::ForeignRecipient
            | OpenError::Padding => &mut self.malformed,
            OpenError::OtherReader(_) => &mut self.not_for_us,
            OpenError::UnknownSender(_) => &mut self.unknown_senders,
            OpenError::Decryption
            | OpenError::Commitment
            | OpenError::Signature(_)
            | OpenError::OtherSource { .. }
            | OpenError::OtherTopic => &mut self.forged,
            OpenError::Policy(_) => &mut self.unwanted,
            OpenError::Replay(ReplayError::Repeated) => &mut self.repeated,
            OpenError::Replay(ReplayError::TooOld) => &mut self.too_old,
            OpenError::Replay(ReplayError::Full) => &mut self.no_room,
            OpenError::Agreement(_) | OpenError::NoTopic | OpenError::Buffer(_) => &mut self.failed_here,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AgreementError, SignatureError};

    #[test]
    fn each_refusal_is_counted_once_where_it_belongs() {
        let mut stats = OpenerStats::default();
        for refused in [
            OpenError::NoKeyId,
            OpenError::Decryption,
            OpenError::Signature(SignatureError),
            OpenError::Replay(ReplayError::Repeated),
            OpenError::Replay(ReplayError::Full),
            OpenError::Agreement(AgreementError),
        ] {
            stats.count::<()>(&Err(refused));
        }
        stats.count(&Ok(()));
        let expected = OpenerStats {
            opened: 1,
            malformed: 1,
            forged: 2,
            repeated: 1,
            no_room: 1,
            failed_here: 1,
            ..OpenerStats::default()
        };
        assert_eq!(stats, expected);
        assert_eq!(stats.refused(), 6);
    }

    #[test]
    fn a_counter_stays_at_its_end() {
        let mut stats = OpenerStats { forged: u64::MAX, unwanted: 1, ..OpenerStats::default() };
        stats.count::<()>(&Err(OpenError::Decryption));
        assert_eq!((stats.forged, stats.refused()), (u64::MAX, u64::MAX));
    }
}
