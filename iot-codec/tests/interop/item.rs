//! A value that the other implementations can be told of, and its encodings by this crate.

use std::cmp::Ordering;

use iot_codec::cbor::{Bignum, Encode, EncodeError, Output, Sign, Simple, TypedArray, Writer, to_vec};

#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    /// The integer n or -1 - n of any size; n has its most significant octet first, and no leading zeros.
    Integer(Sign, Vec<u8>),
    /// The bits of an `f64`.
    Float(u64),
    Bytes(Vec<u8>),
    Text(String),
    Array(Vec<Item>),
    /// In the order of insertion, with distinct keys.
    Map(Vec<(Item, Item)>),
    Tag(u64, Box<Item>),
    Simple(u8),
    Typed(Elements),
}

/// The elements of a typed array (RFC 8746).
#[derive(Clone, Debug, PartialEq)]
pub enum Elements {
    U8(Vec<u8>),
    U16(Vec<u16>),
    U32(Vec<u32>),
    U64(Vec<u64>),
    I8(Vec<i8>),
    I16(Vec<i16>),
    I32(Vec<i32>),
    I64(Vec<i64>),
    /// The bits of an `f32` each.
    F32(Vec<u32>),
    /// The bits of an `f64` each.
    F64(Vec<u64>),
}

/// The order in which the pairs of maps are written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Order {
    Insertion,
    /// By the octets of the encoded keys: RFC 8949 §4.2.1.
    Bytewise,
    /// Shorter keys first, then by their octets: RFC 7049 §3.9, and RFC 8949 §4.2.3.
    LengthFirst,
}

/// An item with its maps in an order.
pub struct InOrder<'a>(pub &'a Item, pub Order);

impl Item {
    /// The deterministic encoding.
    pub fn deterministic(&self) -> Vec<u8> {
        to_vec(&InOrder(self, Order::Bytewise))
    }

    /// The same with every float that `change` names in the place of a float.
    pub fn with_floats(self, change: &impl Fn(f64) -> f64) -> Self {
        match self {
            Self::Float(bits) => Self::Float(change(f64::from_bits(bits)).to_bits()),
            Self::Array(items) => Self::Array(items.into_iter().map(|item| item.with_floats(change)).collect()),
            Self::Map(pairs) => Self::Map(
                pairs.into_iter().map(|(key, value)| (key.with_floats(change), value.with_floats(change))).collect(),
            ),
            Self::Tag(tag, content) => Self::Tag(tag, Box::new(content.with_floats(change))),
            other => other,
        }
    }

