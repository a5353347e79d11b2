//! What takes a secret in wipes itself: a feature of a dependency that is turned off does not compile here.

use iot_crypto::cose::{ContentKey, MacKey};
use sha2::Sha256;
use zeroize::ZeroizeOnDrop;

const fn wipes_itself<T: ZeroizeOnDrop>() {}

#[test]
fn keys_hashes_and_ciphers_wipe_themselves() {
    wipes_itself::<ContentKey>();
    wipes_itself::<MacKey>();
    // HMAC and HKDF hold nothing but such states.
    wipes_itself::<Sha256>();
    wipes_itself::<chacha20poly1305::ChaCha20Poly1305>();
    wipes_itself::<ed25519_dalek::SigningKey>();
    wipes_itself::<x25519_dalek::StaticSecret>();
}
