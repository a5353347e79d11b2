use iot_codec::cbor::{Encode, EncodeError, Output, Writer};
use iot_core::{Position, Topic};

use crate::Thumbprint;
use crate::cose::Algorithm;

/// What a message is: its topic, and where it stands among its source's messages. Signed and bound, not transmitted
/// twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heading<'a> {
    /// What the message is about.
    pub topic: Topic<'a>,
    /// Who wrote it, and as the how manieth of which stream.
    pub position: Position,
}

/// The external data of the signature of a message: under which heading it was made, and for whom. So a reader cannot
/// pass a signed message on as if it had been meant for another, and nobody can move one to another topic or place, or
/// pass one that was sealed for one that was not.
///
/// ```cddl
/// sealed = [context: "iot sealed 1", algorithm: int, reader: bstr .size 32, heading]
/// signed = [context: "iot signed 1", routing: bstr, heading]
/// heading = (topic: tstr, source: bstr .size 32, stream: uint, incarnation: bstr .size 8, sequence: uint)
/// ```
pub(crate) struct Binding<'a> {
    pub(crate) audience: Audience<'a>,
    pub(crate) heading: &'a Heading<'a>,
}

/// For whom a message is.
#[derive(Clone, Copy)]
pub(crate) enum Audience<'a> {
    /// Whoever has the key of this thumbprint; or, of several readers, the keys whose thumbprints have this hash.
    Readers { algorithm: Algorithm, hash: [u8; 32] },
    /// Everybody. The signature covers the routing header itself, because no cipher does.
    Everybody { routing: &'a [u8] },
}

impl Audience<'_> {
    /// One reader, by the thumbprint of its key.
    pub(crate) const fn of_reader(algorithm: Algorithm, thumbprint: &Thumbprint) -> Self {
        Self::Readers { algorithm, hash: *thumbprint.as_bytes() }
    }
}

impl Encode for Binding<'_> {
    fn encode<O: Output>(&self, writer: &mut Writer<O>) -> Result<(), EncodeError> {
        let (audience, heading) = (self.audience, *self.heading);
        #[cfg(iot_fault)]
        let (audience, heading) = weakened(audience, heading);
        match audience {
            Audience::Readers { algorithm, hash } => {
                writer.array(8)?;
                writer.text("iot sealed 1")?;
                writer.int(algorithm.number())?;
                writer.bytes(&hash)?;
            }
            Audience::Everybody { routing } => {
                writer.array(7)?;
                writer.text("iot signed 1")?;
                writer.bytes(routing)?;
            }
        }
        let position = &heading.position;
        writer.text(heading.topic.as_str())?;
        writer.bytes(position.source.as_bytes())?;
        writer.unsigned(position.stream.number().into())?;
        writer.bytes(position.incarnation.as_bytes())?;
        writer.unsigned(position.sequence)
    }
}

/// What is bound while checks are switched off: the same for every reader, form, topic or position.
#[cfg(iot_fault)]
fn weakened<'a>(mut audience: Audience<'a>, mut heading: Heading<'a>) -> (Audience<'a>, Heading<'a>) {
    use crate::fault::{Check, is_off};
    if let (Audience::Readers { hash, .. }, true) = (&mut audience, is_off(Check::ReceiverBinding)) {
        *hash = [0; 32];
    }
    if is_off(Check::FormBinding) {
        audience = Audience::Everybody { routing: &[] };
    }
    if is_off(Check::TopicBinding) {
        heading.topic = Topic::new("any").expect("it is a topic");
    }
    if is_off(Check::PositionBinding) {
        let source = iot_core::DeviceId::from_bytes([0; 32]);
        let incarnation = iot_core::Incarnation::from_bytes([0; 8]);
        heading.position = Position { source, stream: iot_core::StreamId::new(0), incarnation, sequence: 0 };
    }
    (audience, heading)
}
