"""Groups from docs/formats/group.md, not from the Rust code.

Without arguments: python-cwt, which knows only full IVs, opens the messages of the vector.
With --vector: writes tests/vectors/group.txt to standard output.
"""

import hashlib
import hmac
import sys
from pathlib import Path

import cbor2
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

CHACHA20_POLY1305, ED25519 = 24, -19
PROTECTED = cbor2.dumps({1: CHACHA20_POLY1305})


class Device:
    def __init__(self, seed):
        self.key = Ed25519PrivateKey.from_private_bytes(seed)
        public = self.key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.identity = hashlib.sha256(cbor2.dumps({1: 1, -1: 6, -2: public})).digest()

    def sign1(self, payload, external):
        protected = cbor2.dumps({1: ED25519, 4: self.identity[:8]})
        signed = cbor2.dumps(["Signature1", protected, external, payload])
        return cbor2.dumps([protected, {}, payload, self.key.sign(signed)])


def octets(number):
    return number.to_bytes(max(1, (number.bit_length() + 7) // 8), "big")


class Keys:
    def __init__(self, secret, binding):
        self.hash = hashlib.sha256(cbor2.dumps(binding)).digest()
        self.key = self.expand(secret, "key", 32)
        self.base_iv = self.expand(secret, "iv", 12)
        self.leaf = self.expand(secret, "leaf", 32)

    def expand(self, secret, purpose, length):
        info = cbor2.dumps([self.hash, CHACHA20_POLY1305, purpose, length])
        return hmac.digest(secret, info + b"\x01", "sha256")[:length]


def message(keys, group, epoch, incarnation, sequence, payload):
    number = octets(sequence)
    routing = bytes([len(number) - 1]) + incarnation + number
    nonce = (int.from_bytes(keys.base_iv, "big") ^ sequence).to_bytes(12, "big")
    associated = cbor2.dumps(["Encrypt0", PROTECTED, routing + keys.hash])
    ciphertext = ChaCha20Poly1305(keys.key).encrypt(nonce, payload, associated)
    return routing + cbor2.dumps([PROTECTED, {4: octets(epoch), 6: number, 10: group}, ciphertext])


def vector():
    manager, publisher, reader = (Device(bytes([seed]) * 32) for seed in (0x7F, 1, 2))
    group, epoch, secret = b"plant  7", 300, bytes(range(32))
    topic, incarnation, first = "plant/7/boiler/12", b"a chance", 254
    members = hashlib.sha256(b"".join(sorted([publisher.identity, reader.identity]))).digest()
    rekeying = {1: "iot group epoch 1", 2: group, 3: epoch, 4: members, 5: secret}
    history = {1: "iot group history 1", 2: group, 3: epoch - 1, 4: members + secret[::-1]}
    binding = [
        "iot group 1", CHACHA20_POLY1305, manager.identity, group, epoch, members, topic, publisher.identity, 0,
        incarnation,
    ]
    keys = Keys(secret, binding)
    payload = b"twenty octets, yes: "
    messages = [message(keys, group, epoch, incarnation, first + i, payload) for i in range(3)]
    leaves = b"".join(hashlib.sha256(keys.leaf + message).digest() for message in messages)
    body = {1: epoch, 2: 0, 3: incarnation, 4: first, 5: leaves}
    external = ["iot group batch 1", manager.identity, group, publisher.identity]
    lines = {
        "manager": manager.identity, "publisher": publisher.identity, "group": group, "members": members,
        "rekeying": cbor2.dumps(rekeying), "history": cbor2.dumps(history), "bound": cbor2.dumps(binding), "binding": keys.hash,
        "info": cbor2.dumps([keys.hash, CHACHA20_POLY1305, "leaf", 32]), "key": keys.key,
        "base-iv": keys.base_iv, "leaf": keys.leaf, "payload": payload, "first": first.to_bytes(8, "big"),
        "message 0": messages[0], "message 1": messages[1], "message 2": messages[2],
        "batch-context": cbor2.dumps(external), "batch": publisher.sign1(cbor2.dumps(body), cbor2.dumps(external)),
    }
    print("# An epoch, three messages of a publisher and the batch that it signed. Hexadecimal. Written by")
    print("# tests/interop/group.py, read by tests/group, drawn in docs/formats/group.md.")
    for name, value in lines.items():
        print(f"{name}: {value.hex()}")


def open_vector():
    from cwt import COSE, COSEKey

    text = (Path(__file__).parent.parent / "vectors" / "group.txt").read_text()
    lines = dict(line.split(": ") for line in text.splitlines() if not line.startswith("#"))
    vector = {name: bytes.fromhex(digits) for name, digits in lines.items()}
    count = 3
    for index in range(count):
        octets = vector[f"message {index}"]
        routing_len = 10 + (octets[0] & 7)
        routing, (protected, unprotected, ciphertext) = octets[:routing_len], cbor2.loads(octets[routing_len:])
        sequence = int.from_bytes(unprotected[6], "big")
        nonce = (int.from_bytes(vector["base-iv"], "big") ^ sequence).to_bytes(12, "big")
        key = COSEKey.new({1: 4, 2: unprotected[4], 3: CHACHA20_POLY1305, 4: [4], -1: vector["key"]})
        with_full_iv = cbor2.CBORTag(16, [protected, {4: unprotected[4], 5: nonce}, ciphertext])
        external = routing + vector["binding"]
        assert COSE.new().decode(cbor2.dumps(with_full_iv), key, external_aad=external) == vector["payload"]
        try:
            COSE.new().decode(cbor2.dumps(with_full_iv), key, external_aad=external[1:])
        except Exception:
            continue
        raise AssertionError("it opens with another external data")
    print(count, "messages")


if __name__ == "__main__":
    vector() if "--vector" in sys.argv else open_vector()
