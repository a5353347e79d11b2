"""Streams from docs/formats/stream.md, not from the Rust code.

Without arguments: opens the COSE form with python-cwt, which knows only full IVs, so the partial IV is replaced by one.
Standard input: a line a message, fields in hexadecimal: secret, salt, source, reader, topic, stream (decimal),
incarnation, first (decimal), COSE_Encrypt0 (untagged), payload.

With --vector: writes tests/vectors/stream.txt to standard output.
"""

import hashlib
import hmac
import sys

import cbor2
from cwt import COSE, COSEKey

CHACHA20_POLY1305, ENCRYPT0, GENERATION = 24, 16, 65_536
PROTECTED = cbor2.dumps({1: CHACHA20_POLY1305})


def expand(key, external, purpose, length):
    info = cbor2.dumps([external, CHACHA20_POLY1305, purpose, length])
    return hmac.digest(key, info + b"\x01", "sha256")[:length]


class Epoch:
    def __init__(self, secret, salt, source, reader, topic, stream, incarnation, first):
        binding = ["iot stream 1", CHACHA20_POLY1305, reader, topic, source, stream, incarnation]
        self.binding = cbor2.dumps(binding)
        self.external = hashlib.sha256(self.binding).digest()
        extracted = hmac.digest(salt or bytes(32), secret, "sha256")
        self.first = first
        self.chain = expand(extracted, self.external, "chain", 32)

    def keys(self, sequence):
        chain = self.chain
        for _ in range(sequence // GENERATION - self.first // GENERATION):
            chain = expand(chain, self.external, "chain", 32)
        base_iv = int.from_bytes(expand(chain, self.external, "iv", 12), "big")
        return expand(chain, self.external, "key", 32), (base_iv ^ sequence).to_bytes(12, "big")


def cwt_key(key, kid):
    return COSEKey.new({1: 4, 2: kid, 3: CHACHA20_POLY1305, 4: [4], -1: key})


def open_message(fields):
    secret, salt, source, reader, topic, stream, incarnation, first, envelope, payload = fields
    protected, unprotected, ciphertext = cbor2.loads(envelope)
    assert set(unprotected) == {4, 6}, "other headers"
    sequence = int.from_bytes(unprotected[6], "big")
    epoch = Epoch(secret, salt, source, reader, topic.decode(), stream, incarnation, first)
    key, nonce = epoch.keys(sequence)
    with_full_iv = cbor2.CBORTag(ENCRYPT0, [protected, {4: unprotected[4], 5: nonce}, ciphertext])
    opened = COSE.new().decode(cbor2.dumps(with_full_iv), cwt_key(key, unprotected[4]), external_aad=epoch.external)
    assert opened == payload, "another payload than the one that was sent"


def sequence_octets(sequence):
    return sequence.to_bytes(max(1, (sequence.bit_length() + 7) // 8), "big")


def forms(epoch, context, sequence, payload):
    """Both forms, sealed by the cryptography package."""
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

    key, nonce = epoch.keys(sequence)
    associated = cbor2.dumps(["Encrypt0", PROTECTED, epoch.external])
    ciphertext = ChaCha20Poly1305(key).encrypt(nonce, payload, associated)
    number = sequence_octets(sequence)
    flags = bytes([0x80 | (len(context) - 1) << 4 | (len(number) - 1) << 1])
    cose = cbor2.dumps([PROTECTED, {4: context, 6: number}, ciphertext])
    return flags + context + number + ciphertext, cose


def vector():
    inputs = {
        "secret": bytes(range(32)), "salt": bytes(range(0x40, 0x50)), "source": b"\x51" * 32, "reader": b"\x52" * 32,
        "topic": b"plant/7/boiler/12", "stream": b"\x00\x00\x00\x07", "incarnation": b"a chance",
        "first": b"\x00" * 8, "context": b"\xab\xcd", "payload": b"twenty octets, yes: ",
    }
    print("# An epoch, and messages around a change of keys, in both forms. Hexadecimal. Written by")
    print("# tests/interop/stream.py, read by tests/stream, drawn in docs/formats/stream.md.")
    for name, value in inputs.items():
        print(f"{name}: {value.hex()}")
    of = inputs
    epoch = Epoch(of["secret"], of["salt"], of["source"], of["reader"], of["topic"].decode(), 7, of["incarnation"], 0)
    print(f"external: {epoch.external.hex()}")
    for sequence in (0, 255, 256, 65_535, 65_536, 131_072, 1_048_575):
        key, nonce = epoch.keys(sequence)
        compact, cose = forms(epoch, of["context"], sequence, of["payload"])
        print(f"sequence: {sequence.to_bytes(8, 'big').hex()}")
        print(f"key: {key.hex()}")
        print(f"nonce: {nonce.hex()}")
        print(f"compact: {compact.hex()}")
        print(f"cose: {cose.hex()}")
    for name, value in records(of, epoch).items():
        print(f"{name}: {value.hex()}")


def records(of, epoch):
    """The other records of the page, and what they are made of."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    seed, nonce, challenge = b"\x01" * 32, bytes(range(0x60, 0x70)), bytes(range(0x70, 0x80))
    key = Ed25519PrivateKey.from_private_bytes(seed)
    source = hashlib.sha256(cbor2.dumps({1: 1, -1: 6, -2: key.public_key().public_bytes_raw()})).digest()

    def sign1(body, external):
        protected, payload = cbor2.dumps({1: -19, 4: source[:8]}), cbor2.dumps(body)
        signed = cbor2.dumps(["Signature1", protected, cbor2.dumps(external), payload])
        return cbor2.dumps([protected, {}, payload, key.sign(signed)])

    context, stream, incarnation = of["context"], int.from_bytes(of["stream"], "big"), of["incarnation"]
    return {
        "binding": epoch.binding,
        "info": cbor2.dumps([epoch.external, CHACHA20_POLY1305, "key", 32]),
        "invitation nonce": nonce,
        "invitation": cbor2.dumps({1: context, 2: nonce}),
        "opening": cbor2.dumps({1: context, 2: of["secret"], 3: nonce, 4: 60}),
        "signing seed": seed,
        "challenge": challenge,
        "skipped": sign1({1: stream, 2: incarnation, 3: 1_000, 4: 1_042}, ["iot skipped 1", source]),
        "answer": sign1(
            {1: challenge, 2: stream, 3: incarnation, 4: 70_001}, ["iot answer 1", of["reader"], source]
        ),
    }


def main():
    if sys.argv[1:] == ["--vector"]:
        return vector()
    count = 0
    for line in sys.stdin:
        fields = line.split()
        fields = [int(field) if index in (5, 7) else bytes.fromhex(field.replace("-", ""))
                  for index, field in enumerate(fields)]
        open_message(fields)
        tampered = bytearray(fields[8])
        bit = count % 128
        tampered[-16 + bit // 8] ^= 1 << bit % 8
        try:
            open_message(fields[:8] + [bytes(tampered), fields[9]])
        except Exception:
            count += 1
        else:
            sys.exit(f"message {count}: python-cwt opens it with a flipped bit")
    print(f"python-cwt opened {count} messages of streams, and refused each with a flipped bit")


if __name__ == "__main__":
    main()
