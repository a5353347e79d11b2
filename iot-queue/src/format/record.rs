//! Records: a header of 32 octets, a body, and padding to the next multiple of 8.

use alloc::vec::Vec;
use core::ops::Range;

use iot_core::{DeviceId, Incarnation, Instant, Position, StreamId};

use super::metadata::{self, Attributes};
use super::octets;
use crate::checksum::{self, Integrity};
#[cfg(iot_fault)]
use crate::fault::{self, Guard};
use crate::message::{Message, Payload, Sealing};

/// Octets of a record's header.
pub(crate) const HEADER_LEN: u32 = 32;
/// Octets of a position at the front of a message's metadata.
pub(crate) const POSITION_LEN: u32 = 52;
/// Octets before the metadata of a message that was moved: its number, and a CRC of that.
pub(crate) const MOVED_LEN: u32 = 12;
/// How many ranges one record holds at the most.
pub(crate) const MAX_RANGES: u32 = 1024;

/// A record that holds a message.
pub(crate) const MESSAGE: u8 = 1;
/// A record that holds ranges of acknowledged messages.
pub(crate) const ACKNOWLEDGEMENTS: u8 = 2;
/// A record that holds ranges of messages that a recovery missed where no sync is known to have covered them.
pub(crate) const UNCERTAINTIES: u8 = 3;
/// A record that holds a message of an earlier segment, which is used again. Its metadata begins with the number of the
/// message: see [`moved_number`].
pub(crate) const MOVED: u8 = 4;
/// Kinds from here on are control records: the log keeps them for whoever owns it, and does not look into them.
pub(crate) const FIRST_CONTROL: u8 = 16;

/// The metadata begins with a position.
pub(crate) const HAS_POSITION: u8 = 1;
/// Items follow in the metadata; see [`metadata`].
pub(crate) const HAS_ITEMS: u8 = 2;

/// The payload is what a cipher made of it.
pub(crate) const IS_SEALED: u8 = 4;

/// Of a moved message: it was damaged where it stood, and there is nothing but its number.
pub(crate) const LOST: u8 = 128;

/// The header of a message of which nothing is left.
pub(crate) const LOST_HEADER: RecordHeader = RecordHeader {
    opening: 0,
    kind: MESSAGE,
    flags: LOST,
    metadata_len: 0,
    payload_len: 0,
    mark: 0,
    offset: 0,
    body_crc: 0,
};

/// What every record of a segment's life that one opening writes has in common.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Life {
    /// Where checksums begin; see [`SegmentHeader::seed`](super::segment::SegmentHeader::seed).
    pub(crate) seed: u32,
    /// The opening that writes, of which 24 bits count. Where a crash tore a record, the next opening writes over it,
    /// and may be torn in turn: this keeps the front of one and the back of the other from making a header together.
    pub(crate) opening: u32,
}

/// The header of a record. Kinds and flags that this version does not know are carried and skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecordHeader {
    /// The low 24 bits of the number of the opening that wrote it.
    pub(crate) opening: u32,
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) metadata_len: u16,
    pub(crate) payload_len: u32,
    /// The commit mark: when this record was written, the last successful sync had covered the segment up to here.
    pub(crate) mark: u32,
    /// The number of the message; of another record, the number that the next message gets.
    pub(crate) offset: u64,
    pub(crate) body_crc: u32,
}

impl RecordHeader {
    /// Reads a header that stands at `position` of a life with this seed, if it is intact and names a possible length.
    pub(crate) fn decode(bytes: &[u8; HEADER_LEN as usize], seed: u32, position: u32) -> Option<Self> {
        let holds = checksum::matches(bytes, place(seed, position));
        #[cfg(iot_fault)]
        let holds = holds || fault::is_off(Guard::RecordHeaderCrc);
        (bytes[0] == tag(seed) && holds).then(|| Self::fields(bytes)).flatten()
    }

    /// Like [`decode`](Self::decode), but puts a single flipped bit right: for places where a record must stand.
    pub(crate) fn decode_or_correct(bytes: &[u8; HEADER_LEN as usize], seed: u32, position: u32) -> Option<Self> {
        #[cfg(iot_fault)]
        if fault::is_off(Guard::RecordHeaderCrc) {
            return Self::decode(bytes, seed, position);
        }
        let mut bytes = *bytes;
        if (bytes[0] ^ tag(seed)).count_ones() > 1
            || checksum::check_or_correct(&mut bytes, place(seed, position)) == Integrity::Damaged
        {
            return None;
        }
        (bytes[0] == tag(seed)).then(|| Self::fields(&bytes)).flatten()
    }

