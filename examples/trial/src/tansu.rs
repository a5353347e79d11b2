//! tansu, a broker of Kafka's protocol.

use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::Program;

/// How long it may take to start.
const PATIENCE: Duration = Duration::from_secs(60);

/// Starts tansu on `port` of the loopback interface, with what it has stored in `folder`.
///
/// # Panics
///
/// If it does not start.
pub fn start_tansu(folder: &Path, port: u16) -> Program {
    let (folder, url) = (folder.to_str().expect("it has a plain name"), format!("tcp://127.0.0.1:{port}"));
    // It takes the name of its file for one below the folder that it is in.
    let begin = ["-c", "cd \"$0\" && exec tansu \"$@\"", folder, "broker", "--storage-engine", "sqlite://tansu.db"];
    let listen = ["--kafka-listener-url", &url, "--kafka-advertised-listener-url", &url];
    let (broker, end) = (Program::start("sh", &[&begin[..], &listen].concat()), Instant::now() + PATIENCE);
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(Instant::now() < end, "tansu does not start:\n{}", broker.lines());
        std::thread::sleep(Duration::from_millis(10));
    }
    broker
}

/// Makes a topic with two partitions, in the tansu on `port`.
///
/// # Panics
///
/// If it cannot.
pub fn make_topic(port: u16, topic: &str) {
    let broker = format!("tcp://127.0.0.1:{port}");
    let made = Program::start("tansu", &["topic", "create", "--broker", &broker, "--partitions", "2", topic]).wait();
    assert!(made.success(), "tansu makes no topic {topic}");
}
