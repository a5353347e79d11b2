//! Bits from the most significant down, as Gorilla and Chimp write them.

/// Writes them.
#[derive(Default)]
pub struct BitWriter {
    bytes: Vec<u8>,
    free: u32,
}

impl BitWriter {
    /// The low `count` bits of `value`.
    pub fn put(&mut self, value: u64, count: u32) {
        for index in (0..count).rev() {
            if self.free == 0 {
                self.bytes.push(0);
                self.free = 8;
            }
            self.free -= 1;
            let last = self.bytes.len() - 1;
            self.bytes[last] |= ((value >> index & 1) as u8) << self.free;
        }
    }

    /// All bytes, the last one filled with zeros.
    pub fn finish(self) -> Vec<u8> {
        self.bytes
    }
}

/// Reads them.
pub struct BitReader<'b> {
    bytes: &'b [u8],
    at: usize,
}

impl<'b> BitReader<'b> {
    /// From the first byte on.
    pub fn new(bytes: &'b [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// The next `count` bits.
    pub fn take(&mut self, count: u32) -> u64 {
        let mut value = 0;
        for _ in 0..count {
            let bit = self.bytes[self.at / 8] >> (7 - self.at % 8) & 1;
            value = value << 1 | u64::from(bit);
            self.at += 1;
        }
        value
    }

    /// How many ones come before the next zero, at most `most`; the zero is taken too.
    pub fn ones(&mut self, most: u32) -> u32 {
        let mut ones = 0;
        while ones < most && self.take(1) == 1 {
            ones += 1;
        }
        ones
    }
}
