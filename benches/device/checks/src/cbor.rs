use core::fmt::Write as _;

use iot_codec::cbor::{
    Buffer, Cursor, DecodeError, Diagnostic, EncodeError, Kind, Limits, Writer,
    lenient::{self, Rules},
    validate,
};

use crate::digest::Digest;
use crate::vectors::{APPENDIX_A, DETERMINISTIC, octets, rows};
use crate::{Failure, Held, Probe, Work, content, ensure, measured};

/// Every row of the RFC's appendix and of the published deterministic vectors: validated, shown in diagnostic notation,
/// and, where it is deterministic, read item by item and written again.
pub(crate) fn items(probe: &mut dyn Probe) -> Result<Held, Failure> {
    let limits = Limits::default();
    let mut count = 0;
    for (index, row) in rows(APPENDIX_A).chain(rows(DETERMINISTIC)).enumerate() {
        let mut words = row.splitn(3, ' ');
        let mut space = [0; 64];
        let bytes: &[u8] = content!(octets(content!(words.next(), index), &mut space), index);
        let deterministic = content!(words.next(), index);
        let notation = words.next().unwrap_or_default();

        let strict = content!(measured(probe, Work::Validate, || validate(bytes, &limits)), index);
        let lenient = measured(probe, Work::ValidateLeniently, || lenient::validate(bytes, &limits, Rules::default()));
        let lenient = content!(lenient, index);
        ensure!(strict.is_ok() == (deterministic == "="), index);
        ensure!(lenient.is_ok() == (deterministic != "!"), index);
        if lenient.is_ok() {
            let (mut shown, mut published) = (Digest::EMPTY, Digest::EMPTY);
            ensure!(write!(shown, "{}", content!(Diagnostic::new(bytes, &limits), index)).is_ok(), index);
            published.add(notation.as_bytes());
            ensure!(shown == published, index);
        }
        if strict.is_ok() {
            let mut space = [0; 64];
            let mut writer = Writer::new(Buffer::new(&mut space));
            ensure!(copy(Cursor::new(bytes), &mut writer).is_ok(), index);
            ensure!(writer.into_output().written() == bytes, index);
        }
        count += 1;
    }
    Ok(Digest::EMPTY.held(count))
}

/// Reads all items and writes them again. Heads say how many items follow, so nesting needs no attention.
fn copy(mut cursor: Cursor<'_>, writer: &mut Writer<Buffer<'_>>) -> Result<(), Fault> {
    while !cursor.is_empty() {
        match cursor.peek()? {
            Kind::Unsigned => writer.unsigned(cursor.unsigned()?)?,
            Kind::Negative => writer.negative(cursor.negative()?)?,
            Kind::Bytes => writer.bytes(cursor.bytes()?)?,
            Kind::Text => writer.text(cursor.text()?)?,
            Kind::Array => writer.array(cursor.array()? as u64)?,
            Kind::Map => writer.map(cursor.map()? as u64)?,
            Kind::Tag => writer.tag(cursor.tag()?)?,
            Kind::Float => writer.float(cursor.float()?)?,
            _ => writer.simple(cursor.simple()?)?,
        }
    }
    Ok(())
}

/// Why a copy was not made.
struct Fault;

impl From<DecodeError> for Fault {
    fn from(_: DecodeError) -> Self {
        Self
    }
}

impl From<EncodeError> for Fault {
    fn from(_: EncodeError) -> Self {
        Self
    }
}

/// Every truncation and every single bit flip of each row: what was found, and where, goes into the digest.
pub(crate) fn damaged(probe: &mut dyn Probe) -> Result<Held, Failure> {
    let limits = Limits::default();
    let (mut digest, mut count) = (Digest::EMPTY, 0);
    for (index, row) in rows(APPENDIX_A).chain(rows(DETERMINISTIC)).enumerate() {
        let mut space = [0; 64];
        let bytes = content!(octets(content!(row.split(' ').next(), index), &mut space), index);
        let mut damage = Damage::new(bytes.len());
        while let Some(bytes) = damage.next(bytes) {
            let verdict = content!(measured(probe, Work::Validate, || validate(bytes, &limits)), index);
            let _ = match verdict {
                Ok(()) => write!(digest, "ok"),
                Err(error) => write!(digest, "{error}"),
            };
            count += 1;
        }
    }
    Ok(digest.held(count))
}

/// All truncations of some octets, and then all flips of one of their bits.
#[derive(Clone, Debug)]
pub struct Damage {
    len: usize,
    next: usize,
}

impl Damage {
    /// Of so many octets.
    pub fn new(len: usize) -> Self {
        Self { len, next: 0 }
    }

    /// The next form. `octets` must be what it was for the call before, which damaged it and is undone here.
    pub fn next<'o>(&mut self, octets: &'o mut [u8]) -> Option<&'o [u8]> {
        let step = self.next;
        self.next += 1;
        if let Some(len) = octets.get(..step).filter(|cut| cut.len() < self.len).map(<[u8]>::len) {
            return octets.get(..len);
        }
        let bit = step - self.len;
        if let Some(before) = bit.checked_sub(1) {
            flip(octets, before);
        }
        flip(octets, bit).then_some(octets)
    }
}

/// Whether there is such a bit.
fn flip(octets: &mut [u8], bit: usize) -> bool {
    match octets.get_mut(bit / 8) {
        Some(octet) => {
            *octet ^= 1 << (bit % 8);
            true
        }
        None => false,
    }
}

/// Containers as deep as the limit allows, and one deeper; maps whose keys are long, nested, unsorted or repeated.
pub(crate) fn nested(probe: &mut dyn Probe) -> Result<Held, Failure> {
    let limits = content!(Limits::default().depth(Limits::MAX_DEPTH), 0);
    let mut count = 0;
    for (row, opening) in [0x81, 0xc1, 0xa1].into_iter().enumerate() {
        // A map's key is a map again, and the values follow on the way back.
        let mut bytes = [opening; 2 * Limits::MAX_DEPTH + 3];
        for depth in [Limits::MAX_DEPTH, Limits::MAX_DEPTH + 1] {
            let len = if opening == 0xa1 { 2 * depth + 1 } else { depth + 1 };
            let bytes = content!(bytes.get_mut(..len), row);
            bytes.iter_mut().skip(depth).for_each(|octet| *octet = 0);
            let verdict = content!(measured(probe, Work::Validate, || validate(bytes, &limits)), row);
            ensure!(verdict.is_ok() == (depth == Limits::MAX_DEPTH), row);
            bytes.fill(opening);
            count += 1;
        }
    }
    for (row, (text, is_sound)) in MAPS.into_iter().enumerate() {
        let mut space = [0; 64];
        let bytes: &[u8] = content!(octets(text, &mut space), row);
        let verdict = content!(measured(probe, Work::Validate, || validate(bytes, &limits)), row);
        ensure!(verdict.is_ok() == is_sound, row);
        count += 1;
    }
    Ok(Digest::EMPTY.held(count))
}

const MAPS: [(&str, bool); 8] = [
    ("a3820102f4820103f5a1010200", true),
    ("a3820103f4820102f5a1010200", false),
    ("a26a30313233343536373839006a3031323334353637386101", true),
    ("a26a30313233343536373839006a3031323334353637383901", false),
    ("a26a30313233343536373861006a3031323334353637383901", false),
    ("a262c3a5006361c3a501", true),
    ("a262c3a50062c3a501", false),
    ("a262c3a50062c32801", false),
];
