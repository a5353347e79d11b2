use iot_codec::cbor::{Encode, EncodeError, Output, Writer};
use iot_core::DeviceId;
use sha2::{Digest, Sha256};

use super::message::PROTECTED;
use crate::Heading;
use crate::cose::Algorithm;

/// What every message of an epoch is bound to: who writes to whom, about what, in which run of which stream, with which
/// cipher. Hashed once an epoch, so that a message costs little.
///
/// ```cddl
/// binding = [context: "iot stream 1", algorithm: 24, reader: bstr .size 32, topic: tstr,
///            source: bstr .size 32, stream: uint, incarnation: bstr .size 8]
/// ```
pub(super) struct Binding<'a> {
    pub(super) reader: &'a DeviceId,
    /// All but the sequence number.
    pub(super) heading: &'a Heading<'a>,
}

impl Binding<'_> {
    pub(super) fn hash(&self) -> BindingHash {
        #[cfg(iot_fault)]
        if crate::fault::is_off(crate::fault::Check::StreamBinding) {
            return BindingHash([0; BindingHash::LEN]);
        }
        BindingHash::of(self)
    }
}

impl Encode for Binding<'_> {
    fn encode<O: Output>(&self, writer: &mut Writer<O>) -> Result<(), EncodeError> {
        let position = &self.heading.position;
        writer.array(7)?;
        writer.text("iot stream 1")?;
        writer.int(Algorithm::ChaCha20Poly1305.number())?;
        writer.bytes(self.reader.as_bytes())?;
        writer.text(self.heading.topic.as_str())?;
        writer.bytes(position.source.as_bytes())?;
        writer.unsigned(position.stream.number().into())?;
        writer.bytes(position.incarnation.as_bytes())
    }
}

/// The SHA-256 of a [`Binding`]: the external data of every message, and part of every derivation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BindingHash(pub(crate) [u8; Self::LEN]);

impl BindingHash {
    /// The hash of the encoding of a binding.
    pub(crate) fn of(binding: &impl Encode) -> Self {
        let mut writer = Writer::new(Hashing(Sha256::new()));
        binding.encode(&mut writer).expect("a hash takes any number of octets");
        Self(writer.into_output().0.finalize().into())
    }

    pub(crate) const LEN: usize = 32;

    pub(crate) const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }

    /// The `Enc_structure` of every message (RFC 9052 §5.3): `["Encrypt0", protected, external data]`.
    #[inline]
    pub(super) fn authenticated(&self) -> [u8; ENC_STRUCTURE_LEN] {
        let mut structure = [0; ENC_STRUCTURE_LEN];
        let (head, external) = structure.split_at_mut(ENC_STRUCTURE_HEAD.len());
        head.copy_from_slice(&ENC_STRUCTURE_HEAD);
        external.copy_from_slice(&self.0);
        structure
    }
}

const ENC_STRUCTURE_LEN: usize = ENC_STRUCTURE_HEAD.len() + BindingHash::LEN;

/// The head of an array of three, the text, the protected header, and the head of 32 octets.
const ENC_STRUCTURE_HEAD: [u8; 17] = {
    let [a, b, c, d] = PROTECTED;
    [0x83, 0x68, b'E', b'n', b'c', b'r', b'y', b'p', b't', b'0', 0x44, a, b, c, d, 0x58, BindingHash::LEN as u8]
};

struct Hashing(Sha256);

impl Output for Hashing {
    fn put(&mut self, octets: &[u8]) -> Result<(), EncodeError> {
        self.0.update(octets);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use iot_core::{Incarnation, Position, StreamId, Topic};

    use super::*;
    use crate::cose::EncStructure;

    #[test]
    fn authenticates_the_structure_of_the_rfc() {
        let hash = BindingHash([7; 32]);
        let structure = EncStructure::<80>::new("Encrypt0", &PROTECTED, &[&hash.0]).unwrap();
        assert_eq!(hash.authenticated(), structure.as_bytes());
    }

    #[test]
    fn every_part_counts() {
        let position = Position {
            source: DeviceId::from_bytes([1; 32]),
            stream: StreamId::new(2),
            incarnation: Incarnation::from_bytes([3; 8]),
            sequence: 4,
        };
        let heading = Heading { topic: Topic::new("a/b").unwrap(), position };
        let reader = DeviceId::from_bytes([5; 32]);
        let hash = |heading: &Heading<'_>, reader: &DeviceId| Binding { reader, heading }.hash();
        let original = hash(&heading, &reader);
        let with = |position| hash(&Heading { position, ..heading }, &reader);
        assert_eq!(with(Position { sequence: 9, ..position }), original);
        assert_ne!(with(Position { source: reader, ..position }), original);
        assert_ne!(with(Position { stream: StreamId::new(3), ..position }), original);
        assert_ne!(with(Position { incarnation: Incarnation::from_bytes([4; 8]), ..position }), original);
        assert_ne!(hash(&heading, &position.source), original);
        assert_ne!(hash(&Heading { topic: Topic::new("a/c").unwrap(), position }, &reader), original);
    }
}
