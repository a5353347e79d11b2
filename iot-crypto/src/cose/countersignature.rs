use iot_codec::cbor::{Buffer, Cursor, EncodeError, Kind, Writer};

use super::header::{ABBREVIATED_COUNTERSIGNATURE, COUNTERSIGNATURE, Headers, Protected, rank, value};
use super::sign::read_signature;
use super::{Algorithm, CoseError, CosignError, VerifyError, entries, head_len, three_members};
use crate::{BufferTooSmall, Signature, SignatureError, Signer, VerifyingKey};

/// What a countersignature of version 2 covers (RFC 9338 §3.3): a second party's statement that a structure was there,
/// whoever made it. Each structure gives its own by `countersigned`.
///
/// Countersignatures stand in the unprotected header, so anybody can take one off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Countersigned<'b> {
    protected: &'b [u8],
    unprotected: &'b [u8],
    payload: &'b [u8],
    /// The third string of the structure, if it has one: a signature or a tag.
    other: Option<&'b [u8]>,
}

/// `COSE_Countersignature` (RFC 9338 §3.1), not verified.
///
/// ```cddl
/// COSE_Countersignature = [protected: bstr, unprotected: {* label => any}, signature: bstr .size 64]
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Countersignature<'b> {
    headers: Headers<'b>,
    signature: &'b [u8; Signature::LEN],
    target: Countersigned<'b>,
}

impl<'b> Countersigned<'b> {
    /// The most countersignatures that a structure may have. One with more is refused.
    pub const MAX_COUNTERSIGNATURES: usize = 16;

    pub(super) const fn new(
        protected: &'b [u8],
        unprotected: &'b [u8],
        payload: &'b [u8],
        other: Option<&'b [u8]>,
    ) -> Self {
        Self { protected, unprotected, payload, other }
    }

    /// The full countersignatures (label 11) of algorithms that this crate implements, in their order; none if the
    /// label is not there.
    ///
    /// # Errors
    ///
    /// [`CoseError`] if the label has another value than one or several countersignatures.
    pub fn countersignatures(&self) -> Result<impl Iterator<Item = Countersignature<'b>> + use<'b>, CoseError> {
        let target = *self;
        let (octets, count) = match value(self.unprotected, COUNTERSIGNATURE) {
            Some(octets) => signatures(octets)?,
            None => (&[][..], 0),
        };
        let mut cursor = Cursor::new(octets);
        Ok((0..count).filter_map(move |_| match read_signature(&mut cursor) {
            Ok((headers, signature)) => Some(Countersignature { headers, signature, target }),
            Err(_) => {
                // It was read once, so all that can be amiss is an algorithm that is for others.
                cursor.skip().ok()?;
                None
            }
        }))
    }

    /// Verifies the abbreviated countersignature (label 12), which has no headers: `key` and with it the algorithm
    /// come from the context. `scratch` takes the octets that were signed; [`scratch_len`](Self::scratch_len) says how
    /// many.
    ///
    /// # Errors
    ///
    /// [`VerifyError`]; [`SignatureError`] also if there is none.
    pub fn verify_abbreviated(
        &self,
        key: &VerifyingKey,
        external: &[u8],
        scratch: &mut [u8],
    ) -> Result<(), VerifyError> {
        let signature = value(self.unprotected, ABBREVIATED_COUNTERSIGNATURE).ok_or(SignatureError)?;
        let signature: Option<&[u8; Signature::LEN]> =
            Cursor::new(signature).bytes().ok().and_then(|signature| signature.try_into().ok());
        let scratch = BufferTooSmall::check(scratch, self.scratch_len(None, external.len()))?;
        // One of another length is nobody's.
        let signature = Signature::from_bytes(*signature.ok_or(SignatureError)?);
        Ok(key.verify(self.write(None, external, scratch), &signature)?)
    }

    /// Signs and writes the whole `structure`, from which this was taken, with a full countersignature in its
    /// unprotected header, to the front of `buffer`, which must have
    /// [`countersign_len`](Self::countersign_len) octets. Returns the octets of the structure.
    ///
    /// # Errors
    ///
    /// [`CosignError`]; [`CosignError::Structure`] if `structure` is not that structure, is countersigned already, or
    /// has the label in its protected header.
    pub fn countersign_into(
        &self,
        structure: &[u8],
        signer: &dyn Signer,
        external: &[u8],
        buffer: &mut [u8],
    ) -> Result<usize, CosignError> {
        let key = signer.verifying_key();
        let protected = Protected::new(key.algorithm(), &key.key_id());
        let protected = protected.as_bytes();
        let signed = SignedHeader::Full(protected);
        self.add(structure, signed, external, signer, buffer, |writer, signature| {
            writer.int(COUNTERSIGNATURE)?;
            writer.array(3)?;
            writer.bytes(protected)?;
            writer.map(0)?;
            writer.bytes(signature.as_bytes())
        })
    }

