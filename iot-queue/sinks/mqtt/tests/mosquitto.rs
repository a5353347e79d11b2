//! Mirroring through mosquitto, which these tests start, kill and start again.
//!
//! The environment says how much is done:
//!
//! ```text
//! IOT_MQTT_MESSAGES=100000 IOT_MQTT_KILLS=30 \
//!     cargo test -p iot-queue-mqtt --test mosquitto -- --ignored --nocapture --test-threads 1
//! ```
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::time::Duration;

use iot_queue_mqtt::{Topic, TopicReader, mirror_config, mqtt_sink};
use iot_trial::{Forwarder, Kills, Program, forward_for_ever, free_port, receive_for_ever, survives_kills};

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().unwrap())
}

fn topic(port: &str) -> Topic {
    Topic::new(format!("127.0.0.1:{port}"), "plant")
}

fn run_async<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap().block_on(future)
}

/// Whether this process is a gateway or a receiver, as long as it lives.
fn takes_part() -> bool {
    let Some(words) = Forwarder::part() else { return false };
    let [role, path, port] = words.split(' ').collect::<Vec<_>>()[..] else { panic!("{words}") };
    run_async(async {
        if role == "receiver" {
            return receive_for_ever(Path::new(path), TopicReader::new(topic(port))).await;
        }
        let (sink, driver) = mqtt_sink(topic(port));
        tokio::spawn(driver.run());
        forward_for_ever(Path::new(path), mirror_config().answer_within(Duration::from_secs(1)), sink).await;
    });
    true
}

fn nothing_is_missing(test: &str, persistence: &str) {
    if takes_part() {
        return;
    }
    let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
    let path = folder.path().join("mosquitto.conf");
    let owner = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(folder.path()).unwrap());
    let owner = if owner == 0 { "user root\n" } else { "" };
    let settings =
        format!("{owner}listener {port} 127.0.0.1\nallow_anonymous true\nmax_inflight_messages 0\n{persistence}");
    std::fs::write(&path, settings.replace("FOLDER", folder.path().to_str().unwrap())).unwrap();
    let kills = setting("IOT_MQTT_KILLS", 6);
    let kills = Kills { gateway: kills, broker: kills / 2, receiver: kills };
    survives_kills(test, &port.to_string(), setting("IOT_MQTT_MESSAGES", 12_000), kills, || {
        let broker = Program::start("mosquitto", &["-c", path.to_str().unwrap()]);
        broker.wait_for(1, "running");
        broker
    });
}

#[test]
#[ignore = "needs mosquitto"]
fn nothing_is_missing_or_twice_or_out_of_order_behind_a_broker_that_forgets() {
    const TEST: &str = "nothing_is_missing_or_twice_or_out_of_order_behind_a_broker_that_forgets";
    nothing_is_missing(TEST, "persistence false\n");
}

#[test]
#[ignore = "needs mosquitto"]
fn nothing_is_missing_or_twice_or_out_of_order_behind_a_broker_that_remembers() {
    const TEST: &str = "nothing_is_missing_or_twice_or_out_of_order_behind_a_broker_that_remembers";
    let persistence =
        "persistence true\npersistence_location FOLDER/\nautosave_on_changes true\nautosave_interval 50\n";
    nothing_is_missing(TEST, persistence);
}
