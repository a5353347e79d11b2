use iot_codec::cbor::{DecodeErrorKind, from_slice, to_slice};
use iot_codec::record;
use standard_message::ours::{Message, Named, decode, encode};

use crate::cbor::Damage;
use crate::digest::Digest;
use crate::vectors::{expected, octets};
use crate::{Failure, Held, Probe, Work, content, ensure, measured};

record! {
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Quality { 0 => Good, 1 => Stale }
}

record! {
    #[derive(Clone, Copy, Debug, PartialEq)]
    struct Position { 1 => latitude: f64, 2 => longitude: f64 }
}

record! {
    #[derive(Clone, Copy, Debug, PartialEq)]
    struct Report<'b> {
        1 => topic: &'b str,
        2 => position: Option<Position>,
        3 => quality: Quality,
        24 => blob: &'b [u8],
        300 => offset: i64,
        -1 => calibration: Option<u32>,
    }
}

record! {
    /// As an older program knows it.
    #[derive(Clone, Copy, Debug, PartialEq)]
    struct OlderReport<'b> {
        1 => topic: &'b str,
        3 => quality: Quality,
    }
}

const REPORT: Report<'_> = Report {
    topic: "plant/7/møller",
    position: Some(Position { latitude: 59.913_868_8, longitude: -0.0 }),
    quality: Quality::Stale,
    blob: &[0, 1, 2, 255],
    offset: i64::MIN,
    calibration: None,
};

/// The standard message and a nested record: the octets of the host, and the same values again; damaged, where it was
/// refused goes into the digest.
pub(crate) fn records(probe: &mut dyn Probe) -> Result<Held, Failure> {
    let (mut space, mut copy) = ([0; 128], [0; 128]);
    let message = Message::standard();
    let written = content!(measured(probe, Work::Encode, || encode(&message, &mut space)), 0);
    let written = content!(written, 0);
    let host: &[u8] = content!(octets(content!(expected("standard-message"), 0), &mut copy), 0);
    ensure!(written == host, 0);
    let read = content!(measured(probe, Work::Decode, || decode(host)), 0);
    ensure!(read.as_ref() == Ok(&message), 0);
    ensure!(content!(read, 0).named() == Ok(Named::standard()), 0);

    let written = content!(to_slice(&REPORT, &mut space), 1);
    let host = content!(octets(content!(expected("report"), 1), &mut copy), 1);
    ensure!(written == host, 1);
    ensure!(from_slice(host) == Ok(REPORT), 1);
    // What the older program does not know, it validates and passes over.
    ensure!(from_slice(host) == Ok(OlderReport { topic: REPORT.topic, quality: REPORT.quality }), 1);

    let written = content!(to_slice(&Report { calibration: Some(7), ..REPORT }, &mut space), 2);
    let refusal = from_slice::<OlderReport<'_>>(written).map_err(|error| (error.kind(), error.key()));
    ensure!(refusal == Err((DecodeErrorKind::UnknownKey, Some(-1))), 2);

    let mut digest = Digest::EMPTY;
    let mut damage = Damage::new(host.len());
    let mut count = 3;
    while let Some(damaged) = damage.next(host) {
        match from_slice::<Report<'_>>(damaged) {
            // What was accepted has one encoding: these octets.
            Ok(report) => ensure!(to_slice(&report, &mut space) == Ok(damaged), count),
            Err(error) => digest.add(&error.offset().to_be_bytes()[size_of::<usize>() - 4..]),
        }
        count += 1;
    }
    Ok(digest.held(count))
}

/// Every half float, and doubles and singles with bits all over: to the bit, signalling NaNs included.
pub(crate) fn floats(_: &mut dyn Probe) -> Result<Held, Failure> {
    let mut digest = Digest::EMPTY;
    let mut count = 0;
    let mut space = [0; 16];
    for half in 0..=u16::MAX {
        let [b, a] = half.to_be_bytes();
        let bytes = [0xf9, b, a];
        let double = content!(from_slice::<f64>(&bytes), count);
        ensure!(to_slice(&double, &mut space) == Ok(&bytes), count);
        let single = content!(from_slice::<f32>(&bytes), count);
        ensure!(to_slice(&single, &mut space) == Ok(&bytes), count);
        count += 1;
    }
    let mut bits = 1_u64;
    for step in 0..20_000_u32 {
        bits = bits.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        // Cut in half of them, so that singles and halves suffice.
        let double = f64::from_bits(if step & 1 == 0 { bits } else { bits & (u64::MAX << (step % 60)) });
        let written = content!(to_slice(&double, &mut space), count);
        digest.add(written);
        let read = content!(from_slice::<f64>(written), count);
        ensure!(read.to_bits() == double.to_bits(), count);
        count += 1;
    }
    Ok(digest.held(count))
}
