"""Seals and opens messages of the suites HPKE-9 and HPKE-9-KE with pyca/cryptography, from docs/formats/envelope.md,
for interop/hpke.rs.

Standard input: a line a message, fields in hexadecimal (a dash is one without octets):

    SEED ROUTING ENVELOPE PAYLOAD

The seeds of several readers stand one behind the other. Each message is opened by each of its readers, and refused with
one bit flipped of the ciphertext, the encapsulated key, the encrypted key or the routing header. Standard output: for
each, an envelope that is sealed anew around what was found inside.

With the argument --vector: prints tests/vectors/x_wing.txt but for its first part.
"""

import hashlib
import hmac
import os
import sys

import cbor2
from cryptography.hazmat.bindings._rust import openssl
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

HPKE_9, HPKE_9_KE, CHACHA20_POLY1305, ED25519 = 56, 57, 24, -19
KID, IV, EK, COMMITMENT = 4, 5, -4, -65538
ENCAPSULATED_LEN = 1120
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


    def unwrap(self, protected, encapsulated, encrypted):
        info = cbor2.dumps(["HPKE Recipient", CHACHA20_POLY1305, protected, b""])
        return openssl.hpke._decrypt_with_aad(SUITE, encapsulated + encrypted, self.key, info, b"")

    def wrap(self, content_key):
        protected = cbor2.dumps({1: HPKE_9_KE, KID: self.thumbprint()})
        info = cbor2.dumps(["HPKE Recipient", CHACHA20_POLY1305, protected, b""])
        sealed = openssl.hpke._encrypt_with_aad(SUITE, content_key, self.key.public_key(), info, b"")
        return [protected, {EK: sealed[:ENCAPSULATED_LEN]}, sealed[ENCAPSULATED_LEN:]]


def open_content(key, routing, protected, iv, ciphertext, recipients):
    assert cbor2.loads(protected)[COMMITMENT] == hmac.digest(key, b"iot content key 1", "sha256"), "another commitment"
    external = routing + hashlib.sha256(b"".join(map(cbor2.dumps, recipients))).digest()
    return ChaCha20Poly1305(key).decrypt(iv, ciphertext, cbor2.dumps(["Encrypt", protected, external]))


def seal_content(secrets, routing, content):
    key, iv = os.urandom(32), os.urandom(12)
    commitment = hmac.digest(key, b"iot content key 1", "sha256")
    protected = cbor2.dumps({1: CHACHA20_POLY1305, COMMITMENT: commitment})
    recipients = [secret.wrap(key) for secret in secrets]
    external = routing + hashlib.sha256(b"".join(map(cbor2.dumps, recipients))).digest()
    ciphertext = ChaCha20Poly1305(key).encrypt(iv, content, cbor2.dumps(["Encrypt", protected, external]))
    return cbor2.dumps(cbor2.CBORTag(96, [protected, {IV: iv}, ciphertext, recipients]))


def flipped(octets, bit):
    altered = bytearray(octets)
    bit %= 8 * len(altered)
    altered[bit // 8] ^= 1 << bit % 8
    return bytes(altered)


def answer(count, line):
    seeds, routing, envelope, payload = (bytes.fromhex(word.strip("-")) for word in line.split())
    secrets = [Secret(seeds[start:start + 32]) for start in range(0, len(seeds), 32)]
    answer_as = answer_as_several if envelope[:2] == bytes([0xd8, 96]) else answer_as_one
    return answer_as(count, sorted(secrets, key=Secret.thumbprint), routing, envelope, payload).hex()


def must_refuse(count, parts, read):
    for index in range(len(parts)):
        altered = parts[:index] + [flipped(parts[index], count * 7919)] + parts[index + 1:]
        try:
            read(*altered)
        except Exception:
            continue
        sys.exit(f"message {count}: opened with a flipped bit of part {index}")


def answer_as_several(count, secrets, routing, envelope, payload):
    protected, unprotected, ciphertext, recipients = cbor2.loads(envelope).value
    assert set(unprotected) == {IV} and len(recipients) == len(secrets), "other headers or readers"
    for secret, (of_reader, encapsulated, encrypted) in zip(secrets, recipients):
        assert cbor2.loads(of_reader) == {1: HPKE_9_KE, KID: secret.thumbprint()}, "another reader"
        wrapped = [of_reader, encapsulated[EK], encrypted]
        key = secret.unwrap(*wrapped)
        must_refuse(count, wrapped, secret.unwrap)
        parts = [routing, protected, unprotected[IV], ciphertext]
        inner = open_content(key, *parts, recipients)
        must_refuse(count, parts, lambda *altered: open_content(key, *altered, recipients))
        assert cbor2.loads(inner)[2] == payload, f"message {count}: another payload than the one that was sealed"
    return seal_content(secrets, routing, inner)


def answer_as_one(count, secrets, routing, envelope, payload):
    (secret,) = secrets
    protected, unprotected, ciphertext = cbor2.loads(envelope)
    assert set(unprotected) == {EK}, "other headers"
    assert cbor2.loads(protected) == {1: HPKE_9, 4: secret.thumbprint()[:8]}, "another protected header"
    parts = [routing, protected, unprotected[EK], ciphertext]
    inner = secret.open(*parts)
    assert cbor2.loads(inner)[2] == payload, f"message {count}: another payload than the one that was sealed"
    must_refuse(count, parts, secret.open)
    return secret.seal(routing, protected, inner)


def vector():
    secret, device = Secret(bytes([0x42]) * 32), Ed25519PrivateKey.from_private_bytes(bytes([1]) * 32)
    x = device.public_key().public_bytes_raw()
    source = hashlib.sha256(cbor2.dumps({1: 1, -1: 6, -2: x})).digest()
    topic, incarnation, sequence, payload = "plant/7/boiler/12", bytes(range(1, 9)), 70001, b"21.5 Cel"
    routing = bytes([0x02]) + incarnation + sequence.to_bytes(3, "big")

    def signed(algorithm, reader):
        binding = ["iot sealed 1", algorithm, reader, topic, source, 0, incarnation, sequence]
        protected = cbor2.dumps({1: ED25519, KID: source[:8]})
        signature = device.sign(cbor2.dumps(["Signature1", protected, cbor2.dumps(binding), payload]))
        return cbor2.dumps([protected, {}, payload, signature])

    secrets = sorted([secret, Secret(bytes([0x43]) * 32)], key=Secret.thumbprint)
    readers = hashlib.sha256(b"".join(map(Secret.thumbprint, secrets))).digest()
    print(f"device seed: {(bytes([1]) * 32).hex()}")
    print(f"reader seed: {(bytes([0x42]) * 32).hex()}")
    print(f"reader thumbprint: {secret.thumbprint().hex()}")
    header = cbor2.dumps({1: HPKE_9, 4: secret.thumbprint()[:8]})
    print(f"message: {(routing + secret.seal(routing, header, signed(HPKE_9, secret.thumbprint()))).hex()}")
    print(f"seed of another reader: {(bytes([0x43]) * 32).hex()}")
    print(f"several: {(routing + seal_content(secrets, routing, signed(HPKE_9_KE, readers))).hex()}")


def main():
    if sys.argv[1:] == ["--vector"]:
        return vector()
    sealed = [answer(count, line) for count, line in enumerate(sys.stdin.read().splitlines())]
    assert sealed, "no message on standard input"
    print("\n".join(sealed))


main()
