// Reads and writes COSE structures with npm's @auth0/cose, for interop/cose.rs.
//
// Standard input: a line a structure: its kind, then fields in hexadecimal (a dash is one without octets):
//
//     eddsa|mac0 KEY EXTERNAL CONTENT STRUCTURE
//
// The key of a signature is its seed. Each is read. With one bit flipped anywhere it must be refused, or at least give no
// other content; with one flipped in the signature or the tag, and with other external data, it must be refused. Standard
// output: for each, a structure that the library makes of the same fields, without external data, which it cannot write.

const assert = require("node:assert");
const crypto = require("node:crypto");
const fs = require("node:fs");
const { Algorithms, Headers, Mac0, MacAlgorithms, Sign1 } = require("@auth0/cose");

const TAGS = { eddsa: 18, mac0: 17 };

function keysOf(kind, key) {
  if (kind === "mac0") {
    return { secret: key, open: key };
  }
  // The head of a PKCS #8 key of Ed25519 (RFC 8410), before its seed.
  const der = Buffer.concat([Buffer.from("302e020100300506032b657004220420", "hex"), key]);
  const secret = crypto.createPrivateKey({ key: der, format: "der", type: "pkcs8" });
  return { secret, open: crypto.createPublicKey(secret) };
}

async function read(kind, key, external, structure) {
  const tagged = Buffer.concat([Buffer.from([0xc0 | TAGS[kind]]), structure]);
  const message = (kind === "mac0" ? Mac0 : Sign1).decode(tagged);
  await message.verify(key, { externalAAD: external });
  return Buffer.from(message.payload);
}

// The content, or undefined where it is refused.
async function readAltered(kind, key, external, structure, bit) {
  const altered = Buffer.from(structure);
  altered[bit >> 3] ^= 1 << (bit & 7);
  return read(kind, key, external, altered).catch(() => undefined);
}

// The key's name is protected, so that no bit of the structure is free.
async function write(kind, key, content) {
  const [maker, algorithm] = kind === "mac0" ? [Mac0.create, MacAlgorithms.HS256] : [Sign1.sign, Algorithms.EdDSA];
  const inside = [
    [Headers.Algorithm, algorithm],
    [Headers.KeyID, Buffer.from("a key id")],
  ];
  const made = await maker(inside, [], content, key);
  return Buffer.from(made.encode()).toString("hex");
}

async function main() {
  const lines = fs.readFileSync(0, "utf8").split("\n").filter(Boolean);
  const written = [];
  for (const [count, line] of lines.entries()) {
    const [kind, ...words] = line.split(" ");
    const [key, external, content, structure] = words.map((word) => Buffer.from(word.replace("-", ""), "hex"));
    const { secret, open } = keysOf(kind, key);
    const name = `${kind} ${count}`;
    assert((await read(kind, open, external, structure)).equals(content), `${name}: another content`);
    const other = Buffer.concat([external, Buffer.from("x")]);
    await assert.rejects(read(kind, open, other, structure), undefined, `${name}: other external data`);
    const bits = 8 * structure.length;
    const found = await readAltered(kind, open, external, structure, (count * 7919) % bits);
    assert(found === undefined || found.equals(content), `${name}: a flipped bit changed the content`);
    const refused = await readAltered(kind, open, external, structure, bits - 1 - (count % 128));
    assert(refused === undefined, `${name}: a flipped bit of the tag was not noticed`);
    written.push(await write(kind, secret, content));
  }
  assert(written.length > 0, "no structure on standard input");
  console.log(written.join("\n"));
}

main();
