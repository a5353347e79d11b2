//! Two subscribers, one behind nginx, through kills of everything.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;

use iot_trial::{Nginx, Program, free_port};

const PUSH: &str = env!("CARGO_BIN_EXE_push");

struct Site {
    folder: tempfile::TempDir,
    readings: String,
    /// Where the two subscribers are posted to, and where they listen.
    posted: [u16; 2],
    listening: [u16; 2],
    status: u16,
}

impl Site {
    /// Draws keys, and writes a file of so many readings.
    fn new(readings: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut lines = String::new();
        (0..readings).for_each(|number| writeln!(lines, "{},{}", 1_767_225_600 + 60 * number, number % 700).unwrap());
        std::fs::write(folder.path().join("readings.csv"), &lines).unwrap();
        let ports = [free_port(), free_port()];
        let site = Self { folder, readings: lines, posted: ports, listening: ports, status: free_port() };
        let drawn = Command::new(PUSH).args(["keys", site.path(), "archive", "alarm"]).status().unwrap();
        assert!(drawn.success());
        site
    }

    fn path(&self) -> &str {
        self.folder.path().to_str().unwrap()
    }

    fn publisher(&self, more: &[&str]) -> Program {
        let urls = ["archive", "alarm"].into_iter().zip(self.posted);
        let [archive, alarm] = [0, 1].map(|index| {
            let (name, port) = urls.clone().nth(index).unwrap();
            format!("{name}=http://127.0.0.1:{port}/readings")
        });
        let input = format!("{}/readings.csv", self.path());
        let status = format!("127.0.0.1:{}", self.status);
        let arguments = ["publisher", self.path(), "--subscriber", &archive, "--subscriber", &alarm, "--input", &input];
        Program::start(PUSH, &[&arguments[..], &["--page", &status], more].concat())
    }

    fn subscriber(&self, index: usize) -> Program {
        let listen = format!("127.0.0.1:{}", self.listening[index]);
        let name = ["archive", "alarm"][index];
        let program = Program::start(PUSH, &["subscriber", self.path(), name, "--listen", &listen]);
        program.wait_for(1, "listens at");
        program
    }

    fn list(&self, name: &str) -> String {
        let listed = Command::new(PUSH).args(["list", self.path(), name]).output().unwrap();
        assert!(listed.status.success(), "{listed:?}");
        String::from_utf8(listed.stdout).unwrap()
    }

    fn status(&self) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.status)).unwrap();
        write!(stream, "GET / HTTP/1.0\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }
}

/// Kills everything in the middle once, and holds what arrived against what was read.
fn survives_kills(site: &Site) {
    let publisher = site.publisher(&["--rate", "500"]);
    publisher.wait_for(1, "trying again");
    let (archive, alarm) = (site.subscriber(0), site.subscriber(1));
    archive.wait_for(20, "accepted");
    alarm.wait_for(20, "accepted");
    alarm.kill();
    archive.wait_for(archive.count("accepted") + 20, "accepted");
    let said = site.status();
    assert!(said.contains("alarm: ") && said.contains("tries again every"), "{said}");
    assert!(said.lines().any(|line| line.starts_with("archive: ") && line.ends_with("well")), "{said}");
    publisher.kill();
    let publisher = site.publisher(&["--rate", "0"]);
    let alarm = site.subscriber(1);
    archive.kill();
    let archive = site.subscriber(0);
    assert!(publisher.wait().success());
    for (subscriber, name) in [(archive, "archive"), (alarm, "alarm")] {
        assert!(subscriber.terminate().success());
        let listed = site.list(name);
        let same = site.readings.lines().zip(listed.lines()).take_while(|(read, listed)| read == listed).count();
        assert!(listed == site.readings, "{name} has {same} readings in order, of {}", site.readings.lines().count());
    }
}

#[test]
fn every_subscriber_has_everything_whoever_is_killed() {
    survives_kills(&Site::new(3_000));
}

#[test]
#[ignore = "needs nginx"]
fn a_proxy_may_stand_in_between() {
    let mut site = Site::new(3_000);
    site.listening[0] = free_port();
    let settings = format!("location / {{ proxy_pass http://127.0.0.1:{}; }}", site.listening[0]);
    let nginx = Nginx::configure(site.folder.path(), site.posted[0], &settings);
    let _running = nginx.start();
    survives_kills(&site);
}

#[test]
fn who_cannot_be_posted_to_fetches_from_where_it_stopped() {
    let site = Site::new(2_000);
    let (input, page) = (format!("{}/readings.csv", site.path()), format!("127.0.0.1:{}", site.status));
    let publisher = |rate| {
        let subscribers = ["--subscriber", "archive=pull", "--subscriber", "alarm=pull"];
        let arguments = ["publisher", site.path(), "--input", &input, "--page", &page, "--rate", rate];
        Program::start(PUSH, &[&arguments[..], &subscribers].concat())
    };
    let url = format!("http://{page}");
    let subscriber = |name| Program::start(PUSH, &["subscriber", site.path(), name, "--pull", &url]);
    let archive = subscriber("archive");
    archive.wait_for(1, "trying again");
    let first = publisher("1000");
    let alarm = subscriber("alarm");
    archive.wait_for(20, "accepted");
    alarm.wait_for(20, "accepted");
    first.kill();
    archive.kill();
    let second = publisher("0");
    let archive = subscriber("archive");
    assert!(second.wait().success());
    for (program, name) in [(archive, "archive"), (alarm, "alarm")] {
        assert!(program.terminate().success());
        assert!(site.list(name) == site.readings, "{name}");
    }
}

#[test]
fn who_answers_without_a_receipt_has_nothing() {
    let site = Site::new(100);
    let server = std::net::TcpListener::bind(("127.0.0.1", site.posted[1])).unwrap();
    std::thread::spawn(move || {
        for mut stream in server.incoming().flatten() {
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
        }
    });
    let archive = site.subscriber(0);
    let publisher = site.publisher(&["--rate", "0"]);
    archive.wait_for(10, "accepted");
    publisher.wait_for(1, "alarm: ");
    let said = site.status();
    assert!(said.contains("alarm: 0 delivered, 10 wait"), "{said}");
    assert!(publisher.terminate().success());
}

#[test]
fn a_subscriber_that_stays_away_is_told_what_it_missed() {
    let site = Site::new(1_000);
    let archive = site.subscriber(0);
    let publisher = site.publisher(&["--rate", "300", "--max-lag", "60"]);
    archive.wait_for(100, "accepted");
    let alarm = site.subscriber(1);
    assert!(publisher.wait().success());
    alarm.wait_for(1, "missing 0..40");
    assert!(alarm.terminate().success());
    let listed = site.list("alarm");
    assert!(listed.starts_with("# messages 0..40 are missing"), "{}", &listed[..100]);
    assert_eq!(listed.lines().count(), 1 + 600);
}
