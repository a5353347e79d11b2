"""Reads and writes what `iot envelope` signs with --raw, with python-cwt. Arguments: the path of the tool, an empty folder.

Ends with status 1 at the first disagreement, of which the words stand on standard error.
"""

import os
import random
import subprocess
import sys

import cbor2
from cwt import COSE, COSEKey

TOOL, FOLDER = os.path.abspath(sys.argv[1]), sys.argv[2]
ROUNDS = 25
RANDOM = random.Random(11)
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
