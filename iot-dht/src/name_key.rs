use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// A secret that a group shares to hide what its records are called.
///
/// A record's name stands in it for all to read, and whoever guesses a name finds the record. A hidden name tells those
/// who do not have the key nothing but that two records have the same name. It hides neither who owns a record, nor
/// when it changes, nor what stands in it: values are sealed before they go in.
pub struct NameKey(Hmac<Sha256>);

impl NameKey {
    /// The key with these octets, which should be drawn at random.
    pub fn new(key: &[u8; 32]) -> Self {
        Self(Hmac::new_from_slice(key).expect("any length is a key"))
    }

    /// The name under which a group keeps what it calls `name`: that of a feed, of a roster, of a mailbox, or of any
    /// other record. HMAC-SHA-256 (RFC 2104) of `"iot-dht name 1"`, a zero octet and the name.
    pub fn hide(&self, name: &[u8]) -> [u8; 32] {
        self.0.clone().chain_update(b"iot-dht name 1\0").chain_update(name).finalize().into_bytes().into()
    }
}

impl core::fmt::Debug for NameKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("NameKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_hidden_by_the_key_and_told_by_nothing_else() {
        let key = NameKey::new(&[1; 32]);
        assert_eq!(key.hide(b"feed"), NameKey::new(&[1; 32]).hide(b"feed"));
        assert_ne!(key.hide(b"feed"), NameKey::new(&[2; 32]).hide(b"feed"));
        assert_ne!(key.hide(b"feed"), key.hide(b"feed2"));
        assert_eq!(std::format!("{key:?}"), "NameKey(..)");
    }
}
