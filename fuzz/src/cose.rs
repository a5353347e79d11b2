//! COSE structures as RFC 9052 and this project's `docs/formats/envelope.md` have them, read by `minicbor` from what is
//! deterministic CBOR: slow, and with nothing of the crate's own reader.

use iot_codec::cbor::{DecodeErrorKind, Limits, validate};
use minicbor::{Decoder, data::Type};

/// A structure of four members or three: two headers, a content that may be `nil`, and what else there is.
pub struct Structure<'b> {
    pub layer: Layer<'b>,
    pub content: Option<&'b [u8]>,
    /// The last member, encoded, if there are four.
    pub last: &'b [u8],
}

/// The headers of one layer.
#[derive(Clone, Debug)]
pub struct Layer<'b> {
    pub protected: &'b [u8],
    pub unprotected: &'b [u8],
    inside: Vec<Pair<'b>>,
    outside: Vec<Pair<'b>>,
}

/// An encoded label and its encoded value.
type Pair<'b> = (&'b [u8], &'b [u8]);

/// One of the signatures, countersignatures or recipients of a structure.
#[derive(Debug)]
pub enum Entry<'b> {
    /// Of an algorithm that is implemented: the layer and its last string.
    Known(Layer<'b>, &'b [u8]),
    /// For somebody else.
    Foreign,
}

/// Encoded labels (RFC 9052 §3.1; −4 is of draft-ietf-cose-hpke).
const ALG: &[u8] = &[0x01];
const CRIT: &[u8] = &[0x02];
pub const KID: &[u8] = &[0x04];
pub const IV: &[u8] = &[0x05];
pub const PARTIAL_IV: &[u8] = &[0x06];
pub const EK: &[u8] = &[0x23];
pub const COUNTERSIGNATURE: &[u8] = &[0x0b];
pub const ABBREVIATED: &[u8] = &[0x0c];

/// The algorithms of signatures, with feature `es256`.
pub const SIGNING: &[i64] = &[-19, -8, -9, -7];
const DIRECT: i64 = -6;
/// HPKE-4-KE, and HPKE-9-KE with feature `x-wing`.
const KEY_ENCRYPTION: [i64; 2] = [50, 57];

/// Whether the octets are nested more deeply than can be asked about at once. What stands in a header may be as deep as
/// an item alone.
pub fn is_too_deep(octets: &[u8]) -> bool {
    validate(octets, &deepest()).is_err_and(|error| error.kind() == DecodeErrorKind::TooDeep)
}

/// Reads a structure that fills `octets`, behind `tag` or no tag; `None` if it is none.
pub fn structure(octets: &[u8], tag: u64, members: usize) -> Option<Structure<'_>> {
    validate(octets, &deepest()).ok()?;
    let mut decoder = Decoder::new(octets);
    if decoder.datatype().ok()? == Type::Tag && decoder.tag().ok()?.as_u64() != tag {
        return None;
    }
    let parts = array(&mut decoder)?;
    if parts.len() != members {
        return None;
    }
    let content = if parts[2] == [0xf6] { None } else { Some(string(parts[2])?) };
    Some(Structure {
        layer: Layer::read(parts[0], parts[1])?,
        content,
        last: parts.get(3).copied().unwrap_or_default(),
    })
}

/// Whether two structures differ in nothing that a signature or a cipher covers: at most in their tag, and in what else
/// stands in the unprotected header (RFC 9052 §4.4, §5.3).
pub fn is_same_but_uncovered(octets: &[u8], other: &[u8], tag: u64, members: usize) -> bool {
    let read = |octets| structure(octets, tag, members);
    read(octets).zip(read(other)).is_some_and(|(one, other)| {
        let strings = |layer: &Layer<'_>| [IV, EK].map(|label| layer.string(label).map(<[u8]>::to_vec));
        (one.layer.protected, one.content, one.last) == (other.layer.protected, other.content, other.last)
            && strings(&one.layer) == strings(&other.layer)
    })
}

impl<'b> Layer<'b> {
    fn read(protected: &'b [u8], unprotected: &'b [u8]) -> Option<Self> {
        let protected = string(protected)?;
        let inside = if protected.is_empty() {
            Vec::new()
        } else {
            validate(protected, &deepest()).ok()?;
            pairs(protected)?
        };
        let outside = pairs(unprotected)?;
        let is_number = |label: &[u8]| label[0] < 0x40;
        let is_common = inside.iter().any(|(label, _)| is_number(label) && value(&outside, label).is_some());
        let either = |label| value(&inside, label).or(value(&outside, label)).is_some();
        if is_common || either(IV) && either(PARTIAL_IV) {
            return None;
        }
        Some(Self { protected, unprotected, inside, outside })
    }

    /// The algorithm; `None` if it stands in the unprotected header or nowhere.
    pub fn algorithm(&self) -> Option<i64> {
        let outside = value(&self.outside, ALG);
        if outside.is_some() { None } else { number(value(&self.inside, ALG)?) }
    }

    pub fn has_unprotected_algorithm(&self) -> bool {
        value(&self.outside, ALG).is_some()
    }

