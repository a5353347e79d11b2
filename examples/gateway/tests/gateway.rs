//! Devices of other examples behind a gateway, which is killed, as is the receiver.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use iot_core::{DeviceId, Incarnation, StreamId};
use iot_crypto::RoutingHeader;
use iot_trial::{Mosquitto, Program, Trial, free_port, sibling, siblings};

const GATEWAY: &str = env!("CARGO_BIN_EXE_gateway");

/// The program `gateway-receiver`.
fn receiver_program() -> &'static str {
    static PROGRAM: OnceLock<&str> = OnceLock::new();
    PROGRAM.get_or_init(|| sibling(GATEWAY, "gateway-receiver"))
}

/// A gateway and what is around it.
struct Site {
    folder: tempfile::TempDir,
    receiver: [String; 2],
    doors: [String; 5],
}

impl Site {
    fn new() -> Self {
        let address = || format!("127.0.0.1:{}", free_port());
        let folder = tempfile::tempdir().unwrap();
        Self { folder, receiver: [address(), address()], doors: std::array::from_fn(|_| address()) }
    }

    /// Another gateway's, which forwards to the same receiver.
    fn beside(&self) -> Self {
        Self { receiver: self.receiver.clone(), ..Self::new() }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    fn gateway(&self, more: &[&str]) -> Program {
        let (folder, [receiver, back], [udp, tcp, http, status, coap]) =
            (self.path("gateway"), &self.receiver, &self.doors);
        let arguments = [&*folder, "--receiver", receiver, "--back", back, "--udp", udp, "--tcp", tcp];
        let program = Program::start(
            GATEWAY,
            &[&arguments[..], &["--http", http, "--coap", coap, "--status", status, "--capacity", "16"], more].concat(),
        );
        program.wait_for(1, "is ready");
        program
    }

    fn receiver(&self, devices: &[&Path]) -> Program {
        let (folder, [listen, back]) = (self.path("receiver"), &self.receiver);
        let mut arguments = vec![&*folder, "--listen", listen, "--back", back];
        arguments.extend(devices.iter().map(|path| path.to_str().unwrap()));
        let program = Program::start(receiver_program(), &arguments);
        program.wait_for(1, "ready for");
        program
    }

    /// What the gateway answers to a request.
    fn ask(&self, page: &str) -> String {
        let mut stream = TcpStream::connect(&self.doors[3]).unwrap();
        write!(stream, "GET {page} HTTP/1.0\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn metric(&self, name: &str) -> f64 {
        let answer = self.ask("/metrics");
        let line = answer.lines().find(|line| line.starts_with(&format!("gateway_{name} ")));
        line.unwrap_or_else(|| panic!("{name} is not in {answer}")).rsplit(' ').next().unwrap().parse().unwrap()
    }
}

#[test]
fn nothing_is_lost_when_gateway_and_receiver_are_killed() {
    let site = Site::new();
    let [udp, tcp, http, coap] = siblings(GATEWAY, ["udp", "tcp", "http", "coap"]);
    let trials =
        [(udp, 0), (tcp, 1), (http, 2), (coap, 4)].map(|(name, door)| Trial::new(name, &site.doors[door], 6_000));
    let folders: Vec<PathBuf> = trials.iter().map(|trial| trial.folder().into()).collect();
    let folders: Vec<&Path> = folders.iter().map(PathBuf::as_path).collect();
    let gateway = site.gateway(&[]);
    let devices: Vec<_> =
        trials.iter().map(|trial| trial.device(&["--rate", "1500", "--behind-gateway", "--patience", "0.5"])).collect();
    while site.metric("packets_taken_total") < 40.0 {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert!(site.ask("/health").contains("without a receiver"), "{}", site.ask("/health"));
    let receiver = site.receiver(&folders);
    receiver.wait_for(40, "accepted");
    gateway.kill();
    let gateway = site.gateway(&[]);
    receiver.wait_for(receiver.count("accepted") + 40, "accepted");
    receiver.kill();
    let receiver = site.receiver(&folders);
    for device in devices {
        assert!(device.wait().success());
    }
    assert!(gateway.terminate().success());
    assert!(receiver.terminate().success());
    for trial in &trials {
        trial.verify_all_arrived();
    }
}

#[test]
#[ignore = "needs mosquitto"]
fn nothing_is_lost_through_a_broker_that_is_killed_as_the_gateway_is() {
    let (site, port) = (Site::new(), free_port());
    let (broker, program) = (format!("127.0.0.1:{port}"), sibling(GATEWAY, "mqtt"));
    let trials = ["iot/boiler", "iot/pump"].map(|topic| {
        let trial = Trial::new(program, &broker, 4_000);
        let [password, _] = trial.passwords();
        trial.with(&["--topic", topic, "--user", "plant", "--password", &password, "--behind-gateway"])
    });
    let mosquitto = Mosquitto::prepare(site.folder.path(), port);
    let [password, _] = trials[0].passwords();
    let arguments = ["--mqtt", &*broker, "--user", "plant", "--password", &password];
    let gateway = site.gateway(&arguments);
    gateway.wait_for(1, "trying again");
    let first = mosquitto.start();
    let devices: Vec<_> = trials.iter().map(|trial| trial.device(&["--rate", "1000", "--patience", "1"])).collect();
    let receiver = site.receiver(&[trials[0].folder(), trials[1].folder()]);
    receiver.wait_for(40, "accepted");
    first.kill();
    gateway.wait_for(2, "trying again");
    let _second = mosquitto.start();
    receiver.wait_for(receiver.count("accepted") + 40, "accepted");
    gateway.kill();
    let gateway = site.gateway(&arguments);
    for device in devices {
        assert!(device.wait().success());
    }
    assert!(gateway.terminate().success());
    assert!(receiver.terminate().success());
    trials.iter().for_each(Trial::verify_all_arrived);
}

/// The broker gives each message to one of them, so either lacks half of what a device says.
#[test]
#[ignore = "needs mosquitto"]
fn all_arrives_once_and_in_order_when_one_of_two_gateways_that_share_a_subscription_is_killed() {
    let first = Site::new();
    let (second, port) = (first.beside(), free_port());
    let (broker, program) = (format!("127.0.0.1:{port}"), sibling(GATEWAY, "mqtt"));
    // With one device there is nobody whose messages put off which member's turn it is.
    let trial = Trial::new(program, &broker, 4_000);
    let [password, _] = trial.passwords();
    let login = ["--user", "plant", "--password", &password];
    let _broker = Mosquitto::prepare(first.folder.path(), port).start();
    let arguments = [&["--mqtt", &*broker], &login[..]].concat();
    let [one, other] = [&first, &second].map(|site| site.gateway(&arguments));
    let receiver = first.receiver(&[trial.folder()]);

    let device = iot_exchange::folder::load_keys(&trial.folder().join("device"), iot_link::process::wall());
    let source = Some(device.unwrap().device_id());
    let publish = ["-p", &port.to_string(), "-u", "plant", "-P", "right", "-q", "1", "-t", "iot/1/readings", "-f"];
    for number in 0..4 {
        let (stream, incarnation) = (StreamId::new(0), Incarnation::from_bytes([number; 8]));
        let mut packet = [9; 300];
        let header = RoutingHeader { source, topic: None, stream, incarnation, sequence: 0 };
        header.encode(&mut packet).unwrap();
        let forged = first.path("forged");
        std::fs::write(&forged, packet).unwrap();
        assert!(Program::start("mosquitto_pub", &[&publish[..], &[&forged]].concat()).wait().success());
    }
    receiver.wait_for(4, "refused: ");

    let common = [&login[..], &["--behind-gateway", "--patience", "0.5"]].concat();
    let device = trial.endless_device(&[&common[..], &["--rate", "1000"]].concat());
    for site in [&first, &second] {
        while site.metric("packets_taken_total") < 60.0 {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
    receiver.wait_for(100, "accepted");
    one.kill();
    receiver.wait_for(receiver.count("accepted") + 200, "accepted");
    assert!(device.terminate().success());
    let device = trial.device(&[&common[..], &["--rate", "0"]].concat());
    assert!(device.wait().success(), "whoever is left suffices");

    // What the one that was killed still had changes nothing.
    let one = first.gateway(&arguments);
    while (first.metric("mirror_connected"), first.metric("queue_messages")) != (1.0, 0.0) {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    for program in [one, other, receiver] {
        assert!(program.terminate().success());
    }
    trial.verify_all_arrived();
}

/// A thermometer that is read each second from a full minute on: reading `number`, in tenths of a degree.
fn tenths(number: u64) -> u64 {
    180 + number.wrapping_mul(2_654_435_761) % 97
}

/// What a receiver is to be told of the first minutes, and of what is not in their means: two places a reading, and a
/// mean in the second one of the first reading behind its minute.
fn expected_minutes(device: &str, minutes: u64) -> String {
    let (mut lines, mut next) = (String::new(), 0);
    for minute in 0..minutes {
        let readings: Vec<_> = (60 * minute..60 * (minute + 1)).map(|number| tenths(number) as f64 / 10.0).collect();
        let (least, most) =
            readings.iter().fold((99.0_f64, 0.0_f64), |(least, most), &it| (least.min(it), most.max(it)));
        let (mean, place) = (readings.iter().sum::<f64>() / 60.0, 2 * 60 * (minute + 1) + 1);
        writeln!(lines, "# places {next}..{place}: filtered").unwrap();
        writeln!(lines, "{device},{},{mean:.3},{least},{most},60", 1_767_225_600 + 60 * minute).unwrap();
        next = place + 1;
    }
    let (readings, left_out) = (60 * minutes, next - minutes);
    let whole = format!("of {next} places {left_out} were left out, and 0 are not accounted for");
    lines + &format!("# {minutes} means of {readings} readings; {whole}\n")
}

#[test]
fn a_thermometer_leaves_as_means_of_a_minute_whatever_is_killed() {
    let site = Site::new();
    let program = sibling(GATEWAY, "udp");
    let trial = Trial::new(program, &site.doors[0], 0);
    let reports = site.path("reports");
    assert!(Command::new(program).args(["keys", &reports]).status().unwrap().success());
    let keys = iot_exchange::folder::load_keys(&trial.folder().join("device"), iot_link::process::wall()).unwrap();
    let device = |readings: u64| {
        let (path, mut lines) = (site.path("readings.csv"), String::new());
        (0..readings).for_each(|number| {
            writeln!(lines, "{},{}", 1_767_225_600 + number, tenths(number) as f64 / 10.0).unwrap();
        });
        std::fs::write(&path, lines).unwrap();
        // A message holds the readings of two minutes now and then.
        trial.device(&["--input", &path, "--batch", "7", "--rate", "500", "--patience", "0.5", "--behind-gateway"])
    };
    let arguments = ["--minutes", trial.folder().to_str().unwrap(), "--reports", &reports];
    let gateway = site.gateway(&arguments);
    let receiver = site.receiver(&[Path::new(&reports)]);
    assert!(device(43 * 7).wait().success(), "the gateway acknowledges what it has read");
    receiver.wait_for(8, "accepted");
    receiver.kill();
    gateway.kill();
    let device = device(900);
    let gateway = site.gateway(&arguments);
    while site.metric("packets_ended_total") < 20.0 {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    gateway.kill();
    let receiver = site.receiver(&[Path::new(&reports)]);
    let gateway = site.gateway(&arguments);
    assert!(device.wait().success());
    receiver.wait_for(1, &format!(",{},", 1_767_225_600 + 13 * 60));
    assert_eq!(receiver.count("refused") + receiver.count("missing"), 0, "{}", receiver.lines());
    assert!(gateway.terminate().success());
    assert!(receiver.terminate().success());
    let listed = Command::new(receiver_program()).args(["--minutes", &reports]).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert_eq!(listed, expected_minutes(&keys.device_id().to_string(), 14));
}

#[test]
fn what_is_no_packet_is_refused_and_a_flood_is_slowed_down() {
    let site = Site::new();
    let gateway = site.gateway(&["--rate", "10"]);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for number in 0..200_u32 {
        socket.send_to(&number.to_be_bytes(), &site.doors[0]).unwrap();
    }
    while site.metric("packets_malformed_total") + site.metric("packets_limited_total") < 200.0 {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    assert!(site.metric("packets_malformed_total") >= 40.0, "the first ones are looked at");
    assert!(site.metric("packets_limited_total") >= 100.0);
    assert_eq!(site.metric("packets_taken_total"), 0.0);
    // Confirmable posts to `/packets/DEVICE`, in CoAP: the rate of their address is used up.
    let name = DeviceId::from_bytes([7; 32]).to_string();
    let mut post =
        [&[0x40, 2, 0, 0, 0xb7][..], b"packets", &[0x0d, name.len() as u8 - 13], name.as_bytes(), &[255]].concat();
    post.extend([9; 100]);
    socket.set_read_timeout(Some(std::time::Duration::from_secs(60))).unwrap();
    let codes: Vec<_> = (0..60)
        .map(|number| {
            post[3] = number;
            socket.send_to(&post, &site.doors[4]).unwrap();
            let mut answer = [0; 64];
            let (len, _) = socket.recv_from(&mut answer).unwrap();
            assert_eq!((len >= 4, answer[3]), (true, number), "it acknowledges that message");
            (answer[1] >> 5, answer[1] & 31)
        })
        .collect();
    assert!(codes.contains(&(4, 29)) && codes.iter().all(|code| [(4, 29), (4, 0)].contains(code)), "{codes:?}");
    let mut stream = TcpStream::connect(&site.doors[2]).unwrap();
    write!(stream, "POST /packets/nobody HTTP/1.0\r\nContent-Length: 0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.0 404") || answer.starts_with("HTTP/1.1 404"), "{answer}");
    assert!(gateway.terminate().success());
}

#[test]
fn what_a_full_queue_dropped_the_receiver_is_told() {
    let site = Site::new();
    let gateway = site.gateway(&["--rate", "1000000"]);
    let source = DeviceId::from_bytes([7; 32]);
    let mut stream = TcpStream::connect(&site.doors[1]).unwrap();
    for sequence in 0..3_000 {
        let incarnation = Incarnation::from_bytes([8; 8]);
        let header =
            RoutingHeader { source: Some(source), topic: None, stream: StreamId::new(0), incarnation, sequence };
        let mut packet = vec![0; 8_000];
        header.encode(&mut packet).unwrap();
        iot_exchange::frames::write(&mut stream, [&packet, &[]]).unwrap();
    }
    while site.metric("packets_taken_total") < 3_000.0 {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let dropped = site.metric("queue_dropped_total");
    assert!((900.0..1_500.0).contains(&dropped), "16 MiB hold some 2,000 of 3,000: {dropped}");
    let receiver = site.receiver(&[]);
    receiver.wait_for(1, &format!("among them {dropped} of {source}, stream 0, between 0 and {dropped}"));
    receiver.wait_for(3_000 - dropped as usize, "a packet of nobody known");
    assert!(gateway.terminate().success());
    assert!(receiver.terminate().success());
}

#[test]
fn the_first_user_is_told_what_is_missing() {
    let said = |arguments: &[&str]| {
        let program = Program::start(GATEWAY, arguments);
        let line = program.wait_for(1, "gateway: ");
        (line, program.wait().code())
    };
    assert_eq!(said(&[]), ("gateway: a folder is missing: see --help".into(), Some(2)));
    assert_eq!(said(&["x"]), ("gateway: --receiver is missing: see --help".into(), Some(2)));
    let (line, _) = said(&["x", "--receiver", "y", "--capacity", "1"]);
    assert_eq!(line, "gateway: --capacity takes a number from 16 to 65536, not 1");
    let folder = tempfile::tempdir().unwrap();
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let path = folder.path().to_str().unwrap();
    let (line, code) = said(&[path, "--receiver", "127.0.0.1:1", "--udp", &address, "--capacity", "16"]);
    assert!(line.contains(&format!("{address}: Address already in use")) && code == Some(1), "{line}");
}
