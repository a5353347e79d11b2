/// The checksum behind the payload of a frame on a serial line, least significant byte first.
///
/// They are the frame check sequences of RFC 1662 (PPP in HDLC-like framing), so the other end finds them in any
/// language. They find damage, and do not stop anybody who forges: that is the envelope's work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Checksum {
    /// No checksum: for a line that has its own, or an end that knows none. Damage passes unseen.
    None,
    /// CRC-16 in 2 bytes (RFC 1662 §C.2, also CRC-16/X-25): finds any burst of up to 16 bits, and lets 1 other damaged
    /// frame in 65,536 pass.
    Crc16,
    /// CRC-32 in 4 bytes (RFC 1662 §C.3, also CRC-32/ISO-HDLC, the one of Ethernet and zip): finds any burst of up to 32
    /// bits, and lets 1 other damaged frame in 4 billion pass.
    #[default]
    Crc32,
}

impl Checksum {
    /// How many bytes it adds to a payload: 0, 2 or 4.
    #[must_use]
    pub const fn len(self) -> usize {
        match self {
            Self::None => 0,
            Self::Crc16 => 2,
            Self::Crc32 => 4,
        }
    }

    /// Whether it adds none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        matches!(self, Self::None)
    }

    /// The checksum of `payload`: its value, of which the lowest [`len`](Self::len) bytes count.
    ///
    /// ```
    /// use iot_codec::framing::Checksum;
    /// assert_eq!(Checksum::Crc16.of(b"123456789"), 0x906e);
    /// assert_eq!(Checksum::Crc32.of(b"123456789"), 0xcbf4_3926);
    /// ```
    #[must_use]
    pub fn of(self, payload: &[u8]) -> u32 {
        match self {
            Self::None => 0,
            Self::Crc16 => !remainder(&CRC16, 0xffff, payload) & 0xffff,
            Self::Crc32 => !remainder(&CRC32, u32::MAX, payload),
        }
    }

    /// The payload of `frame`, if the checksum behind it holds.
    pub(super) fn check(self, frame: &[u8]) -> Option<&[u8]> {
        let (payload, found) = frame.split_at_checked(frame.len().checked_sub(self.len())?)?;
        let expected = self.of(payload).to_le_bytes();
        (expected.get(..self.len()) == Some(found)).then_some(payload)
    }
}

/// Half a byte at a time: a table of 64 bytes, where one of a byte at a time would take 1 KiB of a device's flash.
fn remainder(table: &[u32; 16], start: u32, bytes: &[u8]) -> u32 {
    let step = |remainder: u32, nibble: u32| remainder >> 4 ^ table[((remainder ^ nibble) & 0xf) as usize];
    bytes.iter().fold(start, |remainder, byte| step(step(remainder, u32::from(*byte)), u32::from(*byte >> 4)))
}

const CRC16: [u32; 16] = table(0x8408);
const CRC32: [u32; 16] = table(0xedb8_8320);

/// The remainders of each half byte by `polynomial`, whose bits are reversed.
const fn table(polynomial: u32) -> [u32; 16] {
    let mut table = [0; 16];
    let mut index = 0;
    while index < table.len() {
        let mut remainder = index as u32;
        let mut bit = 0;
        while bit < 4 {
            remainder = if remainder & 1 == 1 { remainder >> 1 ^ polynomial } else { remainder >> 1 };
            bit += 1;
        }
        table[index] = remainder;
        index += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bit by bit, straight from RFC 1662 §C.
    fn bitwise(polynomial: u32, start: u32, bytes: &[u8]) -> u32 {
        let mut remainder = start;
        for byte in bytes {
            remainder ^= u32::from(*byte);
            for _ in 0..8 {
                remainder = if remainder & 1 == 1 { remainder >> 1 ^ polynomial } else { remainder >> 1 };
            }
        }
        remainder
    }

    #[test]
    fn the_table_agrees_with_the_definition() {
        let bytes: [u8; 256] = core::array::from_fn(|index| (index * 7) as u8);
        for len in 0..bytes.len() {
            let bytes = &bytes[..len];
            assert_eq!(Checksum::Crc16.of(bytes), !bitwise(0x8408, 0xffff, bytes) & 0xffff);
            assert_eq!(Checksum::Crc32.of(bytes), !bitwise(0xedb8_8320, u32::MAX, bytes));
        }
    }

    #[test]
    fn a_frame_with_its_checksum_leaves_the_good_remainder() {
        // PPPGOODFCS16 and PPPGOODFCS32 of RFC 1662 §C.
        let mut frame = [1, 2, 3, 0, 0, 0, 0];
        let crc = Checksum::Crc32.of(&frame[..3]);
        frame[3..].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(remainder(&CRC32, u32::MAX, &frame), 0xdebb_20e3);
        assert_eq!(Checksum::Crc32.check(&frame), Some(&[1, 2, 3][..]));
        let crc = Checksum::Crc16.of(&frame[..3]) as u16;
        frame[3..5].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(remainder(&CRC16, 0xffff, &frame[..5]), 0xf0b8);
        assert_eq!(Checksum::Crc16.check(&frame[..5]), Some(&[1, 2, 3][..]));
        assert_eq!(Checksum::None.check(&frame), Some(&frame[..]));
        assert_eq!(Checksum::Crc32.check(&frame[..3]), None);
    }
}