    /// What stands behind a label of either header.
    pub fn value(&self, label: &[u8]) -> Option<&'b [u8]> {
        value(&self.inside, label).or_else(|| value(&self.outside, label))
    }

    /// The string behind a label of either header.
    pub fn string(&self, label: &[u8]) -> Option<&'b [u8]> {
        string(self.value(label)?)
    }

    /// What stands behind a label of the unprotected header.
    pub fn unprotected_value(&self, label: &[u8]) -> Option<&'b [u8]> {
        value(&self.outside, label)
    }

    /// The algorithm of a recipient: that of direct use stands outside, with nothing inside (RFC 9052 §8.5.1).
    fn recipient_algorithm(&self) -> Option<i64> {
        match value(&self.outside, ALG) {
            None => self.algorithm(),
            Some(outside) if self.protected.is_empty() && number(outside) == Some(DIRECT) => Some(DIRECT),
            Some(_) => None,
        }
    }
}

/// The string that a member is, of this length.
pub fn string_of(octets: &[u8], len: usize) -> Option<&[u8]> {
    string(octets).filter(|string| string.len() == len)
}

/// The entries of an array of 1 to `max`; `None` if one of them is malformed.
pub fn entries(octets: &[u8], max: usize, entry: fn(&[u8]) -> Option<Entry<'_>>) -> Option<Vec<Entry<'_>>> {
    let entries: Vec<_> = array(&mut Decoder::new(octets))?.into_iter().map(entry).collect::<Option<_>>()?;
    Some(entries).filter(|entries| (1..=max).contains(&entries.len()))
}

/// A signature or a countersignature.
pub fn signature(octets: &[u8]) -> Option<Entry<'_>> {
    let (layer, last) = three(octets)?;
    let algorithm = layer.algorithm()?;
    if !SIGNING.contains(&algorithm) {
        return string(last).map(|_| Entry::Foreign);
    }
    Some(Entry::Known(layer, string_of(last, 64)?))
}

/// A recipient.
pub fn recipient(octets: &[u8]) -> Option<Entry<'_>> {
    let (layer, last) = three(octets)?;
    let is_outside = layer.has_unprotected_algorithm();
    let len = match layer.recipient_algorithm()? {
        DIRECT if is_outside => 0,
        algorithm if KEY_ENCRYPTION.contains(&algorithm) => 48,
        _ => return string(last).map(|_| Entry::Foreign),
    };
    Some(Entry::Known(layer, string_of(last, len)?))
}

/// One countersignature or several; `None` if they are malformed.
pub fn countersignatures(octets: &[u8]) -> Option<Vec<Entry<'_>>> {
    let first = *array(&mut Decoder::new(octets))?.first()?;
    if first[0] >> 5 == 4 { entries(octets, 16, signature) } else { Some(vec![signature(octets)?]) }
}

fn three(octets: &[u8]) -> Option<(Layer<'_>, &[u8])> {
    let parts = array(&mut Decoder::new(octets))?;
    let [protected, unprotected, last] = parts[..] else { return None };
    Some((Layer::read(protected, unprotected)?, last))
}

/// The members of an array, encoded.
fn array<'b>(decoder: &mut Decoder<'b>) -> Option<Vec<&'b [u8]>> {
    let count = decoder.array().ok()??;
    (0..count).map(|_| item(decoder)).collect()
}

/// The entries of a header that may stand there.
fn pairs(octets: &[u8]) -> Option<Vec<Pair<'_>>> {
    let mut decoder = Decoder::new(octets);
    let count = decoder.map().ok()??;
    let pairs: Vec<_> = (0..count).map(|_| Some((item(&mut decoder)?, item(&mut decoder)?))).collect::<Option<_>>()?;
    pairs.iter().all(|(label, value)| may_stand(label, value)).then_some(pairs)
}

fn may_stand(label: &[u8], value: &[u8]) -> bool {
    match label {
        _ if label == ALG => number(value).is_some(),
        _ if label == CRIT => false,
        _ if [KID, IV, PARTIAL_IV, EK].contains(&label) => string(value).is_some(),
        // A number is a label if it has 64 bits with its sign.
        [0x00..0x40, ..] => number(label).is_some() && is_sound(value),
        _ => is_sound(label) && is_sound(value),
    }
}

fn is_sound(octets: &[u8]) -> bool {
    validate(octets, &Limits::default()).is_ok()
}

fn value<'b>(pairs: &[Pair<'b>], label: &[u8]) -> Option<&'b [u8]> {
    pairs.iter().find(|pair| pair.0 == label).map(|pair| pair.1)
}

fn item<'b>(decoder: &mut Decoder<'b>) -> Option<&'b [u8]> {
    let begin = decoder.position();
    decoder.skip().ok()?;
    decoder.input().get(begin..decoder.position())
}

fn string(octets: &[u8]) -> Option<&[u8]> {
    Decoder::new(octets).bytes().ok()
}

fn number(octets: &[u8]) -> Option<i64> {
    Decoder::new(octets).i64().ok()
}

fn deepest() -> Limits {
    Limits::default().depth(Limits::MAX_DEPTH).expect("the maximum is allowed")
}
