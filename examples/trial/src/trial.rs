//! Two ends of an application, and the verdict about them.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::Ordering::Relaxed;

use tempfile::TempDir;

use crate::{Framing, Mischief, Program, TcpProxy};

/// Readings of a device that is to be killed: at 1,000 a second it goes on for longer than any test has patience.
const ENDLESS: u32 = 500_000;

/// The two ends of an application in a folder of their own, with readings to send.
pub struct Trial {
    program: &'static str,
    folder: TempDir,
    server: String,
    more: Vec<String>,
    readings: String,
}

impl Trial {
    /// Draws keys for the ends of `program`, which will meet at `server`, and writes a file of so many readings.
    ///
    /// # Panics
    ///
    /// If no keys can be drawn.
    pub fn new(program: &'static str, server: impl Into<String>, readings: u32) -> Self {
        let (folder, lines) = (tempfile::tempdir().expect("there is room for a folder"), lines(readings));
        std::fs::write(folder.path().join("readings.csv"), &lines).expect("there is room for a file");
        let trial = Self { program, folder, server: server.into(), more: Vec::new(), readings: lines };
        let keys = Command::new(program).arg("keys").arg(trial.folder()).output().expect("the program starts");
        assert!(keys.status.success(), "{keys:?}");
        trial
    }

    /// Gives both ends these arguments, too.
    #[must_use]
    pub fn with(mut self, arguments: &[&str]) -> Self {
        self.more.extend(arguments.iter().map(ToString::to_string));
        self
    }

    /// Starts the device, with arguments of its own.
    pub fn device(&self, arguments: &[&str]) -> Program {
        self.read("readings.csv", arguments)
    }

    /// Starts an end of the trial, such as the `device`, with arguments that make no sense there: it says so in these words,
    /// and ends.
    ///
    /// # Panics
    ///
    /// If it does not.
    pub fn is_refused(&self, role: &str, arguments: &[&str], words: &str) {
        let end = self.start(role, arguments);
        end.wait_for(1, words);
        assert_eq!(end.wait().code(), Some(1), "{words}");
    }

    /// Starts a device that is to be killed, with arguments of its own: it has so many more readings that it does not end
    /// before that, however slow everything else is.
    ///
    /// # Panics
    ///
    /// If there is no room for them.
    pub fn endless_device(&self, arguments: &[&str]) -> Program {
        std::fs::write(self.folder().join("endless.csv"), lines(ENDLESS)).expect("there is room for a file");
        self.read("endless.csv", arguments)
    }

    fn read(&self, input: &str, arguments: &[&str]) -> Program {
        let input = self.folder().join(input);
        let input = input.to_str().expect("it has a plain name");
        self.start("device", &[&["--input", input], arguments].concat())
    }

    /// Starts the receiver, with arguments of its own.
    pub fn receiver(&self, arguments: &[&str]) -> Program {
        self.start("receiver", arguments)
    }

    /// Kills the receiver and then the device, an [endless one](Self::endless_device), in the middle of what they do, and
    /// starts each again, with arguments of its own; meanwhile a command reaches the device. In the end everything has
    /// arrived. Returns what the second receiver said.
    ///
    /// # Panics
    ///
    /// If one of that is not so.
    pub fn survives_kills(&self, device: Program, receiver: Program, arguments: [&[&str]; 2]) -> String {
        let said = self.goes_through_kills(device, receiver, arguments);
        self.verify_all_arrived();
        said
    }

    /// Sends everything through a proxy before `server` that turns bits over and cuts connections, with ends that have these
    /// arguments. Each message arrives, or is named as one that did not; gives what the receiver said, and how many readings
    /// did not arrive.
    ///
    /// # Panics
    ///
    /// If one of that is not so, or the proxy had nothing to do.
    pub fn survives_mischief(&self, server: SocketAddr, arguments: [&[&str]; 2], seed: u64) -> (String, usize) {
        let proxy = TcpProxy::start(server, Mischief { alter: 60, drop: 10, ..Mischief::default() }, seed);
        let said = self.goes_through(&proxy, arguments);
        assert!(proxy.counts[0].altered.load(Relaxed) > 0, "{:?}", proxy.counts);
        (said, self.verify_accounted_for(4))
    }

