//! Where logs go through a broker: its exchanges and queues.

use amqprs::channel::{
    BasicPublishArguments, Channel, ExchangeDeclareArguments, ExchangeType, QueueBindArguments, QueueDeclareArguments,
};
use amqprs::error::Error;
use amqprs::{FieldTable, FieldValue};
use iot_queue::Epoch;
use iot_queue_driven::hexadecimal;

use crate::broker::{Broker, short};
use crate::error::AmqpError;

/// Octets of the longest name: AMQP has 255, and ours are parts of longer ones.
const LONGEST_NAME: usize = 200;

/// Where a broker is, and through which of its queues logs go:
///
/// | exchange | queue | what is in it |
/// | --- | --- | --- |
/// | `NAME.entries`, direct | `NAME.entries`, bound by `entries` | the entries of all logs |
/// | `NAME.receipts`, direct | one for each gateway's connection, bound by the epoch of its log in hexadecimal | the receipts |
/// | `NAME.dead`, fanout | `NAME.dead` | what the receiver refused |
///
/// Gateways may share a name.
#[derive(Clone, Debug)]
pub struct Route {
    broker: Broker,
    name: String,
    max_waiting: u32,
    max_dead: u32,
}

impl Route {
    /// The routes `name` of the broker at `host`, a name or an address.
    ///
    /// # Errors
    /// If the name has more than 200 octets.
    pub fn new(host: impl Into<String>, port: u16, name: impl Into<String>) -> Result<Self, AmqpError> {
        let (broker, name) = (Broker::new(host, port), short(name.into(), LONGEST_NAME)?);
        Ok(Self { broker, name, max_waiting: 100_000, max_dead: 10_000 })
    }

    /// The user that the broker knows; by default `guest`, with that as the password.
    #[must_use]
    pub fn login(self, user: impl Into<String>, password: impl Into<String>) -> Self {
        Self { broker: self.broker.login(user, password), ..self }
    }

    /// The broker's virtual host; by default `/`.
    ///
    /// # Errors
    /// If its name has more than 255 octets.
    pub fn virtual_host(self, name: impl Into<String>) -> Result<Self, AmqpError> {
        Ok(Self { broker: self.broker.virtual_host(name)?, ..self })
    }

    /// How many entries may wait for the receiver, by default 100,000: beyond, the broker refuses what gateways publish, and
    /// they come again later. The receiver says so to the broker when it makes the queue.
    #[must_use]
    pub fn max_waiting(self, entries: u32) -> Self {
        Self { max_waiting: entries, ..self }
    }

    /// How many dead letters the broker keeps, by default 10,000: beyond, it drops the oldest. The receiver says so to the
    /// broker when it makes the queue.
    #[must_use]
    pub fn max_dead(self, letters: u32) -> Self {
        Self { max_dead: letters, ..self }
    }

    /// Where all of it is.
    pub(crate) const fn broker(&self) -> &Broker {
        &self.broker
    }

    /// The queue of entries.
    pub(crate) fn entries(&self) -> String {
        format!("{}.entries", self.name)
    }

    fn receipts(&self) -> String {
        format!("{}.receipts", self.name)
    }

    fn dead(&self) -> String {
        format!("{}.dead", self.name)
    }

    /// To the queue of entries. What finds none is to come back.
    pub(crate) fn to_entries(&self) -> BasicPublishArguments {
        BasicPublishArguments::new(&self.entries(), ENTRIES).mandatory(true).finish()
    }

    /// To whoever publishes the log `feed`. Where nobody does now, receipts are for nobody.
    pub(crate) fn to_publisher(&self, feed: Epoch) -> BasicPublishArguments {
        BasicPublishArguments::new(&self.receipts(), &hexadecimal(feed.as_bytes()))
    }

    /// How many entries wait in their queue, and how many take them out.
    pub(crate) async fn waiting(&self, channel: &Channel) -> Result<(u32, u32), Error> {
        let look = QueueDeclareArguments::new(&self.entries()).passive(true).finish();
        Ok(channel.queue_declare(look).await?.map_or((0, 0), |(_, entries, receivers)| (entries, receivers)))
    }

    /// Makes a queue for the receipts of the log `feed`, which goes with the connection, and gives its name.
    pub(crate) async fn make_receipts(&self, channel: &Channel, feed: Epoch) -> Result<String, Error> {
        let made = channel.queue_declare(QueueDeclareArguments::exclusive_server_named()).await?;
        let (queue, ..) = made.ok_or_else(|| Error::ChannelUseError("the queue has no name".into()))?;
        let bound = QueueBindArguments::new(&queue, &self.receipts(), &hexadecimal(feed.as_bytes()));
        channel.queue_bind(bound).await?;
        Ok(queue)
    }

    /// Makes what the receiver needs, as far as it is not there.
    pub(crate) async fn make_queues(&self, channel: &Channel) -> Result<(), Error> {
        let (entries, receipts, dead) = (self.entries(), self.receipts(), self.dead());
        let exchanges =
            [(&entries, ExchangeType::Direct), (&receipts, ExchangeType::Direct), (&dead, ExchangeType::Fanout)];
        for (name, kind) in exchanges {
            channel.exchange_declare(ExchangeDeclareArguments::of_type(name, kind).durable(true).finish()).await?;
        }
        let waiting = [
            ("x-max-length", FieldValue::l(self.max_waiting.into())),
            ("x-overflow", "reject-publish".into()),
            ("x-dead-letter-exchange", dead.as_str().into()),
            // A second receiver stands by: two at once would each see half.
            ("x-single-active-consumer", true.into()),
        ];
        let letters = [("x-max-length", FieldValue::l(self.max_dead.into()))];
        make_queue(channel, &entries, ENTRIES, table(waiting)?).await?;
        make_queue(channel, &dead, "", table(letters)?).await
    }
}

/// How entries are bound to their queue.
const ENTRIES: &str = "entries";

/// Makes a queue bound to the exchange of the same name.
async fn make_queue(channel: &Channel, name: &str, binding: &str, arguments: FieldTable) -> Result<(), Error> {
    channel.queue_declare(QueueDeclareArguments::durable_client_named(name).arguments(arguments).finish()).await?;
    channel.queue_bind(QueueBindArguments::new(name, name, binding)).await
}

fn table<const COUNT: usize>(fields: [(&str, FieldValue); COUNT]) -> Result<FieldTable, Error> {
    let mut table = FieldTable::new();
    for (name, value) in fields {
        table.insert(name.try_into().map_err(|_| Error::ChannelUseError(name.into()))?, value);
    }
    Ok(table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_too_long_are_refused() {
        let refused = Route::new("127.0.0.1", 5672, "n".repeat(201));
        assert!(matches!(refused, Err(AmqpError::NameTooLong { len: 201, longest: 200 })), "{refused:?}");
        let route = Route::new("127.0.0.1", 5672, "n".repeat(200)).expect("it is as long as it may be");
        let refused = route.clone().virtual_host("h".repeat(256));
        assert!(matches!(refused, Err(AmqpError::NameTooLong { len: 256, longest: 255 })), "{refused:?}");
        // The client has no error for a name that does not fit: making what is sent must not panic.
        let route = route.virtual_host("h".repeat(255)).expect("it is as long as it may be");
        assert_eq!(route.to_entries().exchange.len(), 208);
        assert_eq!(route.broker().connection().get_virtual_host().len(), 255);
    }
}
