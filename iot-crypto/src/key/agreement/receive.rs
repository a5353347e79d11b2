use hpke::aead::{AeadCtxR, ChaCha20Poly1305};
use hpke::kdf::{HkdfSha256, Kdf as _};
use hpke::kem::{SharedSecret, X25519HkdfSha256};
use hpke::{Kem, OpModeR};
use subtle::ConstantTimeEq as _;

use super::{Agreement, AgreementError, AgreementKey};

/// Why a receiver's context could not be set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReceiveError {
    /// The holder of the key did not agree.
    Refused(AgreementError),
    /// The encapsulated key is a point of small order.
    SmallOrder,
}

/// Sets up the receiver of an HPKE message in base mode (RFC 9180 §5.1.1), with the key agreed by its holder.
///
/// `hpke` wants to hold the key itself. What it would compute from the agreed secret is done here by the same functions
/// of its own, `ExtractAndExpand` (§4.1) and `KeySchedule` (§5.1), which it keeps out of its documentation.
pub(crate) fn receive(
    agreement: &impl Agreement,
    encapsulated: &[u8; AgreementKey::LEN],
    info: &[u8],
) -> Result<AeadCtxR<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>, ReceiveError> {
    let agreed = agreement.agree(encapsulated).map_err(ReceiveError::Refused)?;
    // RFC 9180 §7.1.4.
    let is_zero = agreed.0.ct_eq(&[0; 32]).into();
    #[cfg(iot_fault)]
    let is_zero = is_zero && !crate::fault::is_off(crate::fault::Check::SmallOrder);
    if is_zero {
        return Err(ReceiveError::SmallOrder);
    }
    let mut context = [0; 2 * AgreementKey::LEN];
    let (first, second) = context.split_at_mut(AgreementKey::LEN);
    first.copy_from_slice(encapsulated);
    second.copy_from_slice(agreement.agreement_key().as_bytes());
    let [high, low] = X25519HkdfSha256::KEM_ID.to_be_bytes();
    let suite = [b'K', b'E', b'M', high, low];
    let mut shared = SharedSecret::<X25519HkdfSha256>::default();
    HkdfSha256::extract_and_expand(&agreed.0, &suite, &context, &mut shared.0)
        .expect("32 octets are no more than HKDF yields");
    let mode = OpModeR::<X25519HkdfSha256>::Base;
    Ok(HkdfSha256::combine_secrets::<ChaCha20Poly1305, _, _>(&mode, shared, info).into())
}
