//! Typed arrays of every element, in both byte orders, and integers beyond 64 bits.

use iot_codec::cbor::{
    Bignum, DecodeErrorKind, EncodeError, Limits, Sign, TypedArray, TypedElement, from_slice, from_slice_within,
    to_vec, validate,
};

use super::appendix_a::hex;

fn read<T: TypedElement>(row: &str) -> Result<Vec<T>, (DecodeErrorKind, usize)> {
    let bytes = hex(row);
    let array = from_slice::<TypedArray<T>>(&bytes).map_err(|error| (error.kind(), error.offset()))?;
    assert_eq!(array.iter().len(), array.count());
    assert_eq!(to_vec(&array), bytes, "written as it was read");
    Ok(array.iter().collect())
}

#[test]
fn both_byte_orders_are_read() {
    assert_eq!(read::<u8>("d84043010280"), Ok(vec![1, 2, 128]));
    assert_eq!(read::<u8>("d84443010280"), Ok(vec![1, 2, 128]));
    assert_eq!(read::<i8>("d84843010280"), Ok(vec![1, 2, -128]));
    assert_eq!(read::<u16>("d8414401020304"), Ok(vec![0x0102, 0x0304]));
    assert_eq!(read::<u16>("d8454401020304"), Ok(vec![0x0201, 0x0403]));
    assert_eq!(read::<i16>("d84944fffe7fff"), Ok(vec![-2, 0x7fff]));
    assert_eq!(read::<i16>("d84d44feffff7f"), Ok(vec![-2, 0x7fff]));
    assert_eq!(read::<u32>("d84244fffffffe"), Ok(vec![0xffff_fffe]));
    assert_eq!(read::<u32>("d84644feffffff"), Ok(vec![0xffff_fffe]));
    assert_eq!(read::<i32>("d84a44fffffffe"), Ok(vec![-2]));
    assert_eq!(read::<i32>("d84e44feffffff"), Ok(vec![-2]));
    assert_eq!(read::<u64>("d843480102030405060708"), Ok(vec![0x0102_0304_0506_0708]));
    assert_eq!(read::<u64>("d847480102030405060708"), Ok(vec![0x0807_0605_0403_0201]));
    assert_eq!(read::<i64>("d84b48fffffffffffffffe"), Ok(vec![-2]));
    assert_eq!(read::<i64>("d84f48feffffffffffffff"), Ok(vec![-2]));
    assert_eq!(read::<f32>("d85148 3fc00000 c0800000".replace(' ', "").as_str()), Ok(vec![1.5, -4.0]));
    assert_eq!(read::<f32>("d85548 0000c03f 000080c0".replace(' ', "").as_str()), Ok(vec![1.5, -4.0]));
    assert_eq!(read::<f32>("d850443e00c400"), Ok(vec![1.5, -4.0]));
    assert_eq!(read::<f32>("d85444003e00c4"), Ok(vec![1.5, -4.0]));
    assert_eq!(read::<f64>("d852483ff8000000000000"), Ok(vec![1.5]));
    assert_eq!(read::<f64>("d85648000000000000f83f"), Ok(vec![1.5]));
    assert_eq!(read::<f64>("d85240"), Ok(vec![]));
}

#[test]
fn other_elements_and_broken_ones_are_refused() {
    use DecodeErrorKind::*;
    assert_eq!(read::<u8>("d8484101"), Err((InvalidValue, 0)));
    assert_eq!(read::<u16>("d8404101"), Err((InvalidValue, 0)));
    assert_eq!(read::<u32>("d8514400000000"), Err((InvalidValue, 0)));
    assert_eq!(read::<f64>("d85444003e00c4"), Err((InvalidValue, 0)));
    assert_eq!(read::<i8>("d84c4101"), Err((InvalidValue, 0)));
    assert_eq!(read::<i8>("d8444101"), Err((InvalidValue, 0)), "what is to be clamped has no sign");
    assert_eq!(read::<f64>("d8574101"), Err((InvalidValue, 0)));
    assert_eq!(read::<u8>("d9ff404101"), Err((InvalidValue, 0)));
    assert_eq!(read::<u16>("d8414101"), Err((InvalidValue, 2)));
    assert!(matches!(read::<u16>("4101"), Err((UnexpectedType { .. }, 0))));
    assert!(matches!(read::<u16>("d8418101"), Err((UnexpectedType { .. }, 2))));
    assert_eq!(read::<u16>("d8414201"), Err((UnexpectedEnd, 2)));
}

fn round_trip<T: TypedElement + PartialEq + core::fmt::Debug>(values: &[T]) {
    let mut space = [0; 64];
    let array = TypedArray::encoded(values, &mut space).expect("what was written");
    let bytes = to_vec(&array);
    let read = from_slice::<TypedArray<T>>(&bytes).expect("what was written");
    assert_eq!(read.iter().collect::<Vec<_>>(), values);
    assert_eq!(read, array);
    let needed = size_of_val(values);
    let error = EncodeError::BufferFull { needed, available: needed - 1 };
    assert_eq!(TypedArray::encoded(values, &mut [0; 64][..needed - 1]), Err(error));
}

