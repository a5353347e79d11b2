//! The lenient reader, `normalize` and `Diagnostic`, against the strict reader, `ciborium` and `minicbor`.
//!
//! The input is a byte for the rules and the limits, and one item.
//!
//! - Tokens open and close in pairs, never deeper than the limit, and walk over what `validate` accepts.
//! - With no rule left, it refuses and accepts as the strict `validate` does.
//! - What `normalize` gives is deterministic, stays what it is, and is what `ciborium` reads of the input.
//! - `minicbor` splits what is accepted into the same tokens.
//! - What `ciborium` reads is accepted, but for what is not well-formed.

#![no_main]

use ciborium::Value;
use iot_codec::cbor::{
    self, DecodeError, DecodeErrorKind, Diagnostic, Limits,
    lenient::{Rules, Token, Tokens, normalize, validate},
};
use iot_fuzz::value::deterministic;
use libfuzzer_sys::fuzz_target;
use minicbor::data::Token as Theirs;

fuzz_target!(|input: &[u8]| {
    let [choice, item @ ..] = input else { return };
    let mut rules = Rules::default();
    for (bit, refuse) in [Rules::refuse_indefinite_lengths, Rules::refuse_long_forms, Rules::refuse_unsorted_keys]
        .into_iter()
        .enumerate()
    {
        if choice & 1 << bit != 0 {
            rules = refuse(rules);
        }
    }
    // Depths 2 to 32, so that a small input gets past them.
    let depth = 2 << (choice >> 3 & 3);
    let limits = Limits::default().depth(depth.min(Limits::MAX_DEPTH)).expect("at most the maximum").items(64);

    let verdict = validate(item, &limits, rules);
    let tokens = walk(item, &limits, rules);
    assert_eq!(tokens.is_some(), verdict.is_ok(), "{verdict:?}");
    if choice & 7 == 7 {
        assert_eq!(verdict.is_ok(), cbor::validate(item, &limits).is_ok(), "strict and lenient disagree");
    }
    let diagnostic = Diagnostic::new(item, &limits);
    assert_eq!(diagnostic.is_ok(), validate(item, &limits, Rules::default()).is_ok());
    if let Ok(diagnostic) = diagnostic {
        let text = diagnostic.to_string();
        assert!(!text.chars().any(char::is_control), "{text:?}");
        let sequence = [item, item].concat();
        let (first, rest) = Diagnostic::first(&sequence, &limits).expect("it begins with an item");
        assert_eq!((first.to_string(), rest), (text, item));
    }

    let normal = normalize(item, &limits, rules);
    match (&normal, verdict) {
        (Err(error), Ok(())) => assert_eq!(error.kind(), DecodeErrorKind::DuplicateKey),
        (Ok(_), Err(error)) => panic!("normalized what is refused: {error}"),
        _ => {}
    }
    if let Ok(normal) = &normal {
        assert_eq!(cbor::validate(normal, &limits), Ok(()), "{normal:02x?}");
        assert_eq!(normalize(normal, &limits, rules).as_ref(), Ok(normal));
        assert!(
            normal.len() <= item.len() + item.len() / 256 * 2 + 2,
            "it grew from {} to {}",
            item.len(),
            normal.len()
        );
    }
    against_ciborium(item, &limits, normal.ok().as_deref());
    if let Some(tokens) = tokens {
        against_minicbor(item, &tokens);
    }
});

/// The tokens of exactly one item.
fn walk<'b>(item: &'b [u8], limits: &Limits, rules: Rules) -> Option<Vec<Token<'b>>> {
    let mut tokens = Tokens::new(item, limits, rules).expect("the fuzzer's inputs are below the limit of bytes");
    let (mut all, mut level, mut offset) = (Vec::new(), 0_usize, 0);
    // A limit that `Limits` does not tell: the deepest that any here has.
    while let Some(token) = tokens.next() {
        let token = token.ok()?;
        match token {
            Token::End => level = level.checked_sub(1).expect("an end without a beginning"),
            Token::Array(_) | Token::Map(_) | Token::Tag(_) | Token::ChunkedBytes | Token::ChunkedText => level += 1,
            _ => {}
        }
        assert!(level <= Limits::MAX_DEPTH && tokens.offset() >= offset);
        offset = tokens.offset();
        assert_eq!(tokens.rest(), &item[offset..]);
        all.push(token);
    }
    if level > 0 || !tokens.rest().is_empty() {
        assert_eq!(level, 0, "an item that does not end");
        return None;
    }
    assert_eq!(tokens.next(), None, "it goes on after its end");
    Some(all)
}

