"""Seals and opens messages of the suite HPKE-9 with pyca/cryptography, from docs/formats/envelope.md, for
interop/x_wing.rs.

Standard input: a line a message, fields in hexadecimal (a dash is one without octets):

    SEED ROUTING ENVELOPE PAYLOAD

Each is opened, and refused with one bit flipped of the ciphertext, the encapsulated key or the routing header. Standard
output: for each, an envelope that is sealed anew around what was found inside.

With the argument --vector: prints tests/vectors/x_wing.txt but for its first part.
"""

import hashlib
import sys

import cbor2
from cryptography.hazmat.bindings._rust import openssl
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

HPKE_9, ED25519, EK, ENCAPSULATED_LEN = 56, -19, -4, 1120
SUITE = hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.SHAKE256, hpke.AEAD.AES_256_GCM)


class Secret:
    """Both keys of a seed (draft-connolly-cfrg-xwing-kem-06 section 5.2)."""

    def __init__(self, seed):
        expanded = hashlib.shake_256(seed).digest(96)
        mlkem = MLKEM768PrivateKey.from_seed_bytes(expanded[:64])
        x25519 = X25519PrivateKey.from_private_bytes(expanded[64:])
        self.key = hpke.MLKEM768X25519PrivateKey(mlkem, x25519)
        self.public = mlkem.public_key().public_bytes_raw() + x25519.public_key().public_bytes_raw()

    def thumbprint(self):
        return hashlib.sha256(cbor2.dumps({1: 7, 3: HPKE_9, -1: self.public})).digest()

    def open(self, routing, protected, encapsulated, ciphertext):
        aad = cbor2.dumps(["Encrypt0", protected, routing])
        return openssl.hpke._decrypt_with_aad(SUITE, encapsulated + ciphertext, self.key, b"", aad)

    def seal(self, routing, protected, content):
        aad = cbor2.dumps(["Encrypt0", protected, routing])
        sealed = openssl.hpke._encrypt_with_aad(SUITE, content, self.key.public_key(), b"", aad)
        return cbor2.dumps([protected, {EK: sealed[:ENCAPSULATED_LEN]}, sealed[ENCAPSULATED_LEN:]])


def flipped(octets, bit):
    altered = bytearray(octets)
    bit %= 8 * len(altered)
    altered[bit // 8] ^= 1 << bit % 8
    return bytes(altered)


def answer(count, line):
    seed, routing, envelope, payload = (bytes.fromhex(word.strip("-")) for word in line.split())
    secret = Secret(seed)
    protected, unprotected, ciphertext = cbor2.loads(envelope)
    assert set(unprotected) == {EK}, "other headers"
    assert cbor2.loads(protected) == {1: HPKE_9, 4: secret.thumbprint()[:8]}, "another protected header"
    parts = [routing, protected, unprotected[EK], ciphertext]
    inner = secret.open(*parts)
    assert cbor2.loads(inner)[2] == payload, f"message {count}: another payload than the one that was sealed"
    for index in range(len(parts)):
        altered = parts[:index] + [flipped(parts[index], count * 7919)] + parts[index + 1:]
        try:
            secret.open(*altered)
        except Exception:
            continue
        sys.exit(f"message {count}: opened with a flipped bit of part {index}")
    return secret.seal(routing, protected, inner).hex()


def vector():
    secret, device = Secret(bytes([0x42]) * 32), Ed25519PrivateKey.from_private_bytes(bytes([1]) * 32)
    x = device.public_key().public_bytes_raw()
    source = hashlib.sha256(cbor2.dumps({1: 1, -1: 6, -2: x})).digest()
    topic, incarnation, sequence, payload = "plant/7/boiler/12", bytes(range(1, 9)), 70001, b"21.5 Cel"
    routing = bytes([0x02]) + incarnation + sequence.to_bytes(3, "big")
    binding = ["iot sealed 1", HPKE_9, secret.thumbprint(), topic, source, 0, incarnation, sequence]
    protected = cbor2.dumps({1: ED25519, 4: source[:8]})
    signature = device.sign(cbor2.dumps(["Signature1", protected, cbor2.dumps(binding), payload]))
    inner = cbor2.dumps([protected, {}, payload, signature])
    print(f"device seed: {(bytes([1]) * 32).hex()}")
    print(f"reader seed: {(bytes([0x42]) * 32).hex()}")
    print(f"reader thumbprint: {secret.thumbprint().hex()}")
    header = cbor2.dumps({1: HPKE_9, 4: secret.thumbprint()[:8]})
    print(f"message: {(routing + secret.seal(routing, header, inner)).hex()}")


def main():
    if sys.argv[1:] == ["--vector"]:
        return vector()
    sealed = [answer(count, line) for count, line in enumerate(sys.stdin.read().splitlines())]
    assert sealed, "no message on standard input"
    print("\n".join(sealed))


main()
