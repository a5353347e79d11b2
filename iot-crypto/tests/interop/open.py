"""Opens messages with python-cwt, computing every binding from docs/formats/envelope.md, not from the Rust code.

Standard input: a line a message, fields in hexadecimal: signing seed, agreement seed, topic, stream (decimal),
incarnation, sequence (decimal), routing header, COSE_Encrypt0 (untagged), payload, key bundle.

Whatever was opened is also checked against the CDDL of that page.
"""

import hashlib
import pathlib
import sys

import cbor2
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cwt import COSE, COSEKey

sys.path.append(str(pathlib.Path(__file__).parents[3] / "iot-codec" / "tests" / "interop"))
from cddl import Page

PAGE = Page("envelope")
HPKE_4, EDDSA, ENCRYPT0, SIGN1 = 42, -8, 16, 18


def thumbprint(curve, x):
    return hashlib.sha256(cbor2.dumps({1: 1, -1: curve, -2: x})).digest()


def check(rule, octets):
    """That the octets follow the rule, and not without their last element or pair."""
    reasons = PAGE.reasons(rule, octets)
    assert not reasons, f"{octets.hex()} is no {rule}: {reasons}"
    item = cbor2.loads(octets)
    item = item[:-1] if isinstance(item, list) else dict(list(item.items())[:-1])
    assert PAGE.reasons(rule, cbor2.dumps(item)), f"{rule} is one without {item}, too"


def open_message(fields):
    signing_seed, agreement_seed, topic, stream, incarnation, sequence, routing, envelope, payload, bundle = fields
    agreement = X25519PrivateKey.from_private_bytes(agreement_seed).public_key().public_bytes_raw()
    reader = thumbprint(4, agreement)
    private = {1: 1, 2: reader[:8], 3: HPKE_4, -1: 4, -2: agreement, -4: agreement_seed, 4: [8]}
    tagged = cbor2.dumps(cbor2.CBORTag(ENCRYPT0, cbor2.loads(envelope)))
    inner = COSE.new().decode(tagged, COSEKey.new(private), external_aad=routing)

    verifying = Ed25519PrivateKey.from_private_bytes(signing_seed).public_key().public_bytes_raw()
    source = thumbprint(6, verifying)
    binding = ["iot sealed 1", HPKE_4, reader, topic.decode(), source, stream, incarnation, sequence]
    public = {1: 1, 2: source[:8], 3: EDDSA, -1: 6, -2: verifying, 4: [2]}
    tagged = cbor2.dumps(cbor2.CBORTag(SIGN1, cbor2.loads(inner)))
    signed = COSE.new().decode(tagged, COSEKey.new(public), external_aad=cbor2.dumps(binding))
    assert signed == payload, "another payload than the one that was sealed"

    check("COSE_Encrypt0", envelope)
    check("encrypt0-header", cbor2.loads(envelope)[0])
    check("COSE_Sign1", inner)
    check("sign1-header", cbor2.loads(inner)[0])
    check("binding", cbor2.dumps(binding))
    check("bundle", bundle)
    check("bundle-body", cbor2.loads(bundle)[2])


def main():
    count = 0
    for line in sys.stdin:
        words = line.split()
        octets = [int(word) if index in (3, 5) else bytes.fromhex(word.strip("-")) for index, word in enumerate(words)]
        open_message(octets)
        altered = list(octets)
        envelope = bytearray(octets[7])
        bit = 8 * (len(envelope) // 2) + count % 8
        envelope[bit // 8] ^= 1 << bit % 8
        altered[7] = bytes(envelope)
        try:
            open_message(altered)
        except Exception:
            count += 1
            continue
        sys.exit(f"message {count}: opened although bit {bit} was flipped")
    if count == 0:
        sys.exit("no message on standard input")
    print(f"python-cwt opened {count} messages and refused {count} altered ones")


main()