    /// The same with an abbreviated countersignature (RFC 9338 §3.2): 66 octets for the signature and its label, and
    /// nothing that tells whose it is.
    ///
    /// # Errors
    ///
    /// As [`countersign_into`](Self::countersign_into).
    pub fn countersign_abbreviated_into(
        &self,
        structure: &[u8],
        signer: &dyn Signer,
        external: &[u8],
        buffer: &mut [u8],
    ) -> Result<usize, CosignError> {
        self.add(structure, SignedHeader::None, external, signer, buffer, |writer, signature| {
            writer.int(ABBREVIATED_COUNTERSIGNATURE)?;
            writer.bytes(signature.as_bytes())
        })
    }

    /// Octets that suffice to countersign `structure` in either way: the new structure, and behind it what is signed.
    pub const fn countersign_len(&self, structure_len: usize, external_len: usize) -> usize {
        structure_len + ADDED_LEN + self.scratch_len(Some(PROTECTED_LEN), external_len)
    }

    /// Octets of scratch that verifying needs, for a protected header of the countersignature of `protected_len`
    /// octets, or none if it is abbreviated.
    pub const fn scratch_len(&self, protected_len: Option<usize>, external_len: usize) -> usize {
        let strings = string_len(self.protected.len()) + string_len(external_len) + string_len(self.payload.len());
        let signer = match protected_len {
            Some(len) => string_len(len),
            None => 0,
        };
        let other = match self.other {
            Some(other) => 1 + string_len(other.len()),
            None => 0,
        };
        1 + string_len("CounterSignature0V2".len()) + strings + signer + other
    }

    /// Writes the `Countersign_structure` (RFC 9338 §3.3) to `scratch` and returns it.
    fn write<'s>(&self, signer_protected: Option<&[u8]>, external: &[u8], scratch: &'s mut [u8]) -> &'s [u8] {
        let context = match (signer_protected, self.other) {
            (Some(_), None) => "CounterSignature",
            (None, None) => "CounterSignature0",
            (Some(_), Some(_)) => "CounterSignatureV2",
            (None, Some(_)) => "CounterSignature0V2",
        };
        let mut writer = Writer::new(Buffer::new(scratch));
        let written = (|| {
            writer.array(4 + u64::from(signer_protected.is_some()) + u64::from(self.other.is_some()))?;
            writer.text(context)?;
            writer.bytes(self.protected)?;
            if let Some(protected) = signer_protected {
                writer.bytes(protected)?;
            }
            writer.bytes(external)?;
            writer.bytes(self.payload)?;
            if let Some(other) = self.other {
                writer.array(1)?;
                writer.bytes(other)?;
            }
            Ok::<_, EncodeError>(())
        })();
        written.expect("the scratch was measured");
        writer.into_output().into_written()
    }

    /// Signs, and writes `structure` with one more entry in its unprotected header.
    fn add(
        &self,
        structure: &[u8],
        signed: SignedHeader<'_>,
        external: &[u8],
        signer: &dyn Signer,
        buffer: &mut [u8],
        entry: impl Fn(&mut Writer<Buffer<'_>>, &Signature) -> Result<(), EncodeError>,
    ) -> Result<usize, CosignError> {
        let buffer = BufferTooSmall::check(buffer, self.countersign_len(structure.len(), external.len()))?;
        // No label may stand in both headers (RFC 9052 §3).
        if value(self.protected, signed.label()).is_some() {
            return Err(CosignError::Structure);
        }
        let place = Place::find(structure, self.unprotected, signed.label()).ok_or(CosignError::Structure)?;
        let (space, scratch) = buffer.split_at_mut(structure.len() + ADDED_LEN);
        let signature = signer.sign(self.write(signed.protected(), external, scratch))?;
        let signature = signer.verifying_key().normal_form(signature);
        let mut writer = Writer::new(Buffer::new(space));
        let written = (|| {
            writer.put(&structure[..place.map])?;
            writer.map(place.count as u64 + 1)?;
            writer.put(&structure[place.entries..place.entry])?;
            entry(&mut writer, &signature)?;
            writer.put(&structure[place.entry..])
        })();
        written.expect("the buffer was measured");
        Ok(writer.into_output().len())
    }
}