    /// Octets of the body: metadata and payload.
    pub(crate) fn body_len(&self) -> u32 {
        u32::from(self.metadata_len) + self.payload_len
    }

    /// Octets of the whole record, padding included.
    pub(crate) fn record_len(&self) -> u32 {
        record_len(u32::from(self.metadata_len), self.payload_len)
    }

    /// What the octets say, whether or not they can be believed.
    pub(crate) fn fields(bytes: &[u8; HEADER_LEN as usize]) -> Option<Self> {
        let header = Self {
            opening: u32::from_le_bytes(octets(bytes, 0)) >> 8,
            kind: bytes[4],
            flags: bytes[5],
            metadata_len: u16::from_le_bytes(octets(bytes, 6)),
            payload_len: u32::from_le_bytes(octets(bytes, 8)),
            mark: u32::from_le_bytes(octets(bytes, 12)),
            offset: u64::from_le_bytes(octets(bytes, 16)),
            body_crc: u32::from_le_bytes(octets(bytes, 24)),
        };
        (header.payload_len <= i32::MAX as u32).then_some(header)
    }
}

/// Octets of a record with these parts, padding included.
pub(crate) const fn record_len(metadata_len: u32, payload_len: u32) -> u32 {
    super::aligned(HEADER_LEN + metadata_len + payload_len)
}

/// Octets of a record that holds `ranges` ranges.
pub(crate) const fn ranges_len(ranges: u32) -> u32 {
    record_len(0, ranges * super::segment::RANGE_LEN)
}

/// Octets of the metadata of a message.
pub(crate) fn metadata_len(message: &Message<'_>) -> u32 {
    metadata::items_len(message) + if message.position().is_some() { POSITION_LEN } else { 0 }
}

/// Octets of the record of a message.
pub(crate) fn message_len(message: &Message<'_>) -> u32 {
    record_len(metadata_len(message), message.payload().len() as u32)
}

/// What the first octet of every record of a life is: it lets a search pass quickly over almost everything else.
pub(crate) const fn tag(seed: u32) -> u8 {
    seed as u8 | 1
}

/// Appends the record of a message to `out`, which stands at `at` and is appended at `now` of the queue's own clock.
/// Gives the flags of the record.
pub(crate) fn encode_message(
    life: Life,
    at: u32,
    mark: u32,
    offset: u64,
    message: &Message<'_>,
    now: Instant,
    out: &mut Vec<u8>,
) -> u8 {
    let start = out.len();
    out.resize(start + HEADER_LEN as usize, 0);
    let mut flags = 0;
    if let Some(position) = message.position() {
        flags |= HAS_POSITION;
        out.extend_from_slice(position.source.as_bytes());
        out.extend_from_slice(&position.stream.number().to_le_bytes());
        out.extend_from_slice(position.incarnation.as_bytes());
        out.extend_from_slice(&position.sequence.to_le_bytes());
    }
    let items = out.len();
    metadata::encode(message, now, out);
    if out.len() > items {
        flags |= HAS_ITEMS;
    }
    if message.sealing() == Sealing::Sealed {
        flags |= IS_SEALED;
    }
    let metadata_len = (out.len() - start) as u16 - HEADER_LEN as u16;
    out.extend_from_slice(message.payload());
    let payload_len = message.payload().len() as u32;
    let opening = life.opening;
    let header = RecordHeader { opening, kind: MESSAGE, flags, metadata_len, payload_len, mark, offset, body_crc: 0 };
    finish(header, life, at, start, out);
    flags
}

/// Appends a record of this kind that holds `ranges`, as [`encode_message`] does for a message.
pub(crate) fn encode_ranges(
    kind: u8,
    life: Life,
    at: u32,
    mark: u32,
    offset: u64,
    ranges: impl Iterator<Item = Range<u64>>,
    out: &mut Vec<u8>,
) {
    let start = out.len();
    out.resize(start + HEADER_LEN as usize, 0);
    for range in ranges {
        out.extend_from_slice(&range.start.to_le_bytes());
        out.extend_from_slice(&(range.end - range.start).to_le_bytes());
    }
    let payload_len = (out.len() - start) as u32 - HEADER_LEN;
    let opening = life.opening;
    let header = RecordHeader { opening, kind, flags: 0, metadata_len: 0, payload_len, mark, offset, body_crc: 0 };
    finish(header, life, at, start, out);
}

