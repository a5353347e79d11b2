//! What the gateway takes of memory while it holds a million packets.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, UdpSocket};
use std::time::{Duration, Instant};

use iot_core::{DeviceId, Incarnation, Position, StreamId};
use iot_crypto::RoutingHeader;
use iot_queue::mirror::StreamServer;
use iot_queue::sink::Intake;
use iot_queue::{Durability, FileStorage, MaxLag, MemoryStorage, Message, Queue, QueueConfig, Seek, WhenFull};
use iot_trial::{Program, free_port};

const GATEWAY: &str = env!("CARGO_BIN_EXE_gateway-min");

/// Octets of the messages of one reading that the other examples send, behind a gateway.
const PACKET: usize = 210;

/// The most that it may take, in KiB: 32 MB.
const BOUND: u64 = 32_000_000 / 1024;

/// A figure of a process, in KiB.
fn memory(process: u32, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// A packet that has the routing header of a message (`docs/formats/envelope.md`), and noise where the rest would be.
fn packet(number: u32) -> (Vec<u8>, Position) {
    let source = DeviceId::from_bytes([7; 32]);
    let incarnation = Incarnation::from_bytes([8; 8]);
    let position = Position { source, stream: StreamId::new(0), incarnation, sequence: number.into() };
    let header = RoutingHeader {
        source: Some(source),
        topic: None,
        stream: position.stream,
        incarnation,
        sequence: position.sequence,
    };
    let mut packet = vec![0; PACKET];
    let len = header.encode(&mut packet).unwrap();
    let noise = |state: &u32| Some(state.wrapping_mul(747_796_405).wrapping_add(1));
    let noise = std::iter::successors(Some(number), noise).map(|state| (state >> 24) as u8);
    packet[len..].iter_mut().zip(noise).for_each(|(octet, noise)| *octet = noise);
    (packet, position)
}

#[test]
#[ignore = "writes 300 MB: .ci/run devices runs it"]
fn a_million_packets_take_less_than_32_megabytes() {
    let folder = tempfile::tempdir().unwrap();
    let storage = FileStorage::create(folder.path().join("queue")).unwrap();
    let mut queue = Queue::open(storage, iot_depot::queue_config(512).unwrap(), [1; 8]).unwrap();
    queue.open_cursor(iot_depot::CURSOR, Seek::Oldest, MaxLag::UNLIMITED).unwrap();
    for batch in 0..10_000_u32 {
        let packets: Vec<_> = (batch * 100..(batch + 1) * 100).map(packet).collect();
        let messages: Vec<_> = packets.iter().map(|(packet, position)| Message::new(packet).at(*position)).collect();
        queue.append_batch(&messages).unwrap();
    }
    queue.commit().unwrap();
    drop(queue);

    let port = free_port();
    let address = format!("127.0.0.1:{port}");
    let dht = format!("127.0.0.1:{}", free_port());
    let receiver = TcpListener::bind("127.0.0.1:0").unwrap();
    let mirror = receiver.local_addr().unwrap().to_string();
    let path = folder.path().to_str().unwrap();
    let arguments =
        [path, "--receiver", &mirror, "--udp", &address, "--dht", &dht, "--capacity", "512", "--rate", "1000000"];
    let started = Instant::now();
    let program = Program::start(GATEWAY, &arguments);
    program.wait_for(1, "is ready, 1000000 packets wait");
    let opened = started.elapsed();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for number in 1_000_000..1_050_000 {
        socket.send_to(&packet(number).0, &address).unwrap();
        if number % 100 == 0 {
            wait_until_read(port);
        }
    }
    let drained = drain(&receiver, 100_000);
    let (now, most) = (memory(program.id(), "VmRSS"), memory(program.id(), "VmHWM"));
    println!("opened in {opened:.2?}; {drained} drained; {now} KiB resident, {most} KiB at the most");
    assert!(program.terminate().success());
    let storage = FileStorage::create(folder.path().join("queue")).unwrap();
    let queue = Queue::open(storage, iot_depot::queue_config(512).unwrap(), [3; 8]).unwrap();
    assert!(queue.next_offset().number() > 1_040_000, "hardly a datagram was lost on the way in");
    assert!(most <= BOUND, "{most} KiB, more than {BOUND}");
}

/// Waits until whoever listens for datagrams on a port has read all that came. What its socket has no room for is lost, and on
/// a busy machine a process may not run for longer than a sender would sleep.
fn wait_until_read(port: u16) {
    let port = format!(":{port:04X}");
    loop {
        let sockets = std::fs::read_to_string("/proc/net/udp").unwrap();
        let fields = |line: &'_ str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let socket = sockets.lines().map(fields).find(|fields| fields[1].ends_with(&port));
        // The octets to send and to read, in hexadecimal.
        if socket.expect("the gateway listens there")[4].ends_with(":00000000") {
            return;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Takes that many packets of the mirror, and says how many it has acknowledged.
fn drain(receiver: &TcpListener, count: u64) -> u64 {
    let config = QueueConfig::default().durability(Durability::Manual).when_full(WhenFull::DropOldest);
    let mut queue = Queue::open(MemoryStorage::new(), config, [2; 8]).unwrap();
    let (mut intake, mut server, mut buffer) = (Intake::new(1), StreamServer::new(16_384), vec![0; 65_536]);
    let mut taken = 0;
    let (mut stream, _) = receiver.accept().unwrap();
    while taken < count {
        let len = stream.read(&mut buffer).unwrap();
        taken += server.handle_input(&buffer[..len], &mut queue, &mut intake).unwrap().appended as u64;
        stream.write_all(&server.poll_output()).unwrap();
    }
    taken
}
