"""Writes framing.txt: frames by COBS and SLIP, from their definitions and not from the crate."""

import zlib


def crc16(data):
    remainder = 0xFFFF
    for byte in data:
        remainder ^= byte
        for _ in range(8):
            remainder = (remainder >> 1) ^ 0x8408 if remainder & 1 else remainder >> 1
    return ~remainder & 0xFFFF


def cobs(data):
    """A zero is put behind the data, which is then cut into blocks; the last block's zero is not sent."""
    out, rest = bytearray(), data + b"\0"
    while rest:
        run = rest.index(0)
        if run >= 254:
            out += b"\xff" + rest[:254]
            rest = rest[254:]
            if rest == b"\0":
                break
        else:
            out += bytes([run + 1]) + rest[:run]
            rest = rest[run + 1 :]
    return bytes(out) + b"\0"


def slip(data):
    return b"\xc0" + data.replace(b"\xdb", b"\xdb\xdd").replace(b"\xc0", b"\xdb\xdc") + b"\xc0"


CHECKSUMS = {
    "none": lambda payload: b"",
    "crc16": lambda payload: crc16(payload).to_bytes(2, "little"),
    "crc32": lambda payload: zlib.crc32(payload).to_bytes(4, "little"),
}
PAYLOADS = [
    b"",
    b"\0",
    b"hello",
    b"hel\0o",
    bytes([0xC0, 0xDB, 0xDC, 0xDD]),
    bytes([0x11, 0, 0, 0x22, 0xC0]),
    bytes(range(1, 255)),
    bytes(range(0, 255)),
    bytes(range(1, 256)),
    b"\x55" * 254 + b"\0",
]

print("# Frames of serial lines: code, checksum, payload (- where it is empty), and the frame on the line.")
print("# Made by framing.py, which shares no code with the crate.")
for name, code in (("cobs", cobs), ("slip", slip)):
    for kind, checksum in CHECKSUMS.items():
        for payload in PAYLOADS:
            if name == "slip" and kind == "none" and not payload:
                continue
            print(name, kind, payload.hex() or "-", code(payload + checksum(payload)).hex())
