"""Prints the vector of a key file, written from docs/formats/keys.md with cbor2 and cryptography alone."""

import cbor2
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

PASSWORD, EXTERNAL, SECRET = b"correct horse", b"gateway 7", b"what is inside is free"
SALT, NONCE = bytes(range(16)), bytes(range(12))
KIBIBYTES, PASSES, LANES = 20_480, 2, 2

key = Argon2id(salt=SALT, length=32, iterations=PASSES, lanes=LANES, memory_cost=KIBIBYTES).derive(PASSWORD)
protected = cbor2.dumps({1: 24, -65537: [KIBIBYTES, PASSES, LANES, SALT]}, canonical=True)
external = cbor2.dumps(["iot key file 1", EXTERNAL])
authenticated = cbor2.dumps(["Encrypt0", protected, external])
ciphertext = ChaCha20Poly1305(key).encrypt(NONCE, SECRET, authenticated)
file = cbor2.dumps(cbor2.CBORTag(16, [protected, {5: NONCE}, ciphertext]))

print("# A key file. Hexadecimal. Printed by tests/interop/keyfile.py, read by src/keyfile/tests.rs, drawn in")
print("# docs/formats/keys.md.")
print("password:", PASSWORD.hex())
print("external:", EXTERNAL.hex())
print("secret:", SECRET.hex())
print("file:", file.hex())
