//! Depth, items and bytes, at the limit and one past it, on a small stack.

use iot_codec::cbor::{
    Buffer, Cursor, DecodeErrorKind, EncodeError, Items, Limits, LimitsError, List, Simple, Writer, from_slice_within,
    validate,
};

fn nested(head: u8, depth: usize) -> Vec<u8> {
    let mut bytes = vec![head; depth];
    bytes.push(0);
    bytes
}

#[test]
fn nesting_is_allowed_to_the_limit_and_not_past_it() {
    for depth in 0..=Limits::MAX_DEPTH {
        let limits = Limits::default().depth(depth).unwrap();
        // An array of one, and a tag.
        for head in [0x81, 0xc1] {
            assert_eq!(validate(&nested(head, depth), &limits), Ok(()));
            let error = validate(&nested(head, depth + 1), &limits).unwrap_err();
            assert_eq!((error.kind(), error.offset()), (DecodeErrorKind::TooDeep, depth));
        }
        // A map whose key nests.
        let mut map = nested(0x81, depth);
        map.splice(0..0, [0xa1]);
        map.push(0);
        assert_eq!(validate(&map, &limits).unwrap_err().kind(), DecodeErrorKind::TooDeep);
    }
}

#[test]
fn every_level_goes_on_after_those_inside_of_it() {
    for depth in 1..=Limits::MAX_DEPTH {
        let limits = Limits::default().depth(depth).unwrap();
        // Arrays of two, of which the first is the next array.
        let bytes = [vec![0x82; depth], vec![0x00; depth + 1]].concat();
        assert_eq!(validate(&bytes, &limits), Ok(()));
        let error = validate(&bytes[..2 * depth], &limits).unwrap_err();
        assert_eq!(error.kind(), DecodeErrorKind::UnexpectedEnd);
        let error = validate(&[&bytes[..], &[0x00]].concat(), &limits).unwrap_err();
        assert_eq!((error.kind(), error.offset()), (DecodeErrorKind::TrailingBytes, 2 * depth + 1));
    }
}

/// The array of levels is fixed, whatever the caller says of its own.
#[test]
fn leaving_what_was_not_entered_does_not_lift_the_maximum() {
    let bytes = [[0x82; Limits::MAX_DEPTH + 1], [0x00; Limits::MAX_DEPTH + 1]].concat();
    let mut cursor = Cursor::new(&bytes);
    for _ in 0..Limits::MAX_DEPTH {
        cursor.leave();
    }
    let error = cursor.skip().unwrap_err();
    assert_eq!((error.kind(), error.offset()), (DecodeErrorKind::TooDeep, Limits::MAX_DEPTH));
}

#[test]
fn an_empty_container_counts_as_a_level() {
    let limits = Limits::default().depth(1).unwrap();
    assert!(validate(&[0x80], &limits).is_ok());
    assert!(validate(&[0x81, 0x80], &limits).is_err());
}

#[test]
fn a_depth_beyond_the_maximum_is_refused_by_the_setter() {
    let depth = Limits::MAX_DEPTH + 1;
    let expected = LimitsError::DepthAboveMaximum { depth, maximum: Limits::MAX_DEPTH };
    assert_eq!(Limits::default().depth(depth), Err(expected));
    assert_eq!(expected.to_string(), "depth 21 exceeds the maximum of 20");
}

#[test]
fn items_are_counted_over_all_containers() {
    let limits = Limits::default().items(6);
    // Two elements, of which one is a map of one pair and one a tag around an array of one.
    let bytes = [0x82, 0xa1, 0x00, 0x00, 0xc1, 0x81, 0x00];
    assert_eq!(validate(&bytes, &limits), Ok(()));
    let error = validate(&bytes, &limits.items(5)).unwrap_err();
    assert_eq!((error.kind(), error.offset()), (DecodeErrorKind::TooManyItems, 5));
}