#[test]
fn every_element_round_trips() {
    round_trip(&[0u8, 1, 255]);
    round_trip(&[i8::MIN, -1, 0, i8::MAX]);
    round_trip(&[0u16, 1, u16::MAX]);
    round_trip(&[i16::MIN, -1, 0, i16::MAX]);
    round_trip(&[0u32, 1, u32::MAX]);
    round_trip(&[i32::MIN, -1, 0, i32::MAX]);
    round_trip(&[0u64, 1, u64::MAX]);
    round_trip(&[i64::MIN, -1, 0, i64::MAX]);
    round_trip(&[0.1f32, -0.0, f32::INFINITY, f32::MIN_POSITIVE]);
    round_trip(&[0.1f64, -0.0, f64::INFINITY, f64::MIN_POSITIVE]);
    let (big, little) = (hex("d8414401020304"), hex("d8454401020304"));
    let of = |bytes| from_slice::<TypedArray<u16>>(bytes).unwrap();
    assert!(of(&big) != of(&little) && of(&big) == of(&big), "the same bytes in another order are other numbers");
    let nan = [f64::from_bits(0x7ff0_0000_0000_0001)];
    let mut space = [0; 8];
    let array = TypedArray::encoded(&nan, &mut space).unwrap();
    assert_eq!(array.iter().next().map(f64::to_bits), Some(0x7ff0_0000_0000_0001));
}

#[test]
fn damage_is_refused_or_gives_other_numbers() {
    let arrays = ["d8454401020304", "d85548 0000c03f 000080c0", "d850443e00c400", "d84f48feffffffffffffff"];
    let numbers = ["c2490100000000000000ff", "c3510100000000000000000000000000000000", "1bffffffffffffffff", "3818"];
    for row in arrays.into_iter().chain(numbers) {
        let bytes = hex(&row.replace(' ', ""));
        let read = |bytes: &[u8]| {
            assert_eq!(
                from_slice::<TypedArray<u16>>(bytes).map_or_else(|_| bytes.to_vec(), |found| to_vec(&found)),
                bytes
            );
            assert_eq!(
                from_slice::<TypedArray<f32>>(bytes).map_or_else(|_| bytes.to_vec(), |found| to_vec(&found)),
                bytes
            );
            assert_eq!(from_slice::<Bignum>(bytes).map_or_else(|_| bytes.to_vec(), |found| to_vec(&found)), bytes);
            let is_read = from_slice::<Bignum>(bytes).is_ok() || from_slice::<TypedArray<i64>>(bytes).is_ok();
            assert!(!is_read || validate(bytes, &Limits::default()).is_ok());
            is_read
        };
        read(&bytes);
        for len in 0..bytes.len() {
            assert!(!read(&bytes[..len]), "{row} cut to {len}");
        }
        assert!(!read(&[bytes.as_slice(), &[0]].concat()));
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            read(&flipped);
        }
    }
    // A claim of more than there is.
    assert!(from_slice::<TypedArray<u8>>(&hex("d8405b7fffffffffffffff00")).is_err());
    assert!(from_slice::<Bignum>(&hex("c25bffffffffffffffff00")).is_err());
}

#[test]
fn both_count_as_a_level() {
    let none = Limits::default().depth(0).unwrap();
    let error = from_slice_within::<Bignum>(&hex("c249010000000000000000"), &none).unwrap_err();
    assert_eq!((error.kind(), error.offset()), (DecodeErrorKind::TooDeep, 0));
    let error = from_slice_within::<TypedArray<u8>>(&hex("d84040"), &none).unwrap_err();
    assert_eq!((error.kind(), error.offset()), (DecodeErrorKind::TooDeep, 0));
    assert_eq!(from_slice_within::<Bignum>(&[0x05], &none), Ok(Bignum::new(Sign::Positive, &[5])));
    // As often as one likes, side by side.
    let one = Limits::default().depth(2).unwrap();
    let numbers = [&[0x98, 40][..], &hex("c249010000000000000000").repeat(40)].concat();
    let numbers = from_slice_within::<iot_codec::cbor::List<u128>>(&numbers, &one).unwrap();
    assert_eq!(numbers.0, [1 << 64; 40]);
    let arrays = [&[0x98, 40][..], &hex("d8404107").repeat(40)].concat();
    assert_eq!(from_slice_within::<iot_codec::cbor::List<TypedArray<u8>>>(&arrays, &one).unwrap().0.len(), 40);
}

#[test]
fn an_integer_is_its_sign_and_its_magnitude() {
    let read = |row: &str| from_slice::<Bignum>(&hex(row)).map(|number| (number.to_i128(), number.to_u128())).ok();
    assert_eq!(read("c250ffffffffffffffffffffffffffffffff"), Some((None, Some(u128::MAX))));
    assert_eq!(read("c2507fffffffffffffffffffffffffffffff"), Some((Some(i128::MAX), Some(i128::MAX as u128))));
    assert_eq!(read("c3507fffffffffffffffffffffffffffffff"), Some((Some(i128::MIN), None)));
    assert_eq!(read("c35080000000000000000000000000000000"), Some((None, None)));
    assert_eq!(read("c2510100000000000000000000000000000000"), Some((None, None)));
    assert_eq!((read("20"), read("00")), (Some((Some(-1), None)), Some((Some(0), Some(0)))));
    let (positive, negative) = (Bignum::new(Sign::Positive, &[0, 7]), Bignum::new(Sign::Negative, &[7]));
    assert_eq!((positive.magnitude(), positive.sign(), negative.sign()), (&[7][..], Sign::Positive, Sign::Negative));
    assert_ne!(positive, negative);
    assert_eq!(positive, Bignum::new(Sign::Positive, &[7]));
    assert!(Bignum::new(Sign::Positive, &[0, 0]).magnitude().is_empty());
    // What needs no tag, leading zeros, and other tags.
    for row in ["c240", "c24101", "c248ffffffffffffffff", "c24a00ffffffffffffffffff", "c44901ffffffffffffffff", "c201"]
    {
        assert!(from_slice::<Bignum>(&hex(row)).is_err(), "{row}");
    }
}
