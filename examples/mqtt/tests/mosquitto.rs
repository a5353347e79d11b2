//! Against mosquitto, which is killed and started again in the middle, as both ends are.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Instant;

use iot_link::Options;
use iot_trial::{Certificates, Mosquitto, Program, Trial, free_port, meddle_between};
use mqtt_protocol_core::mqtt::common::Cursor;
use mqtt_protocol_core::mqtt::connection::{Event, role};
use mqtt_protocol_core::mqtt::packet::{GenericPacketTrait as _, Packet, Qos, v5_0};
use mqtt_protocol_core::mqtt::{Connection, Version};

const PROGRAM: &str = env!("CARGO_BIN_EXE_mqtt");

fn goes_through_kills_of_all_three(version: &str) {
    let port = free_port();
    let common = ["--user", "plant", "--mqtt", version, "--patience", "1"];
    let trial = Trial::new(PROGRAM, format!("127.0.0.1:{port}"), 2_000).with(&common);
    let mosquitto = Mosquitto::prepare(trial.folder(), port);
    trial.survives_kills_of_all_three(|| mosquitto.start());
}

#[test]
#[ignore = "needs mosquitto"]
fn nothing_is_lost_through_mqtt_5() {
    goes_through_kills_of_all_three("5");
}

#[test]
#[ignore = "needs mosquitto"]
fn nothing_is_lost_through_mqtt_3_1_1() {
    goes_through_kills_of_all_three("3.1.1");
}

#[test]
#[ignore = "needs mosquitto"]
fn nothing_is_lost_over_tls() {
    let port = free_port();
    let trial = Trial::new(PROGRAM, format!("mqtts://127.0.0.1:{port}"), 2_000);
    let certificates = Certificates::make(&trial);
    let trial = trial.with(&["--user", "plant", "--patience", "1"]).with(&certificates.trusted());
    let mosquitto = Mosquitto::prepare(trial.folder(), port).with_tls(&certificates.good);
    trial.survives_kills_of_all_three(|| mosquitto.start());
}

#[test]
#[ignore = "needs mosquitto"]
fn what_is_wrong_with_a_broker_is_said() {
    let port = free_port();
    let trial = Trial::new(PROGRAM, "", 10);
    let addresses = [format!("127.0.0.1:{port}"), format!("mqtts://127.0.0.1:{port}")];
    trial.says_what_is_wrong_with_a_server(addresses.each_ref().map(String::as_str), &[], |certificate| {
        let mosquitto = Mosquitto::prepare(trial.folder(), port);
        if let Some(pair) = certificate { mosquitto.with_tls(pair).start() } else { mosquitto.start() }
    });
}

/// Two brokers, and between them one who knows the password: to the first he is the receiver, to the second the device.
fn refuses_or_makes_good_whatever_is_done_between_two_brokers(version: &str) {
    let [front, back] = [free_port(), free_port()];
    let common = ["--user", "plant", "--mqtt", version, "--patience", "1"];
    let trial = Trial::new(PROGRAM, format!("127.0.0.1:{back}"), 2_000).with(&common);
    let _running = [front, back].map(|port| {
        let folder = trial.folder().join(port.to_string());
        std::fs::create_dir(&folder).unwrap();
        Mosquitto::prepare(&folder, port).start()
    });
    let [right, _] = trial.passwords();
    let receiver = trial.receiver(&["--password", &right]);
    receiver.wait_for(1, "connected");
    let own = [("user", "plant"), ("password", &right), ("mqtt", version)].map(|(name, value)| (name, value.into()));
    let own = BTreeMap::from(own);
    let dialer = move |options: &Options| mqtt::dialer(&Options { own: own.clone(), ..options.clone() });
    let counts = meddle_between(dialer, front, back);
    let server = format!("127.0.0.1:{front}");
    let device = trial.device(&["--password", &right, "--server", &server, "--rate", "0", "--batch", "4"]);
    device.wait_for(1, "ends after");
    assert!(device.count("refused") > 0, "{}", device.lines());
    assert!(device.wait().success());
    assert!(receiver.count("refused") > 0 && receiver.count("missing") == 0, "{}", receiver.lines());
    assert!(receiver.terminate().success());
    assert!(counts.iter().all(|counts| counts.is_of_each()), "{counts:?}");
    trial.verify_all_arrived();
}

#[test]
#[ignore = "needs mosquitto"]
fn whatever_is_done_between_two_brokers_of_mqtt_5_is_refused_or_made_good() {
    refuses_or_makes_good_whatever_is_done_between_two_brokers("5");
}

#[test]
#[ignore = "needs mosquitto"]
fn whatever_is_done_between_two_brokers_of_mqtt_3_1_1_is_refused_or_made_good() {
    refuses_or_makes_good_whatever_is_done_between_two_brokers("3.1.1");
}

#[test]
#[ignore = "needs mosquitto"]
fn a_wrong_password_is_said_and_a_will_is_published() {
    let port = free_port();
    let trial = Trial::new(PROGRAM, format!("127.0.0.1:{port}"), 10);
    let _running = Mosquitto::prepare(trial.folder(), port).start();
    let [right, wrong] = trial.passwords();
    for version in ["5", "3.1.1"] {
        let device = trial.device(&["--user", "plant", "--password", &wrong, "--mqtt", version]);
        device.wait_for(1, "wrong --user or --password");
        assert_eq!(device.wait().code(), Some(1));
    }
    let port = port.to_string();
    let listen = ["-p", &port, "-u", "plant", "-P", "right", "-t", "iot/1/status/device", "-v"];
    let listener = Program::start("mosquitto_sub", &listen);
    let device = trial.device(&["--user", "plant", "--password", &right]);
    listener.wait_for(1, "online");
    device.kill();
    listener.wait_for(1, "offline");
}

