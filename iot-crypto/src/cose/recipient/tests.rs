use super::super::Encrypt;
use super::*;
use crate::AgreementSecret;
use crate::vectors::{hex, lines};

/// draft-ietf-cose-hpke-23 appendix C: HPKE-4-KE in all combinations of external data.
#[test]
fn unwraps_the_keys_of_the_draft() {
    let text = include_str!("../../../tests/vectors/cose.txt");
    let (_, secret) = lines(text).find(|(name, _)| *name == "HPKE-4-KE secret").expect("the secret is there");
    let secret = AgreementSecret::from_bytes(&hex(secret));
    let mut count = 0;
    for (name, digits) in lines(text).filter(|(name, _)| name.starts_with("HPKE-4-KE with")) {
        let external = |what: &str, value: &'static [u8]| if name.contains(what) { value } else { &[] };
        let structure: [u8; 166] = hex(digits);
        let sealed = Encrypt::parse(&structure).unwrap();
        let recipient = sealed.recipient(b"bob-hpke_4_ke").unwrap();
        let key = recipient
            .unwrap_with(
                &secret,
                Algorithm::ChaCha20Poly1305,
                external("external info", b"external-info"),
                external("external hpke aad", b"external-hpke-aad"),
            )
            .unwrap();
        let mut buffer = [0; 128];
        let plaintext = sealed.open_into(&key, external("external aad", b"external-aad"), &mut buffer).unwrap();
        assert_eq!(plaintext, b"hpke test payload", "{name}");
        // The purpose of the key is bound: for another algorithm of the content it does not come out.
        let other = recipient.unwrap_with(&secret, Algorithm::Hmac256, &[], &[]).map(drop);
        assert_eq!(other, Err(UnwrapError::Decryption), "{name}");
        count += 1;
    }
    assert_eq!(count, 8);
}
