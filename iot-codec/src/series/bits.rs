/// Bits of a blob from its first byte on, each byte from its least significant bit up.
///
/// Past the end it delivers zeros, and [`overrun`](Self::overrun) tells so: loops check once, after their work.
#[derive(Clone, Copy, Debug)]
pub(super) struct BitReader<'b> {
    bytes: &'b [u8],
    /// The next byte to load; runs past the end with the zeros that are delivered there.
    next: usize,
    buffer: u64,
    available: u32,
}

impl<'b> BitReader<'b> {
    /// How many bits are there at least after [`refill`](Self::refill).
    pub(super) const REFILLED: u32 = 56;

    pub(super) fn new(bytes: &'b [u8]) -> Self {
        Self { bytes, next: 0, buffer: 0, available: 0 }
    }

    #[inline(always)]
    pub(super) fn refill(&mut self) {
        if let Some(Ok(word)) = self.bytes.get(self.next..).and_then(|rest| rest.get(..8)).map(<[u8; 8]>::try_from) {
            self.buffer |= u64::from_le_bytes(word) << self.available;
            let loaded = (63 - self.available) >> 3;
            self.next += loaded as usize;
            self.available += loaded * 8;
        } else {
            self.refill_at_the_end();
        }
    }

    #[cold]
    fn refill_at_the_end(&mut self) {
        while self.available < Self::REFILLED {
            let byte = self.bytes.get(self.next).copied().unwrap_or(0);
            self.buffer |= u64::from(byte) << self.available;
            self.next += 1;
            self.available += 8;
        }
    }

    /// Takes bits that are known to be in the buffer, at most 32.
    #[inline(always)]
    pub(super) fn take_buffered(&mut self, count: u32) -> u64 {
        let value = self.buffer & ((1 << count) - 1);
        self.buffer >>= count;
        self.available -= count;
        value
    }

    #[inline(always)]
    pub(super) fn available(&self) -> u32 {
        self.available
    }

    /// Takes up to 64 bits, and leaves the buffer refilled.
    #[cold]
    pub(super) fn take_wide(&mut self, count: u32) -> u64 {
        let value = self.take(count);
        self.refill();
        value
    }

    /// Takes up to 64 bits.
    pub(super) fn take(&mut self, count: u32) -> u64 {
        let low = count.min(32);
        self.refill();
        let value = self.take_buffered(low);
        if count == low {
            return value;
        }
        self.refill();
        value | self.take_buffered(count - low) << 32
    }

    /// Takes ones up to the first zero, which is taken too, or up to as many as `most`, at most 32.
    pub(super) fn take_ones(&mut self, most: u32) -> u32 {
        self.refill();
        let ones = self.buffer.trailing_ones().min(most);
        self.take_buffered((ones + 1).min(most));
        ones
    }

    /// Takes the Elias gamma code of `value + 1`: as many zeros as the number has bits after its first, a one, those bits.
    ///
    /// `None` if the zeros do not end.
    pub(super) fn take_gamma(&mut self) -> Option<u64> {
        let mut zeros = 0;
        loop {
            self.refill();
            let run = self.buffer.trailing_zeros().min(32);
            if run < 32 {
                zeros += run;
                self.take_buffered(run + 1);
                break;
            }
            self.take_buffered(32);
            zeros += 32;
            if zeros > 63 {
                return None;
            }
        }
        if zeros > 63 {
            return None;
        }
        let rest = self.take(zeros);
        Some(((1 << zeros) | rest) - 1)
    }

    /// The position in bits; past the end of the bytes if zeros were made up.
    pub(super) fn position(&self) -> usize {
        (self.next * 8).saturating_sub(self.available as usize)
    }

    /// Whether more bits were taken than there are.
    pub(super) fn overrun(&self) -> bool {
        self.position() > self.bytes.len() * 8
    }

