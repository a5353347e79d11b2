//! True COSE structures, one of each kind, and the keys to them.

use std::sync::LazyLock;

use iot_crypto::Signer;
use iot_crypto::cose::{ContentKey, Encrypt, Encrypt0, Mac0, MacKey, Sign, Sign1};

use crate::party::{PAYLOAD, Party, rng};

/// The external data of all of them.
pub const EXTERNAL: &[u8] = b"outside";

/// The keys.
pub struct Keys {
    /// Who sign, and to whom is encrypted.
    pub parties: [Party; 2],
    pub content: ContentKey,
    pub mac: MacKey,
}

pub static KEYS: LazyLock<Keys> = LazyLock::new(|| Keys {
    parties: [Party::new(1), Party::new(2)],
    content: ContentKey::from_bytes([3; 32]),
    mac: MacKey::from_bytes([4; 32]),
});

/// The structures, by what they are.
pub fn seeds() -> Vec<(String, Vec<u8>)> {
    let Keys { parties: [first, second], content, mac } = &*KEYS;
    let (name, iv) = (first.key().key_id(), [5; 12]);
    let agreement = [*first.bundle.agreement_key(), *second.bundle.agreement_key()];
    let signers: [&dyn Signer; 2] = [&first.signing, &second.signing];

    let sign1 = Sign1::sign(&first.signing, PAYLOAD, EXTERNAL).expect("the key is at hand");
    let sign = Sign::sign(&signers, PAYLOAD, EXTERNAL).expect("the keys are at hand");
    let mac0 = Mac0::authenticate(mac, &name, PAYLOAD, EXTERNAL);
    let encrypt0 = Encrypt0::seal(content, Some(&name), &iv, PAYLOAD, EXTERNAL);
    let mut sealed = vec![0; Encrypt0::sealed_len(PAYLOAD.len(), EXTERNAL.len())];
    let len = Encrypt0::seal_to_into(&agreement[0], PAYLOAD, EXTERNAL, &mut rng(6), &mut sealed);
    sealed.truncate(len.expect("the key is no small one"));
    let encrypt = Encrypt::seal(&agreement, PAYLOAD, EXTERNAL, &mut rng(7)).expect("there are two readers");

    let countersigned = |target: iot_crypto::cose::Countersigned<'_>, structure: &[u8]| {
        let mut buffer = vec![0; target.countersign_len(structure.len(), EXTERNAL.len())];
        let len = target.countersign_into(structure, &second.signing, EXTERNAL, &mut buffer);
        buffer.truncate(len.expect("it has none"));
        buffer
    };
    let abbreviated = |target: iot_crypto::cose::Countersigned<'_>, structure: &[u8]| {
        let mut buffer = vec![0; target.countersign_len(structure.len(), EXTERNAL.len())];
        let len = target.countersign_abbreviated_into(structure, &second.signing, EXTERNAL, &mut buffer);
        buffer.truncate(len.expect("it has none"));
        buffer
    };
    const PARSED: &str = "what was written is a structure";
    let of_sign1 = countersigned(Sign1::parse(&sign1).expect(PARSED).countersigned(), &sign1);
    let of_mac0 = abbreviated(Mac0::parse(&mac0).expect(PARSED).countersigned(), &mac0);
    let of_encrypt0 = countersigned(Encrypt0::parse(&encrypt0).expect(PARSED).countersigned(), &encrypt0);
    let of_encrypt = abbreviated(Encrypt::parse(&encrypt).expect(PARSED).countersigned(), &encrypt);

    let tagged = |tag: &[u8], structure: &[u8]| [tag, structure].concat();
    [
        ("sign1-countersigned", of_sign1),
        ("sign-tagged", tagged(&[0xd8, 0x62], &sign)),
        ("sign-detached", detached(&sign)),
        ("sign", sign),
        ("mac0-tagged", tagged(&[0xd1], &mac0)),
        ("mac0-detached", detached(&mac0)),
        ("mac0-countersigned", of_mac0),
        ("mac0", mac0),
        ("encrypt0-tagged", tagged(&[0xd0], &encrypt0)),
        ("encrypt0-countersigned", of_encrypt0),
        ("encrypt0", encrypt0),
        ("encrypt0-hpke", sealed),
        ("encrypt-tagged", tagged(&[0xd8, 0x60], &encrypt)),
        ("encrypt-countersigned", of_encrypt),
        ("encrypt", encrypt),
    ]
    .map(|(name, structure)| (name.to_owned(), structure))
    .to_vec()
}

/// The structure with `nil` where its payload is (RFC 9052 §2).
fn detached(structure: &[u8]) -> Vec<u8> {
    let payload = [&[0x58, PAYLOAD.len() as u8], PAYLOAD].concat();
    let at = structure.windows(payload.len()).position(|window| window == payload).expect("the payload is in clear");
    [&structure[..at], &[0xf6], &structure[at + payload.len()..]].concat()
}
