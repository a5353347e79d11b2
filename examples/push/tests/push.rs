//! Two subscribers, one behind nginx, through kills of everything.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::atomic::Ordering::Relaxed;

use iot_trial::{Authority, Mischief, Nginx, Program, TcpProxy, Validity, free_port, meddle_between};

const PUSH: &str = env!("CARGO_BIN_EXE_push");
const NAMES: [&str; 2] = ["archive", "alarm"];

struct Site {
    folder: tempfile::TempDir,
    readings: String,
    /// Where the two subscribers are posted to, and where they listen.
    posted: [u16; 2],
    listening: [u16; 2],
    page: u16,
}

impl Site {
    /// Draws keys, and writes a file of so many readings.
    fn new(readings: u32) -> Self {
        let (folder, lines) = (tempfile::tempdir().unwrap(), lines(readings));
        std::fs::write(folder.path().join("readings.csv"), &lines).unwrap();
        let ports = [free_port(), free_port()];
        let site = Self { folder, readings: lines, posted: ports, listening: ports, page: free_port() };
        let drawn = Command::new(PUSH).args([&["keys", site.path()][..], &NAMES].concat()).status().unwrap();
        assert!(drawn.success());
        site
    }

    fn path(&self) -> &str {
        self.folder.path().to_str().unwrap()
    }

    /// The publisher, with a page; it posts to those that are said.
    fn publisher(&self, posted: &[&str], more: &[&str]) -> Program {
        let (input, page) = (format!("{}/readings.csv", self.path()), format!("127.0.0.1:{}", self.page));
        let mut arguments = vec!["publisher", self.path(), "--input", &input, "--page", &page];
        arguments.extend(posted.iter().flat_map(|word| ["--subscriber", word]));
        Program::start(PUSH, &[&arguments[..], more].concat())
    }

    /// A publisher that posts to both.
    fn poster(&self, more: &[&str]) -> Program {
        let [archive, alarm] = [0, 1].map(|index| format!("{}=http://127.0.0.1:{}", NAMES[index], self.posted[index]));
        self.publisher(&[&archive, &alarm], more)
    }

    fn subscriber(&self, index: usize) -> Program {
        let folder = format!("{}/{}", self.path(), NAMES[index]);
        let program =
            Program::start(PUSH, &["receiver", &folder, "--server", &format!("127.0.0.1:{}", self.listening[index])]);
        program.wait_for(1, "connected");
        program
    }

    fn fetcher(&self, index: usize) -> Program {
        let folder = format!("{}/{}", self.path(), NAMES[index]);
        let page = format!("http://127.0.0.1:{}", self.page);
        Program::start(PUSH, &["receiver", &folder, "--client", "receiver", "--server", &page])
    }

    fn list(&self, name: &str) -> String {
        let listed = Command::new(PUSH).args(["list", &format!("{}/{name}", self.path())]).output().unwrap();
        assert!(listed.status.success(), "{listed:?}");
        String::from_utf8(listed.stdout).unwrap()
    }

    /// How it is with each subscriber, as soon as the page says these words.
    fn wait_for_page(&self, words: &str) -> String {
        for _ in 0..600 {
            let mut answer = String::new();
            if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.page)) {
                write!(stream, "GET / HTTP/1.0\r\n\r\n").unwrap();
                stream.read_to_string(&mut answer).unwrap();
            }
            if answer.contains(words) {
                return answer;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        panic!("the page does not say {words:?}");
    }

    /// Ends both subscribers, and holds what arrived against what was read.
    fn everything_arrived(&self, subscribers: [Program; 2]) {
        for (subscriber, name) in subscribers.into_iter().zip(NAMES) {
            assert!(subscriber.terminate().success());
            let listed = self.list(name);
            // A publisher that was killed may have read more than the one after it.
            let count = self.readings.lines().count().max(listed.lines().count());
            let read = lines(count as u32);
            let same = read.lines().zip(listed.lines()).take_while(|(read, listed)| read == listed).count();
            assert!(listed == read, "{name} has {same} readings in order, of {count}");
        }
    }
}

