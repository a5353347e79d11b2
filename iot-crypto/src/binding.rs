use iot_codec::cbor::{Encode, EncodeError, Output, Writer};
use iot_core::{Position, Topic};

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

impl Encode for Binding<'_> {
    fn encode<O: Output>(&self, writer: &mut Writer<O>) -> Result<(), EncodeError> {
        match &self.audience {
            Audience::Readers { algorithm, hash } => {
                writer.array(8)?;
                writer.text("iot sealed 1")?;
                writer.int(algorithm.number())?;
                writer.bytes(&bound(hash))?;
            }
            Audience::Everybody { routing } => {
                writer.array(7)?;
                writer.text("iot signed 1")?;
                writer.bytes(routing)?;
            }
        }
        let position = &self.heading.position;
        writer.text(self.heading.topic.as_str())?;
        writer.bytes(position.source.as_bytes())?;
        writer.unsigned(position.stream.number().into())?;
        writer.bytes(position.incarnation.as_bytes())?;
        writer.unsigned(position.sequence)
    }
}

fn bound(reader: &[u8; 32]) -> [u8; 32] {
    #[cfg(iot_fault)]
    if crate::fault::is_off(crate::fault::Check::ReceiverBinding) {
        return [0; 32];
    }
    *reader
}
