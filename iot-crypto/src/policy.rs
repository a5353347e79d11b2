use iot_core::{DeviceId, Freshness, Topic, TopicFilter};

use crate::{Proof, Strength, Suite, Verified};

/// What a reader demands of a message beyond its being genuine.
///
/// An [`Opener`](crate::Opener) applies it to what it opens, each demand as early as it can be judged. For what an
/// opener of [streams](crate::stream) makes, [`check`](Self::check) applies it afterwards.
///
/// ```
/// use iot_core::{Freshness, TopicFilter};
/// use iot_crypto::{Policy, Strength};
///
/// let policy = Policy::new()
///     .topics(TopicFilter::new("plant/7/#")?)
///     .at_least(Strength::Sealed)
///     .fresh(Freshness::Proven);
/// # Ok::<(), iot_core::TopicFilterError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Policy<'p> {
    floor: Strength,
    senders: Option<&'p [DeviceId]>,
    topics: Option<TopicFilter<'p>>,
    proof: Proof,
    freshness: Freshness,
}

/// What a policy refused. The message may be genuine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// Its suite is below the floor, of the policy or of the sender.
    #[error("the suite {name} is below the floor", name = found.row().name)]
    Suite {
        /// The suite of the message.
        found: Suite,
        /// The floor.
        floor: Strength,
    },
    /// Its sender is not one of those that are expected.
    #[error("the sender {found} is not expected")]
    Sender {
        /// Who sent it.
        found: DeviceId,
    },
    /// Its topic does not match the filter.
    #[error("the topic does not match the filter")]
    Topic,
    /// A stronger proof of who wrote it is demanded.
    #[error("the proof is too weak")]
    Proof {
        /// The proof of the message.
        found: Proof,
    },
    /// It may be a replay from before the memory of this reader.
    #[error("the message is not proven to be fresh")]
    Freshness,
}

impl<'p> Policy<'p> {
    /// Demands that messages are sealed, and nothing else.
    pub const fn new() -> Self {
        Self {
            floor: Strength::Sealed,
            senders: None,
            topics: None,
            proof: Proof::PairwiseKey,
            freshness: Freshness::Unproven,
        }
    }

    /// Demands a suite of at least this strength. Default: [`Strength::Sealed`]; [`Strength::Signed`] also admits what
    /// anybody can read. A [`Directory`](crate::Directory) can demand more of a peer, not less.
    #[must_use]
    pub const fn at_least(mut self, floor: Strength) -> Self {
        self.floor = floor;
        self
    }

    /// Expects these senders alone. Default: whomever the [`Directory`](crate::Directory) knows.
    #[must_use]
    pub const fn senders(mut self, senders: &'p [DeviceId]) -> Self {
        self.senders = Some(senders);
        self
    }

    /// Expects topics that match this filter. Default: any.
    #[must_use]
    pub const fn topics(mut self, topics: TopicFilter<'p>) -> Self {
        self.topics = Some(topics);
        self
    }

    /// Demands a proof at least as strong. Default: [`Proof::PairwiseKey`], the weakest; [`Proof::Signature`] refuses
    /// messages of streams.
    #[must_use]
    pub const fn proof(mut self, proof: Proof) -> Self {
        self.proof = proof;
        self
    }

    /// Demands a freshness at least as strong. Default: [`Freshness::Unproven`]. With [`Freshness::Proven`] a message
    /// is refused, and not remembered, until its source has answered a challenge.
    #[must_use]
    pub const fn fresh(mut self, freshness: Freshness) -> Self {
        self.freshness = freshness;
        self
    }

    /// Applies all demands but the floor to a message that was verified: one of a stream has no suite of this crate's
    /// table, being agreed between its two ends. The floor was applied to the message that opened the stream; what
    /// came out of a session is as strong as [`Strength::Sealed`].
    ///
    /// # Errors
    ///
    /// [`PolicyError`].
    pub fn check(&self, message: &Verified<'_>) -> Result<(), PolicyError> {
        self.check_topic(&message.heading().topic)?;
        self.check_sender(&message.position().source)?;
        self.check_proof(message.proof())?;
        self.check_freshness(message.freshness())
    }

    /// The floor is the higher one of the policy's and of what is demanded of this peer.
    pub(crate) fn check_suite(&self, found: Suite, of_peer: Strength) -> Result<(), PolicyError> {
        #[cfg(iot_fault)]
        if crate::fault::is_off(crate::fault::Check::Floor) {
            return Ok(());
        }
        let floor = self.floor.max(of_peer);
        if found.strength() >= floor { Ok(()) } else { Err(PolicyError::Suite { found, floor }) }
    }

    pub(crate) fn check_topic(&self, topic: &Topic<'_>) -> Result<(), PolicyError> {
        let matches = self.topics.is_none_or(|filter| filter.matches(topic));
        if matches { Ok(()) } else { Err(PolicyError::Topic) }
    }

    pub(crate) fn check_sender(&self, found: &DeviceId) -> Result<(), PolicyError> {
        let is_expected = self.senders.is_none_or(|senders| senders.contains(found));
        if is_expected { Ok(()) } else { Err(PolicyError::Sender { found: *found }) }
    }

    pub(crate) fn check_proof(&self, found: Proof) -> Result<(), PolicyError> {
        #[cfg(iot_fault)]
        if crate::fault::is_off(crate::fault::Check::Proof) {
            return Ok(());
        }
        if found >= self.proof { Ok(()) } else { Err(PolicyError::Proof { found }) }
    }

    pub(crate) fn check_freshness(&self, found: Freshness) -> Result<(), PolicyError> {
        #[cfg(iot_fault)]
        if crate::fault::is_off(crate::fault::Check::Freshness) {
            return Ok(());
        }
        if found >= self.freshness { Ok(()) } else { Err(PolicyError::Freshness) }
    }
}

impl Default for Policy<'_> {
    fn default() -> Self {
        Self::new()
    }
}
