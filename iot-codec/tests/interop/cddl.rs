//! What the workspace writes is what the CDDL in `docs/formats` says, and that CDDL refuses what is broken.

use ciborium::Value;
use iot_codec::{
    cbor::{Limits, TypedArray, TypedElement, to_vec},
    record,
    registry::RegistryFile,
    senml,
    serde::to_vec_det,
    series,
};

use super::{
    child::{ask, python},
    item::{hex, unhex},
};

/// An encoding, the rule that it follows, and the mutations of [`mutations`] that the rule allows; a star at the end
/// stands for any end.
#[derive(Clone)]
struct Case {
    page: &'static str,
    rule: &'static str,
    bytes: Vec<u8>,
    allowed: &'static [&'static str],
}

impl Case {
    fn new(page: &'static str, rule: &'static str, bytes: Vec<u8>) -> Self {
        Self { page, rule, bytes, allowed: &[] }
    }

    fn allowing(self, allowed: &'static [&'static str]) -> Self {
        Self { allowed, ..self }
    }

    fn allows(&self, mutation: &str) -> bool {
        self.allowed.iter().any(|allowed| match allowed.strip_suffix('*') {
            Some(start) => mutation.starts_with(start),
            None => mutation == *allowed,
        })
    }
}

#[test]
#[ignore = "needs the python packages zcbor, pycddl and cbor2"]
fn zcbor_and_pycddl_find_that_the_output_is_as_documented() {
    let cases = [codec(), series_and_framing(), registry(), senml(), table()].into_iter();
    let cases: Vec<_> = cases.chain([envelope(), stream(), group(), session(), keys()]).flatten().collect();
    let mut lines = Vec::new();
    let mut expected = Vec::new();
    for case in &cases {
        let Case { page, rule, bytes, .. } = case;
        lines.push(format!("{page} {rule} {}", hex(bytes)));
        expected.push((case, String::from("as it is"), true));
        let tree = ciborium::from_reader(bytes.as_slice()).unwrap();
        for (name, mutated) in mutations(&tree) {
            lines.push(format!("{page} {rule} {}", hex(&to_vec_det(&mutated).unwrap())));
            let is_valid = case.allows(&name);
            expected.push((case, name, is_valid));
        }
    }
    let mut refused = 0;
    for ((case, name, is_valid), answer) in expected.iter().zip(ask(python("cddl.py"), &lines)) {
        let Case { page, rule, bytes, .. } = case;
        assert_eq!(answer == "valid", *is_valid, "{page} {rule}, {name}: {answer}\n{}", hex(bytes));
        refused += usize::from(!is_valid);
    }
    assert!(refused > 700, "{refused} mutations refused");
}

/// The tree with one node replaced by a tag that no rule has, one pair, element or octet removed, or one pair or
/// element added that does not belong there. Each has a name: what was done, and the keys and indices on the way.
fn mutations(tree: &Value) -> Vec<(String, Value)> {
    let wrong = || Value::Tag(6, Box::new(Value::Null));
    let mut found = vec![("replace ".to_string(), wrong())];
    match tree {
        Value::Array(items) => {
            found.push(("add ".into(), Value::Array([&items[..], &[wrong()]].concat())));
            for (index, item) in items.iter().enumerate() {
                let mut shorter = items.clone();
                shorter.remove(index);
                found.push((format!("remove /{index}"), Value::Array(shorter)));
                for (name, mutated) in mutations(item) {
                    let mut items = items.clone();
                    items[index] = mutated;
                    found.push((below(&name, &index.to_string()), Value::Array(items)));
                }
            }
        }
        Value::Map(pairs) => {
            let stranger = (Value::Text("stranger".into()), Value::Null);
            found.push(("add ".into(), Value::Map([&pairs[..], &[stranger]].concat())));
            for (index, (key, value)) in pairs.iter().enumerate() {
                let key = i128::from(key.as_integer().expect("the keys of all formats are integers")).to_string();
                let mut shorter = pairs.clone();
                shorter.remove(index);
                found.push((format!("remove /{key}"), Value::Map(shorter)));
                for (name, mutated) in mutations(value) {
                    let mut pairs = pairs.clone();
                    pairs[index].1 = mutated;
                    found.push((below(&name, &key), Value::Map(pairs)));
                }
            }
        }
        Value::Tag(tag, content) => {
            found.push(("retag ".into(), Value::Tag(tag + 1000, content.clone())));
            let inside = mutations(content).into_iter();
            found.extend(inside.map(|(name, mutated)| (below(&name, "tag"), Value::Tag(*tag, Box::new(mutated)))));
        }
        Value::Bytes(bytes) if !bytes.is_empty() => {
            found.push(("shorten ".into(), Value::Bytes(bytes[1..].to_vec())));
        }
        _ => {}
    }
    found
}