/// Neither end is there together with the other, and the broker is started anew in between.
#[test]
#[ignore = "needs mosquitto"]
fn what_came_while_the_receiver_was_away_its_session_has_after_a_restart_of_the_broker() {
    for version in ["5", "3.1.1"] {
        let port = free_port();
        let common = ["--user", "plant", "--mqtt", version, "--patience", "3600"];
        let trial = Trial::new(PROGRAM, format!("127.0.0.1:{port}"), 100).with(&common);
        let mosquitto = Mosquitto::prepare(trial.folder(), port);
        let first = mosquitto.start();
        let [right, _] = trial.passwords();
        let login = ["--password", right.as_str()];
        let receiver = trial.receiver(&login);
        receiver.wait_for(1, "connected");
        assert!(receiver.terminate().success());

        let port = port.to_string();
        let listen = ["-V", "5", "-p", &port, "-u", "plant", "-P", "right", "-F", "%P is a packet"];
        let topics = ["-t", "iot/1/status/receiver", "-t", "iot/1/readings"];
        let listener = Program::start("mosquitto_sub", &[&listen[..], &topics].concat());
        // The receiver's status is retained.
        listener.wait_for(1, "is a packet");
        let device = trial.device(&[&login[..], &["--rate", "0"]].concat());
        listener.wait_for(11, "is a packet");
        // MQTT 5 has room for plain words beside a packet.
        let named = listener.lines().lines().filter(|line| line.starts_with("position:0/")).count();
        assert_eq!(named, if version == "5" { 10 } else { 0 }, "{}", listener.lines());
        assert!(device.terminate().success());
        assert!(first.terminate().success());

        let _second = mosquitto.start();
        let receiver = trial.receiver(&login);
        receiver.wait_for(10, "accepted");
        assert!(trial.device(&login).wait().success());
        assert!(receiver.terminate().success());
        trial.verify_all_arrived();
    }
}

#[test]
fn another_scheme_is_refused_with_advice() {
    let trial = Trial::new(PROGRAM, "ssl://broker.example:8883", 10);
    let device = trial.device(&[]);
    device.wait_for(1, "ssl://broker.example:8883: no ssl here; give mqtt://HOST:PORT or mqtts://HOST:PORT");
    assert_eq!(device.wait().code(), Some(1));
}

/// What a client without a queue, keys or positions publishes in a second: as many octets, acknowledged by the broker, which
/// keeps them for a session, and as many on their way as it takes.
fn raw_rate(port: u16, messages: usize) -> f64 {
    let broker = ["-p", &port.to_string(), "-u", "plant", "-P", "right"];
    // A session that is away, so that there is somebody to keep them for.
    let subscribe = ["-V", "mqttv311", "-i", "absent", "-c", "-q", "1", "-t", "raw", "-E"];
    assert!(Program::start("mosquitto_sub", &[&broker[..], &subscribe].concat()).wait().success());
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_nodelay(true).unwrap();
    let (mut connection, mut octets) = (Connection::<role::Client>::new(Version::V5_0), [0; 4096]);
    let connect = v5_0::Connect::builder().client_id("raw").unwrap().clean_start(true);
    let connect = connect.user_name("plant").unwrap().password(b"right".to_vec()).unwrap().build().unwrap();
    let (mut events, mut is_up, mut sent, mut acknowledged) = (connection.send(connect.into()), false, 0, 0);
    let mut start = Instant::now();
    while acknowledged < messages {
        for event in events.drain(..) {
            match event {
                Event::RequestSendPacket { packet, .. } => stream.write_all(&packet.to_continuous_buffer()).unwrap(),
                Event::NotifyPacketReceived(Packet::V5_0Connack(_)) => (is_up, start) = (true, Instant::now()),
                Event::NotifyPacketReceived(Packet::V5_0Puback(_)) => acknowledged += 1,
                Event::NotifyError(error) => panic!("{error:?}"),
                _ => {}
            }
        }
        if is_up && sent < messages && connection.get_receive_maximum_vacancy_for_send() != Some(0) {
            let publish = v5_0::Publish::builder().topic_name("raw").unwrap().qos(Qos::AtLeastOnce);
            let publish = publish.packet_id(connection.acquire_packet_id().unwrap()).payload(vec![7; 176]);
            events = connection.send(publish.build().unwrap().into());
            sent += 1;
            continue;
        }
        if acknowledged < messages {
            let len = stream.read(&mut octets).unwrap();
            assert!(len > 0, "the broker hung up");
            let mut cursor = Cursor::new(&octets[..len]);
            while cursor.position() < len as u64 {
                events.extend(connection.recv(&mut cursor));
            }
        }
    }
    messages as f64 / start.elapsed().as_secs_f64()
}

#[test]
#[ignore = "needs mosquitto"]
fn what_it_costs_beside_a_raw_client() {
    let port = free_port();
    let trial = Trial::new(PROGRAM, format!("127.0.0.1:{port}"), 2_000).with(&["--user", "plant"]);
    let _running = Mosquitto::prepare(trial.folder(), port).start();
    let [right, _] = trial.passwords();
    let receiver = trial.receiver(&["--password", &right]);
    receiver.wait_for(1, "connected");
    let (ours, raw) = (trial.rate(&["--password", &right]), raw_rate(port, 2_000));
    println!("mqtt: {ours:.0} messages a second to the receiver and back, a raw client {raw:.0} to the broker");
    assert!(ours > raw / 200.0, "{ours} of {raw}");
}