/// So many readings, as lines.
fn lines(readings: u32) -> String {
    let mut lines = String::new();
    (0..readings).for_each(|number| writeln!(lines, "{},{}", 1_767_225_600 + 60 * number, number % 700).unwrap());
    lines
}

/// Kills everything in the middle once, and holds what arrived against what was read.
fn survives_kills(site: &Site) {
    // The first publisher does not end by itself, however slow everything else is.
    let endless = format!("{}/endless.csv", site.path());
    std::fs::write(&endless, lines(500_000)).unwrap();
    let publisher = site.poster(&["--rate", "500", "--input", &endless]);
    publisher.wait_for(1, "tries again");
    let (archive, alarm) = (site.subscriber(0), site.subscriber(1));
    archive.wait_for(20, "accepted");
    alarm.wait_for(20, "accepted");
    alarm.kill();
    archive.wait_for(archive.count("accepted") + 20, "accepted");
    let said = site.wait_for_page("tries again every");
    assert!(said.lines().any(|line| line.starts_with("alarm: ") && line.contains("tries again every")), "{said}");
    assert!(said.lines().any(|line| line.starts_with("archive: ") && line.ends_with("well")), "{said}");
    publisher.kill();
    let publisher = site.poster(&["--rate", "0"]);
    let alarm = site.subscriber(1);
    archive.kill();
    let archive = site.subscriber(0);
    assert!(publisher.wait().success());
    site.everything_arrived([archive, alarm]);
}

#[test]
fn every_subscriber_has_everything_whoever_is_killed() {
    survives_kills(&Site::new(3_000));
}

/// nginx before the first subscriber.
fn configure(site: &mut Site) -> Nginx {
    site.listening[0] = free_port();
    let settings = format!("location / {{ proxy_pass http://127.0.0.1:{}; }}", site.listening[0]);
    Nginx::configure(site.folder.path(), site.posted[0], &settings)
}

#[test]
#[ignore = "needs nginx"]
fn a_proxy_may_stand_in_between() {
    let mut site = Site::new(3_000);
    let _running = configure(&mut site).start();
    survives_kills(&site);
}

#[test]
#[ignore = "needs nginx"]
fn a_proxy_may_speak_tls_to_who_trusts_it() {
    let mut site = Site::new(1_000);
    let plant = Authority::new(site.folder.path(), "plant");
    let nginx = configure(&mut site).with_tls(&plant.issue("good", &["127.0.0.1"], Validity::Now));
    let running = nginx.start();
    let subscribers = [0, 1].map(|index| site.subscriber(index));
    let archive = format!("archive=https://127.0.0.1:{}", site.posted[0]);
    let alarm = format!("alarm=127.0.0.1:{}", site.posted[1]);
    let [unknown, plant] = ["other", "plant"].map(|name| format!("{}/{name}.pem", site.path()));
    Authority::new(site.folder.path(), "other");
    let publisher = site.publisher(&[&archive, &alarm], &["--ca", &unknown, "--rate", "100"]);
    publisher.wait_for(1, "the server's certificate is of a CA that is not trusted here: give that CA by --ca FILE");
    subscribers[1].wait_for(10, "accepted");
    assert!(subscribers[0].count("accepted") == 0 && publisher.terminate().success());
    let publisher = site.publisher(&[&archive, &alarm], &["--ca", &plant, "--rate", "200"]);
    subscribers[0].wait_for(20, "accepted");
    running.kill();
    publisher.wait_for(1, "tries again");
    let _running = nginx.start();
    assert!(publisher.wait().success());
    site.everything_arrived(subscribers);
}

#[test]
fn what_a_proxy_alters_is_refused_and_posted_again() {
    let mut site = Site::new(1_200);
    let mischief = Mischief { alter: 15, drop: 3, ..Mischief::default() };
    let server = SocketAddr::from((Ipv4Addr::LOCALHOST, site.listening[0]));
    let proxy = TcpProxy::start(server, mischief, 1);
    site.posted[0] = proxy.address.port();
    let subscribers = [0, 1].map(|index| site.subscriber(index));
    let publisher = site.poster(&["--rate", "0", "--batch", "4"]);
    assert!(publisher.wait().success());
    assert!(proxy.counts[0].altered.load(Relaxed) > 0, "{:?}", proxy.counts);
    site.everything_arrived(subscribers);
}