/// Appends a control record, as [`encode_message`] does for a message.
pub(crate) fn encode_control(kind: u8, life: Life, at: u32, mark: u32, offset: u64, payload: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + HEADER_LEN as usize, 0);
    out.extend_from_slice(payload);
    let payload_len = payload.len() as u32;
    let opening = life.opening;
    let header = RecordHeader { opening, kind, flags: 0, metadata_len: 0, payload_len, mark, offset, body_crc: 0 };
    finish(header, life, at, start, out);
}

/// Appends the record of a message that was moved, as [`encode_message`] does for one that was not. `header` and `body`
/// are those of the record that it had, moved or not; `next` is the number that the next message gets.
pub(crate) fn encode_moved(
    life: Life,
    at: u32,
    mark: u32,
    (next, number): (u64, u64),
    header: &RecordHeader,
    body: &[u8],
    out: &mut Vec<u8>,
) {
    let start = out.len();
    out.resize(start + HEADER_LEN as usize, 0);
    out.extend_from_slice(&own_number(life.seed, number));
    out.extend_from_slice(&body[moved_len(header) as usize..]);
    let metadata_len = header.metadata_len - moved_len(header) + MOVED_LEN as u16;
    let opening = life.opening;
    finish(RecordHeader { opening, kind: MOVED, metadata_len, mark, offset: next, ..*header }, life, at, start, out);
}

/// Octets that the record of a message has once it is moved.
pub(crate) fn moved_record_len(header: &RecordHeader) -> u32 {
    record_len(u32::from(header.metadata_len - moved_len(header)) + MOVED_LEN, header.payload_len)
}

/// The number of a message that was moved, from the body of its record. One wrong bit in it is corrected: so that it can
/// be named although the body is damaged.
pub(crate) fn moved_number(seed: u32, body: &[u8]) -> Option<u64> {
    let mut number: [u8; MOVED_LEN as usize] = *body.first_chunk()?;
    let damaged = checksum::check_or_correct(&mut number, seed) == Integrity::Damaged;
    (!damaged).then(|| u64::from_le_bytes(octets(&number, 0)))
}

fn own_number(seed: u32, number: u64) -> [u8; MOVED_LEN as usize] {
    let mut octets = [0; MOVED_LEN as usize];
    octets[..8].copy_from_slice(&number.to_le_bytes());
    octets[8..].copy_from_slice(&checksum::crc32c(seed, &number.to_le_bytes()).to_le_bytes());
    octets
}

/// Octets of the body before the metadata of the message itself.
fn moved_len(header: &RecordHeader) -> u16 {
    if header.kind == MOVED { header.metadata_len.min(MOVED_LEN as u16) } else { 0 }
}

/// Turns the intact record in `bytes` into the same record at another place, or of another life.
pub(crate) fn relocate(life: Life, at: u32, mark: u32, bytes: &mut Vec<u8>) {
    if let Some(header) = bytes.first_chunk().and_then(RecordHeader::fields) {
        let body = &mut bytes[HEADER_LEN as usize..];
        if let Some(own) = body.first_chunk_mut().filter(|_| header.kind == MOVED) {
            *own = own_number(life.seed, u64::from_le_bytes(octets(own, 0)));
        }
        finish(RecordHeader { opening: life.opening, mark, ..header }, life, at, 0, bytes);
    }
}

/// Makes the record that begins `bytes` one that stands at `at` of its life.
pub(crate) fn move_to(seed: u32, at: u32, bytes: &mut [u8]) {
    if let Some(header) = bytes.first_chunk_mut::<{ HEADER_LEN as usize }>() {
        let crc = header_crc(seed, at, header);
        header[28..].copy_from_slice(&crc.to_le_bytes());
    }
}

/// Whether `body` is what the header's CRC was made of.
pub(crate) fn body_matches(header: &RecordHeader, seed: u32, body: &[u8]) -> bool {
    #[cfg(iot_fault)]
    if fault::is_off(Guard::BodyCrc) {
        return true;
    }
    checksum::crc32c(seed, body) == header.body_crc
}

