//! A tree of any deterministic item: the model that the tests compare with. It recurses, which the library never does.

use iot_codec::cbor::{
    Cursor, Decode, DecodeError, DecodeErrorKind, Encode, EncodeError, Kind, Output, Simple, Writer, to_vec,
};
use proptest::prelude::*;

#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Unsigned(u64),
    /// -1 - n.
    Negative(u64),
    Bytes(Vec<u8>),
    Text(String),
    Array(Vec<Value>),
    /// Sorted by the encoding of the keys.
    Map(Vec<(Value, Value)>),
    Tag(u64, Box<Value>),
    Simple(u8),
    /// The bits of an `f64`, so that NaNs compare.
    Float(u64),
}

impl Value {
    /// Sorts `pairs` and drops repeated keys.
    pub fn map(mut pairs: Vec<(Value, Value)>) -> Self {
        pairs.sort_by_key(|(key, _)| to_vec(key));
        pairs.dedup_by_key(|(key, _)| to_vec(key));
        Self::Map(pairs)
    }

    pub fn float(value: f64) -> Self {
        Self::Float(value.to_bits())
    }

    pub fn text(value: &str) -> Self {
        Self::Text(value.into())
    }
}

impl Encode for Value {
    fn encode<O: Output>(&self, writer: &mut Writer<O>) -> Result<(), EncodeError> {
        match self {
            Self::Unsigned(value) => writer.unsigned(*value),
            Self::Negative(n) => writer.negative(*n),
            Self::Bytes(bytes) => writer.bytes(bytes),
            Self::Text(text) => writer.text(text),
            Self::Array(items) => {
                writer.array(items.len() as u64)?;
                items.iter().try_for_each(|item| item.encode(writer))
            }
            Self::Map(pairs) => {
                writer.map(pairs.len() as u64)?;
                pairs.iter().try_for_each(|(key, value)| key.encode(writer).and_then(|()| value.encode(writer)))
            }
            Self::Tag(tag, content) => {
                writer.tag(*tag)?;
                content.encode(writer)
            }
            Self::Simple(number) => writer.simple(Simple::new(*number).expect("the strategies make only those")),
            Self::Float(bits) => writer.float(f64::from_bits(*bits)),
        }
    }
}

impl<'b> Decode<'b> for Value {
    fn decode(cursor: &mut Cursor<'b>) -> Result<Self, DecodeError> {
        Ok(match cursor.peek()? {
            Kind::Unsigned => Self::Unsigned(cursor.unsigned()?),
            Kind::Negative => Self::Negative(cursor.negative()?),
            Kind::Bytes => Self::Bytes(cursor.bytes()?.into()),
            Kind::Text => Self::Text(cursor.text()?.into()),
            Kind::Array => {
                cursor.enter()?;
                let count = cursor.array()?;
                let items = (0..count).map(|_| Self::decode(cursor)).collect::<Result<_, _>>()?;
                cursor.leave();
                Self::Array(items)
            }
            Kind::Map => {
                cursor.enter()?;
                let count = cursor.map()?;
                let mut pairs: Vec<(Value, Value)> = Vec::new();
                for _ in 0..count {
                    let offset = cursor.position();
                    let key = Self::decode(cursor)?;
                    if let Some((previous, _)) = pairs.last() {
                        match to_vec(previous).cmp(&to_vec(&key)) {
                            core::cmp::Ordering::Less => {}
                            core::cmp::Ordering::Equal => {
                                return Err(DecodeError::new(DecodeErrorKind::DuplicateKey, offset));
                            }
                            core::cmp::Ordering::Greater => {
                                return Err(DecodeError::new(DecodeErrorKind::UnsortedKeys, offset));
                            }
                        }
                    }
                    pairs.push((key, Self::decode(cursor)?));
                }
                cursor.leave();
                Self::Map(pairs)
            }
            Kind::Tag => {
                cursor.enter()?;
                let tag = cursor.tag()?;
                let content = Self::decode(cursor)?;
                cursor.leave();
                Self::Tag(tag, Box::new(content))
            }
            Kind::Float => Self::Float(cursor.float()?.to_bits()),
            _ => Self::Simple(cursor.simple()?.number()),
        })
    }
}

/// Trees up to five deep, with numbers at the edges of every head and floats of every width.
pub fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any_argument().prop_map(Value::Unsigned),
        any_argument().prop_map(Value::Negative),
        proptest::collection::vec(any::<u8>(), 0..30).prop_map(Value::Bytes),
        ".{0,12}".prop_map(Value::Text),
        prop_oneof![0u8..24, 32u8..].prop_map(Value::Simple),
        any_float_bits().prop_map(Value::Float),
    ];
    leaf.prop_recursive(5, 40, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
            proptest::collection::vec((inner.clone(), inner.clone()), 0..6).prop_map(Value::map),
            (any_argument(), inner).prop_map(|(tag, content)| Value::Tag(tag, Box::new(content))),
        ]
    })
}

fn any_argument() -> impl Strategy<Value = u64> {
    let edges = [0u64, 23, 24, 0xff, 0x100, 0xffff, 0x1_0000, 0xffff_ffff, 0x1_0000_0000, i64::MAX as u64, 1 << 63];
    prop_oneof![0u64..40, proptest::sample::select(edges.to_vec()), any::<u64>(), Just(u64::MAX)]
}

fn any_float_bits() -> impl Strategy<Value = u64> {
    prop_oneof![
        any::<u64>(),
        any::<u32>().prop_map(|bits| u64::from(bits) << 32),
        // Widened by arithmetic, so that single precision is common.
        any::<f32>()
            .prop_filter("the conversion may change a NaN", |value| !value.is_nan())
            .prop_map(|value| f64::from(value).to_bits()),
        (-2048i32..2048).prop_map(|quarters| (f64::from(quarters) / 4.0).to_bits()),
        // NaNs with payloads of every width.
        (any::<u64>(), 0u32..52).prop_map(|(bits, shift)| 0x7ff8_0000_0000_0000 | bits >> 13 >> shift << shift),
    ]
}
