//! `validate`, `Cursor` and `Writer` against each other and against `ciborium` and `minicbor`.
//!
//! - What `validate` accepts, `Cursor::raw_item` takes whole, and the two refuse alike.
//! - What it accepts, read by `Cursor` and written by `Writer`, gives the same bytes: there is one encoding of a value.
//! - What `ciborium` reads, written deterministically, is accepted: nothing that is in order is refused.
//! - Where both accept, both read the same value, and the accepted bytes are its deterministic encoding.
//! - `minicbor` reads all that `validate` accepts, to the same end and as the same value.

#![no_main]

use ciborium::Value;
use iot_codec::cbor::{Cursor, DecodeError, DecodeErrorKind, EncodeError, Kind, Limits, Writer, validate};
use iot_fuzz::value::{deterministic, read, read_minicbor, same};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let limits = Limits::default();
    let verdict = validate(input, &limits);

    let mut cursor = Cursor::within(input, &limits).expect("the fuzzer's inputs are below the limit of bytes");
    let skipped = cursor.raw_item().map(|item| assert_eq!(item.as_bytes(), &input[..cursor.position()]));
    assert_eq!(skipped.and_then(|()| cursor.finish()), verdict, "raw_item and validate disagree");

    if verdict.is_ok() {
        let mut copy = Writer::new(Vec::new());
        copy_item(&mut Cursor::new(input), &mut copy).expect("a valid item is readable");
        assert_eq!(copy.into_output(), input, "a valid item has a second encoding");

        let mut minicbor = minicbor::Decoder::new(input);
        assert_eq!(minicbor.skip().map(|()| minicbor.position()).ok(), Some(input.len()), "minicbor ends elsewhere");
        if let Some(ours) = read(&mut Cursor::new(input)) {
            let theirs =
                read_minicbor(&mut minicbor::Decoder::new(input)).expect("what this crate knows, minicbor does");
            assert!(same(&ours, &theirs), "{ours:?} is not {theirs:?}");
        }
    }

    let mut rest = input;
    let Ok(value) = ciborium::from_reader::<Value, _>(&mut rest) else { return };
    if let Some(bytes) = deterministic(&value) {
        match validate(&bytes, &limits).map_err(|error| error.kind()) {
            Ok(()) | Err(DecodeErrorKind::TooDeep | DecodeErrorKind::TooManyItems) => {}
            Err(kind) => panic!("refused what is in order: {kind} in {bytes:02x?}"),
        }
    }
    if verdict.is_ok()
        && rest.is_empty()
        && let Some(ours) = read(&mut Cursor::new(input))
    {
        assert!(same(&ours, &value), "{ours:?} is not {value:?}");
        assert_eq!(deterministic(&ours).as_deref(), Some(input), "accepted what is not deterministic");
    }
});

/// Copies one item, head by head.
fn copy_item(from: &mut Cursor, to: &mut Writer<Vec<u8>>) -> Result<(), DecodeError> {
    let written: Result<(), EncodeError> = match from.peek()? {
        Kind::Unsigned => to.unsigned(from.unsigned()?),
        Kind::Negative => to.negative(from.negative()?),
        Kind::Bytes => to.bytes(from.bytes()?),
        Kind::Text => to.text(from.text()?),
        Kind::Array => {
            let count = from.array()?;
            to.array(count as u64).expect("a vector always has room");
            (0..count).try_for_each(|_| copy_item(from, to))?;
            Ok(())
        }
        Kind::Map => {
            let count = from.map()?;
            to.map(count as u64).expect("a vector always has room");
            (0..2 * count).try_for_each(|_| copy_item(from, to))?;
            Ok(())
        }
        Kind::Tag => {
            to.tag(from.tag()?).expect("a vector always has room");
            copy_item(from, to)?;
            Ok(())
        }
        Kind::Bool => to.bool(from.bool()?),
        Kind::Null => {
            from.null()?;
            to.null()
        }
        Kind::Undefined => {
            from.undefined()?;
            to.undefined()
        }
        Kind::Float => to.float(from.float()?),
        _ => to.simple(from.simple()?),
    };
    written.expect("a vector always has room");
    Ok(())
}
