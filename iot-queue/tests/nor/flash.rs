use std::cell::RefCell;
use std::rc::Rc;

use embedded_storage::nor_flash::{ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash};

/// A stream of numbers that a seed fixes.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// Below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        (self.next() >> 11) % end
    }

    pub fn octets<const N: usize>(&mut self) -> [u8; N] {
        core::array::from_fn(|_| self.next() as u8)
    }
}

/// NOR flash that panics when it is written to where it was not erased, and whose power can be cut after so many units
/// that are programmed or erased: the last of them then holds some of the bits that it was to hold, or any.
///
/// A unit counts as programmed as soon as it is not as it was erased; one that was given the octets that it had anyway
/// cannot be told from others, on flash whose units have no checksum of their own.
#[derive(Clone, Debug)]
pub struct SimulatedFlash<const WRITE: usize, const ERASE: usize> {
    state: Rc<RefCell<State>>,
}

#[derive(Debug)]
struct State {
    octets: Vec<u8>,
    erased: u8,
    random: Random,
    /// How many units more until the power goes.
    power: Option<u64>,
    erasures: Vec<u32>,
    /// Writes and erasures that the power cut tore.
    torn: (u32, u32),
}

/// Erasing a block takes as long as programming so many units.
const ERASURE: u64 = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PowerCut;

impl NorFlashError for PowerCut {
    fn kind(&self) -> NorFlashErrorKind {
        NorFlashErrorKind::Other
    }
}

impl<const WRITE: usize, const ERASE: usize> SimulatedFlash<WRITE, ERASE> {
    /// A flash that holds anything, as one that served another purpose before.
    pub fn used(blocks: usize, erased: u8, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let octets = (0..blocks * ERASE).map(|_| random.next() as u8).collect();
        let state = State { octets, erased, random, power: None, erasures: vec![0; blocks], torn: (0, 0) };
        Self { state: Rc::new(RefCell::new(state)) }
    }

    /// A flash as it comes from the factory.
    pub fn fresh(blocks: usize, erased: u8, seed: u64) -> Self {
        let flash = Self::used(blocks, erased, seed);
        flash.state.borrow_mut().octets.fill(erased);
        flash
    }

    pub fn cut_power_after(&self, units: u64) {
        self.state.borrow_mut().power = Some(units);
    }

    pub fn restore_power(&self) {
        self.state.borrow_mut().power = None;
    }

    pub fn has_power(&self) -> bool {
        self.state.borrow().power != Some(0)
    }

    /// How often each block was erased.
    pub fn erasures(&self) -> Vec<u32> {
        self.state.borrow().erasures.clone()
    }

    /// Writes and erasures that a power cut tore.
    pub fn torn(&self) -> (u32, u32) {
        self.state.borrow().torn
    }

    pub fn octets(&self) -> Vec<u8> {
        self.state.borrow().octets.clone()
    }
}

impl State {
    /// Takes power for so many units, and says whether there is any left: if not, what was begun with it is torn.
    fn spend(&mut self, units: u64) -> bool {
        self.power = self.power.map(|left| left.saturating_sub(units));
        self.power != Some(0)
    }
}

impl<const WRITE: usize, const ERASE: usize> ErrorType for SimulatedFlash<WRITE, ERASE> {
    type Error = PowerCut;
}

impl<const WRITE: usize, const ERASE: usize> ReadNorFlash for SimulatedFlash<WRITE, ERASE> {
    const READ_SIZE: usize = if WRITE < 4 { WRITE } else { 4 };

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), PowerCut> {
        let state = self.state.borrow();
        assert!((offset as usize).is_multiple_of(Self::READ_SIZE) && bytes.len().is_multiple_of(Self::READ_SIZE));
        if state.power == Some(0) {
            return Err(PowerCut);
        }
        bytes.copy_from_slice(&state.octets[offset as usize..offset as usize + bytes.len()]);
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.state.borrow().octets.len()
    }
}

impl<const WRITE: usize, const ERASE: usize> NorFlash for SimulatedFlash<WRITE, ERASE> {
    const WRITE_SIZE: usize = WRITE;
    const ERASE_SIZE: usize = ERASE;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), PowerCut> {
        let state = &mut *self.state.borrow_mut();
        let (from, to) = (from as usize, to as usize);
        assert!(from.is_multiple_of(ERASE) && to.is_multiple_of(ERASE) && from <= to && to <= state.octets.len());
        for block in from / ERASE..to / ERASE {
            if state.power == Some(0) {
                return Err(PowerCut);
            }
            state.erasures[block] += 1;
            let done = state.spend(ERASURE);
            let octets = &mut state.octets[block * ERASE..(block + 1) * ERASE];
            if !done {
                // Anything: what was there, what should be there, and what is neither, in any mixture.
                let mixture = state.random.below(3);
                for octet in octets {
                    let random = state.random.next();
                    *octet = match (random >> 8) % 3 {
                        0 if mixture > 0 => *octet,
                        1 if mixture > 1 => state.erased,
                        _ => random as u8,
                    };
                }
                state.torn.1 += 1;
                return Err(PowerCut);
            }
            octets.fill(state.erased);
        }
        Ok(())
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), PowerCut> {
        let state = &mut *self.state.borrow_mut();
        let offset = offset as usize;
        assert!(offset.is_multiple_of(WRITE) && bytes.len().is_multiple_of(WRITE), "a write that is not aligned");
        for (at, unit) in (offset..).step_by(WRITE).zip(bytes.chunks(WRITE)) {
            if state.power == Some(0) {
                return Err(PowerCut);
            }
            let done = state.spend(1);
            let held = &mut state.octets[at..at + WRITE];
            assert!(held.iter().all(|&octet| octet == state.erased), "written twice: {at}");
            if !done {
                let whole = state.random.below(2) == 0;
                for (held, octet) in held.iter_mut().zip(unit) {
                    let bits = state.random.next() as u8;
                    *held = if whole { bits } else { (*held & !bits) | (octet & bits) };
                }
                state.torn.0 += 1;
                return Err(PowerCut);
            }
            held.copy_from_slice(unit);
        }
        Ok(())
    }
}
