use iot_codec::framing::{Checksum, Cobs, Slip, encode_cobs, encode_slip};

use crate::digest::Digest;
use crate::vectors::{FRAMING, octets, rows};
use crate::{Failure, Held, Probe, Work, content, ensure, measured};

/// More than any payload of the vectors needs on a line.
const SPACE: usize = 768;

/// The vectors of serial lines, both ways; a frame with a checksum that was hit is not handed out, the next one is.
pub(crate) fn lines(probe: &mut dyn Probe) -> Result<Held, Failure> {
    let mut count = 0;
    for row in rows(FRAMING) {
        let mut words = row.split(' ');
        let mut word = || words.next();
        let (code, checksum) = (content!(word(), count), content!(word(), count));
        let (payload, line) = (content!(word(), count), content!(word(), count));
        let checksum = match checksum {
            "none" => Checksum::None,
            "crc16" => Checksum::Crc16,
            _ => Checksum::Crc32,
        };
        let (mut payload_space, mut line_space) = ([0; SPACE], [0; SPACE]);
        let payload: &[u8] = content!(octets(payload.trim_start_matches('-'), &mut payload_space), count);
        let line = content!(octets(line, &mut line_space), count);
        let (mut space, mut buffer) = ([0; SPACE], [0; SPACE]);
        let held = measured(probe, Work::Frame, || match code {
            "cobs" => cobs(payload, checksum, line, &mut space, &mut buffer),
            _ => slip(payload, checksum, line, &mut space, &mut buffer),
        });
        ensure!(held == Some(Some(())), count);
        count += 1;
    }
    Ok(Digest::EMPTY.held(count))
}

fn cobs(payload: &[u8], checksum: Checksum, line: &mut [u8], space: &mut [u8], buffer: &mut [u8]) -> Option<()> {
    if encode_cobs(payload, checksum, space).ok()? != line {
        return None;
    }
    let mut decoder = Cobs::new(buffer, checksum);
    if decoder.push(line) != line.len() || decoder.next_frame()? != payload {
        return None;
    }
    if checksum != Checksum::None {
        // Hit in the middle, which may make a delimiter of it: what is then left is no frame, either.
        let hit = line.len() / 2;
        line[hit] ^= 0x55;
        let mut rest: &[u8] = line;
        while !rest.is_empty() {
            rest = &rest[decoder.push(rest)..];
            if decoder.next_frame().is_some() {
                return None;
            }
        }
        line[hit] ^= 0x55;
        decoder.reset();
    }
    (decoder.push(line) == line.len() && decoder.next_frame()? == payload).then_some(())
}

fn slip(payload: &[u8], checksum: Checksum, line: &mut [u8], space: &mut [u8], buffer: &mut [u8]) -> Option<()> {
    if encode_slip(payload, checksum, space).ok()? != line {
        return None;
    }
    let mut decoder = Slip::new(buffer, checksum);
    if decoder.push(line) != line.len() || decoder.next_frame()? != payload {
        return None;
    }
    // Again, in pieces.
    let mut whole = false;
    for octet in line.chunks(1) {
        whole |= decoder.push(octet) == 1 && decoder.next_frame().is_some_and(|frame| frame == payload);
    }
    whole.then_some(())
}
