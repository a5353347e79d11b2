"""Reads the batches of tests/vectors/series.txt. Written from docs/formats/series.md, and shares no code with the crate."""

import pathlib
import struct
import sys

MASK = 2**64 - 1
UNITS = [1, 1_000, 1_000_000, 60_000_000, 3_600_000_000, 86_400_000_000]
START_WIDTHS = [52, 42, 32, 26, 20, 16]
STEPS = [10_000, 100_000] + [s * 1_000_000 for s in (1, 2, 5, 10, 15, 30, 60, 300, 600, 900, 1800, 3600, 86400, 604800)]
ROWS = [
    [243, 6, 6, 1],
    [233, 11, 11, 1],
    [211, 20, 20, 2, 2, 1],
    [175, 33, 33, 6, 6, 1, 1, 1],
    [125, 43, 42, 15, 15, 5, 5, 2, 2, 2],
    [75, 41, 41, 22, 22, 12, 12, 7, 7, 4, 4, 2, 2, 1, 1, 3],
    [40, 30, 29, 22, 22, 16, 16, 11, 11, 8, 8, 6, 6, 4, 4, 3, 3, 2, 2, 2, 11],
]


def wrap(value):
    value &= MASK
    return value - 2**64 if value >> 63 else value


def unzigzag(value):
    return -(value + 1) // 2 if value & 1 else value // 2


class Bits:
    def __init__(self, data):
        self.number, self.left = int.from_bytes(data, "little"), 8 * len(data)

    def take(self, count):
        assert count <= self.left, "the batch ends too early"
        value = self.number & ((1 << count) - 1)
        self.number >>= count
        self.left -= count
        return value

    def gamma(self):
        zeros = 0
        while not self.take(1):
            zeros += 1
        return (1 << zeros | self.take(zeros)) - 1

    def delta(self):
        width = self.gamma()
        return (1 << width | self.take(width)) - 1

    def unsigned(self):
        low = self.take(12)
        return self.delta() << 12 | low

    def signed(self):
        return unzigzag(self.unsigned())


def residuals(bits, base, count, state):
    recent, found = 2**base, []
    for _ in range(count):
        level = max(1, (2**base + recent) >> 1).bit_length() - 1
        row = min(level, 6)
        shift = level - row
        symbol, begin = 0, 0
        while begin + ROWS[row][symbol] <= state % 256:
            begin += ROWS[row][symbol]
            symbol += 1
        low = bits.take(shift)
        state = ROWS[row][symbol] * (state >> 8) + state % 256 - begin
        while state < 2**12:
            width = 13 - state.bit_length()
            state = state << width | bits.take(width)
        excess = 0
        if symbol == len(ROWS[row]) - 1:
            excess = bits.take(2)
            excess |= bits.gamma() << 2
        found.append((symbol + excess) << shift | low)
        recent = (recent + 16 * min(found[-1], 2**58)) >> 1
    return found, state


def integers(bits, form, divisor, count):
    if form == "packed":
        width = bits.take(7)
        least = bits.signed()
        return [wrap(least + divisor * bits.take(width)) for _ in range(count)]
    base = bits.take(4)
    if base == 15:
        base += bits.take(6)
    high = bits.delta()
    found, state = residuals(bits, base, count - 1, 2**12 + bits.take(12))
    values = [unzigzag(high << 12 | state - 2**12)]
    slope = 0
    for residual in found:
        difference = divisor * unzigzag(residual)
        slope = slope + difference if form == 2 else difference
        values.append(wrap((values[0] if form == 0 else values[-1]) + slope))
    return values


def tag(bits):
    ones = 0
    while ones < 3 and bits.take(1):
        ones += 1
    return ones if ones < 3 else 3 + bits.take(3)


def form_behind(bits, code):
    divisor = 1
    if code == 7:
        divisor, code = bits.unsigned(), tag(bits)
    return {0: 1, 1: 2, 2: "packed", 3: 0}[code], divisor


def taken_span(bits):
    return UNITS[bits.take(3)] * bits.signed()