    /// Sends everything through a proxy before `server` that alters, drops, repeats and reorders messages, which it tells by
    /// `framing`. What was altered is refused, and everything arrives.
    ///
    /// # Panics
    ///
    /// If one of that is not so, or the proxy had nothing to do.
    pub fn survives_meddling<F: Framing + Clone + 'static>(
        &self,
        server: SocketAddr,
        framing: F,
        arguments: [&[&str]; 2],
    ) {
        let proxy = TcpProxy::between_messages(server, framing, Mischief::OF_EACH, 7);
        let said = self.goes_through(&proxy, arguments);
        assert!(said.contains("refused") && !said.contains("missing"), "{said}");
        assert!(proxy.counts.iter().all(|counts| counts.is_of_each()), "{:?}", proxy.counts);
        self.verify_all_arrived();
    }

    /// Sends everything through a proxy, four readings in a message; gives what the receiver said.
    fn goes_through(&self, proxy: &TcpProxy, [of_device, of_receiver]: [&[&str]; 2]) -> String {
        let receiver = self.receiver(of_receiver);
        let address = proxy.address.to_string();
        let device = self.device(&[of_device, &["--server", &address, "--rate", "0", "--batch", "4"]].concat());
        assert!(device.wait().success(), "the device ends well");
        let last = self.readings.lines().count() as u64 / 4 - 1;
        receiver.wait_for(1, &format!("accepted {last}:"));
        let said = receiver.lines();
        assert!(receiver.terminate().success(), "the receiver ends well:\n{said}");
        said
    }

    /// How many messages of one reading a device hands over in a second, when it has these arguments and as many as it likes.
    ///
    /// # Panics
    ///
    /// If it does not end well.
    pub fn rate(&self, arguments: &[&str]) -> f64 {
        let device = self.device(&[arguments, &["--rate", "0", "--batch", "1"]].concat());
        let said = device.wait_for(1, "ends after");
        assert!(device.wait().success(), "the device ends well");
        let seconds = said.split("ends after ").nth(1).and_then(|words| words.split(' ').next());
        let seconds: f64 = seconds.and_then(|words| words.parse().ok()).expect("it says how long it took");
        self.readings.lines().count() as f64 / seconds
    }

    /// Holds what the receiver accepted against what the device read, so many readings in a message: each message is there,
    /// in its order, or said to be missing. Gives how many readings are.
    ///
    /// # Panics
    ///
    /// If it differs.
    pub fn verify_accounted_for(&self, batch: usize) -> usize {
        let read: Vec<_> = self.readings.lines().collect();
        let (mut next, mut missing) = (0, 0);
        for line in self.list().lines() {
            if let Some(range) = line.strip_prefix("# messages ").and_then(|words| words.split(' ').next()) {
                let ends = range.split_once("..").map(|(start, end)| [start, end].map(str::parse::<usize>));
                let Some([Ok(start), Ok(end)]) = ends else { panic!("{line} names no range") };
                assert_eq!(start * batch, next, "{line}");
                (next, missing) = (end * batch, missing + (end - start) * batch);
            } else {
                assert_eq!(line, read[next]);
                next += 1;
            }
        }
        // Of the last ones nobody can say yet that they are missing.
        missing + read.len() - next
    }

    /// Files with the password that a server knows, `right`, and with one that it does not know.
    ///
    /// # Panics
    ///
    /// If they cannot be written.
    pub fn passwords(&self) -> [String; 2] {
        ["right", "wrong"].map(|password| {
            let path = self.folder().join(password);
            std::fs::write(&path, format!("{password}\n")).expect("there is room for a file");
            path.to_str().expect("it has a plain name").to_owned()
        })
    }

    /// Kills a server that stands between the ends and asks for a password, as well as both ends, and starts each again.
    /// Returns the server.
    ///
    /// # Panics
    ///
    /// If something is lost, or a wrong password not refused.
    pub fn survives_kills_of_all_three(&self, mut start: impl FnMut() -> Program) -> Program {
        let [right, wrong] = self.passwords();
        let login = ["--password", right.as_str()];
        let device = self.endless_device(&[&login[..], &["--rate", "300"]].concat());
        device.wait_for(1, "trying again");
        let first = start();
        let stranger = self.receiver(&["--password", &wrong]);
        stranger.wait_for(1, "wrong --user");
        assert_eq!(stranger.wait().code(), Some(1));
        let receiver = self.receiver(&login);
        receiver.wait_for(30, "accepted");
        first.kill();
        receiver.wait_for(1, "trying again");
        let second = start();
        self.survives_kills(device, receiver, [&login, &login]);
        second
    }

    /// Kills the receiver and then the device as [`survives_kills`](Self::survives_kills) does, for a receiver whose ledger
    /// goes on to somewhere else: look there for what arrived.
    ///
    /// # Panics
    ///
    /// If an end does not end well.
    pub fn goes_through_kills(&self, device: Program, receiver: Program, arguments: [&[&str]; 2]) -> String {
        let [of_device, of_receiver] = arguments;
        receiver.wait_for(receiver.count("accepted") + 30, "accepted");
        receiver.kill();
        let mut receiver = self.receiver(of_receiver);
        receiver.wait_for(30, "accepted");
        receiver.type_line("sample every 10 s");
        device.wait_for(1, "accepted 0: \"sample every 10 s\"");
        device.kill();
        let device = self.device(&[of_device, &["--rate", "0"]].concat());
        assert!(device.wait().success(), "the device ends well");
        let said = receiver.lines();
        assert!(receiver.terminate().success(), "the receiver ends well:\n{said}");
        said
    }

    /// Holds what the receiver accepted against what the device read: nothing may be missing, repeated, out of order or
    /// altered.
    ///
    /// # Panics
    ///
    /// If it differs.
    pub fn verify_all_arrived(&self) {
        self.verify(&self.list());
    }

    /// Holds lines that arrived somewhere, such as in a database, against what the device read.
    ///
    /// # Panics
    ///
    /// If they differ.
    pub fn verify(&self, arrived: &str) {
        let count = arrived.lines().count() as u32;
        // A device that was killed may have read more than the one after it.
        let read = lines(count.max(self.readings.lines().count() as u32));
        let difference = read.lines().zip(arrived.lines()).position(|(read, arrived)| read != arrived);
        let of = read.lines().count();
        assert!(read == arrived, "{of} readings were read, {count} arrived; first other line: {difference:?}");
    }

    /// What the receiver accepted, as it lists it.
    ///
    /// # Panics
    ///
    /// If it does not.
    pub fn list(&self) -> String {
        let listed = Command::new(self.program).arg("list").arg(self.folder()).output().expect("the program starts");
        assert!(listed.status.success(), "{listed:?}");
        String::from_utf8(listed.stdout).expect("it lists text")
    }

    /// The lines that the device reads.
    pub fn readings(&self) -> &str {
        &self.readings
    }

    /// Where they meet.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// Where the ends keep what is theirs.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn start(&self, role: &str, arguments: &[&str]) -> Program {
        let folder: PathBuf = self.folder().into();
        let mut all = vec![role, folder.to_str().expect("it has a plain name")];
        if !arguments.contains(&"--server") {
            all.extend(["--server", &self.server]);
        }
        all.extend(self.more.iter().map(String::as_str));
        all.extend(arguments);
        Program::start(self.program, &all)
    }
}

/// So many readings, as lines.
fn lines(readings: u32) -> String {
    let mut lines = String::new();
    for number in 0..readings {
        let value = f64::from(number.wrapping_mul(2_654_435_761) >> 20) / 100.0;
        writeln!(lines, "{},{value}", 1_767_225_600 + 60 * u64::from(number)).expect("a string has room");
    }
    lines
}
