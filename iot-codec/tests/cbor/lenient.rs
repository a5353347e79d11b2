//! CBOR that others made, against the strict reader and a model.

use iot_codec::cbor::{
    DecodeErrorKind, Diagnostic, Limits, Simple,
    lenient::{self, Rules, Token, Tokens, normalize},
    to_vec, validate,
};
use proptest::prelude::*;

use super::{
    appendix_a::hex,
    value::{Value, any_value},
};

fn strict() -> Rules {
    Rules::default().refuse_indefinite_lengths().refuse_long_forms().refuse_unsorted_keys()
}

/// Writes a value in any of its encodings, as `choices` has it.
struct Loose<I> {
    choices: I,
    bytes: Vec<u8>,
}

impl<I: Iterator<Item = u8>> Loose<I> {
    fn choose(&mut self, below: u8) -> u8 {
        self.choices.next().unwrap_or(0) % below
    }

    /// A head of any width that holds the argument.
    fn head(&mut self, major: u8, argument: u64) {
        let least = match argument {
            0..24 => 0,
            24..0x100 => 1,
            0x100..0x1_0000 => 2,
            0x1_0000..0x1_0000_0000 => 3,
            _ => 4,
        };
        let width = least + self.choose(5 - least);
        if width == 0 {
            self.bytes.push(major << 5 | argument as u8);
            return;
        }
        self.bytes.push(major << 5 | (23 + width));
        self.bytes.extend(&argument.to_be_bytes()[8 - (1 << (width - 1))..]);
    }

    /// A string in one piece or in chunks of characters.
    fn string(&mut self, major: u8, pieces: &[&[u8]]) {
        if self.choose(2) == 0 {
            let bytes = pieces.concat();
            self.head(major, bytes.len() as u64);
            self.bytes.extend(bytes);
            return;
        }
        self.bytes.push(major << 5 | 31);
        for piece in pieces {
            self.head(major, piece.len() as u64);
            self.bytes.extend(*piece);
        }
        self.bytes.push(0xff);
    }

    fn container(&mut self, major: u8, len: usize, items: &[&Value]) {
        let is_indefinite = self.choose(2) == 1;
        if is_indefinite {
            self.bytes.push(major << 5 | 31);
        } else {
            self.head(major, len as u64);
        }
        for item in items {
            self.value(item);
        }
        if is_indefinite {
            self.bytes.push(0xff);
        }
    }

    fn value(&mut self, value: &Value) {
        match value {
            Value::Unsigned(argument) => self.head(0, *argument),
            Value::Negative(argument) => self.head(1, *argument),
            Value::Bytes(bytes) => self.string(2, &bytes.chunks(3).collect::<Vec<_>>()),
            Value::Text(text) => {
                let pieces: Vec<_> = text.split_inclusive('a').map(str::as_bytes).collect();
                self.string(3, &pieces);
            }
            Value::Array(items) => self.container(4, items.len(), &items.iter().collect::<Vec<_>>()),
            Value::Map(pairs) => {
                let mut pairs: Vec<_> = pairs.iter().collect();
                if !pairs.is_empty() {
                    let by = self.choose(8) as usize % pairs.len();
                    pairs.rotate_left(by);
                }
                let items: Vec<_> = pairs.iter().flat_map(|(key, value)| [key, value]).collect();
                self.container(5, pairs.len(), &items);
            }
            Value::Tag(tag, content) => {
                self.head(6, *tag);
                self.value(content);
            }
            Value::Float(bits) if self.choose(2) == 1 => {
                self.bytes.push(0xfb);
                self.bytes.extend(bits.to_be_bytes());
            }
            other => self.bytes.extend(to_vec(other)),
        }
    }
}

fn loose(value: &Value, choices: Vec<u8>) -> Vec<u8> {
    let mut loose = Loose { choices: choices.into_iter().cycle().take(10_000), bytes: Vec::new() };
    loose.value(value);
    loose.bytes
}