#[test]
fn a_cursor_spends_one_budget_of_items_on_all_that_it_reads() {
    let bytes = [0x82, 0x00, 0x00, 0x82, 0x00, 0x00, 0x81, 0x00];
    let mut cursor = Cursor::within(&bytes, &Limits::default().items(4)).unwrap();
    cursor.skip().unwrap();
    assert_eq!(cursor.array().unwrap(), 2);
    cursor.skip().unwrap();
    cursor.skip().unwrap();
    assert_eq!(cursor.skip().unwrap_err().kind(), DecodeErrorKind::TooManyItems);
    assert_eq!(cursor.array().unwrap_err().kind(), DecodeErrorKind::TooManyItems);
}

#[test]
fn lists_inside_lists_stop_at_the_limit_of_depth() {
    type Deep = List<List<List<u8>>>;
    let bytes = [0x81, 0x81, 0x81, 0x00];
    assert!(from_slice_within::<Deep>(&bytes, &Limits::default().depth(3).unwrap()).is_ok());
    let error = from_slice_within::<Deep>(&bytes, &Limits::default().depth(2).unwrap()).unwrap_err();
    assert_eq!((error.kind(), error.offset()), (DecodeErrorKind::TooDeep, 2));
    let error = from_slice_within::<Items<List<u8>>>(&bytes, &Limits::default().depth(2).unwrap()).unwrap_err();
    assert_eq!((error.kind(), error.offset()), (DecodeErrorKind::TooDeep, 2));
}

#[test]
fn bytes_are_limited_before_anything_is_read() {
    let limits = Limits::default().bytes(3);
    assert!(validate(&[0x82, 0x00, 0x00], &limits).is_ok());
    for error in [
        validate(&[0x83, 0x00, 0x00, 0x00], &limits).unwrap_err(),
        Cursor::within(&[0xff; 4], &limits).map(drop).unwrap_err(),
        from_slice_within::<u64>(&[0xff; 4], &limits).unwrap_err(),
    ] {
        assert_eq!((error.kind(), error.offset()), (DecodeErrorKind::TooManyBytes, 3));
    }
}

#[test]
fn a_full_buffer_says_what_the_write_needed_and_what_was_left() {
    let mut space = [0; 4];
    let mut writer = Writer::new(Buffer::new(&mut space));
    writer.unsigned(0).unwrap();
    let full = |needed| Err(EncodeError::BufferFull { needed, available: 3 });
    assert_eq!(writer.unsigned(1 << 16), full(5));
    assert_eq!(writer.negative(1 << 32), full(9));
    assert_eq!(writer.float(1e300), full(9));
    assert_eq!(writer.put(&[0; 4]), full(4));
    // What does not fit leaves the place to what does.
    assert_eq!(writer.simple(Simple::new(32).unwrap()), Ok(()));
    assert_eq!(writer.text("ab"), Err(EncodeError::BufferFull { needed: 2, available: 0 }));
    assert_eq!(space, [0x00, 0xf8, 0x20, 0x62]);
}

#[test]
fn the_validator_needs_no_more_than_a_small_stack() {
    let limits = Limits::default().items(u32::MAX).depth(Limits::MAX_DEPTH).unwrap();
    let wide = [vec![0x9a, 0, 0x0f, 0xff, 0xf0], vec![0x80; 0xf_fff0]].concat();
    let deep = vec![0x81; 1 << 20];
    let mut deepest = nested(0xa1, Limits::MAX_DEPTH);
    deepest.extend([0; Limits::MAX_DEPTH]);
    std::thread::Builder::new()
        .stack_size(16 * 1024)
        .spawn(move || {
            assert_eq!(validate(&wide, &limits), Ok(()));
            assert_eq!(validate(&deepest, &limits), Ok(()));
            assert_eq!(validate(&deep, &limits).unwrap_err().kind(), DecodeErrorKind::TooDeep);
            assert_eq!(Cursor::new(&deep).skip().unwrap_err().kind(), DecodeErrorKind::TooDeep);
        })
        .unwrap()
        .join()
        .unwrap();
}
