//! Packets for devices behind several gateways.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use iot_core::DeviceId;
use iot_exchange::frames::{Frames, MAX_PACKET};

/// Gateways at one broker hear the same devices. When the one that came last took the place of the one before it, that one
/// came again for it, and so on: each lacked what went to the other.
#[test]
fn what_goes_to_one_gateway_goes_to_the_others_too_whichever_of_them_ends() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (going, to_go) = sync_channel(16);
    std::thread::spawn(move || iot_uplink::give(&listener, &to_go));
    let device = DeviceId::from_bytes([7; 32]);
    let give = |number: u8| going.send((device, vec![number])).unwrap();
    let come = || {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let mut frames = Frames::new(stream.try_clone().unwrap(), MAX_PACKET + DeviceId::LEN);
        // Before it is there nobody gets anything.
        while !matches!(frames.packet(), Ok(Some(_))) {
            give(0);
        }
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        (stream, frames)
    };
    let [first, second, third] = [come(), come(), come()];
    give(1);
    second.0.shutdown(Shutdown::Both).unwrap();
    give(2);
    give(3);
    for (_, mut frames) in [first, third] {
        let packets = std::iter::repeat_with(|| frames.packet().unwrap().unwrap());
        let numbers: Vec<u8> =
            packets.map(|packet| packet[DeviceId::LEN]).filter(|number| *number > 0).take(3).collect();
        assert_eq!(numbers, [1, 2, 3]);
    }
}
