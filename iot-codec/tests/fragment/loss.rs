use iot_codec::fec::Redundancy;
use iot_codec::fragment::{Receiver, ReceiverConfig, slot_bytes};

use super::{Random, frames, give, sender};

/// Messages that did not arrive over a link that loses one frame in five, and how many frames each took.
fn failures(len: usize, mtu: u16, trials: u32, seed: u64) -> (u32, usize) {
    let mut random = Random(seed);
    let redundancy = Redundancy::for_loss(200_000, 1_000).expect("both rates are in range");
    let mut receiver = Receiver::<2, { slot_bytes(480, 20) }>::new(ReceiverConfig::default());
    let message = random.octets(len);
    let all = frames(&mut sender(mtu, redundancy, 0), &message);
    let mut failures = 0;
    for _ in 0..trials {
        // Whatever the one before left is forgotten, so that trials do not help each other.
        receiver.handle_timeout(iot_core::Instant::MAX);
        let arrived: Vec<_> = all.iter().filter(|_| random.below(5) != 0).collect();
        let received = give(&mut receiver, arrived);
        assert!(received.iter().all(|found| *found == message));
        failures += u32::from(received.len() != 1);
    }
    (failures, all.len())
}

/// The target: 480 octets over frames of 51, one frame in five lost, no way back, 999 of 1000 arrive.
///
/// 20 frames, of which 10 are needed, fail with probability 5.634·10⁻⁴; 20,000 trials fail 11.3 times, give or take 3.4.
#[test]
fn twenty_frames_carry_the_target_message() {
    let (failed, frames) = failures(480, 51, 20_000, 20);
    assert_eq!(frames, 20);
    assert!((2..=20).contains(&failed), "{failed} of 20,000 failed");
}

#[test]
fn other_frame_sizes_keep_the_promise_too() {
    for mtu in [20, 80] {
        let (failed, frames) = failures(480, mtu, 5_000, u64::from(mtu));
        assert!(failed <= 15, "{failed} of 5,000 failed over {frames} frames of {mtu}");
    }
}
