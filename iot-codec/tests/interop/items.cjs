// Encodes items with npm's cbor2. Shares nothing with the crate but the descriptions, which `item.rs` documents.
//
// Standard input: a description a line. Standard output, for each: hexadecimal in the mode cde, by default, and by
// default with floats of 64 bits; then whether the decoder in the mode cde reads the first, and the second.

const readline = require("node:readline");

async function main() {
  const { NAN, Simple, Tag, decode, encode } = await import(require.resolve("cbor2"));
  const { writeFloat } = await import(require.resolve("cbor2/encoder"));

  const view = new DataView(new ArrayBuffer(8));
  const hex = (bytes) => Buffer.from(bytes).toString("hex");
  const unhex = (digits) => new Uint8Array(Buffer.from(digits, "hex"));

  // A number that is a float although it may be whole.
  class Float {
    constructor(value) {
      this.value = value;
    }

    toCBOR(writer, options) {
      writeFloat(this.value, writer, options);
    }
  }

  const float = (digits) => {
    view.setBigUint64(0, BigInt(`0x${digits}`));
    const value = view.getFloat64(0);
    return Number.isNaN(value) ? new NAN(BigInt(`0x${digits}`)) : new Float(value);
  };

  // Of either kind, so that both ways through the encoder are taken.
  const integer = (big) => (Number.isSafeInteger(Number(big)) ? Number(big) : big);

  const parse = (bits) => (digits) => (bits === BigUint64Array ? BigInt : Number)(`0x${digits}`);
  const elements = (of, bits, digits) => new of(bits.from(digits, parse(bits)).buffer);

  const makers = {
    integer: (digits) => integer(BigInt(`0x${digits}`)),
    negative: (digits) => integer(-1n - BigInt(`0x${digits}`)),
    float,
    bytes: unhex,
    text: (digits) => new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(unhex(digits)),
    array: (items) => items.map(make),
    map: (pairs) => new Map(pairs.map(([key, value]) => [make(key), make(value)])),
    tag: (number, content) => new Tag(integer(BigInt(`0x${number}`)), make(content)),
    simple: (number) => Simple.create(number),
    u8: (digits) => new Tag(64, Uint8Array.from(digits, parse(Uint8Array))),
    i8: (digits) => new Tag(72, Uint8Array.from(digits, parse(Uint8Array))),
    u16: (digits) => elements(Uint16Array, Uint16Array, digits),
    u32: (digits) => elements(Uint32Array, Uint32Array, digits),
    u64: (digits) => elements(BigUint64Array, BigUint64Array, digits),
    i16: (digits) => elements(Int16Array, Uint16Array, digits),
    i32: (digits) => elements(Int32Array, Uint32Array, digits),
    i64: (digits) => elements(BigInt64Array, BigUint64Array, digits),
    f32: (digits) => elements(Float32Array, Uint32Array, digits),
    f64: (digits) => elements(Float64Array, BigUint64Array, digits),
  };

  function make([kind, ...rest]) {
    return makers[kind](...rest);
  }

  // Tags are left as they are: what they mean to the library is no matter of determinism.
  const verdict = (bytes) => {
    try {
      decode(bytes, { cde: true, ignoreGlobalTags: true });
      return "read";
    } catch {
      return "refused";
    }
  };

  for await (const line of readline.createInterface({ input: process.stdin })) {
    const item = make(JSON.parse(line));
    const cde = encode(item, { cde: true });
    const plain = encode(item);
    const wide = encode(item, { float64: true });
    process.stdout.write(`${hex(cde)} ${hex(plain)} ${hex(wide)} ${verdict(cde)} ${verdict(plain)}\n`);
  }
}

main();
