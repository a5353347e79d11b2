//! Base64 with the alphabet for URLs and without padding (RFC 4648 §5), as `vd` has it in JSON.

use alloc::{string::String, vec::Vec};

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

pub(super) fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let bits = group.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for digit in 0..=group.len() {
            text.push(char::from(ALPHABET[(bits >> (18 - 6 * digit) & 0x3f) as usize]));
        }
    }
    text
}

/// Nothing where the text is not the one encoding of its bytes.
pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3 + 2);
    for group in text.as_bytes().chunks(4) {
        let digit = |byte: &u8| ALPHABET.iter().position(|digit| digit == byte);
        let mut bits = 0u32;
        for byte in group {
            bits = bits << 6 | digit(byte)? as u32;
        }
        let [_, first, second, third] = (bits << (6 * (4 - group.len()))).to_be_bytes();
        let whole = match group.len() {
            4 => &[first, second, third][..],
            3 if third == 0 => &[first, second],
            2 if second == 0 && third == 0 => &[first],
            _ => return None,
        };
        bytes.extend_from_slice(whole);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vectors_of_rfc_4648_hold() {
        // RFC 4648 §10, less the padding.
        let rows = [("", ""), ("f", "Zg"), ("fo", "Zm8"), ("foo", "Zm9v"), ("foob", "Zm9vYg"), ("foobar", "Zm9vYmFy")];
        for (bytes, text) in rows {
            assert_eq!(encode(bytes.as_bytes()), text);
            assert_eq!(decode(text).as_deref(), Some(bytes.as_bytes()));
        }
        assert_eq!(encode(&[0xfb, 0xff]), "-_8");
        for wrong in ["Z", "Zm9vY", "Zh", "Zm9", "Zg==", "Z+8", "Zm8 "] {
            assert_eq!(decode(wrong), None, "{wrong}");
        }
    }
}