/// The position, the items and the payload in the body of a message that [`body_matches`] found intact.
pub(crate) fn decode_message<'b>(
    header: &RecordHeader,
    body: &'b [u8],
) -> (Option<Position>, Attributes<'b>, Payload<'b>) {
    let (metadata, payload) = body.split_at(usize::from(header.metadata_len));
    let metadata = &metadata[usize::from(moved_len(header))..];
    let has_position = header.flags & HAS_POSITION != 0 && metadata.len() >= POSITION_LEN as usize;
    let position = has_position.then(|| Position {
        source: DeviceId::from_bytes(octets(metadata, 0)),
        stream: StreamId::new(u32::from_le_bytes(octets(metadata, 32))),
        incarnation: Incarnation::from_bytes(octets(metadata, 36)),
        sequence: u64::from_le_bytes(octets(metadata, 44)),
    });
    let items = if has_position { &metadata[POSITION_LEN as usize..] } else { metadata };
    let items = if header.flags & HAS_ITEMS != 0 { items } else { &[] };
    let is_sealed = header.flags & IS_SEALED != 0;
    let payload = if is_sealed { Payload::Sealed(payload) } else { Payload::Plain(payload) };
    (position, Attributes::decode(items), payload)
}

/// The ranges in a body or footer; one that overflows ends where numbers end.
pub(crate) fn decode_ranges(bytes: &[u8]) -> impl Iterator<Item = Range<u64>> + '_ {
    bytes.chunks_exact(16).map(|range| {
        let start = u64::from_le_bytes(octets(range, 0));
        start..start.saturating_add(u64::from_le_bytes(octets(range, 8)))
    })
}

fn finish(header: RecordHeader, life: Life, at: u32, start: usize, out: &mut Vec<u8>) {
    #[cfg(iot_fault)]
    let header = if fault::is_off(Guard::CommitMark) { RecordHeader { mark: 0, ..header } } else { header };
    let body = start + HEADER_LEN as usize;
    let body_crc = checksum::crc32c(life.seed, &out[body..body + header.body_len() as usize]);
    let mut bytes = [0; HEADER_LEN as usize];
    bytes[0] = tag(life.seed);
    bytes[1..4].copy_from_slice(&header.opening.to_le_bytes()[..3]);
    bytes[4] = header.kind;
    bytes[5] = header.flags;
    bytes[6..8].copy_from_slice(&header.metadata_len.to_le_bytes());
    bytes[8..12].copy_from_slice(&header.payload_len.to_le_bytes());
    bytes[12..16].copy_from_slice(&header.mark.to_le_bytes());
    bytes[16..24].copy_from_slice(&header.offset.to_le_bytes());
    bytes[24..28].copy_from_slice(&body_crc.to_le_bytes());
    let header_crc = header_crc(life.seed, at, &bytes);
    bytes[28..32].copy_from_slice(&header_crc.to_le_bytes());
    out[start..body].copy_from_slice(&bytes);
    out.resize(start + header.record_len() as usize, 0);
}

/// The CRC of a header that stands at `position`, which the octets before the CRC decide. The place and they are one input:
/// 32 octets take less time than 4 and 28.
fn header_crc(seed: u32, position: u32, header: &[u8; HEADER_LEN as usize]) -> u32 {
    let mut input = [0; HEADER_LEN as usize];
    input[..4].copy_from_slice(&position.to_le_bytes());
    input[4..].copy_from_slice(&header[..28]);
    checksum::crc32c(seed, &input)
}

