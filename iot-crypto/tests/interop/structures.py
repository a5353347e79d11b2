"""Reads and writes COSE structures with python-cwt, for interop/envelope.rs.

Standard input: a line a structure: its kind, then fields in hexadecimal (a dash is one without octets):

    encrypt0 KEY - EXTERNAL CONTENT STRUCTURE
    mac0     KEY - EXTERNAL CONTENT STRUCTURE
    sign     SEED SEED EXTERNAL CONTENT STRUCTURE
    encrypt  SECRET SECRET EXTERNAL CONTENT STRUCTURE
    message  SECRET SECRET EXTERNAL CONTENT STRUCTURE

Each is read, and again with one bit flipped it must be refused, or at least give no other content. A message is the COSE_Encrypt of a message to several
readers, whose external data is its routing header; what the content is bound to is computed here from
docs/formats/envelope.md. Standard output: for each of the others, a structure that python-cwt makes of the same fields.
"""

import hashlib
import hmac
import sys

import cbor2
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cwt import COSE, COSEKey, Recipient, Signer

EDDSA, HMAC_256, CHACHA20_POLY1305, HPKE_4_KE = -8, 5, 24, 50
TAGS = {"encrypt0": 16, "mac0": 17, "sign": 98, "encrypt": 96, "message": 96}


def thumbprint(curve, x):
    return hashlib.sha256(cbor2.dumps({1: 1, -1: curve, -2: x})).digest()


def symmetric(key, algorithm, operations):
    return COSEKey.new({1: 4, 2: b"a key id", 3: algorithm, 4: operations, -1: key})


def signing(seed):
    public = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
    kid = thumbprint(6, public)[:8]
    return COSEKey.new({1: 1, 2: kid, 3: EDDSA, -1: 6, -2: public, -4: seed, 4: [1, 2]}), kid


def agreement(secret):
    """The reader's key, and the same without its secret."""
    public = X25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw()
    kid = thumbprint(4, public)
    key = {1: 1, 2: kid, 3: HPKE_4_KE, -1: 4, -2: public}
    return COSEKey.new(key | {-4: secret, 4: [8]}), COSEKey.new(key | {4: []}), kid


def keys_of(kind, first, second):
    if kind == "encrypt0":
        return [symmetric(first, CHACHA20_POLY1305, [3, 4])]
    if kind == "mac0":
        return [symmetric(first, HMAC_256, [9, 10])]
    if kind == "sign":
        return [signing(seed)[0] for seed in (first, second)]
    return [agreement(secret)[0] for secret in (first, second)]


def read(kind, first, second, external, structure):
    """What each of the keys alone gives."""
    item = cbor2.loads(structure)
    if kind == "message":
        recipients = item.value[3]
        external += hashlib.sha256(b"".join(map(cbor2.dumps, recipients))).digest()
        order = [cbor2.loads(recipient[0])[4] for recipient in recipients]
        assert order == sorted(order), "the readers are not in order"
    else:
        structure = cbor2.dumps(cbor2.CBORTag(TAGS[kind], item))
    contents = [COSE.new().decode(structure, key, external_aad=external) for key in keys_of(kind, first, second)]
    if kind == "message":
        secret, _, kid = agreement(first)
        own = next(recipient for recipient in item.value[3] if cbor2.loads(recipient[0])[4] == kid)
        unwrapped = Recipient.from_list(own).decode(secret, alg=CHACHA20_POLY1305)
        commitment = hmac.digest(unwrapped, b"iot content key 1", "sha256")
        assert cbor2.loads(item.value[0])[-65538] == commitment, "another commitment to the content key"
    return contents


def write(kind, first, second, external, content):
    cose = COSE.new()
    if kind == "encrypt0":
        return cose.encode(content, keys_of(kind, first, second)[0], {1: CHACHA20_POLY1305}, {}, external_aad=external)
    if kind == "mac0":
        return cose.encode(content, keys_of(kind, first, second)[0], {1: HMAC_256}, {}, external_aad=external)
    if kind == "sign":
        signers = []
        for seed in (first, second):
            key, kid = signing(seed)
            signers.append(Signer.new(cose_key=key, protected={1: EDDSA}, unprotected={4: kid}))
        return cose.encode(content, protected={}, unprotected={}, signers=signers, external_aad=external)
    recipients = []
    for secret in (first, second):
        _, public, kid = agreement(secret)
        recipients.append(Recipient.new({1: HPKE_4_KE}, {4: kid}, recipient_key=public))
    content_key = COSEKey.generate_symmetric_key(alg=CHACHA20_POLY1305, key_ops=["encrypt"])
    return cose.encode(
        content, content_key, {1: CHACHA20_POLY1305}, {}, recipients=recipients, external_aad=external
    )


def main():
    lines = sys.stdin.read().splitlines()
    written, answered = [], 0
    for count, line in enumerate(lines):
        kind, *words = line.split()
        first, second, external, content, structure = (bytes.fromhex(word.strip("-")) for word in words)
        for found in read(kind, first, second, external, structure):
            assert found == content, f"{kind} {count}: another content"
        altered = bytearray(structure)
        bit = count * 7919 % (8 * len(altered))
        altered[bit // 8] ^= 1 << bit % 8
        try:
            contents = read(kind, first, second, external, bytes(altered))
        except Exception:
            contents = []
        # python-cwt passes over some of what is not authenticated. Of a message, everything is.
        assert all(found == content for found in contents), f"{kind} {count}: bit {bit} changed the content"
        assert kind != "message" or not contents, f"{kind} {count}: bit {bit} was not noticed"
        answered += 1
        if kind != "message":
            written.append(write(kind, first, second, external, content).hex())
    assert answered, "no structure on standard input"
    print("\n".join(written))


main()
