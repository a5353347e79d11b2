use iot_codec::fec::{Code, Redundancy, reconstruct};
use iot_codec::fragment::{Peer, Received, Receiver, ReceiverConfig, Sender, SenderConfig, slot_bytes};
use iot_core::Instant;

use crate::digest::Digest;
use crate::vectors::{FEC, FRAGMENT, octets, rows};
use crate::{Failure, Held, Probe, Work, content, ensure, measured};

/// The vectors of another library: each shard is made, and each missing one mended by it.
pub(crate) fn shards(probe: &mut dyn Probe) -> Result<Held, Failure> {
    let mut count = 0;
    for row in rows(FEC) {
        let mut words = row.split(' ');
        let mut word = || words.next();
        let data: u8 = content!(content!(word(), count).parse(), count);
        let index: u8 = content!(content!(word(), count).parse(), count);
        let (mut block_space, mut shard_space) = ([0; 256], [0; 64]);
        let block = content!(octets(content!(word(), count), &mut block_space), count);
        let shard = content!(octets(content!(word(), count), &mut shard_space), count);
        let code = content!(Code::new(data.into()), count);
        let (mut made_space, mut held_space) = ([0; 64], [0; 255]);
        let (made, held) = (&mut made_space[..shard.len()], &mut held_space[..usize::from(data)]);
        ensure!(code.encode(block, index, made).is_ok() && made == shard, count);

        for lost in 0..data {
            let mut copy_space = [0; 256];
            let copy = &mut copy_space[..block.len()];
            copy.copy_from_slice(block);
            let place = usize::from(lost) * shard.len();
            copy[place..place + shard.len()].copy_from_slice(shard);
            for (place, held) in (0..data).zip(held.iter_mut()) {
                *held = if place == lost { index } else { place };
            }
            let done = content!(measured(probe, Work::Reconstruct, || reconstruct(copy, held)), count);
            ensure!(done.is_ok() && copy == block, count);
        }
        count += 1;
    }
    Ok(Digest::EMPTY.held(count))
}

/// The vectors of `docs/formats/fragment.md`, and then a long message of which half of the frames are lost.
pub(crate) fn messages(probe: &mut dyn Probe) -> Result<Held, Failure> {
    let mut count = 0;
    for vector in FRAGMENT.split("\n\n").filter(|vector| vector.contains("mtu")) {
        one_message(probe, vector, count)?;
        count += 1;
    }
    long_message(probe, count)?;
    Ok(Digest::EMPTY.held(count + 1))
}

const NOW: Instant = Instant::START;

fn one_message(probe: &mut dyn Probe, vector: &str, row: usize) -> Result<(), Failure> {
    let field = |name| vector.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let mtu = content!(content!(field("mtu"), row).parse(), row);
    let parity: u8 = content!(content!(field("parity"), row).parse(), row);
    let before: usize = content!(content!(field("messages-before"), row).parse(), row);
    let mut message_space = [0; 200];
    let message: &[u8] = content!(octets(content!(field("message "), row), &mut message_space), row);
    let config = content!(SenderConfig::default().mtu(mtu), row).redundancy(Redundancy::parity(parity));
    let mut sender = Sender::new(config, 0);
    let mut buffer = [0; 64];
    for _ in 0..before {
        let mut outgoing = content!(sender.send(NOW, &[0; 200]), row);
        while content!(outgoing.next_frame(NOW, &mut buffer), row).is_some() {}
    }

    let mut receiver = Receiver::<1, 256>::new(ReceiverConfig::default());
    let mut outgoing = content!(sender.send(NOW, message), row);
    let (mut frames, mut arrived) = (0, false);
    for line in vector.lines().filter_map(|line| line.strip_prefix("frame")) {
        let frame = content!(measured(probe, Work::SendFragment, || outgoing.next_frame(NOW, &mut buffer)), row);
        let frame = content!(content!(frame, row), row);
        let mut expected = [0; 64];
        ensure!(content!(octets(line.trim(), &mut expected), row) == frame, row);
        // As many of the first as there is parity are lost.
        if frames >= parity {
            let received = measured(probe, Work::ReceiveFragment, || {
                receiver.handle_frame(NOW, Peer(1), frame).map(|received| received == Received::Message(message))
            });
            arrived |= content!(received, row) == Ok(true);
        }
        frames += 1;
    }
    ensure!(outgoing.remaining() == 0 && arrived, row);
    Ok(())
}

fn long_message(probe: &mut dyn Probe, row: usize) -> Result<(), Failure> {
    let mut message = [0; 480];
    for (octet, value) in message.iter_mut().zip((0..=u8::MAX).cycle()) {
        *octet = value.wrapping_mul(31) ^ 5;
    }
    let redundancy = content!(Redundancy::for_loss(200_000, 1_000), row);
    let mut sender = Sender::new(content!(SenderConfig::default().mtu(51), row).redundancy(redundancy), 0);
    let mut receiver = Receiver::<1, { slot_bytes(480, 51) }>::new(ReceiverConfig::default());
    let mut outgoing = content!(sender.send(NOW, &message), row);
    ensure!(outgoing.frames() == 20, row);
    let mut buffer = [0; 51];
    let mut arrived = false;
    for number in 0..outgoing.frames() {
        let frame = content!(measured(probe, Work::SendFragment, || outgoing.next_frame(NOW, &mut buffer)), row);
        let frame = content!(content!(frame, row), row);
        if number % 2 == 0 {
            continue;
        }
        let received = measured(probe, Work::ReceiveFragment, || {
            receiver.handle_frame(NOW, Peer(1), frame).map(|received| received == Received::Message(&message))
        });
        arrived |= content!(received, row) == Ok(true);
    }
    ensure!(arrived, row);
    Ok(())
}
