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

/// The external data of the signature inside a sealed message: for whom, under which heading, and sealed by which
/// algorithm it was made. So a reader cannot pass a signed message on as if it had been meant for another, and nobody
/// can move one to another topic or place.
///
/// ```cddl
/// binding = [context: "iot sealed 1", algorithm: int, reader: bstr .size 32, topic: tstr,
///            source: bstr .size 32, stream: uint, incarnation: bstr .size 8, sequence: uint]
/// ```
pub(crate) struct Binding<'a> {
    pub(crate) reader: &'a Thumbprint,
    pub(crate) heading: &'a Heading<'a>,
}

impl Encode for Binding<'_> {
    fn encode<O: Output>(&self, writer: &mut Writer<O>) -> Result<(), EncodeError> {
        let position = &self.heading.position;
        writer.array(8)?;
        writer.text("iot sealed 1")?;
        writer.int(Algorithm::Hpke4.number())?;
        writer.bytes(&self.reader())?;
        writer.text(self.heading.topic.as_str())?;
        writer.bytes(position.source.as_bytes())?;
        writer.unsigned(position.stream.number().into())?;
        writer.bytes(position.incarnation.as_bytes())?;
        writer.unsigned(position.sequence)
    }
}

impl Binding<'_> {
    fn reader(&self) -> [u8; Thumbprint::LEN] {
        #[cfg(iot_fault)]
        if crate::fault::is_off(crate::fault::Check::ReceiverBinding) {
            return [0; Thumbprint::LEN];
        }
        *self.reader.as_bytes()
    }
}
