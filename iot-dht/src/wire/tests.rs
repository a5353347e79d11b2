use std::vec::Vec;

use super::*;

fn message(body: Body<'_>) -> Message<'_> {
    let sender = NodeId::from_bytes([2; 32]);
    Message { version: VERSION, overlay: 3, transaction: *b"transact", sender, role: Role::Server, body }
}

fn peers(count: usize, address: &str) -> List<Peer<32>> {
    let address = address.parse().unwrap();
    List((0..count).map(|n| Peer { id: Id::from_bytes([n as u8; 32]), address }).collect())
}

fn bodies() -> Vec<Body<'static>> {
    let id = Id::from_bytes([1; 32]);
    std::vec![
        Body::Ping(Empty {}),
        Body::Pong(Empty {}),
        Body::FindNode(FindNode { target: id, key: None }),
        Body::Nodes(Nodes { token: [4; 16], nodes: peers(2, "10.0.0.1:4000") }),
        Body::Get(Get { key: id, near: None }),
        Body::Value(Value { record: b"record", nodes: None }),
        Body::Put(Put { token: [4; 16], record: b"record" }),
        Body::Stored(Empty {}),
        Body::Refused(Refused { reason: Rejection::Superseded }),
    ]
}

#[test]
fn every_message_survives_the_wire() {
    for body in bodies() {
        let message = message(body);
        assert_eq!(Message::decode(&message.encode()), Ok(message));
    }
}

#[test]
fn every_truncation_and_trailing_octet_is_refused() {
    for body in bodies() {
        let datagram = message(body).encode();
        for len in 0..datagram.len() {
            assert!(Message::decode(&datagram[..len]).is_err());
        }
        let longer: Vec<u8> = datagram.iter().copied().chain([0]).collect();
        assert!(Message::decode(&longer).is_err());
    }
}

#[test]
fn a_flipped_bit_never_panics_and_never_reads_as_the_same() {
    for body in bodies() {
        let message = message(body);
        let mut datagram = message.encode();
        for bit in 0..datagram.len() * 8 {
            datagram[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(Message::decode(&datagram).as_ref(), Ok(&message), "bit {bit}");
            datagram[bit / 8] ^= 1 << (bit % 8);
        }
    }
}

#[test]
fn twenty_nodes_with_the_longest_addresses_fit_a_datagram() {
    let nodes = peers(MAX_NODES, "[2001:db8:ffff:ffff:ffff:ffff:ffff:ffff]:65535");
    let body = Body::Nodes(Nodes { token: [255; 16], nodes });
    let largest = Message { overlay: u64::MAX, ..message(body) };
    assert_eq!(Message::decode(&largest.encode()), Ok(largest));
}

#[test]
fn another_version_is_told_apart() {
    let other = Message { version: 2, ..message(Body::Ping(Empty {})) };
    assert_eq!(Message::decode(&other.encode()), Err(WireError::Version(2)));
    assert_eq!(Message::decode(&[0; 1232]), Err(WireError::TooLarge { len: 1232 }));
}

#[test]
fn claims_larger_than_the_datagram_are_refused() {
    let mut datagram = message(Body::Nodes(Nodes { token: [4; 16], nodes: List(Vec::new()) })).encode();
    assert_eq!(datagram.pop(), Some(0x80));
    datagram.extend([0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
    assert!(Message::decode(&datagram).is_err());
}