#[test]
fn tokens_come_in_pairs_of_beginning_and_end() {
    let bytes = hex("bf61610161629f02c1f93c00ff6163a0ff");
    let tokens = Tokens::new(&bytes, &Limits::default(), Rules::default()).unwrap();
    let expected = [
        Token::Map(None),
        Token::Text("a"),
        Token::Unsigned(1),
        Token::Text("b"),
        Token::Array(None),
        Token::Unsigned(2),
        Token::Tag(1),
        Token::Float(1.0),
        Token::End,
        Token::End,
        Token::Text("c"),
        Token::Map(Some(0)),
        Token::End,
        Token::End,
    ];
    assert_eq!(tokens.collect::<Result<Vec<_>, _>>().unwrap(), expected);
    let bytes = hex("5f41014202035fff");
    let mut tokens = Tokens::new(&bytes, &Limits::default(), Rules::default()).unwrap();
    assert_eq!(tokens.next(), Some(Ok(Token::ChunkedBytes)));
    assert_eq!(tokens.by_ref().take(2).filter_map(Result::ok).count(), 2);
    assert!(tokens.next().unwrap().is_err());
    assert!(tokens.next().is_none());
    let bytes = hex("f8ff");
    let mut tokens = Tokens::new(&bytes, &Limits::default(), Rules::default()).unwrap();
    assert_eq!(tokens.next(), Some(Ok(Token::Simple(Simple::new(255).unwrap()))));
}

#[test]
fn what_is_not_well_formed_is_refused() {
    // RFC 8949, Appendix F.1: every example of the four kinds.
    let malformed = "18 19 1a 1b 1901 1a0102 1b01020304050607 38 58 78 98 9a01ff00 b8 d8 f8 f900 fa0000 fb000000 \
        41 61 5affffffff00 5bffffffffffffffff010203 7affffffff00 7b7fffffffffffffff010203 \
        81 818181818181818181 8200 a1 a20102 a100 a2000000 c0 \
        5f4100 7f6100 9f 9f0102 bf bf01020102 819f 9f8000 9f9f9f9f9fffffffff 9f819f819f9fffffff \
        1c 1d 1e 3c 3d 3e 5c 5d 5e 7c 7d 7e 9c 9d 9e bc bd be dc dd de fc fd fe \
        f800 f801 f818 f81f \
        5f00ff 5f21ff 5f6100ff 5f80ff 5fa0ff 5fc000ff 5fe0ff 7f4100ff \
        5f5f4100ffff 7f7f6100ffff \
        ff 81ff 8200ff a1ff a1ff00 a100ff a20000ff 9f81ff 9f829f819f9fffffffff \
        bf00ff bf000000ff 1f 3f df";
    for row in malformed.split_whitespace() {
        let bytes = hex(row);
        for rules in [Rules::default(), strict()] {
            assert!(lenient::validate(&bytes, &Limits::default(), rules).is_err(), "{row}");
        }
        assert!(Diagnostic::new(&bytes, &Limits::default()).is_err());
        assert!(normalize(&bytes, &Limits::default(), Rules::default()).is_err());
    }
    // A chunk is a definite string of the same type, and nothing else.
    for (major, valid) in [(0x5f, 0x40..0x5c), (0x7f, 0x60..0x7c)] {
        for initial in (0..=0xfeu8).filter(|initial| !valid.contains(initial)) {
            let bytes = [&[major, initial][..], &[0; 16], &[0xff]].concat();
            assert!(lenient::validate(&bytes, &Limits::default(), Rules::default()).is_err(), "{bytes:02x?}");
        }
    }
}

#[test]
fn each_rule_refuses_its_departure_and_no_other() {
    use DecodeErrorKind::*;
    let none = Rules::default();
    let rows = [
        ("9f00ff", IndefiniteLength, 0, none.refuse_indefinite_lengths()),
        ("82007f6161ff", IndefiniteLength, 2, none.refuse_indefinite_lengths()),
        ("811801", LongArgument, 1, none.refuse_long_forms()),
        ("1b0000000000000001", LongArgument, 0, none.refuse_long_forms()),
        ("fb3ff8000000000000", LongFloat, 0, none.refuse_long_forms()),
        ("a3010002000100", UnsortedKeys, 5, none.refuse_unsorted_keys()),
        ("a201000100", DuplicateKey, 3, none.refuse_unsorted_keys()),
        ("a26162006161f6", UnsortedKeys, 4, none.refuse_unsorted_keys()),
    ];
    for (row, kind, offset, rules) in rows {
        let bytes = hex(row);
        assert_eq!(lenient::validate(&bytes, &Limits::default(), none), Ok(()), "{row}");
        for other in rows.map(|(_, _, _, other)| other) {
            match lenient::validate(&bytes, &Limits::default(), other) {
                Ok(()) => assert_ne!(rules, other),
                Err(error) => assert_eq!((rules, error.kind(), error.offset()), (other, kind, offset), "{row}"),
            }
        }
    }
}

