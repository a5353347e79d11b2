use iot_codec::cbor::{Cursor, DecodeErrorKind, Kind};

use super::operations::Operations;
use super::{CoseKey, CoseKeyError, KeyKind};

/// Reads each label of an object that is a number, with `read` for its value; others are passed over.
pub(super) fn read_labels<'b>(
    cursor: &mut Cursor<'b>,
    mut read: impl FnMut(i64, &mut Cursor<'b>) -> Result<(), CoseKeyError>,
) -> Result<(), CoseKeyError> {
    let mut previous: &[u8] = &[];
    for _ in 0..cursor.map()? {
        let rest = cursor.rest();
        let mut label = cursor.clone();
        cursor.skip()?;
        let encoded = &rest[..rest.len() - cursor.rest().len()];
        // Labels ascend in their encoding (RFC 8949 §4.2.1), so none stands twice.
        if previous >= encoded {
            let is_same = previous == encoded;
            let kind = if is_same { DecodeErrorKind::DuplicateKey } else { DecodeErrorKind::UnsortedKeys };
            return Err(label.error(kind).into());
        }
        previous = encoded;
        match label.peek()? {
            Kind::Text => cursor.skip()?,
            _ => read(label.int()?, cursor)?,
        }
    }
    Ok(())
}

/// The members of the object as they come.
#[derive(Default)]
pub(super) struct Parts<'b> {
    key_type: Option<i64>,
    kid: Option<&'b [u8]>,
    algorithm: Option<i64>,
    operations: Option<Operations>,
    curve: Option<i64>,
    x: Option<&'b [u8]>,
    y: Option<super::Y<'b>>,
    secret: Option<&'b [u8]>,
}

impl<'b> Parts<'b> {
    pub(super) fn read(&mut self, label: i64, cursor: &mut Cursor<'b>) -> Result<(), CoseKeyError> {
        match label {
            KTY => self.key_type = Some(cursor.int()?),
            KID => self.kid = Some(cursor.bytes()?),
            ALG => self.algorithm = Some(cursor.int()?),
            KEY_OPS => self.operations = Some(Operations::read(cursor)?),
            CRV => self.curve = Some(cursor.int()?),
            X => self.x = Some(cursor.bytes()?),
            Y if cursor.peek()? == Kind::Bool => self.y = Some(super::Y::Sign(cursor.bool()?)),
            Y => self.y = Some(super::Y::Coordinate(part(Y, cursor.bytes()?)?)),
            D => self.secret = Some(cursor.bytes()?),
            _ => cursor.skip()?,
        }
        Ok(())
    }

    pub(super) fn check(self) -> Result<CoseKey<'b>, CoseKeyError> {
        let key_type = self.key_type.ok_or(CoseKeyError::Missing { label: KTY })?;
        let curve = self.curve.ok_or(CoseKeyError::Missing { label: CRV })?;
        let kind = KeyKind::from_numbers(key_type, curve)?;
        if self.y.is_some() && kind != KeyKind::P256 {
            return Err(CoseKeyError::Unexpected { label: Y });
        }
        if self.y.is_some() != self.x.is_some() && kind == KeyKind::P256 {
            return Err(CoseKeyError::Missing { label: if self.x.is_none() { X } else { Y } });
        }
        if self.x.is_none() && self.secret.is_none() {
            return Err(CoseKeyError::Missing { label: X });
        }
        Ok(CoseKey {
            kind,
            kid: self.kid,
            algorithm: self.algorithm,
            operations: self.operations,
            x: self.x.map(|x| part(X, x)).transpose()?,
            y: self.y,
            secret: self.secret.map(|secret| part(D, secret)).transpose()?,
        })
    }
}

fn part(label: i64, octets: &[u8]) -> Result<&[u8; PART_LEN], CoseKeyError> {
    octets.try_into().map_err(|_| CoseKeyError::Length { label, len: octets.len() })
}

/// Octets of a coordinate and of a secret, on each of the curves.
pub(super) const PART_LEN: usize = 32;

pub(super) const KTY: i64 = 1;
pub(super) const KID: i64 = 2;
pub(super) const ALG: i64 = 3;
pub(super) const KEY_OPS: i64 = 4;
pub(super) const CRV: i64 = -1;
pub(super) const X: i64 = -2;
pub(super) const Y: i64 = -3;
pub(super) const D: i64 = -4;