/// The name of a mutation as it is one level up.
fn below(name: &str, step: &str) -> String {
    name.replacen(' ', &format!(" /{step}"), 1)
}

record! {
    struct Documented<'b> {
        1 => topic: &'b str,
        2 => sequence: u64,
        3 => note: Option<&'b str>,
        -1 => critical: Option<u64>,
    }
}

record! {
    enum Bare { 0 => First, 7 => Second }
}

record! {
    enum Holding { 0 => Count(u64), 7 => Inner(Bare) }
}

fn codec() -> Vec<Case> {
    let full = to_vec(&Documented { topic: "a/b", sequence: 70_001, note: Some("x"), critical: Some(3) });
    let short = to_vec(&Documented { topic: "a/b", sequence: 70_001, note: None, critical: None });
    let mut cases = vec![
        Case::new("codec", "example", full.clone()).allowing(&["remove /3", "remove /-1"]),
        Case::new("codec", "example", short),
        Case::new("codec", "record", full).allowing(&["remove*", "replace /*"]),
        Case::new("codec", "variant", to_vec(&Bare::First)),
        Case::new("codec", "variant", to_vec(&Bare::Second)),
        Case::new("codec", "choice", to_vec(&Holding::Count(3))).allowing(&["replace /1"]),
        Case::new("codec", "choice", to_vec(&Holding::Inner(Bare::Second))).allowing(&["replace /1"]),
    ];
    fn typed<T: TypedElement>(rule: &'static str, elements: &[T]) -> [Case; 2] {
        let mut space = vec![0; size_of_val(elements)];
        let bytes = to_vec(&TypedArray::encoded(elements, &mut space).unwrap());
        [rule, "typed-array"].map(|rule| Case::new("codec", rule, bytes.clone()).allowing(&["shorten /tag"]))
    }
    cases.extend(typed("u8", &[1u8, 255]));
    cases.extend(typed("u16", &[1u16, u16::MAX]));
    cases.extend(typed("u32", &[1u32]));
    cases.extend(typed("u64", &[1u64]));
    cases.extend(typed("i8", &[-1i8]));
    cases.extend(typed("i16", &[-1i16]));
    cases.extend(typed("i32", &[-1i32]));
    cases.extend(typed("i64", &[-1i64]));
    cases.extend(typed("f32", &[21.5f32, -0.25]));
    cases.extend(typed("f64", &[21.5f64]));
    cases
}

fn series_and_framing() -> Vec<Case> {
    let batch = series::to_vec(&[0, 1, 2], &[series::Channel::floats(&[21.5, 1e300, -0.0])]).unwrap();
    let items = [to_vec(&Bare::First), to_vec(&Holding::Count(3))];
    let array = Value::Array(items.iter().map(|item| ciborium::from_reader(item.as_slice()).unwrap()).collect());
    let [batch, datagram] = [batch, items.concat()].map(|bytes| to_vec_det(&Value::Bytes(bytes)).unwrap());
    vec![
        Case::new("series", "series", batch).allowing(&["shorten "]),
        Case::new("framing", "datagram", datagram).allowing(&["shorten "]),
        Case::new("framing", "items", to_vec_det(&array).unwrap()).allowing(&["add*", "remove*", "replace /*"]),
    ]
}

fn registry() -> Vec<Case> {
    let vector = include_str!("../vectors/registry.txt").lines().find(|line| !line.starts_with('#')).unwrap();
    let vector = unhex(vector);
    let file = RegistryFile::read(&vector, &Limits::default()).unwrap();
    const OPTIONAL: [&str; 8] = [
        "remove /2",
        "remove /2/0",
        "remove /2/1",
        "remove /3",
        "remove /3/0",
        "remove /3/1",
        "remove /4",
        "remove /4/0",
    ];
    vec![Case::new("registry", "registry", to_vec(&file.registry())).allowing(&OPTIONAL)]
}

fn senml() -> Vec<Case> {
    let packs = include_str!("../vectors/senml.txt").lines().filter(|line| line.starts_with('['));
    let case = |pack: &str| {
        let mut pack = senml::from_json(pack.as_bytes(), &Limits::default()).unwrap();
        // The rest of a long pack is like its beginning.
        pack.truncate(3);
        // Every label is optional by itself, and a pack may be empty.
        Case::new("senml", "pack", senml::to_cbor(&pack)).allowing(&["remove*", "shorten /0/8"])
    };
    let cases: Vec<_> = packs.map(case).collect();
    assert_eq!(cases.len(), 22, "the examples of RFC 8428");
    cases
}