#[test]
fn the_limits_hold_for_indefinite_lengths_too() {
    let check = |row: &str, limits: Limits| {
        lenient::validate(&hex(row), &limits, Rules::default()).map_err(|error| (error.kind(), error.offset()))
    };
    let limits = Limits::default().items(3).depth(2).unwrap().bytes(12);
    assert_eq!(check("9f010203ff", limits), Ok(()));
    assert_eq!(check("9f01020304ff", limits), Err((DecodeErrorKind::TooManyItems, 4)));
    assert_eq!(check("bf01020304ff", limits), Err((DecodeErrorKind::TooManyItems, 4)));
    assert_eq!(check("5f404040ff", limits), Ok(()));
    assert_eq!(check("5f40404040ff", limits), Err((DecodeErrorKind::TooManyItems, 4)));
    assert_eq!(check("8181 80".replace(' ', "").as_str(), limits), Err((DecodeErrorKind::TooDeep, 2)));
    assert_eq!(check("81815fff", limits), Err((DecodeErrorKind::TooDeep, 2)));
    assert_eq!(check("9f9fffff", limits), Ok(()));
    assert_eq!(check(&"00".repeat(13), limits), Err((DecodeErrorKind::TooManyBytes, 12)));
    assert_eq!(check("9affffffff00", limits), Err((DecodeErrorKind::UnexpectedEnd, 0)));
    let deep = vec![0x9f; 1 << 20];
    let error = lenient::validate(&deep, &Limits::default(), Rules::default()).unwrap_err();
    assert_eq!(error.kind(), DecodeErrorKind::TooDeep);
}

#[test]
fn nesting_to_the_limit_and_past_it_needs_a_small_stack_alone() {
    let limits = Limits::default().depth(Limits::MAX_DEPTH).unwrap();
    let read = move || {
        for open in [0x81, 0x9f, 0xc1, 0xbf, 0xa1] {
            let is_map = open == 0xbf || open == 0xa1;
            let item = |depth: usize| {
                let mut bytes = if is_map { [open, 0x00].repeat(depth) } else { vec![open; depth] };
                bytes.push(0x00);
                bytes.extend(vec![0xff; if open & 0x1f == 31 { depth } else { 0 }]);
                bytes
            };
            let deepest = item(Limits::MAX_DEPTH);
            let normal = normalize(&deepest, &limits, Rules::default()).unwrap();
            assert_eq!(validate(&normal, &limits), Ok(()));
            let notation = Diagnostic::new(&deepest, &limits).unwrap().to_string();
            let depth = notation.matches(['[', '{', '(']).count();
            assert_eq!(depth, Limits::MAX_DEPTH, "{notation}");
            for bytes in [item(Limits::MAX_DEPTH + 1), item(100_000)] {
                for error in [
                    lenient::validate(&bytes, &limits, Rules::default()).unwrap_err(),
                    normalize(&bytes, &limits, Rules::default()).unwrap_err(),
                    Diagnostic::new(&bytes, &limits).unwrap_err(),
                ] {
                    assert_eq!(error.kind(), DecodeErrorKind::TooDeep);
                }
            }
        }
    };
    std::thread::Builder::new().stack_size(32 * 1024).spawn(read).unwrap().join().unwrap();
}

#[test]
fn equal_keys_are_found_wherever_they_stand() {
    for row in ["a3010002000100", "bf010002001801f6ff", "a2616100 7f6161ff00"] {
        let bytes = hex(&row.replace(' ', ""));
        assert_eq!(lenient::validate(&bytes, &Limits::default(), Rules::default()), Ok(()));
        let error = normalize(&bytes, &Limits::default(), Rules::default()).unwrap_err();
        assert_eq!((error.kind(), error.offset()), (DecodeErrorKind::DuplicateKey, 0));
    }
    // The offset of the innermost map is that in the input, where the long 1 before it has two bytes.
    let bytes = hex("82 1801 a10 0a201000100".replace(' ', "").as_str());
    let error = normalize(&bytes, &Limits::default(), Rules::default()).unwrap_err();
    assert_eq!((error.kind(), error.offset()), (DecodeErrorKind::DuplicateKey, 5));
}

