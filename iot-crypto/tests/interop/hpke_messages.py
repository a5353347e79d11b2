"""Opens and seals the envelope of messages with pyhpke, from docs/formats/envelope.md, for interop/hpke.rs.

Standard input: a line a message, fields in hexadecimal (a dash is one without octets):

    SECRET ROUTING ENVELOPE PAYLOAD

Each is opened, and refused with one bit flipped of the ciphertext, the encapsulated key or the routing header. Standard
output: for each, an envelope that pyhpke seals of what it found inside.
"""

import sys

import cbor2
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from pyhpke import AEADId, CipherSuite, KDFId, KEMId, KEMKey

EK = -4
SUITE = CipherSuite.new(KEMId.DHKEM_X25519_HKDF_SHA256, KDFId.HKDF_SHA256, AEADId.CHACHA20_POLY1305)


def authenticated(protected, routing):
    return cbor2.dumps(["Encrypt0", protected, routing])


def open_envelope(secret, routing, protected, encapsulated, ciphertext):
    context = SUITE.create_recipient_context(encapsulated, KEMKey.from_pyca_cryptography_key(secret))
    return context.open(ciphertext, aad=authenticated(protected, routing))


def seal_envelope(secret, routing, protected, content):
    reader = KEMKey.from_pyca_cryptography_key(secret.public_key())
    encapsulated, context = SUITE.create_sender_context(reader)
    ciphertext = context.seal(content, aad=authenticated(protected, routing))
    return cbor2.dumps([protected, {EK: encapsulated}, ciphertext])


def flipped(octets, bit):
    altered = bytearray(octets)
    bit %= 8 * len(altered)
    altered[bit // 8] ^= 1 << bit % 8
    return bytes(altered)


def main():
    sealed = []
    for count, line in enumerate(sys.stdin.read().splitlines()):
        secret, routing, envelope, payload = (bytes.fromhex(word.strip("-")) for word in line.split())
        secret = X25519PrivateKey.from_private_bytes(secret)
        protected, unprotected, ciphertext = cbor2.loads(envelope)
        assert set(unprotected) == {EK}, "other headers"
        parts = [routing, protected, unprotected[EK], ciphertext]
        inner = open_envelope(secret, *parts)
        assert cbor2.loads(inner)[2] == payload, f"message {count}: another payload than the one that was sealed"
        for index in range(len(parts)):
            altered = parts[:index] + [flipped(parts[index], count * 7919)] + parts[index + 1:]
            # The highest bit of a point is not part of it (RFC 7748 section 5), but of what HPKE derives keys from.
            try:
                open_envelope(secret, *altered)
            except Exception:
                continue
            sys.exit(f"message {count}: opened with a flipped bit of part {index}")
        sealed.append(seal_envelope(secret, routing, protected, inner).hex())
    assert sealed, "no message on standard input"
    print("\n".join(sealed))


main()
