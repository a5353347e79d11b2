//! Against tansu, which is killed and started again in the middle, as both ends are.

use iot_trial::{Trial, free_port, make_topic, start_tansu};

const PROGRAM: &str = env!("CARGO_BIN_EXE_kafka");

#[test]
#[ignore = "needs tansu"]
fn nothing_is_lost_through_kills_of_all_three() {
    let port = free_port();
    // A broker that is killed loses nothing that the system has not written yet; so nothing need settle for long.
    let trial = Trial::new(PROGRAM, format!("127.0.0.1:{port}"), 2_000).with(&["--settle", "1"]);
    let device = trial.device(&["--rate", "300"]);
    device.wait_for(1, "trying again");
    let first = start_tansu(trial.folder(), port);
    // There is a broker, but what it is to keep must be said.
    device.wait_for(1, "there is no partition 0 of a topic iot-commands");
    ["iot-readings", "iot-commands"].iter().for_each(|topic| make_topic(port, topic));
    let receiver = trial.receiver(&[]);
    receiver.wait_for(30, "accepted");
    first.kill();
    receiver.wait_for(1, "trying again");
    let _second = start_tansu(trial.folder(), port);
    trial.survives_kills(device, receiver, [&[], &[]]);
}
