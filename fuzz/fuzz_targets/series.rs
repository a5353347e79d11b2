//! A batch of a series, as anybody may send it.
//!
//! - What is read is within the limits, and written again and read again it is the same to the bit.
//! - A reader that skips channels accepts what one that reads them all accepts, and comes to the same end.
//! - Every part of a batch is none: its end is needed.

#![no_main]

use iot_codec::series::{DecodeError, Limits, Reader, from_slice};
use iot_fuzz::batch::{same, skim, write};
use libfuzzer_sys::fuzz_target;

/// So that the few bytes of a constant batch do not take most of the time.
const SAMPLES: usize = 400;
const CHANNELS: usize = 8;

fuzz_target!(|input: &[u8]| {
    let limits = Limits::default().samples(SAMPLES).channels(CHANNELS);
    let read = from_slice(input, &limits);
    let walked = Reader::new(input, &limits).and_then(|mut reader| {
        while reader.next_channel()?.is_some() {}
        Ok(())
    });
    assert_eq!(read.as_ref().err(), walked.as_ref().err(), "skipping comes to another end");
    let batch = match read {
        Ok(batch) => batch,
        Err(DecodeError::TooManySamples { samples, .. }) => return assert!(samples > SAMPLES),
        Err(DecodeError::TooManyChannels { channels, .. }) => return assert!(channels > CHANNELS),
        Err(_) => return,
    };
    assert!(batch.times.len() <= SAMPLES && batch.channels.len() <= CHANNELS);
    skim(input, &limits, &batch);

    let blob = write(&batch);
    let again = from_slice(&blob, &limits).expect("what was written can be read");
    assert!(same(&again, &batch), "{again:?} is not {batch:?}");
    assert_eq!(write(&again), blob, "the same batch gave other bytes");

    assert!(from_slice(&input[..input.len() - 1], &limits).is_err(), "a part is a whole");
    assert!(from_slice(&[input, &[0]].concat(), &limits).is_err(), "a byte too many is none");
});