#[test]
fn notation_marks_what_the_data_model_does_not_show() {
    let rows = [
        ("5fff", "''_"),
        ("7fff", "\"\"_"),
        ("9fff", "[_ ]"),
        ("bfff", "{_ }"),
        ("bf0102ff", "{_ 1: 2}"),
        ("c240", "2(h'')"),
        ("c24a00ffffffffffffffffff", "2(h'00ffffffffffffffffff')"),
        (
            "c35820ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
            "3(h'ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff')",
        ),
        ("c350ffffffffffffffffffffffffffffffff", "3(h'ffffffffffffffffffffffffffffffff')"),
        ("c250ffffffffffffffffffffffffffffffff", "340282366920938463463374607431768211455"),
        ("c25f49010000000000000000ff", "2((_ h'010000000000000000'))"),
        ("661b5b324a0a09", "\"\\u001b[2J\\n\\t\""),
        ("64e280ae61", "\"\\u202ea\""),
        ("62c285", "\"\\u0085\""),
        ("62d89c", "\"\\u061c\""),
        ("63e281a6", "\"\\u2066\""),
        ("fb444b1ae4d6e2ef50", "1.0e+21"),
        ("fbc44b1ae4d6e2ef50", "-1.0e+21"),
        ("fb444b1ae4d6e2ef4f", "999999999999999900000.0"),
        ("fb3eb0c6f7a0b5ed8d", "0.000001"),
        ("fb3eb0c6f7a0b5ed8c", "9.999999999999997e-7"),
        ("f8ff", "simple(255)"),
        ("8100", "[0]"),
        ("82c1a0c280", "[1({}), 2([])]"),
    ];
    for (row, notation) in rows {
        assert_eq!(Diagnostic::new(&hex(row), &Limits::default()).unwrap().to_string(), notation);
    }
    let sequence = hex("018102f6");
    let mut rest = sequence.as_slice();
    let mut notations = Vec::new();
    while !rest.is_empty() {
        let (diagnostic, after) = Diagnostic::first(rest, &Limits::default()).unwrap();
        notations.push(diagnostic.to_string());
        rest = after;
    }
    assert_eq!(notations, ["1", "[2]", "null"]);
    assert!(Diagnostic::first(&[], &Limits::default()).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_encoding_of_a_value_is_normalized_to_its_one(value in any_value(), choices in proptest::collection::vec(any::<u8>(), 1..40)) {
        let bytes = loose(&value, choices);
        let limits = Limits::default();
        prop_assert_eq!(lenient::validate(&bytes, &limits, Rules::default()), Ok(()));
        let normal = normalize(&bytes, &limits, Rules::default()).unwrap();
        prop_assert_eq!(&normal, &to_vec(&value));
        prop_assert_eq!(lenient::validate(&bytes, &limits, strict()).is_ok(), normal == bytes);
        for len in 0..bytes.len() {
            let error = lenient::validate(&bytes[..len], &limits, Rules::default()).unwrap_err();
            prop_assert_eq!(error.kind(), DecodeErrorKind::UnexpectedEnd);
        }
        let trailing = [bytes.as_slice(), &[0]].concat();
        let error = lenient::validate(&trailing, &limits, Rules::default()).unwrap_err();
        prop_assert_eq!((error.kind(), error.offset()), (DecodeErrorKind::TrailingBytes, bytes.len()));
    }

    #[test]
    fn with_all_rules_it_accepts_what_the_strict_validator_accepts(
        value in any_value(),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
    ) {
        let mut bytes = to_vec(&value);
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        agree(&bytes);
    }

    #[test]
    fn on_any_bytes_it_agrees_with_the_strict_validator(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
        agree(&bytes);
    }
}

fn agree(bytes: &[u8]) {
    let limits = Limits::default();
    let expected = validate(bytes, &limits);
    assert_eq!(lenient::validate(bytes, &limits, strict()).is_ok(), expected.is_ok(), "{bytes:02x?}: {expected:?}");
    let loosely = lenient::validate(bytes, &limits, Rules::default());
    assert!(loosely.is_ok() || expected.is_err());
    assert_eq!(Diagnostic::new(bytes, &limits).is_ok(), loosely.is_ok());
    match normalize(bytes, &limits, Rules::default()) {
        Ok(normal) => {
            assert_eq!(validate(&normal, &limits), Ok(()), "{bytes:02x?} became {normal:02x?}");
            assert!(expected.is_err() || normal == bytes);
            let notation = Diagnostic::new(bytes, &limits).expect("validated before").to_string();
            assert!(notation.len() <= 24 * bytes.len().max(1), "{notation}");
        }
        Err(error) => assert!(loosely == Err(error) || error.kind() == DecodeErrorKind::DuplicateKey),
    }
}
