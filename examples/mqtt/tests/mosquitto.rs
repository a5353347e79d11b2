//! Against mosquitto, which is killed and started again in the middle, as both ends are.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use iot_trial::{Mosquitto, Program, Trial, free_port};

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

#[test]
fn tls_is_refused_with_advice() {
    let trial = Trial::new(PROGRAM, "mqtts://broker.example:8883", 10);
    let device = trial.device(&[]);
    device.wait_for(1, "this client has no TLS; give HOST:PORT, of stunnel for one, which speaks it");
    assert_eq!(device.wait().code(), Some(1));
}
