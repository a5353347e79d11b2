//! The erasure code: any shards that suffice give the block back, and no others do harm.
//!
//! The input is a byte each for the number of shards and their length, one for each place of the block, a loss and a
//! failure rate, and the block.
//!
//! - Whatever is said to stand in the places, it is refused and the block is unchanged, or the result is the block of
//!   which the places held the shards.
//! - From shards that were made of a block, it is that block.
//! - A redundancy never sends fewer shards than there are data.

#![no_main]

use iot_codec::fec::{Code, FecError, Redundancy, SHARDS, reconstruct};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let [count, len, rest @ ..] = input else { return };
    // Mostly few shards, because the time goes with the square of their number.
    let count = if *count < 250 { count % 13 } else { *count };
    let (count, len) = (usize::from(count), usize::from(len % 16));
    let Some((held, rest)) = rest.split_at_checked(count) else { return };
    let Some((rates, content)) = rest.split_first_chunk::<4>() else { return };
    let mut block = vec![0; count * len];
    for (octet, content) in block.iter_mut().zip(content) {
        *octet = *content;
    }

    let Ok(code) = Code::new(count) else {
        assert_eq!(count, 0);
        assert_eq!(reconstruct(&mut block, held), Err(FecError::DataShards { count: 0 }));
        return;
    };
    forged(&code, held, &block, len);
    if len > 0 {
        let mut odd = [&block[..], &[0]].concat();
        if count > 1 {
            assert!(matches!(reconstruct(&mut odd, held), Err(FecError::BlockLength { .. })));
        }
    }

    // The same places, mended where they are impossible: each that is not its own data shard gets the next parity.
    let mut parity = count..SHARDS;
    let held: Option<Vec<u8>> = (0..count)
        .zip(held)
        .map(|(place, index)| {
            let skipped = usize::from(index % 3);
            if usize::from(*index) == place { Some(place) } else { parity.nth(skipped) }.map(|index| index as u8)
        })
        .collect();
    if let Some(held) = held {
        honest(&code, &held, &block, len);
    }

    let [loss, failure] = [u16::from_be_bytes([rates[0], rates[1]]), u16::from_be_bytes([rates[2], rates[3]])];
    if let Ok(redundancy) = Redundancy::for_loss(u32::from(loss) * 16, u32::from(failure) * 16)
        && let Some(shards) = redundancy.shards(count as u8)
    {
        assert!(usize::from(shards) >= count && (loss > 0 || usize::from(shards) == count));
    }
});

/// Places that the input made up.
fn forged(code: &Code, held: &[u8], block: &[u8], len: usize) {
    let mut repaired = block.to_vec();
    let result = reconstruct(&mut repaired, held);
    let is_possible = held.iter().enumerate().all(|(place, index)| {
        let index = usize::from(*index);
        index < SHARDS && (index >= held.len() || index == place) && !held[..place].contains(&held[place])
    });
    assert_eq!(result.is_ok(), is_possible, "{result:?}");
    match result {
        Ok(()) => holds(code, held, block, &repaired, len),
        Err(_) => assert_eq!(repaired, block, "a refused block was changed"),
    }
}

/// Shards that were made of the block.
fn honest(code: &Code, held: &[u8], block: &[u8], len: usize) {
    let mut received = vec![0; block.len()];
    if len > 0 {
        for (place, index) in received.chunks_exact_mut(len).zip(held) {
            code.encode(block, *index, place).expect("the lengths agree");
        }
    }
    reconstruct(&mut received, held).expect("the places are possible");
    assert_eq!(received, block);
}

/// Each place of the block held that shard of the repaired one.
fn holds(code: &Code, held: &[u8], block: &[u8], repaired: &[u8], len: usize) {
    let mut shard = vec![0; len];
    for (place, index) in held.iter().enumerate() {
        code.encode(repaired, *index, &mut shard).expect("the lengths agree");
        assert_eq!(shard, block[place * len..][..len], "shard {index}");
    }
}
