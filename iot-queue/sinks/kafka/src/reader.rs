//! Reading a partition.

use std::time::Duration;

use iot_queue_driven::{Dial, PropertyError, Published, Tcp};

use crate::connection::Connection;
use crate::error::KafkaError;
use crate::partition::Partition;
use crate::records::{self, Found};

/// A record of the partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consumed {
    /// Its offset in the partition.
    pub offset: i64,
    /// The entry that it is of, as an [`Intake`](iot_queue::sink::Intake) takes it.
    pub published: Result<Published, PropertyError>,
}

/// Reads a partition from an offset on: what the sink has written there, in order, and each once.
#[derive(Debug)]
pub struct PartitionReader<D: Dial = Tcp> {
    dial: D,
    partition: Partition,
    connection: Option<Connection<D::Stream>>,
    next: i64,
}

impl PartitionReader {
    /// Reads from `offset` on; from 0 is from the partition's first record. It connects when it is asked for records.
    pub fn new(partition: Partition, offset: i64) -> Self {
        Self::over(Tcp, partition, offset)
    }
}

impl<D: Dial> PartitionReader<D> {
    /// The same over connections that `dial` makes.
    pub fn over(dial: D, partition: Partition, offset: i64) -> Self {
        Self { dial, partition, connection: None, next: offset }
    }

    /// The next records, some 64 KiB of them; none when none came within `patience`. Fences are passed over.
    ///
    /// # Errors
    /// See [`KafkaError`]. The next call connects anew, and goes on where this one was.
    pub async fn read(&mut self, patience: Duration) -> Result<Vec<Consumed>, KafkaError> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => {
                let mut connection = self.partition.lead(&self.dial).await?;
                if self.next == 0 {
                    self.next = self.partition.earliest(&mut connection).await?;
                }
                connection
            }
        };
        let octets = self.partition.fetch(&mut connection, self.next, patience).await?;
        let found = records::read(&octets, self.next)?;
        self.connection = Some(connection);
        self.next = found.last().map_or(self.next, |(offset, _)| offset + 1);
        let records = found.into_iter().filter_map(|(offset, found)| {
            let published = match found {
                Found::Fence => return None,
                Found::Entry(published) => Ok(published),
                Found::Foreign(cause) => Err(cause),
            };
            Some(Consumed { offset, published })
        });
        Ok(records.collect())
    }

    /// The offset at which the next call reads.
    pub fn offset(&self) -> i64 {
        self.next
    }
}