    /// The item in JSON without blanks, as the scripts beside this file read and write it. Numbers are hexadecimal, so
    /// that neither end rounds them, and so is text, as UTF-8.
    pub fn description(&self) -> String {
        match self {
            Self::Integer(Sign::Positive, n) => format!(r#"["integer","{}"]"#, number(n)),
            Self::Integer(Sign::Negative, n) => format!(r#"["negative","{}"]"#, number(n)),
            Self::Float(bits) => format!(r#"["float","{bits:016x}"]"#),
            Self::Bytes(bytes) => format!(r#"["bytes","{}"]"#, hex(bytes)),
            Self::Text(text) => format!(r#"["text","{}"]"#, hex(text.as_bytes())),
            Self::Array(items) => format!(r#"["array",[{}]]"#, join(items.iter().map(Self::description))),
            Self::Map(pairs) => {
                let pair = |(key, value): &(Self, Self)| format!("[{},{}]", key.description(), value.description());
                format!(r#"["map",[{}]]"#, join(pairs.iter().map(pair)))
            }
            Self::Tag(tag, content) => format!(r#"["tag","{tag:x}",{}]"#, content.description()),
            Self::Simple(value) => format!(r#"["simple",{value}]"#),
            Self::Typed(elements) => {
                let (name, bits) = elements.named();
                format!(r#"["{name}",[{}]]"#, join(bits.iter().map(|bits| format!("\"{bits:x}\""))))
            }
        }
    }

    /// The item as one reads it that knows no typed arrays, and keeps maps in the order in which they were written.
    pub fn sorted_and_untyped(self) -> Self {
        match self {
            Self::Array(items) => Self::Array(items.into_iter().map(Self::sorted_and_untyped).collect()),
            Self::Map(mut pairs) => {
                pairs.sort_by(|(first, _), (second, _)| Order::Bytewise.compare(first, second));
                Self::Map(
                    pairs
                        .into_iter()
                        .map(|(key, value)| (key.sorted_and_untyped(), value.sorted_and_untyped()))
                        .collect(),
                )
            }
            Self::Tag(tag, content) => Self::Tag(tag, Box::new(content.sorted_and_untyped())),
            Self::Typed(elements) => {
                let (tag, bytes) = elements.laid_out();
                Self::Tag(tag, Box::new(Self::Bytes(bytes)))
            }
            other => other,
        }
    }
}

impl Order {
    fn compare(self, first: &Item, second: &Item) -> Ordering {
        let [first, second] = [first, second].map(|key| to_vec(&InOrder(key, self)));
        match self {
            Self::Insertion => Ordering::Equal,
            Self::Bytewise => first.cmp(&second),
            Self::LengthFirst => first.len().cmp(&second.len()).then(first.cmp(&second)),
        }
    }
}

impl Encode for InOrder<'_> {
    fn encode<O: Output>(&self, writer: &mut Writer<O>) -> Result<(), EncodeError> {
        let &Self(item, order) = self;
        match item {
            Item::Integer(sign, n) => Bignum::new(*sign, n).encode(writer),
            Item::Float(bits) => writer.float(f64::from_bits(*bits)),
            Item::Bytes(bytes) => writer.bytes(bytes),
            Item::Text(text) => writer.text(text),
            Item::Array(items) => {
                writer.array(items.len() as u64)?;
                items.iter().try_for_each(|item| InOrder(item, order).encode(writer))
            }
            Item::Map(pairs) => {
                let mut pairs: Vec<_> = pairs.iter().collect();
                pairs.sort_by(|(first, _), (second, _)| order.compare(first, second));
                writer.map(pairs.len() as u64)?;
                pairs.into_iter().try_for_each(|(key, value)| {
                    InOrder(key, order).encode(writer)?;
                    InOrder(value, order).encode(writer)
                })
            }
            Item::Tag(tag, content) => {
                writer.tag(*tag)?;
                InOrder(content, order).encode(writer)
            }
            Item::Simple(value) => writer.simple(Simple::new(*value).expect("only those are made")),
            Item::Typed(elements) => elements.encode(writer),
        }
    }
}

impl Elements {
    /// The name of their type, and their bits.
    fn named(&self) -> (&'static str, Vec<u64>) {
        fn bits<T: Copy>(elements: &[T], bits: impl Fn(T) -> u64) -> Vec<u64> {
            elements.iter().copied().map(bits).collect()
        }
        match self {
            Self::U8(elements) => ("u8", bits(elements, u64::from)),
            Self::U16(elements) => ("u16", bits(elements, u64::from)),
            Self::U32(elements) => ("u32", bits(elements, u64::from)),
            Self::U64(elements) => ("u64", elements.clone()),
            Self::I8(elements) => ("i8", bits(elements, |element| u64::from(element.cast_unsigned()))),
            Self::I16(elements) => ("i16", bits(elements, |element| u64::from(element.cast_unsigned()))),
            Self::I32(elements) => ("i32", bits(elements, |element| u64::from(element.cast_unsigned()))),
            Self::I64(elements) => ("i64", bits(elements, i64::cast_unsigned)),
            Self::F32(elements) => ("f32", bits(elements, u64::from)),
            Self::F64(elements) => ("f64", elements.clone()),
        }
    }

    /// The tag for little endian order and the octets, from RFC 8746 §2.1 and not from the crate.
    fn laid_out(&self) -> (u64, Vec<u8>) {
        let (name, bits) = self.named();
        let (tag, width) = match name {
            "u8" => (64, 1),
            "u16" => (69, 2),
            "u32" => (70, 4),
            "u64" => (71, 8),
            "i8" => (72, 1),
            "i16" => (77, 2),
            "i32" => (78, 4),
            "i64" => (79, 8),
            "f32" => (85, 4),
            _ => (86, 8),
        };
        (tag, bits.iter().flat_map(|bits| bits.to_le_bytes().into_iter().take(width)).collect())
    }
}

impl Encode for Elements {
    fn encode<O: Output>(&self, writer: &mut Writer<O>) -> Result<(), EncodeError> {
        let floats: Vec<f32>;
        let doubles: Vec<f64>;
        let space = &mut vec![0; self.laid_out().1.len()][..];
        match self {
            Self::U8(elements) => TypedArray::encoded(elements, space)?.encode(writer),
            Self::U16(elements) => TypedArray::encoded(elements, space)?.encode(writer),
            Self::U32(elements) => TypedArray::encoded(elements, space)?.encode(writer),
            Self::U64(elements) => TypedArray::encoded(elements, space)?.encode(writer),
            Self::I8(elements) => TypedArray::encoded(elements, space)?.encode(writer),
            Self::I16(elements) => TypedArray::encoded(elements, space)?.encode(writer),
            Self::I32(elements) => TypedArray::encoded(elements, space)?.encode(writer),
            Self::I64(elements) => TypedArray::encoded(elements, space)?.encode(writer),
            Self::F32(bits) => {
                floats = bits.iter().map(|bits| f32::from_bits(*bits)).collect();
                TypedArray::encoded(&floats, space)?.encode(writer)
            }
            Self::F64(bits) => {
                doubles = bits.iter().map(|bits| f64::from_bits(*bits)).collect();
                TypedArray::encoded(&doubles, space)?.encode(writer)
            }
        }
    }
}

pub fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

pub fn unhex(digits: &str) -> Vec<u8> {
    assert!(digits.len().is_multiple_of(2), "odd number of digits in {digits}");
    let octet = |at| u8::from_str_radix(&digits[at..at + 2], 16).expect("hexadecimal");
    (0..digits.len()).step_by(2).map(octet).collect()
}

/// Without leading zeros, as the languages print it.
fn number(n: &[u8]) -> String {
    let digits = hex(n);
    let digits = digits.trim_start_matches('0');
    if digits.is_empty() { "0".into() } else { digits.into() }
}

fn join(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(",")
}
