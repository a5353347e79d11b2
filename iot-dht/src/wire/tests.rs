use std::vec::Vec;

use super::*;

fn message(body: Body<'_>) -> Message<'_> {
    let sender = NodeId::from_bytes([2; 32]);
    Message::new(3, *b"transact", sender, Role::Server, body)
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
        Body::Put(Put { token: [4; 16], record: b"record", replaces: None }),
        Body::Put(Put { token: [4; 16], record: b"record", replaces: Some(7) }),
        Body::Stored(Empty {}),
        Body::Refused(Refused { reason: Rejection::Superseded, record: None }),
        Body::Refused(Refused { reason: Rejection::Changed, record: Some(b"record") }),
        Body::Retry(Empty {}),
        Body::Compare(Compare { point: id, bits: 8, nonce: [3; 8], digest: [4; 8] }),
        Body::Holdings(Holdings::default()),
        Body::Holdings(Holdings { records: Some(List(std::vec![Held { key: id, sequence: 7 }])), digests: None }),
        Body::Holdings(Holdings { records: None, digests: Some(&[5; 16]) }),
    ]
    .into_iter()
    .chain(asks().into_iter().map(Body::Ask))
    .chain(replies().into_iter().map(Body::Reply))
    .chain(words().into_iter().map(Body::Word))
    .collect()
}

fn seen() -> Endpoint {
    Endpoint("[2001:db8::1]:4001".parse().unwrap())
}

fn asks() -> [Ask; 4] {
    let to = NodeId::from_bytes([3; 32]);
    [
        Ask::Probe(Empty {}),
        Ask::Reserve(Reserve { seconds: 120, rtt: None }),
        Ask::Introduce(Introduce { to, rtt: None }),
        Ask::Introduce(Introduce { to, rtt: Some(40) }),
    ]
}

fn replies() -> [Reply; 4] {
    [
        Reply::Probed(Probed { seen: seen() }),
        Reply::Reserved(Reserved { seconds: 120, seen: seen() }),
        Reply::Introduced(Introduced { address: seen(), pass: [7; 8], after: 30 }),
        Reply::Declined(Declined { reason: Decline::Nobody }),
    ]
}

fn words() -> [Word<'static>; 9] {
    let meet = Meet { peer: NodeId::from_bytes([3; 32]), address: seen(), after: 30 };
    [
        Word::Try(Try { address: seen() }),
        Word::Tried(Tried { address: seen() }),
        Word::Meet(meet),
        Word::Punch(Empty {}),
        Word::Punched(Empty {}),
        Word::Data(Data { payload: b"sealed" }),
        Word::Carry(Data { payload: b"" }),
        Word::Carried(Data { payload: b"sealed" }),
        Word::Closed(Empty {}),
    ]
}

/// Each body alone, and one with all that may stand beside it.
fn messages() -> Vec<Message<'static>> {
    let seen = Endpoint("[2001:db8::1]:4001".parse().unwrap());
    let whole = Message {
        cookie: Some([5; 8]),
        challenge: Some(Challenge { nonce: [6; 8], asked: Endpoint("10.0.0.1:4000".parse().unwrap()) }),
        proof: Some(Proof { key: &[7; 32], signature: [8; 64], seen, capability: Some(b"shown") }),
        padding: Some(&[0; 40]),
        ..message(Body::Pong(Empty {}))
    };
    bodies().into_iter().map(message).chain([whole]).collect()
}

#[test]
fn every_message_survives_the_wire() {
    for message in messages() {
        assert_eq!(Message::decode(&message.encode()), Ok(message));
    }
}

#[test]
fn every_truncation_and_trailing_octet_is_refused() {
    for message in messages() {
        let datagram = message.encode();
        for len in 0..datagram.len() {
            assert!(Message::decode(&datagram[..len]).is_err());
        }
        let longer: Vec<u8> = datagram.iter().copied().chain([0]).collect();
        assert!(Message::decode(&longer).is_err());
    }
}

