//! `iot fragment sim`: how often does a message arrive over a link that loses frames and says nothing?

use std::time::Duration;

use iot_codec::fec::Redundancy;
use iot_codec::fragment::{Peer, Received, Receiver, ReceiverConfig, Sender, SenderConfig, slot_bytes};
use iot_core::Instant;
use lexopt::Parser;
use lexopt::prelude::*;
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng as _};

use crate::Failure;

/// Octets of the longest message.
const MAX_SIZE: usize = 60_000;

/// How often a message must arrive, in millionths: the sender chooses its redundancy for this.
const FAILURES_PER_MILLION: u32 = 1_000;

struct Options {
    size: usize,
    mtu: u16,
    loss: f64,
    trials: u64,
    seed: u64,
}

/// Runs `fragment sim`.
pub fn run(mut parser: Parser) -> Result<(), Failure> {
    let mut options = Options { size: 480, mtu: 51, loss: 0.2, trials: 100_000, seed: 1 };
    match parser.next()? {
        Some(Value(command)) if command == "sim" => {}
        Some(other) => return Err(other.unexpected().into()),
        None => return Err(Failure::Usage("fragment takes 'sim'".into())),
    }
    while let Some(argument) = parser.next()? {
        match argument {
            Long("size") => options.size = parser.value()?.parse()?,
            Long("mtu") => options.mtu = parser.value()?.parse()?,
            Long("loss") => options.loss = parser.value()?.parse()?,
            Long("trials") => options.trials = parser.value()?.parse()?,
            Long("seed") => options.seed = parser.value()?.parse()?,
            other => return Err(other.unexpected().into()),
        }
    }
    let is_sound = (1..=MAX_SIZE).contains(&options.size)
        && (8..=1500).contains(&options.mtu)
        && (0.0..=0.9).contains(&options.loss)
        && (1..=10_000_000).contains(&options.trials);
    if !is_sound {
        return Err(Failure::Usage("a number is out of its range".into()));
    }
    simulate(&options)
}

fn simulate(options: &Options) -> Result<(), Failure> {
    let usage = |error: &dyn std::fmt::Display| Failure::Usage(error.to_string());
    let loss_per_million = (options.loss * 1e6).round() as u32;
    let redundancy = Redundancy::for_loss(loss_per_million, FAILURES_PER_MILLION).map_err(|error| usage(&error))?;
    let lifetime = Duration::from_secs(60);
    let config = SenderConfig::default().mtu(options.mtu).map_err(|error| usage(&error))?;
    let config = config.lifetime(lifetime).map_err(|error| usage(&error))?.redundancy(redundancy);
    let receiving = ReceiverConfig::default().lifetime(lifetime).map_err(|error| usage(&error))?;
    let mut sender = Sender::new(config, 0);
    let mut receiver = Box::new(Receiver::<4, { slot_bytes(MAX_SIZE, 8) }>::new(receiving));
    let mut rng = ChaCha20Rng::seed_from_u64(options.seed);
    let threshold = (options.loss * 2_f64.powi(32)) as u64;
    let (mut arrived, mut frames, mut needed, mut octets) = (0_u64, 0, 0, 0_u64);
    let mut frame = vec![0; usize::from(options.mtu)];
    let mut message = vec![0; options.size];
    for trial in 0..options.trials {
        // Each message has its lifetime for itself, so no id is wanting.
        let now = Instant::from_micros(trial * 3 * 60_000_000);
        rng.fill_bytes(&mut message);
        let mut outgoing = sender.send(now, &message).map_err(|error| usage(&error))?;
        (frames, needed) = (outgoing.frames(), outgoing.needed());
        let mut is_here = false;
        while let Some(frame) = outgoing.next_frame(now, &mut frame).map_err(|error| usage(&error))? {
            octets += frame.len() as u64;
            if u64::from(rng.next_u32()) < threshold {
                continue;
            }
            if let Ok(Received::Message(received)) = receiver.handle_frame(now, Peer(1), frame) {
                is_here = received == message;
            }
        }
        arrived += u64::from(is_here);
    }
    let share = arrived as f64 / options.trials as f64;
    say!("message       {} octets over frames of {}", options.size, options.mtu);
    say!("frames        {frames}, of which any {needed} suffice; {} octets a message", octets / options.trials);
    say!("loss          {} of frames, independent", options.loss);
    say!("arrived       {arrived} of {} ({share:.6}), seed {}", options.trials, options.seed);
    Ok(())
}
