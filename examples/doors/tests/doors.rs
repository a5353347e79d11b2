//! Doors of a program that is no gateway: what is taken comes whole, what is refused is answered in the words of each
//! transport, and what is for a device goes back by the way that it came.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Shutdown, TcpStream, UdpSocket};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use iot_coap::Client;
use iot_core::{DeviceId, Incarnation, StreamId};
use iot_crypto::RoutingHeader;
use iot_exchange::frames::{self, Frames, MAX_PACKET};
use iot_link::Options;
use iot_lobby::{Limits, Lobby, Refusal};
use iot_trial::free_port;

const DEVICE: DeviceId = DeviceId::from_bytes([7; 32]);

/// Longest time that anything here may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A door, what leads to it, and what came in.
struct House {
    address: String,
    lobby: Arc<Lobby>,
    kept: Receiver<Vec<u8>>,
}

/// A house with one door, which keeps no packet that ends with `!`.
fn open(door: &'static str, a_second: u32) -> House {
    let address = format!("127.0.0.1:{}", free_port());
    let (keep, kept) = channel();
    let keep = Mutex::new(keep);
    let lobby = Lobby::new("house", Limits::new(a_second).unwrap(), move |position, packet| {
        assert_eq!(position.source, DEVICE);
        match packet.ends_with(b"!") {
            true => Err("there is no room".into()),
            false => Ok(keep.lock().unwrap().send(packet.to_vec())?),
        }
    });
    let (lobby, mut options) = (Arc::new(lobby), Options::default());
    options.own.insert(door, address.clone());
    iot_doors::open(&options, &lobby).unwrap();
    House { address, lobby, kept }
}

impl House {
    fn takes(&self, packet: &[u8]) {
        assert_eq!(self.kept.recv_timeout(PATIENCE).unwrap(), packet);
    }

    /// Asks again and again with the rate of this host used up, until somebody says `refused`; before, `taken` may be said.
    fn limits(&self, [taken, refused]: [&str; 2], mut ask: impl FnMut() -> String) {
        let (host, begun) = (IpAddr::V4(Ipv4Addr::LOCALHOST), Instant::now());
        loop {
            while !matches!(self.lobby.enter(host, b"", Arc::new(|_| {})), Err(Refusal::TooMuch { .. })) {}
            let said = ask();
            if said.contains(refused) {
                return;
            }
            // The host was slow, and its rate has recovered meanwhile.
            assert!(said.contains(taken) && begun.elapsed() < PATIENCE, "{said}");
        }
    }
}

/// A packet that this device wrote, as far as a header says.
fn packet(payload: &[u8]) -> Vec<u8> {
    let (stream, incarnation) = (StreamId::new(0), Incarnation::from_bytes([8; 8]));
    let header = RoutingHeader { source: Some(DEVICE), topic: None, stream, incarnation, sequence: 0 };
    let mut packet = vec![0; 100];
    let len = header.encode(&mut packet).unwrap();
    packet.truncate(len);
    [packet, payload.to_vec()].concat()
}

#[test]
fn datagrams_come_in_and_go_back() {
    let house = open("udp", 1000);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.send_to(b"rubbish", &house.address).unwrap();
    socket.send_to(&packet(b"21.5"), &house.address).unwrap();
    house.takes(&packet(b"21.5"));
    house.lobby.send(&DEVICE, b"for it");
    let mut answer = [0; 100];
    let len = socket.recv(&mut answer).unwrap();
    assert_eq!(&answer[..len], b"for it", "nobody gets an answer to rubbish");
}

#[test]
fn a_connection_that_brings_rubbish_or_finds_no_room_ends() {
    let house = open("tcp", 1000);
    for (wrong, words) in [(b"rubbish".to_vec(), "rubbish"), (packet(b"!"), "no room")] {
        let mut stream = TcpStream::connect(&house.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        frames::write(&mut stream, [&packet(b"21.5"), &[]]).unwrap();
        house.takes(&packet(b"21.5"));
        house.lobby.send(&DEVICE, b"for it");
        let mut back = Frames::new(stream.try_clone().unwrap(), MAX_PACKET);
        assert_eq!(back.packet().unwrap().as_deref(), Some(&b"for it"[..]));
        frames::write(&mut stream, [&wrong, &[]]).unwrap();
        assert_eq!(back.packet().unwrap(), None, "{words}");
    }
}

#[test]
fn who_sends_too_much_on_a_connection_waits() {
    let house = open("tcp", 1);
    let mut stream = TcpStream::connect(&house.address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let begun = Instant::now();
    (0..4 + 20).for_each(|_| frames::write(&mut stream, [&packet(b"21.5"), &[]]).unwrap());
    stream.shutdown(Shutdown::Write).unwrap();
    // The door ends when it has read all of it.
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    assert!(begun.elapsed() >= Duration::from_secs(1), "{:?}", begun.elapsed());
}

#[test]
fn requests_are_answered_with_a_status_of_http() {
    let house = open("http", 1);
    let post = |path: &str, packets: &[Vec<u8>]| -> io::Result<String> {
        let mut stream = TcpStream::connect(&house.address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let body = frames::join(packets.iter().cloned())?;
        write!(stream, "POST {path} HTTP/1.0\r\nContent-Length: {}\r\n\r\n", body.len())?;
        stream.write_all(&body)?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    };
    let path = format!("/packets/{DEVICE}");
    let ok = post(&path, &[packet(b"21.5")]).unwrap();
    assert!(ok.lines().next().unwrap().contains(" 200 "), "{ok}");
    house.takes(&packet(b"21.5"));
    house.lobby.send(&DEVICE, b"for it");
    assert!(post(&path, &[]).unwrap().contains("for it"));
    assert!(post(&path, &[packet(b"!")]).unwrap().contains(" 503 "));
    assert!(post(&path, &[b"rubbish".to_vec()]).unwrap().contains(" 400 "));
    assert!(post("/packets/nobody", &[]).unwrap().contains(" 404 "));
    house.limits([" 200 ", " 429 "], || post(&path, &[packet(b"21.5")]).unwrap());
}

#[test]
fn posts_are_answered_with_a_code_of_coap() {
    let house = open("coap", 1);
    let mut client = Client::connect(&house.address, &DEVICE.to_string()).unwrap();
    client.post(&packet(b"21.5")).unwrap();
    house.takes(&packet(b"21.5"));
    house.lobby.send(&DEVICE, b"for it");
    let begun = Instant::now();
    let came = std::iter::from_fn(|| {
        assert!(begun.elapsed() < PATIENCE);
        Some(client.receive(Duration::from_millis(100)).unwrap())
    });
    assert_eq!(came.flatten().next().unwrap(), b"for it");
    let mut post = |packet: &[u8]| client.post(packet).err().map_or("2.04".into(), |error| error.to_string());
    assert!(post(&packet(b"!")).contains("5.03"));
    assert!(post(b"rubbish").contains("4.00"));
    house.limits(["2.04", "4.29"], || post(&packet(b"21.5")));
    assert!(Client::connect(&house.address, "nobody").is_err());
}