fn against_ciborium(item: &[u8], limits: &Limits, normal: Option<&[u8]>) {
    let mut rest = item;
    let Ok(value) = ciborium::from_reader::<Value, _>(&mut rest) else { return };
    if !rest.is_empty() {
        return;
    }
    let Some(all) = walk(item, limits, Rules::default()) else {
        let error = validate(item, limits, Rules::default()).expect_err("its tokens are refused");
        assert!(is_laxity_of_ciborium(item, error), "refused what is in order: {error}");
        return;
    };
    // It has no undefined and no other simple values, keeps no payload of a NaN, and turns bignums into integers.
    let is_lossy = |token: &Token| match token {
        Token::Simple(simple) => !(20..=22).contains(&simple.number()),
        Token::Float(value) => value.is_nan(),
        Token::Tag(tag) => matches!(tag, 2 | 3),
        _ => false,
    };
    if let Some(normal) = normal
        && !all.iter().any(is_lossy)
    {
        assert_eq!(deterministic(&value).as_deref(), Some(normal), "{value:?}");
    }
}

/// It has other limits, and takes what RFC 8949 forbids: chunks that are strings in chunks themselves (§3.2.3), and
/// `false` to `undefined` in two bytes (§3.3).
fn is_laxity_of_ciborium(item: &[u8], error: DecodeError) -> bool {
    match error.kind() {
        DecodeErrorKind::TooDeep | DecodeErrorKind::TooManyItems => true,
        DecodeErrorKind::InvalidSimple => matches!(item[error.offset() + 1], 20..=23),
        DecodeErrorKind::ReservedInformation => matches!(item[error.offset()], 0x5f | 0x7f),
        _ => false,
    }
}

/// Ends apart, which `minicbor` has for indefinite lengths only.
fn against_minicbor(item: &[u8], ours: &[Token]) {
    let mut theirs = minicbor::decode::Tokenizer::new(item);
    for token in ours.iter().filter(|token| **token != Token::End) {
        let their = loop {
            match theirs.next().expect("minicbor ends before").expect("minicbor refuses it") {
                Theirs::Break => {}
                their => break their,
            }
        };
        assert!(is_same(token, &their), "{token:?} is not {their:?}");
    }
    assert!(theirs.all(|token| matches!(token, Ok(Theirs::Break))), "minicbor goes on");
}

fn is_same(ours: &Token, theirs: &Theirs) -> bool {
    let is_float = |value: f64, their: f64| value.to_bits() == their.to_bits() || (value.is_nan() && their.is_nan());
    match (ours, theirs) {
        (Token::Unsigned(value), Theirs::U8(their)) => *value == u64::from(*their),
        (Token::Unsigned(value), Theirs::U16(their)) => *value == u64::from(*their),
        (Token::Unsigned(value), Theirs::U32(their)) => *value == u64::from(*their),
        (Token::Unsigned(value), Theirs::U64(their)) => value == their,
        (Token::Negative(n), Theirs::I8(their)) => -1 - i128::from(*n) == i128::from(*their),
        (Token::Negative(n), Theirs::I16(their)) => -1 - i128::from(*n) == i128::from(*their),
        (Token::Negative(n), Theirs::I32(their)) => -1 - i128::from(*n) == i128::from(*their),
        (Token::Negative(n), Theirs::I64(their)) => -1 - i128::from(*n) == i128::from(*their),
        (Token::Negative(n), Theirs::Int(their)) => -1 - i128::from(*n) == i128::from(*their),
        (Token::Bytes(bytes), Theirs::Bytes(their)) => bytes == their,
        (Token::Text(text), Theirs::String(their)) => text == their,
        (Token::ChunkedBytes, Theirs::BeginBytes) | (Token::ChunkedText, Theirs::BeginString) => true,
        (Token::Array(None), Theirs::BeginArray) | (Token::Map(None), Theirs::BeginMap) => true,
        (Token::Array(Some(count)), Theirs::Array(their)) => u64::from(*count) == *their,
        (Token::Map(Some(count)), Theirs::Map(their)) => u64::from(*count) == *their,
        (Token::Tag(tag), Theirs::Tag(their)) => *tag == their.as_u64(),
        (Token::Float(value), Theirs::F16(their) | Theirs::F32(their)) => is_float(*value, (*their).into()),
        (Token::Float(value), Theirs::F64(their)) => is_float(*value, *their),
        (Token::Simple(simple), their) => match (simple.number(), their) {
            (20, Theirs::Bool(false)) | (21, Theirs::Bool(true)) | (22, Theirs::Null) | (23, Theirs::Undefined) => true,
            (number, Theirs::Simple(their)) => number == *their,
            _ => false,
        },
        _ => false,
    }
}
