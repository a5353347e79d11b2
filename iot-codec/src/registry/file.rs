use alloc::vec::Vec;

use super::{Channel, Entry, Registry, RegistryError};
use crate::{
    cbor::{
        Cursor, Decode, DecodeError, DecodeErrorKind, Encode, EncodeError, Items, Limits, Output, Writer,
        from_slice_within,
    },
    record,
};

record! {
    struct File<'b> {
        1 => version: u32,
        2 => topics: Option<Items<'b, Entry<'b>>>,
        3 => channels: Option<Items<'b, Channel<'b>>>,
        4 => units: Option<Items<'b, Entry<'b>>>,
    }
}

/// A [`Registry`] that was read from a file, whose form is in `docs/formats/registry.md`.
///
/// The lists are allocated; the names are borrowed from the file.
///
/// ```
/// use iot_codec::{cbor::{Limits, to_vec}, registry::RegistryFile};
/// // {1: 1, 2: [[1, 1, "a/b"]], 3: [[1, 1, "t", 1]]}
/// let bytes = b"\xa3\x01\x01\x02\x81\x83\x01\x01\x63a/b\x03\x81\x84\x01\x01\x61t\x01";
/// let file = RegistryFile::read(bytes, &Limits::default())?;
/// let registry = file.registry();
/// assert_eq!(registry.latest().topic(1)?, "a/b");
/// assert_eq!(to_vec(&registry), bytes);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct RegistryFile<'r> {
    version: u32,
    topics: Vec<Entry<'r>>,
    channels: Vec<Channel<'r>>,
    units: Vec<Entry<'r>>,
}

impl<'r> RegistryFile<'r> {
    /// Reads the file of a registry: exactly one deterministic item.
    ///
    /// # Errors
    /// [`RegistryError`]: what is malformed, exceeds `limits`, or contradicts itself.
    pub fn read(bytes: &'r [u8], limits: &Limits) -> Result<Self, RegistryError> {
        let file: File<'r> = from_slice_within(bytes, limits)?;
        let (topics, channels) = (collect(file.topics)?, collect(file.channels)?);
        let file = Self { version: file.version, topics, channels, units: collect(file.units)? };
        Registry::from_lists(file.version, &file.topics, &file.channels, &file.units)?;
        Ok(file)
    }

    /// The registry of this file.
    #[must_use]
    pub fn registry(&self) -> Registry<'_> {
        Registry::checked(self.version, &self.topics, &self.channels, &self.units)
    }
}

/// The file of the registry; an empty list is left out.
impl Encode for Registry<'_> {
    fn encode<O: Output>(&self, writer: &mut Writer<O>) -> Result<(), EncodeError> {
        let (topics, channels, units) = (self.topics(), self.channels(), self.units());
        let lists = [topics.is_empty(), channels.is_empty(), units.is_empty()];
        writer.map(1 + lists.iter().filter(|is_empty| !**is_empty).count() as u64)?;
        writer.unsigned(1)?;
        writer.unsigned(self.version().into())?;
        encode_list(2, topics, writer)?;
        encode_list(3, channels, writer)?;
        encode_list(4, units, writer)
    }
}

fn encode_list<O: Output>(key: u64, entries: &[impl Encode], writer: &mut Writer<O>) -> Result<(), EncodeError> {
    if entries.is_empty() {
        return Ok(());
    }
    writer.unsigned(key)?;
    writer.array(entries.len() as u64)?;
    entries.iter().try_for_each(|entry| entry.encode(writer))
}

fn collect<'r, T: Decode<'r>>(items: Option<Items<'r, T>>) -> Result<Vec<T>, DecodeError> {
    items.map_or_else(|| Ok(Vec::new()), |items| items.iter().collect())
}

impl Encode for Entry<'_> {
    fn encode<O: Output>(&self, writer: &mut Writer<O>) -> Result<(), EncodeError> {
        writer.array(3)?;
        encode_fields(self, writer)
    }
}

impl<'b> Decode<'b> for Entry<'b> {
    fn decode(cursor: &mut Cursor<'b>) -> Result<Self, DecodeError> {
        open(cursor, 3)?;
        let entry = decode_fields(cursor)?;
        cursor.leave();
        Ok(entry)
    }
}

impl Encode for Channel<'_> {
    fn encode<O: Output>(&self, writer: &mut Writer<O>) -> Result<(), EncodeError> {
        writer.array(4)?;
        encode_fields(&self.entry, writer)?;
        writer.unsigned(self.unit.into())
    }
}

impl<'b> Decode<'b> for Channel<'b> {
    fn decode(cursor: &mut Cursor<'b>) -> Result<Self, DecodeError> {
        open(cursor, 4)?;
        let channel = Self { entry: decode_fields(cursor)?, unit: u32::decode(cursor)? };
        cursor.leave();
        Ok(channel)
    }
}

fn encode_fields<O: Output>(entry: &Entry<'_>, writer: &mut Writer<O>) -> Result<(), EncodeError> {
    writer.unsigned(entry.number.into())?;
    writer.unsigned(entry.since.into())?;
    writer.text(entry.name)
}

fn decode_fields<'b>(cursor: &mut Cursor<'b>) -> Result<Entry<'b>, DecodeError> {
    Ok(Entry { number: u32::decode(cursor)?, since: u32::decode(cursor)?, name: cursor.text()? })
}

fn open(cursor: &mut Cursor<'_>, expected: u32) -> Result<(), DecodeError> {
    let start = cursor.position();
    cursor.enter()?;
    match u32::try_from(cursor.array()?).unwrap_or(u32::MAX) {
        found if found == expected => Ok(()),
        found => Err(DecodeError::new(DecodeErrorKind::UnexpectedLength { expected, found }, start)),
    }
}

#[cfg(test)]
mod tests;