/// What a header's CRC begins from: the place counts too, so that a record copied elsewhere is none.
fn place(seed: u32, position: u32) -> u32 {
    checksum::crc32c(seed, &position.to_le_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Vec<u8> {
        let position = Position {
            source: DeviceId::from_bytes([1; 32]),
            stream: StreamId::new(2),
            incarnation: Incarnation::from_bytes([3; 8]),
            sequence: 4,
        };
        let mut out = Vec::new();
        let message = Message::new(b"reading").at(position).key(b"boiler");
        let life = Life { seed: 77, opening: 0x0055_aa11 };
        assert_eq!(encode_message(life, 2048, 1024, 12, &message, Instant::START, &mut out), HAS_POSITION | HAS_ITEMS);
        assert_eq!(out.len() as u32, message_len(&message));
        out
    }

    #[test]
    fn message_round_trips_with_its_position() {
        let bytes = sample();
        let header = RecordHeader::decode(&octets(&bytes, 0), 77, 2048).expect("it was just encoded");
        assert_eq!((header.offset, header.mark, header.record_len() as usize), (12, 1024, bytes.len()));
        let body = &bytes[32..][..header.body_len() as usize];
        assert!(body_matches(&header, 77, body));
        let (position, attributes, payload) = decode_message(&header, body);
        assert_eq!(payload, Payload::Plain(b"reading"));
        assert_eq!(attributes.key, Some(&b"boiler"[..]));
        assert_eq!(position.map(|position| position.sequence), Some(4));
    }

    #[test]
    fn a_moved_message_keeps_its_number_and_what_it_says() {
        let bytes = sample();
        let mut header = RecordHeader::decode(&octets(&bytes, 0), 77, 2048).expect("it was just encoded");
        let mut body = bytes[32..][..header.body_len() as usize].to_vec();
        let original = body.clone();
        let expected = decode_message(&header, &original);
        // Twice: what was moved may be moved again.
        for seed in [78, 79] {
            let mut moved = Vec::new();
            let life = Life { seed, opening: 5 };
            encode_moved(life, 4096, 4000, (700, 12), &header, &body, &mut moved);
            assert_eq!(moved.len() as u32, moved_record_len(&header));
            header = RecordHeader::decode(&octets(&moved, 0), seed, 4096).expect("it was just encoded");
            assert_eq!((header.kind, header.offset, header.mark), (MOVED, 700, 4000));
            body = moved[32..][..header.body_len() as usize].to_vec();
            assert!(body_matches(&header, seed, &body));
            assert_eq!(decode_message(&header, &body), expected);
            for bit in 0..96 {
                let mut flipped = body.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(moved_number(seed, &flipped), Some(12), "bit {bit}");
            }
        }
        let mut elsewhere = Vec::new();
        encode_moved(Life { seed: 80, opening: 5 }, 4096, 4000, (700, 12), &header, &body, &mut elsewhere);
        relocate(Life { seed: 81, opening: 5 }, 1024, 1024, &mut elsewhere);
        assert_eq!(moved_number(81, &elsewhere[32..]), Some(12));
        assert!(
            RecordHeader::decode(&octets(&elsewhere, 0), 81, 1024)
                .is_some_and(|header| { body_matches(&header, 81, &elsewhere[32..][..header.body_len() as usize]) })
        );
    }

    #[test]
    fn header_holds_only_in_its_own_life_and_place() {
        let bytes = octets(&sample(), 0);
        assert_eq!(RecordHeader::decode(&bytes, 78, 2048), None);
        assert_eq!(RecordHeader::decode_or_correct(&bytes, 78, 2048), None);
        assert_eq!(RecordHeader::decode(&bytes, 77, 2056), None);
        assert_eq!(RecordHeader::decode_or_correct(&bytes, 77, 2056), None);
    }

    /// A crash tore a record, the next opening wrote one like it in its place, and a second crash tore that: front and
    /// back made the first record whole again, and acknowledgements came back that nobody had committed.
    #[test]
    fn fronts_and_backs_of_two_openings_make_no_header() {
        let encode = |opening, payload: &[u8]| {
            let mut out = Vec::new();
            let life = Life { seed: 77, opening };
            encode_message(life, 2048, 1024, 12, &Message::new(payload), Instant::START, &mut out);
            out
        };
        for (first, second) in [(encode(1, b"old"), encode(2, b"new")), (encode(2, b"new"), encode(1, b"old"))] {
            for cut in 2..32 {
                let mixed: Vec<_> = first[..cut].iter().chain(&second[cut..]).copied().collect();
                assert_eq!(RecordHeader::decode(&octets(&mixed, 0), 77, 2048), None, "cut at {cut}");
            }
        }
    }

    #[test]
    fn each_flipped_bit_is_corrected_in_the_header_and_found_in_the_body() {
        let bytes = sample();
        let header = RecordHeader::decode(&octets(&bytes, 0), 77, 2048).expect("it was just encoded");
        let end = 32 + header.body_len() as usize;
        for bit in 0..end * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(RecordHeader::decode_or_correct(&octets(&flipped, 0), 77, 2048), Some(header), "bit {bit}");
            assert_eq!(body_matches(&header, 77, &flipped[32..end]), bit < 256, "bit {bit}");
        }
    }
}
