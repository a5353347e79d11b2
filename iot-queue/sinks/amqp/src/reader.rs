//! The receiver's end.

use amqprs::channel::{
    BasicAckArguments, BasicConsumeArguments, BasicNackArguments, BasicQosArguments, BasicRejectArguments,
    ConsumerMessage,
};
use iot_queue_driven::{Delivery, Inbound, PropertyError, Receipt};
use tokio::sync::mpsc::UnboundedReceiver;

use crate::confirmed::{ConfirmedChannel, Said};
use crate::error::AmqpError;
use crate::message::{header, properties_of};
use crate::route::Route;

/// Messages that the broker hands out before it hears what became of the first.
const PREFETCH: u16 = 1024;

/// The receiver's end of a [`Route`]: all logs that are published there. It makes the exchanges and the queues.
pub struct QueueReader {
    route: Route,
    taking: Option<Taking>,
}

/// A connection, and what came over it.
struct Taking {
    session: ConfirmedChannel,
    arriving: UnboundedReceiver<ConsumerMessage>,
    /// The number of the last message that was handed out, while the broker has not heard what became of it and those before.
    handed_out: Option<u64>,
    /// The numbers of messages that are none of a log.
    refused: Vec<u64>,
}

/// What becomes of the entries that were handed out.
enum Fate {
    Stored,
    GivenBack,
}

impl QueueReader {
    /// Connects when it is asked for what came.
    pub fn new(route: Route) -> Self {
        Self { route, taking: None }
    }
}

impl Inbound for QueueReader {
    type Error = AmqpError;

    async fn read(&mut self) -> Result<Vec<Result<Delivery, PropertyError>>, AmqpError> {
        let taking = match &mut self.taking {
            Some(taking) => taking,
            none => none.insert(Taking::open(&self.route).await?),
        };
        // What nobody has spoken for was not stored.
        let came = match taking.settle(Fate::GivenBack).await {
            Ok(()) => taking.take().await,
            Err(error) => Err(error),
        };
        if came.is_err() {
            self.taking = None;
        }
        came
    }

    async fn answer(&mut self, receipts: &[Receipt]) -> Result<(), AmqpError> {
        let Some(taking) = &mut self.taking else { return Err(AmqpError::Disconnected) };
        let said = async {
            for receipt in receipts {
                let (to, text) = (self.route.to_publisher(receipt.feed), receipt.to_string().into_bytes());
                let published = taking.session.channel().basic_publish(properties_of(&[]), text, to).await;
                published.map_err(|_| AmqpError::Disconnected)?;
            }
            taking.settle(Fate::Stored).await
        };
        let said = said.await;
        if said.is_err() {
            self.taking = None;
        }
        said
    }
}

impl Taking {
    async fn open(route: &Route) -> Result<Self, AmqpError> {
        let mut session = ConfirmedChannel::open(route.broker(), route.entries()).await?;
        let channel = session.channel().clone();
        session.call("the queues", route.make_queues(&channel)).await?;
        session.call("so many at a time", channel.basic_qos(BasicQosArguments::new(0, PREFETCH, false))).await?;
        let consume = BasicConsumeArguments::new(&route.entries(), "");
        let (_, arriving) = session.call("the entries", channel.basic_consume_rx(consume)).await?;
        Ok(Self { session, arriving, handed_out: None, refused: Vec::new() })
    }

    /// Waits for messages. Nothing is lost when that is given up.
    async fn take(&mut self) -> Result<Vec<Result<Delivery, PropertyError>>, AmqpError> {
        let first = loop {
            tokio::select! {
                biased;
                said = self.session.hear() => match said? {
                    // Of receipts nothing needs to be known: senders send again what they have none for.
                    Said::Confirmed { .. } | Said::NotTaken => {}
                    Said::NoQueue => return Err(self.session.no_queue()),
                    Said::Closed { code, reason } => return Err(self.session.closed("the entries", code, reason)),
                },
                message = self.arriving.recv() => break message.ok_or(AmqpError::Disconnected)?,
            }
        };
        let (mut came, mut next) = (Vec::new(), Some(first));
        while let Some(message) = next {
            let number = message.deliver.map_or(0, |deliver| deliver.delivery_tag());
            let properties = message.basic_properties.unwrap_or_default();
            let delivery = Delivery::read(|name| header(&properties, name), message.content.unwrap_or_default());
            match &delivery {
                Ok(_) => self.handed_out = Some(number),
                Err(_) => self.refused.push(number),
            }
            came.push(delivery);
            next = self.arriving.try_recv().ok();
        }
        Ok(came)
    }

    /// Tells the broker what became of what it has handed out: what is of no log it is to put among the dead letters.
    async fn settle(&mut self, fate: Fate) -> Result<(), AmqpError> {
        let channel = self.session.channel().clone();
        while let Some(&number) = self.refused.last() {
            let told = channel.basic_reject(BasicRejectArguments::new(number, false)).await;
            told.map_err(|_| AmqpError::Disconnected)?;
            self.refused.pop();
        }
        if let Some(number) = self.handed_out {
            let told = match fate {
                Fate::Stored => channel.basic_ack(BasicAckArguments::new(number, true)).await,
                Fate::GivenBack => channel.basic_nack(BasicNackArguments::new(number, true, true)).await,
            };
            told.map_err(|_| AmqpError::Disconnected)?;
            self.handed_out = None;
        }
        Ok(())
    }
}
