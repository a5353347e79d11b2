//! The types that a `record!` may hold and that are no plain items: bignums, typed arrays, arrays.
//!
//! - What decodes encodes to the same bytes: none of these types has a second form.
//! - A bignum is the integer that `ciborium` reads; one that is too wide for 128 bits is refused by those types.
//! - The elements of a typed array are those that its bytes spell, and survive another layout.
//! - `Items`, `List` and `Array` hold the same elements.

#![no_main]

use ciborium::Value;
use iot_codec::cbor::{
    Array, Bignum, Decode, DecodeErrorKind, Encode, Items, Limits, List, RawItem, TypedArray, TypedElement, from_slice,
    to_slice, to_vec, validate,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let is_valid = validate(input, &Limits::default()).is_ok();
    assert_eq!(RawItem::new(input, &Limits::default()).is_ok(), is_valid);

    numbers(input);
    typed::<u8>(input);
    typed::<u16>(input);
    typed::<u32>(input);
    typed::<u64>(input);
    typed::<i8>(input);
    typed::<i16>(input);
    typed::<i32>(input);
    typed::<i64>(input);
    typed::<f32>(input);
    typed::<f64>(input);
    arrays(input);
});

fn same_bytes<'b, T: Decode<'b> + Encode>(input: &'b [u8]) -> Option<T> {
    let value = from_slice::<T>(input).ok()?;
    assert_eq!(to_vec(&value), input, "a second encoding");
    Some(value)
}

fn numbers(input: &[u8]) {
    let unsigned = same_bytes::<u128>(input);
    let signed = same_bytes::<i128>(input);
    let Some(number) = same_bytes::<Bignum>(input) else {
        assert_eq!((unsigned, signed), (None, None));
        return;
    };
    assert_eq!((unsigned, signed), (number.to_u128(), number.to_i128()));
    assert_eq!(Bignum::new(number.sign(), number.magnitude()), number);
    assert!(number.magnitude().first() != Some(&0));
    assert_eq!(number.magnitude().len() > 8, input[0] >= 0xc0, "a tag around what needs none");
    for narrow in [same_bytes::<u64>(input).map(i128::from), same_bytes::<i64>(input).map(i128::from)] {
        assert!(narrow.is_none() || narrow == signed);
    }
    match ciborium::from_reader(input) {
        Ok(Value::Integer(integer)) => assert_eq!(signed, Some(integer.into())),
        // It keeps a bignum as its tag, and only turns it into a number on demand.
        Ok(Value::Tag(2 | 3, _)) => {
            let theirs = ciborium::from_reader::<i128, _>(input).ok();
            assert!(theirs.is_none() || theirs == signed, "{theirs:?} is not {signed:?}");
        }
        // What an `i128` does not hold it refuses.
        other => assert_eq!(signed, None, "ciborium reads {other:?}"),
    }
}

fn typed<T: TypedElement + PartialEq + core::fmt::Debug>(input: &[u8]) {
    let Some(array) = same_bytes::<TypedArray<T>>(input) else { return };
    let values: Vec<T> = array.iter().collect();
    assert_eq!(values.len(), array.count());
    assert_eq!(array.iter().len(), array.count());

    let mut space = vec![0; values.len() * size_of::<T>()];
    let bytes = to_vec(&TypedArray::encoded(&values, &mut space).expect("the space is for all of them"));
    let again: Vec<T> = from_slice::<TypedArray<T>>(&bytes).expect("what was encoded decodes").iter().collect();
    // NaNs are not equal to themselves, and print alike.
    assert_eq!(format!("{again:?}"), format!("{values:?}"));
    if !space.is_empty() {
        space.pop();
        assert!(TypedArray::encoded(&values, &mut space).is_err(), "wrote past the end of its buffer");
    }
}

fn arrays(input: &[u8]) {
    let list = same_bytes::<List<i64>>(input);
    let items = same_bytes::<Items<i64>>(input);
    let fixed = same_bytes::<Array<i64, 3>>(input);
    let Some(items) = items else {
        assert_eq!((list, fixed), (None, None));
        return;
    };
    let elements: Result<Vec<i64>, _> = items.iter().collect();
    match (&elements, &list) {
        (Ok(elements), Some(list)) => {
            assert_eq!((elements, elements.len()), (&list.0, items.count()));
            let mut space = vec![0; input.len()];
            assert_eq!(to_vec(&Items::encoded(elements, &mut space).expect("it fitted before")), input);
            assert_eq!(fixed, elements.as_slice().try_into().ok().map(Array));
        }
        (Err(error), None) => {
            assert!(matches!(error.kind(), DecodeErrorKind::UnexpectedType { .. } | DecodeErrorKind::OutOfRange));
        }
        other => panic!("two readers of an array disagree: {other:?}"),
    }
    assert!(to_slice(&items, &mut vec![0; input.len() - 1]).is_err(), "wrote past the end of its buffer");
}