def times(bits, count):
    if count == 0:
        return []
    code = bits.take(5)
    if code == 31:
        kind, unit = bits.take(2), bits.take(3)
        if kind == 0:
            step = taken_span(bits)
    elif code == 30:
        kind, step, unit = 0, STEPS[bits.take(4)], bits.take(3)
    elif code >= 28:
        kind, step, unit = 0, STEPS[code - 14], 5
    else:
        kind, step = 0, STEPS[code // 2]
        unit = max(index for index in range(6) if step % UNITS[index] == 0) + code % 2
    if kind == 0:
        start = taken_span(bits) if unit == 6 else bits.take(START_WIDTHS[unit]) * UNITS[unit]
        return [wrap(start + index * step) for index in range(count)]
    span = taken_span(bits) if kind == 2 else 0
    form, divisor = form_behind(bits, tag(bits))
    column = integers(bits, form, divisor, count)
    return [wrap(value * UNITS[unit] + index * span) for index, value in enumerate(column)]


def marks(bits, count):
    if bits.take(1):
        return [bits.take(1) for _ in range(count)]
    mark, found = bits.take(1), []
    while len(found) < count:
        found += [mark] * (bits.gamma() + 1)
        mark = 1 - mark
    return found


def channel(bits, count, before):
    there, exceptions, form, divisor = [1] * count, {}, None, 1
    if count:
        code = tag(bits)
        if code in (4, 5):
            there = marks(bits, count) if code == 4 else before
            code = tag(bits) if any(there) else None
        if code == 6:
            at = -1
            for _ in range(bits.gamma() + 1):
                at += bits.gamma() + 1
                exceptions[at] = bits.take(64)
            code = tag(bits)
        if code is not None:
            form, divisor = form_behind(bits, code)
    decimals, zeros = bits.take(2), None
    if decimals == 3:
        decimals = bits.take(3)
        if decimals == 7:
            zeros = bits.take(6)
        else:
            decimals = 8 + bits.take(4) if decimals == 6 else [0, 3, 4, 5, 6, 7][decimals]
    elif decimals == 0:
        decimals = None
    values = integers(bits, form, divisor, sum(there)) if form is not None else []
    if zeros is not None:
        values = [value << zeros if value >= 0 else (-1 - value) << zeros | 1 << 63 for value in values]
    elif decimals is not None:
        values = [float_bits(value / 10.0**decimals) for value in values]
    values = iter([exceptions.get(at, value) for at, value in enumerate(values)])
    return there, [next(values) if mark else None for mark in there]


def head(bits):
    return 60 if bits.take(1) else bits.take(6)


def batch(data):
    bits = Bits(data)
    count, channels, found, before = head(bits), 1, [], None
    if count == 63:
        channels, count = bits.take(6), head(bits)
    if count == 61:
        count += bits.take(8)
    elif count == 62:
        count = bits.take(16)
    at = times(bits, count)
    for _ in range(channels):
        before, values = channel(bits, count, before)
        found.append(values)
    assert bits.left < 8 and bits.number == 0, "something follows the batch"
    return at, found


def float_bits(value):
    return struct.unpack("<Q", struct.pack("<d", value))[0]


def word(key, text):
    if text == "-":
        return None
    if key == "integers":
        return int(text)
    return int(text, 16) if text.startswith("0x") else float_bits(float(text))


def main():
    path = pathlib.Path(__file__).parent.parent / "vectors" / "series.txt"
    count, name, expected = 0, None, None
    for line in path.read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        key, _, text = line.partition(":")
        if key == "name":
            name, expected = text.strip(), ([], [])
        elif key == "times":
            expected[0].extend(int(time) for time in text.split())
        elif key == "blob":
            found = batch(bytes.fromhex(text.strip()))
            if found != expected:
                sys.exit(f"{name}: found {found}, expected {expected}")
            count += 1
        else:
            expected[1].append([word(key, value) for value in text.split()])
    print(f"{count} batches read as they should be")


main()
