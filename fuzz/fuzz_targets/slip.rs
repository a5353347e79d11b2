//! The decoder of a SLIP line, fed in pieces of any size, against a reader that sees the whole line.
//!
//! The input is a byte each for the size of the buffer, the size of the pieces and the checksum, and the line.
//!
//! - The frames and the counters are those of the whole line, however it is cut.
//! - Whatever came before, a frame behind a delimiter is read.
//! - A frame that was read, or any other payload, survives encoding.

#![no_main]

use iot_codec::framing::{Slip, encode_slip, max_slip_len};
use iot_fuzz::line::{LineDecoder, check, checksum, feed};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let [buffer, piece, choice, line @ ..] = input else { return };
    let (maximum, piece, checksum) = (usize::from(*buffer) * 2, usize::from(*piece), checksum(*choice));
    let mut decoder = Slip::new(vec![0; maximum], checksum);
    let mut payloads = check(&mut decoder, maximum, checksum, line, piece);
    payloads.truncate(1);
    payloads.push(line.to_vec());

    for payload in payloads {
        let mut space = vec![0; max_slip_len(payload.len(), checksum)];
        let Ok(frame) = encode_slip(&payload, checksum, &mut space).map(<[u8]>::to_vec) else {
            assert!(payload.is_empty() && checksum.is_empty(), "the space is for every payload");
            continue;
        };
        let is_too_small = encode_slip(&payload, checksum, &mut space[..frame.len() - 1]).is_err();
        assert!(is_too_small, "wrote past the end of its buffer");

        let joined = [&[<Slip<Vec<u8>> as LineDecoder>::DELIMITER][..], &frame].concat();
        let fits = payload.len() + checksum.len() <= maximum;
        // What the delimiter ends may have been a frame of its own.
        let read = feed(&mut decoder, &joined, piece);
        assert_eq!(read.last() == Some(&payload), fits, "{payload:02x?} became {read:02x?}");
        assert_eq!(decoder.finish(), Ok(()));
    }
});
