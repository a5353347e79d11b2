//! How many frames a message of 480 octets takes over frames of 51 octets, of which one in five is lost at random and
//! nobody says which, if it is to arrive 999 times in 1,000. Headers, padding and checksum lie inside the frames.

use std::time::Duration;

use iot_codec::fec::Redundancy;
use iot_codec::fragment::{Peer, Received, Receiver, ReceiverConfig, Sender, SenderConfig, slot_bytes};
use iot_core::Instant;
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng as _};

use crate::measure::{Effort, Share};
use crate::report::{Failure, Row};

const MESSAGE: usize = 480;
const MTU: u16 = 51;
const LOSS_PPM: u32 = 200_000;
const FAILURE_PPM: u32 = 1_000;
/// What the message fills at least, whatever the code: no code gives back ten frames' content from nine.
const PIECES: usize = MESSAGE.div_ceil(MTU as usize);
const BOUND: u64 = 22;
/// Of the pieces' own coefficients in random XOR; seeds of a generator would do as well, and are shorter.
const MOST_FRAMES: usize = 64;

/// The row.
pub fn fec_frames(effort: Effort) -> Result<Row, Failure> {
    let trials = effort.choose(200_000, 500);
    let ours = ours(trials)?;
    let repetition = least(trials, arrives_by_repetition);
    let xor = least(trials, arrives_by_xor);
    let any_code = least_of_any_code();
    let peers = [("repetition", repetition), ("random XOR", xor), ("no code needs fewer than", any_code)];
    let row = Row::count(ours.frames, &peers.map(|(name, frames)| (name, frames as u64)), "frames", BOUND);
    let share = lower_bound(ours.arrived, trials);
    let note = format!("P >= {share:.5} of {trials}");
    Ok(if share >= 1.0 - f64::from(FAILURE_PPM) / 1e6 { row.with_note(&note) } else { row.refused(&note) })
}

struct Ours {
    frames: u64,
    arrived: u64,
}

/// Sends and receives with the library; the sender itself chooses how many frames.
fn ours(trials: u64) -> Result<Ours, Failure> {
    let lifetime = Duration::from_secs(60);
    let redundancy = Redundancy::for_loss(LOSS_PPM, FAILURE_PPM)?;
    let mut sender = Sender::new(SenderConfig::default().mtu(MTU)?.lifetime(lifetime)?.redundancy(redundancy), 0);
    let mut receiver = Receiver::<2, { slot_bytes(MESSAGE, MTU) }>::new(ReceiverConfig::default().lifetime(lifetime)?);
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let (mut message, mut frame) = ([0; MESSAGE], [0; MTU as usize]);
    let mut ours = Ours { frames: 0, arrived: 0 };
    for trial in 0..trials {
        // Each message has its lifetime for itself, so no id is wanting.
        let now = Instant::from_micros(trial * 3 * 60_000_000);
        rng.fill_bytes(&mut message);
        let mut outgoing = sender.send(now, &message)?;
        ours.frames = ours.frames.max(outgoing.frames() as u64);
        while let Some(frame) = outgoing.next_frame(now, &mut frame)? {
            if is_lost(&mut rng) {
                continue;
            }
            if let Ok(Received::Message(received)) = receiver.handle_frame(now, Peer(1), frame) {
                ours.arrived += u64::from(received == message);
                break;
            }
        }
    }
    Ok(ours)
}

fn is_lost(rng: &mut ChaCha20Rng) -> bool {
    u64::from(rng.next_u32()) * 1_000_000 < u64::from(LOSS_PPM) << 32
}

/// Each piece is sent as often as the others; with a number of frames that leaves a rest, the first ones once more.
fn arrives_by_repetition(frames: usize, rng: &mut ChaCha20Rng) -> bool {
    let mut here = [false; PIECES];
    for frame in 0..frames {
        here[frame % PIECES] |= !is_lost(rng);
    }
    here == [true; PIECES]
}

/// Each frame is the sum of a random half of the pieces: the message is here when what arrived spans all of them.
fn arrives_by_xor(frames: usize, rng: &mut ChaCha20Rng) -> bool {
    let mut rows = [0_u16; PIECES];
    let mut rank = 0;
    for _ in 0..frames {
        let mut combination = rng.next_u32() as u16 & ((1 << PIECES) - 1);
        if is_lost(rng) {
            continue;
        }
        for (bit, row) in rows.iter_mut().enumerate() {
            if combination >> bit & 1 == 0 {
                continue;
            }
            if *row == 0 {
                *row = combination;
                rank += 1;
                break;
            }
            combination ^= *row;
        }
    }
    rank == PIECES
}

/// The fewest frames with which the message arrives often enough, by the same measure as ours.
fn least(trials: u64, arrives: impl Fn(usize, &mut ChaCha20Rng) -> bool) -> usize {
    (PIECES..MOST_FRAMES)
        .find(|&frames| {
            let mut rng = ChaCha20Rng::seed_from_u64(frames as u64);
            let allowed = trials * u64::from(FAILURE_PPM) / 1_000_000;
            let mut failed = 0;
            for _ in 0..trials {
                failed += u64::from(!arrives(frames, &mut rng));
                if failed > allowed {
                    return false;
                }
            }
            lower_bound(trials - failed, trials) >= 1.0 - f64::from(FAILURE_PPM) / 1e6
        })
        .unwrap_or(MOST_FRAMES)
}

/// The fewest frames of which enough arrive often enough, by the binomial sum.
fn least_of_any_code() -> usize {
    let loss = f64::from(LOSS_PPM) / 1e6;
    (PIECES..MOST_FRAMES)
        .find(|&frames| {
            let mut term = (1.0 - loss).powi(frames as i32);
            let mut sum = term;
            for lost in 1..=frames - PIECES {
                term *= (frames - lost + 1) as f64 / lost as f64 * loss / (1.0 - loss);
                sum += term;
            }
            sum >= 1.0 - f64::from(FAILURE_PPM) / 1e6
        })
        .unwrap_or(MOST_FRAMES)
}

/// The true share lies above it with a probability of 95 %.
fn lower_bound(successes: u64, trials: u64) -> f64 {
    Share { successes, trials }.lower_bound(1.644_853_6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_code_beats_the_binomial_bound() {
        assert_eq!(least_of_any_code(), 20);
    }

    #[test]
    fn the_lower_bound_lies_below_the_share_and_comes_closer() {
        let (few, many) = (lower_bound(999, 1_000), lower_bound(99_900, 100_000));
        assert!(few < many && many < 0.999, "{few} {many}");
        assert!((lower_bound(9_990, 10_000) - 0.998_333).abs() < 1e-5);
    }

    #[test]
    fn without_loss_all_pieces_are_enough() {
        let mut rng = ChaCha20Rng::seed_from_u64(3);
        // Of 64 frames some 51 arrive, so the simulated codes nearly always hold, and with 9 never.
        assert!(arrives_by_xor(64, &mut rng));
        assert!(!arrives_by_xor(PIECES - 1, &mut rng));
        assert!(!arrives_by_repetition(PIECES - 1, &mut rng));
    }
}
