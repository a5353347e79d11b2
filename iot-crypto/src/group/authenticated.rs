use core::fmt;

use iot_core::Freshness;

use super::Group;
use super::epoch::Leaf;
use crate::Heading;

/// A message that some member of the group wrote. It is no [`Verified`](crate::Verified) message and cannot be made one
/// without the signature of its publisher over a [batch](super::SignedBatch): each member has the key with which all
/// write, and can write in the name of another.
///
/// It was not accepted before. There is one of each, to be spent once on
/// [`SignedBatch::confirm`](super::SignedBatch::confirm).
///
/// What takes a `Verified` message does not take it:
///
/// ```compile_fail,E0308
/// use iot_crypto::{Verified, group::GroupAuthenticated};
///
/// fn act(_: &Verified<'_>) {}
///
/// fn on_message(opened: GroupAuthenticated<'_>) {
///     act(&opened);
/// }
/// ```
#[must_use]
#[derive(Debug)]
pub struct GroupAuthenticated<'m> {
    pub(super) opened: Unconfirmed<'m>,
    pub(super) freshness: Freshness,
}

impl<'m> GroupAuthenticated<'m> {
    /// What somebody in the group wrote.
    pub const fn payload(&self) -> &'m [u8] {
        self.opened.payload
    }

    /// The topic and the position, **as whoever wrote it claims**: it may be any member of the epoch, or one that was
    /// given its key later.
    pub const fn claimed(&self) -> &Heading<'m> {
        &self.opened.heading
    }

    /// The group.
    pub const fn group(&self) -> &Group {
        &self.opened.group
    }

    /// The epoch. Who had left before it did not write this.
    pub const fn epoch(&self) -> u64 {
        self.opened.epoch
    }

    /// Whether positions of the claimed source are known to be current.
    pub const fn freshness(&self) -> Freshness {
        self.freshness
    }
}

/// A message that some member of the group wrote, and which waits for the signature of its publisher
/// ([`SignedBatch::accept`](super::SignedBatch::accept)). Until then its payload is not to be had and its position is
/// not remembered, so that a member who forges another does not keep the genuine message out.
#[must_use]
pub struct Unconfirmed<'m> {
    pub(super) payload: &'m [u8],
    pub(super) heading: Heading<'m>,
    pub(super) group: Group,
    pub(super) epoch: u64,
    pub(super) leaf: Leaf,
}

impl<'m> Unconfirmed<'m> {
    /// The topic and the position, **as whoever wrote it claims**.
    pub const fn claimed(&self) -> &Heading<'m> {
        &self.heading
    }

    /// The group.
    pub const fn group(&self) -> &Group {
        &self.group
    }

    /// The epoch.
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }
}

impl fmt::Debug for Unconfirmed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unconfirmed")
            .field("heading", &self.heading)
            .field("group", &self.group)
            .field("epoch", &self.epoch)
            .finish_non_exhaustive()
    }
}