/// The vectors in the page of the hash table, which its crate writes in a test of its own.
fn table() -> Vec<Case> {
    let page = include_str!("../../../docs/formats/dht.md");
    let block = page.split("```vectors\n").nth(1).unwrap().split("```").next().unwrap();
    let case = |line: &str| {
        let (name, digits) = line.split_once(": ").unwrap();
        let (rule, allowed): (_, &[_]) = match name {
            "node-id" | "record-key" | "proof-statement" => return None,
            "record" => ("record", &["shorten /0", "shorten /2"]),
            "segment-value" => ("segment", &["remove /0", "remove /1", "shorten /0", "shorten /1"]),
            "head-value" => ("head", &["remove /4/0"]),
            "nodes" => ("message", &["remove /5/1/1/0", "remove /5/1/1/1"]),
            "value" => ("message", &["shorten /5/1/0"]),
            "put" => ("message", &["shorten /5/1/1", "remove /5/1/2"]),
            "refused" => ("message", &["shorten /5/1/1", "remove /5/1/1"]),
            "ping-challenge" => ("message", &["remove /7"]),
            "reserve" | "introduce" => ("message", &["remove /5/1/1/1"]),
            "data" | "carry" | "carried" => ("message", &["shorten /5/1/1/0"]),
            "pong-proof" => ("message", &["remove /6", "remove /8"]),
            "pong-capability" => ("message", &["remove /6", "remove /8", "remove /8/3", "shorten /8/3"]),
            "holdings-list" => ("message", &["remove /5/1/0", "remove /5/1/0/0"]),
            "holdings-digests" => ("message", &["remove /5/1/1"]),
            _ => ("message", &[]),
        };
        Some(Case::new("dht", rule, unhex(digits)).allowing(allowed))
    };
    let mut cases: Vec<_> = block.lines().filter_map(case).collect();
    let [header, body] = [0, 2].map(|index| {
        let record = cases.iter().find(|case| case.rule == "record").unwrap();
        byte_string(&record.bytes, index)
    });
    cases.extend([
        Case::new("dht", "record-header", header),
        Case::new("dht", "record-body", body).allowing(&["shorten /2", "shorten /5"]),
    ]);
    cases
}

/// The vector of iot-crypto: a message with the source and the topic in front. What is sealed in it is checked by the
/// tests of that crate.
fn envelope() -> Vec<Case> {
    let lines = include_str!("../../../iot-crypto/tests/vectors/envelope.txt").lines();
    let message = unhex(lines.filter_map(|line| line.strip_prefix("message: ")).next().unwrap());
    // Flags, source, topic, no stream, incarnation, and a sequence of three octets.
    assert_eq!(message[0], 0b0110_0010);
    let topic_len = usize::from(message[33]);
    let sealed = message[1 + 32 + 1 + topic_len + 8 + 3..].to_vec();
    let header = byte_string(&sealed, 0);
    vec![
        Case::new("envelope", "COSE_Encrypt0", sealed).allowing(&["shorten /0", "shorten /2"]),
        Case::new("envelope", "encrypt0-header", header),
    ]
}

/// All values of that name in a file of vectors.
fn values(text: &str, name: &str) -> Vec<Vec<u8>> {
    let lines = text.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    let values: Vec<_> = lines.map(unhex).collect();
    assert!(!values.is_empty(), "no value of the name {name}");
    values
}

/// The vectors of iot-crypto's streams.
fn stream() -> Vec<Case> {
    let text = include_str!("../../../iot-crypto/tests/vectors/stream.txt");
    let value = |name| values(text, name).remove(0);
    let messages = values(text, "cose");
    let header = byte_string(&messages[0], 0);
    let case = |message: Vec<u8>| {
        // A context of two octets may have one; so may a Partial IV, but none cannot be.
        let allowed: &[_] = match message.windows(2).find(|window| window[0] == 0x06).unwrap()[1] {
            0x41 => &["shorten /0", "shorten /2", "shorten /1/4"],
            _ => &["shorten /0", "shorten /2", "shorten /1/4", "shorten /1/6"],
        };
        Case::new("stream", "COSE_Encrypt0", message).allowing(allowed)
    };
    let mut cases: Vec<_> = messages.into_iter().map(case).collect();
    assert!(cases.len() > 2, "messages around a change of keys");
    cases.push(Case::new("stream", "stream-header", header));
    cases.extend([
        Case::new("stream", "external", to_vec_det(&Value::Bytes(value("external"))).unwrap()),
        Case::new("stream", "binding", value("binding")),
        Case::new("stream", "info", value("info")),
        // A context of two octets may have one.
        Case::new("stream", "invitation", value("invitation")).allowing(&["remove /2", "shorten /1"]),
        Case::new("stream", "opening", value("opening")).allowing(&["remove /3", "remove /4", "shorten /1"]),
        Case::new("stream", "skipped", byte_string(&value("skipped"), 2)),
        Case::new("stream", "answer", byte_string(&value("answer"), 2)),
    ]);
    cases
}

