use iot_codec::fec::Redundancy;
use iot_codec::fragment::{Receiver, ReceiverConfig};

use super::{frames, give, sender};

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hexadecimal")).collect()
}

/// The vectors of docs/formats/fragment.md: each message gives these frames, and any of them, enough, give it back.
#[test]
fn published_messages_give_the_published_frames() {
    let text = include_str!("../vectors/fragment.txt");
    let mut vectors = 0;
    for vector in text.split("\n\n").filter(|vector| vector.contains("mtu")) {
        let lines = vector.lines().filter(|line| !line.starts_with('#'));
        let mut fields = lines.map(|line| line.split_once(' ').unwrap_or((line, "")));
        let mut field = |name| {
            let (found, value) = fields.next().unwrap();
            assert_eq!(found, name);
            value
        };
        let mtu = field("mtu").parse().unwrap();
        let parity = field("parity").parse().unwrap();
        let busy: usize = field("messages-before").parse().unwrap();
        let message = hex(field("message"));
        let mut sender = sender(mtu, Redundancy::parity(parity), 0);
        for _ in 0..busy {
            frames(&mut sender, &[0; 200]);
        }
        let expected: Vec<Vec<u8>> =
            fields.map(|(name, value)| (name == "frame").then(|| hex(value)).unwrap()).collect();
        assert_eq!(frames(&mut sender, &message), expected, "{vector}");

        for skipped in 0..=expected.len().min(parity.into()) {
            let mut receiver = Receiver::<1, 256>::new(ReceiverConfig::default());
            let received = give(&mut receiver, &expected[skipped..]);
            assert_eq!(received, [&message[..]]);
        }
        vectors += 1;
    }
    assert_eq!(vectors, 8);
}
