use core::cell::RefCell;

use embedded_storage::nor_flash::{ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash};

/// Octets of an erase block.
pub const BLOCK_LEN: usize = 4096;
/// Octets that are programmed together.
const WORD_LEN: usize = 4;

/// NOR flash in memory, of which a word cannot be programmed twice, and whose power can be cut.
pub struct MemoryFlash<'a> {
    state: &'a RefCell<State>,
}

/// What the flash holds.
pub struct State {
    octets: &'static mut [u8],
    /// How many words more until the power goes.
    power: Option<u32>,
    /// Words that were to be programmed twice.
    misuses: u32,
}

/// Why the flash does not do what it was asked.
#[derive(Debug)]
pub enum Failure {
    /// The power was cut.
    PowerCut,
    /// The word was programmed before, or lies elsewhere than words do.
    Misuse,
}

impl State {
    pub fn new(octets: &'static mut [u8]) -> RefCell<Self> {
        octets.fill(0xFF);
        RefCell::new(Self { octets, power: None, misuses: 0 })
    }

    pub fn cut_power_after(&mut self, words: u32) {
        self.power = Some(words);
    }

    pub fn restore_power(&mut self) {
        self.power = None;
    }

    pub fn misuses(&self) -> u32 {
        self.misuses
    }
}

impl<'a> MemoryFlash<'a> {
    pub fn new(state: &'a RefCell<State>) -> Self {
        Self { state }
    }
}

impl NorFlashError for Failure {
    fn kind(&self) -> NorFlashErrorKind {
        match self {
            Self::PowerCut => NorFlashErrorKind::Other,
            Self::Misuse => NorFlashErrorKind::NotAligned,
        }
    }
}

impl ErrorType for MemoryFlash<'_> {
    type Error = Failure;
}

impl ReadNorFlash for MemoryFlash<'_> {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Failure> {
        let state = self.state.borrow();
        let held = state.octets.get(offset as usize..).and_then(|rest| rest.get(..bytes.len()));
        bytes.copy_from_slice(held.ok_or(Failure::Misuse)?);
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.state.borrow().octets.len()
    }
}

impl NorFlash for MemoryFlash<'_> {
    const WRITE_SIZE: usize = WORD_LEN;
    const ERASE_SIZE: usize = BLOCK_LEN;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), Failure> {
        let state = &mut *self.state.borrow_mut();
        if state.power == Some(0) {
            return Err(Failure::PowerCut);
        }
        state.octets.get_mut(from as usize..to as usize).ok_or(Failure::Misuse)?.fill(0xFF);
        Ok(())
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Failure> {
        let state = &mut *self.state.borrow_mut();
        let held = state.octets.get_mut(offset as usize..).and_then(|rest| rest.get_mut(..bytes.len()));
        let held = held.filter(|_| (offset as usize).is_multiple_of(WORD_LEN)).ok_or(Failure::Misuse)?;
        for (held, word) in held.chunks_mut(WORD_LEN).zip(bytes.chunks(WORD_LEN)) {
            if state.power == Some(0) {
                return Err(Failure::PowerCut);
            }
            state.power = state.power.map(|left| left - 1);
            if word.len() < WORD_LEN || held.iter().any(|&octet| octet != 0xFF) {
                state.misuses += 1;
                return Err(Failure::Misuse);
            }
            held.copy_from_slice(word);
        }
        Ok(())
    }
}
