//! A queue on NOR flash as the program of a Cortex-M3: it is filled, loses its power in the middle of a write, and is
//! drained. Prints by semihosting what it held and how much of the heap it took, and exits with 0 if everything held.
//!
//! The flash is played by memory.
#![no_std]
#![no_main]

mod flash;
mod heap;
mod stack;

use core::cell::RefCell;
use core::ptr::addr_of_mut;
use core::time::Duration;

use cortex_m as _;
use cortex_m_rt::{ExceptionFrame, entry, exception};
use flash::{BLOCK_LEN, MemoryFlash, State};
use iot_core::Instant;
use iot_queue::{AppendError, Gap, GapCause, Message, NorStorage, Queue, QueueConfig};
use semihosting::{println, process};

const SEGMENTS: usize = 6;
const FLASH_LEN: usize = SEGMENTS * BLOCK_LEN;
const TIMEOUT: Duration = Duration::from_secs(30);

type FlashQueue<'a> = Queue<NorStorage<MemoryFlash<'a>>>;

#[entry]
fn main() -> ! {
    heap::begin();
    static mut OCTETS: [u8; FLASH_LEN] = [0; FLASH_LEN];
    // SAFETY: nobody else names these octets, and this function runs once.
    let state = State::new(unsafe { &mut *addr_of_mut!(OCTETS) });
    let (held, stack) = stack::taken_by(|| run(&state));
    println!("stack {stack}, {} of them for the queue itself", size_of::<FlashQueue<'_>>());
    match held {
        Some(()) if state.borrow().misuses() == 0 => {
            println!("everything held");
            process::exit(0)
        }
        held => {
            println!("FAILED: {}, {} words programmed twice", held.is_some(), state.borrow().misuses());
            process::exit(1)
        }
    }
}

/// Nothing when something did not hold that should. Its frame counts as stack.
#[inline(never)]
fn run(flash: &RefCell<State>) -> Option<()> {
    let mut queue = open(flash, 1)?;
    println!("heap empty {}", heap::used());
    heap::most();
    let mut appended = 0_u32;
    loop {
        match queue.append(&Message::new(&reading(appended))) {
            Ok(_) => appended += 1,
            Err(AppendError::Full { .. }) => break,
            Err(_) => return None,
        }
    }
    println!("{appended} messages of 64 octets in {SEGMENTS} segments of {BLOCK_LEN}");
    println!("heap full {}", heap::used());
    println!("heap appending {}", heap::most());
    drop(queue);

    let mut queue = open(flash, 2)?;
    println!("heap opened {}", heap::used());
    println!("heap opening {}", heap::most());
    let mut taken = take(&mut queue, 0, appended / 2)?;
    // The power goes in the middle of a write, until that was an append.
    flash.borrow_mut().cut_power_after(70);
    while queue.append(&Message::new(&reading(appended))).is_ok() {
        appended += 1;
    }
    drop(queue);
    flash.borrow_mut().restore_power();

    let mut queue = open(flash, 3)?;
    let depth = queue.stats().depth;
    println!("{depth} messages after a power cut");
    // Of the append that did not return there may be a message, or a gap that says so.
    let is_named = |gap: Gap| gap.cause == GapCause::Uncertain && gap.from.number() == appended.into();
    if depth != u64::from(appended - taken) || !queue.gaps().all(is_named) {
        return None;
    }
    taken = take(&mut queue, taken, appended - taken)?;
    println!("heap taking {}", heap::most());
    for _ in 0..1000 {
        queue.append(&Message::new(&reading(appended))).ok()?;
        appended += 1;
        taken = take(&mut queue, taken, 1)?;
    }
    println!("heap drained {}", heap::used());
    println!("heap working {}", heap::most());
    let (written, erasures) = (queue.stats().written, queue.into_storage().erasures());
    println!("{appended} messages, since then {written} octets and {erasures} erasures");
    (erasures > 2 * SEGMENTS as u64 && taken == appended).then_some(())
}

fn open(flash: &RefCell<State>, opening: u8) -> Option<FlashQueue<'_>> {
    let storage = NorStorage::new(MemoryFlash::new(flash), 0..FLASH_LEN as u32, BLOCK_LEN as u32).ok()?;
    let config = QueueConfig::default().max_payload(64).ok()?.segment_len(BLOCK_LEN as u32).ok()?;
    let config = config.segments(SEGMENTS as u32).ok()?.max_leases(16).ok()?;
    Queue::open(storage, config, [opening; 8]).ok()
}

/// Takes so many messages, each of which must be the next, and says which comes after them.
fn take(queue: &mut FlashQueue<'_>, mut next: u32, count: u32) -> Option<u32> {
    let end = next + count;
    while next < end {
        let leased = queue.reserve(Instant::START, TIMEOUT, (end - next).min(8) as usize).ok()?;
        for leased in &leased {
            if leased.payload != reading(next) {
                return None;
            }
            queue.ack(leased.lease).ok()?;
            next += 1;
        }
        queue.commit().ok()?;
        if leased.is_empty() {
            return None;
        }
    }
    Some(next)
}

fn reading(number: u32) -> [u8; 64] {
    let mut reading = [number as u8; 64];
    reading[..4].copy_from_slice(&number.to_le_bytes());
    reading
}

/// A fault is a failure, not an endless loop.
#[exception]
unsafe fn HardFault(frame: &ExceptionFrame) -> ! {
    println!("hard fault at {:#010x}", frame.pc());
    process::exit(1)
}