impl<'b> Countersignature<'b> {
    /// Verifies the countersignature. `scratch` takes the octets that were signed;
    /// [`scratch_len`](Self::scratch_len) says how many.
    ///
    /// # Errors
    ///
    /// [`VerifyError`].
    pub fn verify(&self, key: &VerifyingKey, external: &[u8], scratch: &mut [u8]) -> Result<(), VerifyError> {
        if !key.verifies(self.headers.algorithm) {
            return Err(SignatureError.into());
        }
        let scratch = BufferTooSmall::check(scratch, self.scratch_len(external.len()))?;
        let signed = self.target.write(Some(self.headers.protected), external, scratch);
        Ok(key.verify(signed, &Signature::from_bytes(*self.signature))?)
    }

    /// Octets of scratch that [`verify`](Self::verify) needs.
    pub const fn scratch_len(&self, external_len: usize) -> usize {
        self.target.scratch_len(Some(self.headers.protected.len()), external_len)
    }

    /// The headers of the countersignature.
    pub const fn headers(&self) -> &Headers<'b> {
        &self.headers
    }
}

/// Which protected header of the countersignature is signed.
enum SignedHeader<'a> {
    Full(&'a [u8]),
    None,
}

impl<'a> SignedHeader<'a> {
    const fn protected(&self) -> Option<&'a [u8]> {
        match self {
            Self::Full(protected) => Some(protected),
            Self::None => None,
        }
    }

    const fn label(&self) -> i64 {
        match self {
            Self::Full(_) => COUNTERSIGNATURE,
            Self::None => ABBREVIATED_COUNTERSIGNATURE,
        }
    }
}

/// Where in a structure an entry of its unprotected header belongs.
struct Place {
    /// Where the map begins.
    map: usize,
    count: usize,
    /// Where its entries begin.
    entries: usize,
    /// Where the new entry goes.
    entry: usize,
}

impl Place {
    /// `None` if the structure is malformed, has another unprotected header, or has the label already.
    fn find(structure: &[u8], unprotected: &[u8], label: i64) -> Option<Self> {
        let mut cursor = Cursor::new(structure);
        if cursor.peek().ok()? == Kind::Tag {
            cursor.tag().ok()?;
        }
        cursor.array().ok()?;
        cursor.bytes().ok()?;
        let map = cursor.position();
        if !cursor.rest().starts_with(unprotected) {
            return None;
        }
        let count = cursor.map().ok()?;
        let entries = cursor.position();
        let mut entry = entries;
        for _ in 0..count {
            // A label that is no number comes after all that are.
            let Ok(found) = cursor.int() else { break };
            if found == label {
                return None;
            }
            cursor.skip().ok()?;
            if rank(found) < rank(label) {
                entry = cursor.position();
            }
        }
        Some(Self { map, count, entries, entry })
    }
}

/// One countersignature, or an array of them: the octets of the first and of those after it, and how many they are.
fn signatures(octets: &[u8]) -> Result<(&[u8], usize), CoseError> {
    let mut cursor = Cursor::new(octets);
    let mut inside = cursor.clone();
    inside.array()?;
    if inside.peek()? == Kind::Array {
        return entries(&mut cursor, Countersigned::MAX_COUNTERSIGNATURES, read);
    }
    three_members(&mut cursor.clone())?;
    read(&mut cursor)?;
    Ok((octets, 1))
}

fn read(cursor: &mut Cursor<'_>) -> Result<(), CoseError> {
    match read_signature(cursor).map(drop) {
        Err(CoseError::Algorithm(_)) => Ok(cursor.bytes().map(drop)?),
        read => read,
    }
}

const PROTECTED_LEN: usize = Protected::len(Algorithm::Ed25519);

/// The most octets that a countersignature adds: the label, the structure, and a head of the map that grows.
const ADDED_LEN: usize = 1 + 1 + (1 + PROTECTED_LEN) + 1 + (2 + Signature::LEN) + 1;

const fn string_len(len: usize) -> usize {
    head_len(len) + len
}
