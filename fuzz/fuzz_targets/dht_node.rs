//! A node of the DHT among strangers: whatever they send, and whenever, it sends, holds and reports a bounded amount, and
//! sends at most three times as much to an address that has not shown that it receives anything, whether it serves, asks
//! whether it is reached, or never serves. It gives a lease only to those who proved who they are, keeps a record only for
//! those who were given a token, and holds none that its owner did not sign; so it is, too, when the verdicts on signatures
//! come in another order, late, or never.
//!
//! The input is a list of steps: what happens (u8: 0 time passes, 1 a datagram comes, 2 an answer to what the node
//! asked last comes, 3 its user gets a key, 4 its user puts a record, 5 a datagram with the node's last cookie comes, 6 an
//! answer comes that proves who sent it, 7 a datagram comes from one who shows all that the node has given it, 8 the same
//! with a forged signature; with 128, verdicts come after a later step, with 64, never), a length (u16, little endian), as
//! many octets of datagram, and a byte that chooses the sender or the seconds. The length of the input chooses when the
//! node serves and who verifies.

#![no_main]

use iot_fuzz::neighbour::{Harness, node_of};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let (service, verification) = node_of(input);
    let mut harness = Harness::new(service, verification);
    let mut rest = input;
    for _ in 0..64 {
        let [what, low, high, after @ ..] = rest else { break };
        let len = usize::from(u16::from_le_bytes([*low, *high])).min(after.len());
        let (datagram, after) = after.split_at(len);
        let (&choice, after) = after.split_first().unwrap_or((&0, after));
        harness.step(*what, datagram, choice);
        rest = after;
    }
});
