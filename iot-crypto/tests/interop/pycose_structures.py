"""Reads and writes COSE structures with pycose, for interop/cose.rs.

Standard input: a line a structure: its kind, then fields in hexadecimal (a dash is one without octets):

    sign1|eddsa|encrypt0|mac0 KEY EXTERNAL CONTENT STRUCTURE

The key of a signature is its seed. Each is read. With one bit flipped anywhere it must be refused, or at least give no
other content; with one flipped in the signature or the tag, and with other external data, it must be refused. Standard
output: for each, a structure that pycose makes of the same fields.
"""

import os
import sys

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers import aead
from pycose import algorithms, headers
from pycose.keys import OKPKey, SymmetricKey
from pycose.messages import CoseMessage, Enc0Message, Mac0Message, Sign1Message

TAGS = {"sign1": 18, "eddsa": 18, "encrypt0": 16, "mac0": 17}


@algorithms.CoseAlgorithm.register_attribute()
class Ed25519(algorithms.EdDSA):
    """RFC 9864: what pycose knows as EdDSA, on one curve."""

    identifier = -19
    fullname = "ED25519"


@algorithms.CoseAlgorithm.register_attribute()
class ChaCha20Poly1305(algorithms.CoseAlgorithm):
    """RFC 9053 section 4.3."""

    identifier = 24
    fullname = "CHACHA20_POLY1305"

    @classmethod
    def encrypt(cls, key, data, aad, nonce):
        return aead.ChaCha20Poly1305(key.k).encrypt(nonce, data, aad)

    @classmethod
    def decrypt(cls, key, ciphertext, aad, nonce):
        return aead.ChaCha20Poly1305(key.k).decrypt(nonce, ciphertext, aad)


ALGORITHMS = {
    "sign1": Ed25519, "eddsa": algorithms.EdDSA, "encrypt0": ChaCha20Poly1305, "mac0": algorithms.HMAC256,
}


def key_of(kind, key):
    if TAGS[kind] != 18:
        return SymmetricKey(k=key)
    public = Ed25519PrivateKey.from_private_bytes(key).public_key().public_bytes_raw()
    return OKPKey(crv="ED25519", x=public, d=key)


def read(kind, key, external, structure):
    """The content, or None."""
    message = CoseMessage.decode(bytes([0xC0 | TAGS[kind]]) + structure)
    message.key, message.external_aad = key, external
    assert message.get_attr(headers.Algorithm) is ALGORITHMS[kind], "another algorithm"
    if isinstance(message, Enc0Message):
        try:
            return message.decrypt()
        except InvalidTag:
            return None
    is_valid = message.verify_signature() if isinstance(message, Sign1Message) else message.verify_tag()
    return message.payload if is_valid else None


def read_altered(kind, key, external, structure, bit):
    altered = bytearray(structure)
    altered[bit // 8] ^= 1 << bit % 8
    try:
        return read(kind, key, external, bytes(altered))
    except Exception:
        return None


def write(kind, key, external, content):
    maker = {18: Sign1Message, 16: Enc0Message, 17: Mac0Message}[TAGS[kind]]
    outside = {headers.IV: os.urandom(12)} if maker is Enc0Message else {}
    inside = {headers.Algorithm: ALGORITHMS[kind], headers.KID: b"a key id"}
    return maker(phdr=inside, uhdr=outside, payload=content, external_aad=external, key=key).encode()


def main():
    written = []
    for count, line in enumerate(sys.stdin.read().splitlines()):
        kind, *words = line.split()
        key, external, content, structure = (bytes.fromhex(word.strip("-")) for word in words)
        key = key_of(kind, key)
        name = f"{kind} {count}"
        assert read(kind, key, external, structure) == content, f"{name}: another content"
        assert read(kind, key, external + b"x", structure) is None, f"{name}: other external data were not noticed"
        bits = 8 * len(structure)
        found = read_altered(kind, key, external, structure, count * 7919 % bits)
        assert found in (None, content), f"{name}: a flipped bit changed the content"
        found = read_altered(kind, key, external, structure, bits - 1 - count % 128)
        assert found is None, f"{name}: a flipped bit of the tag was not noticed"
        written.append(write(kind, key, external, content).hex())
    assert written, "no structure on standard input"
    print("\n".join(written))


main()
