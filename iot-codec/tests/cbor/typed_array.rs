//! Typed arrays of every element, in both byte orders.

use iot_codec::cbor::{DecodeErrorKind, EncodeError, TypedArray, TypedElement, from_slice, to_vec};

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
    let nan = [f64::from_bits(0x7ff0_0000_0000_0001)];
    let mut space = [0; 8];
    let array = TypedArray::encoded(&nan, &mut space).unwrap();
    assert_eq!(array.iter().next().map(f64::to_bits), Some(0x7ff0_0000_0000_0001));
}