#[test]
fn a_flipped_bit_never_panics_and_never_reads_as_the_same() {
    for message in messages() {
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
fn the_most_records_and_digests_fit_a_datagram() {
    let held = Held { key: Id::from_bytes([9; 32]), sequence: u64::MAX };
    let records = Some(List(std::vec![held; MAX_HELD]));
    for holdings in [
        Holdings { records, digests: None },
        Holdings { records: None, digests: Some(&[5; MAX_DIGESTS * size_of::<Digest>()]) },
    ] {
        let challenge = Challenge { nonce: [6; 8], asked: Endpoint("[2001:db8::1]:4001".parse().unwrap()) };
        let (cookie, challenge) = (Some([5; 8]), Some(challenge));
        let largest = Message { overlay: u64::MAX, cookie, challenge, ..message(Body::Holdings(holdings)) };
        assert_eq!(Message::decode(&largest.encode()), Ok(largest));
    }
}

#[test]
fn a_padded_request_permits_the_longest_answer() {
    for overlay in [0, 7, u64::MAX] {
        for near in [None, Some(Id::from_bytes([9; 32]))] {
            let get = Body::Get(Get { key: Id::from_bytes([1; 32]), near });
            let padded = Message { overlay, ..message(get) }.encode_padded();
            assert!(padded.len() * MAX_AMPLIFICATION >= MAX_DATAGRAM_LEN && padded.len() <= PADDED_LEN + 3);
            assert!(Message::decode(&padded).is_ok());
        }
    }
}

/// A record of the greatest length, a cookie, and the largest numbers: what a node that has proved itself may answer.
#[test]
fn the_longest_record_fits_a_datagram_with_a_cookie_and_one_that_replaces_another() {
    let body = Body::Value(Value { record: &[7; crate::Record::MAX_LEN], nodes: None });
    let largest = Message { overlay: u64::MAX, cookie: Some([5; 8]), ..message(body) };
    assert!(largest.encode().len() <= MAX_DATAGRAM_LEN);
    // A foreign record may be as long as that, though none that is signed here is: a put of it in place of another, in an
    // overlay of nine octets, once was five octets too long and met the assertion of the encoder.
    let body = Body::Put(Put { token: [4; 16], record: &[7; crate::Record::MAX_LEN], replaces: Some(u64::MAX) });
    let longest = Message { overlay: u64::MAX, ..message(body) }.encode();
    assert_eq!(longest.len(), MAX_DATAGRAM_LEN);
    assert!(Message::decode(&longest).is_ok());
}

/// Each body with the most that a node ever lets stand in it, and beside it what cannot be left out or sent later. What an
/// answer may leave out (nodes, a challenge, a proof with a second question) is fitted to the room that is left.
fn longest() -> Vec<Message<'static>> {
    let far = || Endpoint("[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535".parse().unwrap());
    let id = Id::from_bytes([255; 32]);
    let record = &[7; crate::Record::MAX_LEN];
    let challenge = || Some(Challenge { nonce: [255; 8], asked: far() });
    let shown = Some(&[7; MAX_CAPABILITY_LEN][..]);
    let proof = Some(Proof { key: &[7; 32], signature: [8; 64], seen: far(), capability: shown });
    let alone = |body| Message { overlay: u64::MAX, ..message(body) };
    let asking = |body| Message { cookie: Some([255; 8]), challenge: challenge(), ..alone(body) };
    let proving = |body| Message { proof, ..asking(body) };
    let (rtt, reason) = (Some(u16::MAX), Rejection::Changed);
    let digests = Some(&[5; MAX_DIGESTS * size_of::<Digest>()][..]);
    let held = List(std::vec![Held { key: id, sequence: u64::MAX }; MAX_HELD]);
    let payload = || Data { payload: &[7; MAX_PAYLOAD_LEN] };
    let with_cookie = |body| Message { cookie: Some([255; 8]), ..alone(body) };
    std::vec![
        asking(Body::Ping(Empty {})),
        proving(Body::Pong(Empty {})),
        asking(Body::FindNode(FindNode { target: id, key: Some(id) })),
        with_cookie(Body::Nodes(Nodes {
            token: [255; 16],
            nodes: peers(MAX_NODES, "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535"),
        })),
        asking(Body::Get(Get { key: id, near: Some(id) })),
        with_cookie(Body::Value(Value { record, nodes: Some(List(Vec::new())) })),
        alone(Body::Put(Put { token: [255; 16], record, replaces: Some(u64::MAX) })),
        asking(Body::Stored(Empty {})),
        with_cookie(Body::Refused(Refused { reason, record: Some(record) })),
        proving(Body::Retry(Empty {})),
        asking(Body::Ask(Ask::Probe(Empty {}))),
        proving(Body::Ask(Ask::Reserve(Reserve { seconds: u32::MAX, rtt }))),
        asking(Body::Ask(Ask::Introduce(Introduce { to: id, rtt }))),
        asking(Body::Reply(Reply::Probed(Probed { seen: far() }))),
        asking(Body::Reply(Reply::Reserved(Reserved { seconds: u32::MAX, seen: far() }))),
        asking(Body::Reply(Reply::Introduced(Introduced { address: far(), pass: [255; 8], after: u16::MAX }))),
        asking(Body::Reply(Reply::Declined(Declined { reason: Decline::Nobody }))),
        alone(Body::Word(Word::Try(Try { address: far() }))),
        alone(Body::Word(Word::Tried(Tried { address: far() }))),
        alone(Body::Word(Word::Meet(Meet { peer: id, address: far(), after: u16::MAX }))),
        alone(Body::Word(Word::Punch(Empty {}))),
        alone(Body::Word(Word::Punched(Empty {}))),
        alone(Body::Word(Word::Data(payload()))),
        alone(Body::Word(Word::Carry(payload()))),
        alone(Body::Word(Word::Carried(payload()))),
        alone(Body::Word(Word::Closed(Empty {}))),
        asking(Body::Compare(Compare { point: id, bits: 255, nonce: [255; 8], digest: [255; 8] })),
        asking(Body::Holdings(Holdings { records: Some(held), digests: None })),
        asking(Body::Holdings(Holdings { records: None, digests })),
    ]
}

#[test]
fn every_message_at_its_longest_is_below_1232_octets() {
    let longest = longest();
    for message in &longest {
        let datagram = message.encode();
        assert!(datagram.len() < 1232, "{} octets: {message:?}", datagram.len());
        assert_eq!(Message::decode(&datagram).as_ref(), Ok(message));
    }
    // The list holds each number of a body, of an ask, of a reply and of a word.
    let mut missing: std::collections::BTreeSet<_> = bodies().iter().map(kind).collect();
    for message in &longest {
        missing.remove(&kind(&message.body));
    }
    assert_eq!(missing.len(), 0, "{missing:?}");
}

/// The number of a body, and of what it is about.
fn kind(body: &Body<'_>) -> (u64, u64) {
    let octets = cbor::to_vec(body);
    let mut cursor = Cursor::new(&octets);
    cursor.array().unwrap();
    let number = cursor.unsigned().unwrap();
    let inner = if (10..=12).contains(&number) { cursor.array().and_then(|_| cursor.unsigned()).unwrap() } else { 0 };
    (number, inner)
}

#[cfg(feature = "sim")]
#[test]
fn signatures_are_left_out_and_nothing_else() {
    let record: Vec<u8> = (0..100).collect();
    let seen = Endpoint("10.0.0.1:4000".parse().unwrap());
    let proof = Proof { key: &[7; 32], signature: [8; 64], seen, capability: None };
    for body in [
        Body::Value(Value { record: &record, nodes: Some(peers(2, "10.0.0.1:4000")) }),
        Body::Put(Put { token: [1; 16], record: &record, replaces: Some(1) }),
        Body::Refused(Refused { reason: Rejection::Conflict, record: Some(&record) }),
        Body::Pong(Empty {}),
    ] {
        let signatures = if body == Body::Pong(Empty {}) { 1 } else { 2 };
        let mut datagram = Message { proof: Some(proof), ..message(body) }.encode();
        let mut rest = Vec::new();
        without_signatures(&datagram, |part| rest.extend_from_slice(part));
        assert_eq!(rest.len() + signatures * 64, datagram.len());
        assert!(!rest.windows(8).any(|octets| octets == [8; 8]) && !rest.windows(2).any(|octets| octets == [98, 99]));
        datagram.truncate(30);
        let mut len = 0;
        without_signatures(&datagram, |part| len += part.len());
        assert_eq!(len, 30, "what cannot be read is all there");
    }
}

#[test]
fn another_version_is_told_apart() {
    let other = Message { version: 3, ..message(Body::Ping(Empty {})) };
    assert_eq!(Message::decode(&other.encode()), Err(WireError::Version(3)));
    assert_eq!(Message::decode(&[0; 1232]), Err(WireError::TooLarge { len: 1232 }));
}

#[test]
fn claims_larger_than_the_datagram_are_refused() {
    let mut datagram = message(Body::Nodes(Nodes { token: [4; 16], nodes: List(Vec::new()) })).encode();
    assert_eq!(datagram.pop(), Some(0x80));
    datagram.extend([0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
    assert!(Message::decode(&datagram).is_err());
}
