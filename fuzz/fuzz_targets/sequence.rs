//! The items of a datagram, against `validate` of each part.
//!
//! The input is a byte for the limits, and the datagram.
//!
//! - The items are valid, stand one behind the other from the start, and are all that there is, unless one is refused.
//! - The limits hold for all of them together.
//! - Written again they are the same datagram, as far as there is room for whole items.

#![no_main]

use iot_codec::{
    cbor::{Cursor, DecodeErrorKind, Limits, validate},
    framing::{Sequence, SequenceWriter},
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let [choice, datagram @ ..] = input else { return };
    let limits = Limits::default().items(u32::from(choice & 0x3f)).bytes(16 << (choice >> 6));
    let mut sequence = match Sequence::new(datagram, &limits) {
        Ok(sequence) => sequence,
        Err(error) => {
            assert_eq!(error.kind(), DecodeErrorKind::TooManyBytes);
            assert!(datagram.len() > 16 << (choice >> 6));
            return;
        }
    };

    let mut items = Vec::new();
    let mut read = 0;
    let fault = loop {
        assert_eq!(sequence.rest(), &datagram[read..]);
        match sequence.next() {
            Some(Ok(item)) => {
                assert_eq!(validate(item.as_bytes(), &limits), Ok(()));
                assert!(datagram[read..].starts_with(item.as_bytes()));
                read += item.as_bytes().len();
                items.push(item);
            }
            Some(Err(error)) => break Some(error),
            None => break None,
        }
    };
    assert_eq!(sequence.next(), None, "it goes on after its end");
    match fault {
        None => assert_eq!(read, datagram.len()),
        Some(error) => {
            assert!(error.offset() >= read && error.offset() <= datagram.len());
            let refused = Cursor::within(&datagram[read..], &limits).expect("it is shorter").skip();
            if let Err(alone) = refused {
                assert!(error.kind() == alone.kind() || error.kind() == DecodeErrorKind::TooManyItems);
            } else {
                assert_eq!(error.kind(), DecodeErrorKind::TooManyItems, "refused what is in order");
            }
        }
    }

    for space in [read, read.saturating_sub(1)] {
        let mut space = vec![0; space];
        let (room, mut written) = (space.len(), 0);
        let mut writer = SequenceWriter::new(&mut space);
        for item in &items {
            let fits = written + item.as_bytes().len() <= room;
            assert_eq!(writer.push(item).is_ok(), fits);
            written += if fits { item.as_bytes().len() } else { 0 };
            assert_eq!(writer.written().len(), written);
        }
        if room == read {
            assert_eq!(writer.into_written(), &datagram[..read]);
        }
    }
});
