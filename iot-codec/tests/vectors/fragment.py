"""Prints fragment.txt, from docs/formats/fragment.md alone, with Python's zlib for CRC-32."""

import zlib


def times(a, b):
    product = 0
    while b:
        if b & 1:
            product ^= a
        a, b = a << 1, b >> 1
        if a & 0x100:
            a ^= 0x11D
    return product


def power(a, n):
    result = 1
    for _ in range(n):
        result = times(result, a)
    return result


def value_at(point, values):
    """Of the polynomial that has these values at 0, 1, ..."""
    total = 0
    for i, value in enumerate(values):
        for j in range(len(values)):
            if j != i:
                value = times(value, times(point ^ j, power(i ^ j, 254)))
        total ^= value
    return total


def frames(message, mtu, parity, identifier, head):
    needed, room = len(message) + 5, mtu - head
    k = -(-needed // room)
    s = -(-needed // k)
    padding = k * s - needed
    block = message + bytes(padding) + bytes([padding]) + zlib.crc32(message).to_bytes(4, "big")
    data = [block[i * s : (i + 1) * s] for i in range(k)]
    for index in range(k + parity):
        header = {
            2: 0xC000 | identifier << 10 | k << 5 | index,
            3: 0xE00000 | identifier << 16 | k << 8 | index,
            4: 0xF0000000 | identifier << 16 | k << 8 | index,
        }[head].to_bytes(head, "big")
        shard = data[index] if index < k else bytes(value_at(index, column) for column in zip(*data))
        yield header + shard


def show(title, mtu, parity, before, message, sent):
    print(f"\n# {title}\nmtu {mtu}\nparity {parity}\nmessages-before {before}\nmessage {message.hex()}")
    for frame in sent:
        print(f"frame {frame.hex()}")


print("# Made by fragment.py. Octets are hexadecimal; messages before used up as many ids.")
text = bytes(range(0x20, 0x7F))
show("whole", 20, 0, 0, text[:20], [text[:20]])
show("whole, with an escape", 20, 0, 0, b"\xc0\xff\xee", [b"\xff\xc0\xff\xee"])
show("whole and empty", 20, 0, 0, b"", [b"\xff"])
show("two data shards, no parity, one octet of padding", 20, 0, 0, text[:26], frames(text[:26], 20, 0, 0, 2))
show("one data shard, two copies", 20, 2, 3, text[:9], frames(text[:9], 20, 2, 3, 2))
show("two data shards, three of parity", 51, 3, 7, text[:60], frames(text[:60], 51, 3, 7, 2))
show("short ids used up", 20, 2, 9, text[:40], frames(text[:40], 20, 2, 1, 3))
show("medium ids used up, too", 20, 2, 25, text[:40], frames(text[:40], 20, 2, 1, 4))