    /// Whether only the padding of the last byte is left, and all of it zero.
    pub(super) fn ends_here(&self) -> bool {
        let position = self.position();
        let padding = self.bytes.last().is_none_or(|last| position.is_multiple_of(8) || last >> (position % 8) == 0);
        position.div_ceil(8) == self.bytes.len() && padding
    }
}

/// Writes the bits that [`BitReader`] reads, the last ones first: entropy coding runs backwards.
///
/// It fills the buffer from its end; [`finish`](Self::finish) moves the result to the front.
#[derive(Debug)]
pub(super) struct ReverseBitWriter<'b> {
    out: &'b mut [u8],
    /// Where the bytes written so far begin.
    start: usize,
    buffer: u64,
    buffered: u32,
    /// How many bytes did not find room.
    lacking: usize,
}

impl<'b> ReverseBitWriter<'b> {
    pub(super) fn new(out: &'b mut [u8]) -> Self {
        let start = out.len();
        Self { out, start, buffer: 0, buffered: 0, lacking: 0 }
    }

    /// Puts at most 32 bits before all that was written. The bits above `count` must be zero.
    #[inline(always)]
    pub(super) fn put_short(&mut self, value: u64, count: u32) {
        debug_assert!(count <= 32 && value >> count == 0, "no stray bits");
        self.buffer = self.buffer << count | value;
        self.buffered += count;
        if self.buffered >= 32 {
            self.buffered -= 32;
            let word = (self.buffer >> self.buffered) as u32;
            self.put_bytes(&word.to_le_bytes());
        }
    }

    /// Puts at most 64 bits before all that was written.
    pub(super) fn put(&mut self, value: u64, count: u32) {
        if count > 32 {
            self.put_short(value >> 32, count - 32);
        }
        self.put_short(value & 0xffff_ffff, count.min(32));
    }

    /// Puts the Elias gamma code of `value + 1`; `value` is at most 2⁶⁴ - 2.
    pub(super) fn put_gamma(&mut self, value: u64) {
        let number = value.saturating_add(1);
        let zeros = number.ilog2();
        self.put(number & ((1 << zeros) - 1), zeros);
        self.put(1 << zeros, zeros + 1);
    }

    /// Moves the bits to the front of the buffer, with zeros as padding after the last, and returns the length in bytes.
    ///
    /// # Errors
    /// How many bytes would have been needed.
    pub(super) fn finish(mut self) -> Result<usize, usize> {
        let partial = self.buffered % 8;
        let padding = (8 - partial) % 8;
        // The padding stands before the first bit, until all is shifted over it.
        self.buffer <<= padding;
        self.buffered += padding;
        while self.buffered > 0 {
            self.buffered -= 8;
            let byte = (self.buffer >> self.buffered) as u8;
            self.put_bytes(&[byte]);
        }
        let len = self.out.len() - self.start;
        if self.lacking > 0 {
            return Err(len + self.lacking);
        }
        if padding == 0 {
            self.out.copy_within(self.start.., 0);
            return Ok(len);
        }
        for index in 0..len {
            let low = self.out.get(self.start + index).copied().unwrap_or(0) >> padding;
            let high = self.out.get(self.start + index + 1).copied().unwrap_or(0) << partial;
            if let Some(byte) = self.out.get_mut(index) {
                *byte = low | high;
            }
        }
        Ok(len)
    }

    #[inline(always)]
    fn put_bytes(&mut self, bytes: &[u8]) {
        match self.start.checked_sub(bytes.len()) {
            Some(start) if self.lacking == 0 => {
                if let Some(room) = self.out.get_mut(start..self.start) {
                    room.copy_from_slice(bytes);
                }
                self.start = start;
            }
            _ => self.lacking += bytes.len(),
        }
    }
}

/// How many bits [`ReverseBitWriter::put_gamma`] takes.
pub(super) fn gamma_len(value: u64) -> u32 {
    2 * value.saturating_add(1).ilog2() + 1
}