/// The vector of iot-crypto's groups.
fn group() -> Vec<Case> {
    let text = include_str!("../../../iot-crypto/tests/vectors/group.txt");
    let value = |name| values(text, name).remove(0);
    // Flags, incarnation, and a sequence of one octet.
    let message = value("message 0")[10..].to_vec();
    let (header, batch) = (byte_string(&message, 0), value("batch"));
    let [batch_header, body] = [0, 2].map(|index| byte_string(&batch, index));
    vec![
        // An epoch of two octets may have one.
        Case::new("group", "COSE_Encrypt0", message).allowing(&["shorten /0", "shorten /1/4", "shorten /2"]),
        Case::new("group", "group-header", header),
        Case::new("group", "binding", value("bound")),
        Case::new("group", "info", value("info")),
        Case::new("group", "batch", batch).allowing(&["shorten /0", "shorten /2"]),
        Case::new("group", "batch-header", batch_header),
        Case::new("group", "batch-body", body).allowing(&["shorten /5"]),
        Case::new("group", "batch-context", value("batch-context")),
        Case::new("group", "rekeying", value("rekeying")),
        Case::new("group", "history", value("history")).allowing(&["shorten /4"]),
    ]
}

/// The vector of iot-crypto's sessions.
fn session() -> Vec<Case> {
    let text = include_str!("../../../iot-crypto/tests/vectors/session.txt");
    let prologues = values(text, "prologue").into_iter();
    let prologues = prologues.map(|it| Case::new("session", "prologue", it).allowing(&["shorten /2"]));
    let payloads = [values(text, "first payload"), values(text, "second payload")].concat().into_iter();
    let payloads = payloads.map(|it| Case::new("session", "payload", it).allowing(&["remove*", "shorten*"]));
    let cases: Vec<_> = prologues.chain(payloads).collect();
    assert_eq!(cases.len(), 6, "two patterns");
    cases
}

/// The vectors of iot-crypto's successions and key files.
fn keys() -> Vec<Case> {
    let text = include_str!("../../../iot-crypto/tests/vectors/succession.txt");
    let value = |name: &str| values(text, name).remove(0);
    let succession = value("succession 1");
    let chain: Value = ciborium::from_reader(succession.as_slice()).unwrap();
    let link = to_vec_det(&chain.as_array().unwrap()[1]).unwrap();
    let [header, body] = [0, 2].map(|index| byte_string(&link, index));
    let mut cases = vec![
        Case::new("keys", "succession", succession).allowing(&["shorten /0", "shorten /1/0", "shorten /1/2"]),
        Case::new("keys", "link", link).allowing(&["shorten /0", "shorten /2"]),
        Case::new("keys", "link-header", header),
        Case::new("keys", "link-body", body).allowing(&["shorten /1"]),
    ];
    for kind in ["Ed25519", "X25519", "P-256"] {
        // The kind of key decides which coordinates there are, which a rule for all kinds does not say.
        let public = Case::new("keys", "key-object", value(&format!("{kind} key")));
        let secret = Case::new("keys", "key-object", value(&format!("{kind} secret key")));
        cases.extend([public, secret].map(|case| case.allowing(&["remove /-3", "remove /-4"])));
    }
    let lines = include_str!("../../../iot-crypto/tests/vectors/keyfile.txt").lines();
    let file = unhex(lines.filter_map(|line| line.strip_prefix("file: ")).next().unwrap());
    let header = byte_string(&file[1..], 0);
    cases.push(Case::new("keys", "key-file", file).allowing(&["shorten /tag/0", "shorten /tag/2"]));
    cases.push(Case::new("keys", "key-file-header", header));
    cases
}

/// What is in an element of an array that is a byte string.
fn byte_string(array: &[u8], index: usize) -> Vec<u8> {
    let array: Value = ciborium::from_reader(array).unwrap();
    array.as_array().unwrap()[index].as_bytes().unwrap().clone()
}
