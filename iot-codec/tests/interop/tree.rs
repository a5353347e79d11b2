//! Items as `ciborium`'s tree, which goes through this crate's serde.

use ciborium::Value;
use iot_codec::cbor::Sign;

use super::item::Item;

/// The item with its maps in the order of insertion; nothing if the tree has no such value: simple values other than
/// `false`, `true` and `null`, and typed arrays.
pub fn tree(item: &Item) -> Option<Value> {
    Some(match item {
        Item::Integer(sign, n) if n.len() <= 8 => {
            let n = n.iter().fold(0i128, |n, octet| n << 8 | i128::from(*octet));
            Value::Integer(if *sign == Sign::Positive { n } else { -1 - n }.try_into().ok()?)
        }
        Item::Integer(sign, n) => {
            Value::Tag(if *sign == Sign::Positive { 2 } else { 3 }, Box::new(Value::Bytes(n.clone())))
        }
        Item::Float(bits) => Value::Float(f64::from_bits(*bits)),
        Item::Bytes(bytes) => Value::Bytes(bytes.clone()),
        Item::Text(text) => Value::Text(text.clone()),
        Item::Array(items) => Value::Array(items.iter().map(tree).collect::<Option<_>>()?),
        Item::Map(pairs) => {
            Value::Map(pairs.iter().map(|(key, value)| Some((tree(key)?, tree(value)?))).collect::<Option<_>>()?)
        }
        Item::Tag(tag, content) => Value::Tag(*tag, Box::new(tree(content)?)),
        Item::Simple(20) => Value::Bool(false),
        Item::Simple(21) => Value::Bool(true),
        Item::Simple(22) => Value::Null,
        Item::Simple(_) | Item::Typed(_) => return None,
    })
}
