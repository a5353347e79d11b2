"""Reads and writes what `iot envelope` signs and seals with --raw, with python-cwt. Arguments: the path of the tool, an empty folder.

Ends with status 1 at the first disagreement, of which the words stand on standard error.
"""

import os
import random
import subprocess
import sys

import cbor2
from cwt import COSE, COSEKey, Recipient

TOOL, FOLDER = os.path.abspath(sys.argv[1]), sys.argv[2]
ROUNDS = 25
RANDOM = random.Random(11)
HPKE_4, HPKE_4_KE, CHACHA20_POLY1305 = 42, 50, 24
NUMBERS = {"ed25519": (-19, -8), "p256": (-9, -7)}


def iot(*arguments, status=0):
    done = subprocess.run([TOOL, "envelope", *arguments], cwd=FOLDER, capture_output=True)
    assert done.returncode == status, (arguments, done)
    return done.stdout


def write(name, octets):
    with open(os.path.join(FOLDER, name), "wb") as file:
        file.write(octets)


def read(name):
    with open(os.path.join(FOLDER, name), "rb") as file:
        return file.read()


def flipped(octets):
    place = RANDOM.randrange(len(octets) * 8)
    octets = bytearray(octets)
    octets[place // 8] ^= 1 << place % 8
    return bytes(octets)


def refused(key, octets, external):
    try:
        COSE.new().decode(octets, key, external_aad=external)
    except Exception:
        return True
    return False


for kind, numbers in NUMBERS.items():
    iot("keygen", "--kind", kind, f"{kind}.key", f"{kind}.pub")
    for number in numbers:
        # What is not said in the object, python-cwt wants to know.
        public = COSEKey.new({**cbor2.loads(read(f"{kind}.pub")), 3: number})
        secret = COSEKey.new({**cbor2.loads(read(f"{kind}.key")), 3: number})
        for _ in range(ROUNDS):
            payload, external = RANDOM.randbytes(RANDOM.randint(1, 256)), RANDOM.randbytes(RANDOM.randrange(40))
            options = ["--raw", "--external-aad", external.hex()]
            write("payload", payload)
            iot("sign", *options, "--alg", str(number), "--key", f"{kind}.key", "--out", "signed", "payload")
            signed = read("signed")
            assert COSE.new().decode(signed, public, external_aad=external) == payload
            assert refused(public, flipped(signed), external), "python-cwt accepts a changed structure"

            theirs = COSE.new(alg_auto_inclusion=True).encode(payload, secret, external_aad=external)
            write("theirs", theirs)
            assert iot("verify", *options, "--key", f"{kind}.pub", "theirs") == payload
            write("theirs", flipped(theirs))
            iot("verify", *options, "--key", f"{kind}.pub", "theirs", status=1)

iot("keygen", "--kind", "x25519", "x25519.key", "x25519.pub")
iot("keygen", "--kind", "x25519", "other.key", "other.pub")
PUBLIC, SECRET = cbor2.loads(read("x25519.pub")), cbor2.loads(read("x25519.key"))
for round_number in range(2 * ROUNDS):
    content, external = RANDOM.randbytes(RANDOM.randint(1, 256)), RANDOM.randbytes(RANDOM.randrange(40))
    options = ["--raw", "--external-aad", external.hex()]
    write("content", content)
    iot("seal", *options, "--to", "x25519.pub", "--out", "sealed", "content")
    sealed, secret = read("sealed"), COSEKey.new({**SECRET, 3: HPKE_4, 4: [8]})
    assert COSE.new().decode(sealed, secret, external_aad=external) == content
    assert refused(secret, flipped(sealed), external), "python-cwt accepts a changed structure"

    if round_number % 2:
        public = COSEKey.new({**PUBLIC, 3: HPKE_4, 4: []})
        theirs = COSE.new().encode(
            content, public, protected={1: HPKE_4}, unprotected={4: PUBLIC[2]}, external_aad=external)
    else:
        recipients = [Recipient.new({1: HPKE_4_KE}, {4: cbor2.loads(read(name))[2]},
                                    recipient_key=COSEKey.new({**cbor2.loads(read(name)), 3: HPKE_4_KE, 4: []}))
                      for name in ("other.pub", "x25519.pub")]
        key = COSEKey.generate_symmetric_key(alg=CHACHA20_POLY1305)
        theirs = COSE.new().encode(content, key, protected={1: CHACHA20_POLY1305},
                                   unprotected={5: RANDOM.randbytes(12)}, recipients=recipients, external_aad=external)
    write("theirs", theirs)
    assert iot("open", *options, "--key", "x25519.key", "theirs") == content
    # Not in the first octets, where another tag or another recipient can be right, too.
    altered = bytearray(theirs)
    altered[-1 if round_number % 2 else 50] ^= 1
    write("theirs", bytes(altered))
    iot("open", *options, "--key", "x25519.key", "theirs", status=1)