#[test]
fn whatever_a_proxy_does_to_packets_is_refused_or_made_good() {
    let mut site = Site::new(1_200);
    site.posted[0] = free_port();
    let [front, back] = [site.posted[0], site.listening[0]];
    let subscribers = [0, 1].map(|index| site.subscriber(index));
    let counts = meddle_between(iot_http::dialer, front, back);
    let publisher = site.poster(&["--rate", "0", "--batch", "4"]);
    assert!(publisher.wait().success());
    let [archive, _] = &subscribers;
    assert!(archive.count("refused") > 0 && archive.count("missing") == 0, "{}", archive.lines());
    assert!(counts.iter().all(|counts| counts.is_of_each()), "{counts:?}");
    site.everything_arrived(subscribers);
}

#[test]
fn who_cannot_be_posted_to_fetches_from_where_it_stopped() {
    let site = Site::new(2_000);
    let archive = site.fetcher(0);
    archive.wait_for(1, "trying again");
    let first = site.publisher(&[], &["--rate", "1000"]);
    let alarm = site.fetcher(1);
    archive.wait_for(20, "accepted");
    alarm.wait_for(20, "accepted");
    first.kill();
    archive.kill();
    let second = site.publisher(&[], &["--rate", "0"]);
    let archive = site.fetcher(0);
    assert!(second.wait().success());
    site.everything_arrived([archive, alarm]);
}

#[test]
fn who_answers_without_an_acknowledgement_has_nothing() {
    let site = Site::new(100);
    let server = TcpListener::bind(("127.0.0.1", site.posted[1])).unwrap();
    std::thread::spawn(move || {
        for mut stream in server.incoming().flatten() {
            let _ = stream.read(&mut [0; 65_536]);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        }
    });
    let archive = site.subscriber(0);
    let publisher = site.poster(&["--rate", "0"]);
    archive.wait_for(10, "accepted");
    publisher.wait_for(1, "it acknowledged nothing in time");
    let said = site.wait_for_page("alarm: 0 acknowledged, 10 wait, failed");
    assert!(said.contains("archive: 10 acknowledged, 0 wait, well"), "{said}");
    assert!(publisher.terminate().success());
}

#[test]
fn a_subscriber_that_stays_away_is_told_what_it_missed() {
    let site = Site::new(1_000);
    let archive = site.subscriber(0);
    let publisher = site.poster(&["--rate", "300", "--max-lag", "60"]);
    archive.wait_for(100, "accepted");
    let alarm = site.subscriber(1);
    assert!(publisher.wait().success());
    alarm.wait_for(1, "missing 0..40");
    assert!(alarm.terminate().success());
    let listed = site.list("alarm");
    assert!(listed.starts_with("# messages 0..40 are missing"), "{}", &listed[..100]);
    assert_eq!(listed.lines().count(), 1 + 600);
}

#[test]
fn the_first_user_is_told_what_is_missing() {
    let site = Site::new(10);
    let said = |arguments: &[&str]| {
        let program = Program::start(PUSH, arguments);
        let line = program.wait_for(1, "push");
        (line, program.wait().code())
    };
    assert_eq!(said(&[]), ("push: a command is missing or incomplete: see --help".into(), Some(2)));
    let (line, code) = said(&["publisher", "nowhere"]);
    assert!(line.contains("nowhere/publisher/keys: No such file") && code == Some(1), "{line}");
    let (line, code) = said(&["publisher", site.path(), "--subscriber", "nobody=127.0.0.1:1"]);
    assert_eq!((line.as_str(), code), ("push: there are no keys of a subscriber nobody", Some(1)));
    let (line, code) = said(&["publisher", site.path(), "--subscriber", "alarm=ftp://127.0.0.1:1"]);
    assert!(line.contains("no ftp here; give http://HOST:PORT or https://HOST:PORT") && code == Some(1), "{line}");
    let (line, code) = said(&["receiver", "nowhere"]);
    assert!(line.contains("nowhere/receiver/keys: No such file") && code == Some(1), "{line}");
}
