"""Writes the handshakes of vectors/session.txt anew by docs/formats/session.md, with noiseprotocol, and compares."""

import sys
from pathlib import Path

import cbor2
from noise.connection import Keypair, NoiseConnection


def read(path):
    """One dictionary a pattern."""
    found = []
    for line in open(path, encoding="ascii"):
        if not line.startswith("#"):
            name, digits = line.rstrip("\n").split(": ")
            if name == "pattern":
                found.append({})
            found[-1][name] = bytes.fromhex(digits)
    return found


def connection(vector, role, identifier):
    noise = NoiseConnection.from_name(b"Noise_" + vector["pattern"] + b"_25519_ChaChaPoly_SHA256")
    noise.set_as_initiator() if role == "initiator" else noise.set_as_responder()
    prologue = cbor2.dumps({1: "iot session 1", 2: vector["overlay"], 3: identifier})
    assert prologue == vector["prologue"]
    noise.set_prologue(prologue)
    noise.set_keypair_from_private_bytes(Keypair.STATIC, vector[role + " static"])
    noise.set_keypair_from_private_bytes(Keypair.EPHEMERAL, vector[role + " ephemeral"])
    if vector["pattern"] == b"IK" and role == "initiator":
        responder = NoiseConnection.from_name(b"Noise_XX_25519_ChaChaPoly_SHA256")
        responder.set_keypair_from_private_bytes(Keypair.STATIC, vector["responder static"])
        noise.set_keypair_from_public_bytes(Keypair.REMOTE_STATIC, responder.noise_protocol.keypairs["s"].public_bytes)
    noise.start_handshake()
    return noise


def check(vector):
    is_ik = vector["pattern"] == b"IK"
    identifier = vector["first"][1:9]
    ours, theirs = (connection(vector, role, identifier) for role in ("initiator", "responder"))
    bundles = [cbor2.dumps({1: vector[role + " bundle"]}) for role in ("initiator", "responder")]

    def same(name, kind, body):
        if vector[name] != bytes([kind]) + identifier + bytes(body):
            sys.exit(f"{vector['pattern']}: the message {name} differs")

    said = cbor2.loads(bytes(theirs.read_message(vector["first"][9:])))
    assert set(said) == ({1, 3} if is_ik else {3}) and not any(said[3]) and len(vector["first"]) >= 384
    assert said.get(1) == (vector["initiator bundle"] if is_ik else None)
    assert vector["first payload"] == cbor2.dumps(said, canonical=True)
    assert vector["second payload"] == bundles[1]
    same("first", 0xe1 if is_ik else 0xe3, ours.write_message(vector["first payload"]))
    second = theirs.write_message(bundles[1])
    same("second", 0xe5, second)
    ours.read_message(bytes(second))
    if is_ik:
        third = ours.encrypt(b"")
    else:
        third = ours.write_message(bundles[0])
        theirs.read_message(bytes(third))
    same("third", 0xe7, third)
    same("done", 0xe9, theirs.encrypt(b""))
    assert ours.get_handshake_hash() == vector["hash"]

    cipher = ours.noise_protocol.cipher_state_encrypt
    cipher.n = 1
    same("message", 0xeb, (1).to_bytes(8, "big") + ours.encrypt(b"21.5 Cel"))
    cipher.rekey()
    cipher.n = 65536
    same("rekeyed", 0xeb, (65536).to_bytes(8, "big") + ours.encrypt(b"21.5 Cel"))


vectors = read(Path(__file__).parent.parent / "vectors" / "session.txt")
assert [vector["pattern"] for vector in vectors] == [b"IK", b"XX"]
for vector in vectors:
    check(vector)
print(len(vectors), "handshakes")
