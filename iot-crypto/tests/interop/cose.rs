//! Two more libraries for COSE read what this crate writes, and this crate what they write.

use iot_codec::cbor::{EncodeError, Writer};
use iot_core::KeyId;
use iot_crypto::SigningKey;
use iot_crypto::cose::{ContentKey, Encrypt0, Mac0, MacKey, Sign1};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng as _};

use crate::child::{hex, octets, run};

/// pycose takes no algorithm but -8 for Ed25519, and has no ChaCha20/Poly1305: the script registers both numbers with
/// it, so of these, pycose checks the structures, and its cryptography the octets. What it has, it does itself.
#[test]
#[ignore = "needs the python packages pycose, cbor2 and cryptography"]
fn pycose_reads_and_writes_1000_structures_of_each_kind() {
    let kinds = [Kind::Sign1, Kind::EdDsa, Kind::Encrypt0, Kind::Mac0];
    exchange("python3", "pycose_structures.py", &kinds, External::Random);
}

/// It reads structures with external data, but writes none.
#[test]
#[ignore = "needs node, and the npm package @auth0/cose on NODE_PATH"]
fn auth0_cose_reads_and_writes_1000_structures_of_each_kind() {
    exchange("node", "auth0_structures.cjs", &[Kind::EdDsa, Kind::Mac0], External::Empty);
}

/// The external data of what comes back.
#[derive(Clone, Copy, PartialEq, Eq)]
enum External {
    Empty,
    /// That of what was sent.
    Random,
}

/// Sends 1,000 structures of each kind, of which the script must read each and refuse altered ones; and as many come
/// back that were written of the same fields, which are read here, and refused when one bit is flipped.
fn exchange(program: &str, script: &str, kinds: &[Kind], external: External) {
    let mut rng = ChaCha20Rng::from_seed([13; 32]);
    let structures: Vec<_> =
        kinds.iter().flat_map(|kind| [*kind; 1000]).map(|kind| Structure::random(kind, &mut rng)).collect();
    let lines: String = structures.iter().map(Structure::line).collect();
    let theirs = run(program, script, &lines);
    assert_eq!(theirs.lines().count(), structures.len());
    for (ours, theirs) in structures.iter().zip(theirs.lines()) {
        let (kind, theirs) = (ours.kind, octets(theirs));
        let external = if external == External::Empty { &[] } else { &ours.external[..] };
        assert!(ours.reads(&theirs, external), "{kind:?}");
        assert!(!ours.reads(&theirs, b"of something else"), "{kind:?}");
        let bit = rng.next_u32() as usize % (theirs.len() * 8);
        let mut altered = theirs;
        altered[bit / 8] ^= 1 << (bit % 8);
        assert!(!ours.reads(&altered, external), "{kind:?}, bit {bit}");
    }
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    /// As this crate signs: algorithm -19.
    Sign1,
    /// As it reads, and `iot envelope sign --raw` writes: algorithm -8.
    EdDsa,
    Encrypt0,
    Mac0,
}

/// A structure of this crate, with what it is made of.
struct Structure {
    kind: Kind,
    key: [u8; 32],
    external: Vec<u8>,
    content: Vec<u8>,
    octets: Vec<u8>,
}

impl Structure {
    fn random(kind: Kind, rng: &mut ChaCha20Rng) -> Self {
        let (mut key, mut iv) = ([0; 32], [0; 12]);
        rng.fill_bytes(&mut key);
        rng.fill_bytes(&mut iv);
        let mut external = vec![0; (rng.next_u32() % 40) as usize];
        rng.fill_bytes(&mut external);
        let mut content = vec![0; (rng.next_u32() % 400) as usize];
        rng.fill_bytes(&mut content);
        let name = KeyId::from_bytes(*b"a key id");
        let octets = match kind {
            Kind::Sign1 => Sign1::sign(&SigningKey::from_seed(&key), &content, &external).unwrap(),
            Kind::EdDsa => sign_with_the_older_number(&SigningKey::from_seed(&key), &content, &external),
            Kind::Encrypt0 => Encrypt0::seal(&ContentKey::from_bytes(key), Some(&name), &iv, &content, &external),
            Kind::Mac0 => Mac0::authenticate(&MacKey::from_bytes(key), &name, &content, &external),
        };
        Self { kind, key, external, content, octets }
    }

    fn line(&self) -> String {
        let kind = format!("{:?}", self.kind).to_lowercase();
        let fields = [&self.key[..], &self.external, &self.content, &self.octets].map(hex);
        format!("{kind} {}\n", fields.join(" "))
    }

    /// Whether the key gives the content.
    fn reads(&self, octets: &[u8], external: &[u8]) -> bool {
        let mut buffer = vec![0; octets.len() + 1024];
        let content = match self.kind {
            Kind::Sign1 | Kind::EdDsa => Sign1::parse(octets).ok().and_then(|signed| {
                let key = SigningKey::from_seed(&self.key).verifying_key();
                signed.verify(&key, external, &mut buffer).ok().map(<[u8]>::to_vec)
            }),
            Kind::Encrypt0 => Encrypt0::parse(octets).ok().and_then(|sealed| {
                let key = ContentKey::from_bytes(self.key);
                sealed.open_into(&key, external, &mut buffer).ok().map(|content| content.to_vec())
            }),
            Kind::Mac0 => Mac0::parse(octets)
                .ok()
                .and_then(|it| it.verify(&MacKey::from_bytes(self.key), external).ok().map(<[u8]>::to_vec)),
        };
        content.as_ref() == Some(&self.content)
    }
}

/// An untagged `COSE_Sign1` of algorithm -8 (RFC 9053 §2.2), which the library itself no longer writes.
fn sign_with_the_older_number(key: &SigningKey, payload: &[u8], external: &[u8]) -> Vec<u8> {
    let protected = encode(|writer| {
        writer.map(1)?;
        writer.int(1)?;
        writer.int(-8)
    });
    let signed = encode(|writer| {
        writer.array(4)?;
        writer.text("Signature1")?;
        writer.bytes(&protected)?;
        writer.bytes(external)?;
        writer.bytes(payload)
    });
    encode(|writer| {
        writer.array(4)?;
        writer.bytes(&protected)?;
        writer.map(0)?;
        writer.bytes(payload)?;
        writer.bytes(key.sign(&signed).as_bytes())
    })
}

fn encode(write: impl FnOnce(&mut Writer<Vec<u8>>) -> Result<(), EncodeError>) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    write(&mut writer).unwrap();
    writer.into_output()
}
