//! The loop that receives what came through a broker.

use std::error::Error;
use std::future::Future;
use std::time::Duration;

use iot_queue::shared::{Clock, SharedQueue};
use iot_queue::{CommitError, Storage};

use crate::properties::PropertyError;
use crate::reception::{Delivery, Receipt, Reception, ReceptionError};

/// How long to wait after a failure, first and at the most.
const WAITS: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));

/// The receiver's end of a broker.
pub trait Inbound {
    /// Why the broker cannot be reached.
    type Error: Error;

    /// What came, as soon as something did. It connects where it has to. May be given up at any time.
    ///
    /// # Errors
    /// When the connection is lost, or none can be made. The next call makes another one.
    fn read(&mut self) -> impl Future<Output = Result<Vec<Result<Delivery, PropertyError>>, Self::Error>> + Send;

    /// Sends receipts for what was read, and stored.
    ///
    /// # Errors
    /// When the connection is lost. Nothing else is: senders send again what they have no receipt for.
    fn answer(&mut self, receipts: &[Receipt]) -> impl Future<Output = Result<(), Self::Error>> + Send;
}

/// Takes what comes into `queue`, which it commits each time, and sends receipts, until a commit fails or the task is dropped.
/// Whoever opened `queue` has called [`Reception::recover`].
///
/// That the broker cannot be reached, or that the queue is full, is no failure: it waits, up to five seconds, and comes
/// again; what came is left to its senders. `failed` hears of it each time, and of each message that is of no log.
pub async fn receive<S: Storage, C: Clock, I: Inbound>(
    queue: &SharedQueue<S, C>,
    reception: &mut Reception,
    inbound: &mut I,
    mut failed: impl FnMut(ReceiveFailure<I::Error>),
) -> CommitError {
    let mut wait = WAITS.0;
    loop {
        let came = inbound.read().await;
        let failure = match came {
            Ok(came) => {
                wait = WAITS.0;
                for delivery in came {
                    match delivery {
                        Ok(delivery) => reception.handle(delivery),
                        Err(error) => failed(ReceiveFailure::Foreign(error)),
                    }
                }
                match queue.with(|queue, _| reception.store(queue)) {
                    Ok(receipts) => inbound.answer(&receipts).await.err().map(ReceiveFailure::Broker),
                    Err(ReceptionError::Commit(error)) => return error,
                    Err(error) => Some(ReceiveFailure::Storing(error)),
                }
            }
            Err(error) => Some(ReceiveFailure::Broker(error)),
        };
        if let Some(failure) = failure {
            failed(failure);
            tokio::time::sleep(wait).await;
            wait = WAITS.1.min(wait * 2);
        }
    }
}

/// What went wrong while receiving, and did not end it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReceiveFailure<E> {
    /// The broker cannot be reached.
    #[error("the broker cannot be reached")]
    Broker(#[source] E),
    /// The queue does not take what came: it is full.
    #[error("what came is not stored")]
    Storing(#[source] ReceptionError),
    /// Another program has published a message, which is passed over.
    #[error("a message is of no log")]
    Foreign(#[source] PropertyError),
}
