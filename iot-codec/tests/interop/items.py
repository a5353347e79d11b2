"""Reads and writes items with Python's cbor2. Shares nothing with the crate but the descriptions, which item.rs explains.

Standard input: an encoding in hexadecimal and a description a line. Standard output, for each: the description of what
cbor2 reads; what it writes of the other description with canonical=True, and without.
"""

import json
import struct
import sys

import cbor2


def describe(value):
    if value is None or value is cbor2.undefined or isinstance(value, bool):
        return ["simple", {False: 20, True: 21, None: 22, cbor2.undefined: 23}[value]]
    # Before integers and tuples, of which it is one.
    if isinstance(value, cbor2.CBORSimpleValue):
        return ["simple", value.value]
    if isinstance(value, int):
        return ["integer", f"{value:x}"] if value >= 0 else ["negative", f"{-1 - value:x}"]
    if isinstance(value, float):
        return ["float", struct.pack(">d", value).hex() if value == value else "7ff8000000000000"]
    if isinstance(value, bytes):
        return ["bytes", value.hex()]
    if isinstance(value, str):
        return ["text", value.encode().hex()]
    if isinstance(value, (list, tuple)):
        return ["array", [describe(item) for item in value]]
    if isinstance(value, (dict, cbor2.FrozenDict)):
        return ["map", [[describe(key), describe(item)] for key, item in value.items()]]
    if isinstance(value, cbor2.CBORTag):
        return ["tag", f"{value.tag:x}", describe(value.value)]
    raise TypeError(f"{value!r} is of a type that was not expected")


TYPED = {"u8": (64, 1), "u16": (69, 2), "u32": (70, 4), "u64": (71, 8), "i8": (72, 1), "i16": (77, 2), "i32": (78, 4)}
TYPED |= {"i64": (79, 8), "f32": (85, 4), "f64": (86, 8)}
SIMPLE = {20: False, 21: True, 22: None, 23: cbor2.undefined}


def make(description, hashable=False):
    """The value of a description; inside the key of a map, one that can be a key."""
    kind, *rest = description
    first = rest[0]
    if kind == "integer":
        return int(first, 16)
    if kind == "negative":
        return -1 - int(first, 16)
    if kind == "float":
        return struct.unpack(">d", bytes.fromhex(first))[0]
    if kind == "bytes":
        return bytes.fromhex(first)
    if kind == "text":
        return bytes.fromhex(first).decode()
    if kind == "array":
        return (tuple if hashable else list)(make(item, hashable) for item in first)
    if kind == "map":
        pairs = [(make(key, True), make(value, hashable)) for key, value in first]
        return (cbor2.FrozenDict if hashable else dict)(pairs)
    if kind == "tag":
        return cbor2.CBORTag(int(first, 16), make(rest[1], hashable))
    if kind == "simple":
        return SIMPLE[first] if first in SIMPLE else cbor2.CBORSimpleValue(first)
    tag, width = TYPED[kind]
    return cbor2.CBORTag(tag, b"".join(int(bits, 16).to_bytes(width, "little") for bits in first))


def main():
    for line in sys.stdin:
        octets, description = line.split()
        read = json.dumps(describe(cbor2.loads(bytes.fromhex(octets))), separators=(",", ":"))
        item = make(json.loads(description))
        print(read, cbor2.dumps(item, canonical=True).hex(), cbor2.dumps(item).hex())


main()
