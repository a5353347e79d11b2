"""Prints the vector of docs/formats/keys.md, written from that page with cbor2 and cryptography alone."""

import hashlib

import cbor2
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat


def encode(item):
    return cbor2.dumps(item, canonical=True)


def key(number):
    return Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32)


def public(number):
    return key(number).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def thumbprint(number):
    # Written by hand: the order of the members is that of their encodings, 1, -1, -2.
    return hashlib.sha256(b"\xa3\x01\x01\x20\x06\x21\x58\x20" + public(number)).digest()


def sign1(number, payload, external):
    protected = b"\xa2\x01\x32\x04\x48" + thumbprint(number)[:8]
    signed = encode(["Signature1", protected, external, payload])
    return [protected, {}, payload, key(number).sign(signed)]


def link(index):
    external = encode(["iot succession 1", thumbprint(1), index])
    payload = encode({1: public(index + 1), 2: thumbprint(index + 2)})
    return sign1(index, payload, external)


def bundle(number, agreement, sequence, expires):
    body = {1: public(number), 2: agreement, 3: sequence, 4: expires, 5: thumbprint(number + 1)}
    return encode(sign1(number, encode(body), b"iot key bundle 1"))


def objects():
    """The keys of each kind whose secret is 32 octets 7, and the same with the secret."""
    secret = bytes([7]) * 32
    on_p256 = ec.derive_private_key(int.from_bytes(secret, "big"), ec.SECP256R1()).public_key().public_numbers()
    coordinates = {-2: on_p256.x.to_bytes(32, "big"), -3: on_p256.y.to_bytes(32, "big")}
    agreement = X25519PrivateKey.from_private_bytes(secret).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    parameters = {
        "Ed25519": {1: 1, -1: 6, -2: public(7)}, "X25519": {1: 1, -1: 4, -2: agreement},
        "P-256": {1: 2, -1: 1} | coordinates,
    }
    for name, key in parameters.items():
        kid = hashlib.sha256(encode(key)).digest()[:8]
        yield f"{name} key", encode(key | {2: kid})
        yield f"{name} secret key", encode(key | {2: kid, -4: secret})


print("# A device that has rotated four times, and key objects. The seed of its nth key is 32 octets n. Hexadecimal.")
print("# Printed by tests/interop/succession.py, read by tests/succession.rs, drawn in docs/formats/keys.md.")
print("device:", thumbprint(1).hex())
for rotations in range(1, 5):
    succession = encode([public(1)] + [link(index) for index in range(1, rotations + 1)])
    print(f"succession {rotations}:", succession.hex())
agreement = bytes.fromhex("422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079")
print("agreement key:", agreement.hex())
print("first bundle:", bundle(1, agreement, 1, 1_800_000_000_000_000).hex())
for name, value in objects():
    print(f"{name}:", value.hex())
print("last bundle:", bundle(5, agreement, 1, 1_800_000_000_000_000).hex())
