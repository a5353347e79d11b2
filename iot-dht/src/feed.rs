//! A feed: an endless sequence of messages, cut into records.
//!
//! The owner signs three kinds of record. A *segment* holds messages; once it is closed it never changes. The *head* says
//! which segments exist, names the latest by their hashes, and promises when it will be renewed. Each time sixteen segments have come
//! together, a *page* takes their hashes over from the head, and names the page before it, so that from a head of
//! bounded size every segment that is still alive can be found and checked.

mod format;
mod gap;
mod keeper;
mod publisher;
mod reader;
mod sources;

pub use crate::feed::gap::{Gap, Numbers};
pub use crate::feed::keeper::{Keep, Keeper};
pub use crate::feed::publisher::{Place, Publisher, PublisherConfig, PushError, RestoreError, SealError};
pub use crate::feed::reader::{
    Cursor, Fetch, FetchId, Fetched, Fork, Item, OwnerOnly, Reader, ReaderConfig, ReaderStats,
};
pub use crate::feed::sources::{SourceId, Sources, TooManySources};
