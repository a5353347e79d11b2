use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::process::{Child, ChildStderr, Command, Stdio};

/// A node in a process of its own, killed without a word when it is dropped.
pub struct Process {
    child: Child,
    pub address: SocketAddr,
    log: BufReader<ChildStderr>,
}

impl Process {
    pub fn start(listen: &str, known: Option<SocketAddr>) -> Self {
        Self::start_with(listen, known, &[])
    }

    /// With more arguments than that.
    pub fn start_with(listen: &str, known: Option<SocketAddr>, more: &[&OsStr]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_iot"));
        command.args(["dht", "node", "--local", "--listen", listen]).args(more);
        if let Some(known) = known {
            command.args(["--bootstrap", &known.to_string()]);
        }
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut words = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = words.next().unwrap().unwrap();
        assert!(words.next().unwrap().unwrap().starts_with("id       "));
        let address = line.strip_prefix("address  ").expect("its address comes first").parse().unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        Self { child, address, log }
    }

    /// Asks it to end, as a service manager does, and gives its last words and whether it succeeded.
    pub fn terminate(mut self) -> (String, bool) {
        let status = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
        let mut words = String::new();
        self.log.read_to_string(&mut words).unwrap();
        (words, self.child.wait().unwrap().success())
    }

    pub fn wait_until_joined(&mut self) {
        self.wait_for("joined the network");
    }

    /// Waits for a line of its log that begins like this, and gives it.
    pub fn wait_for(&mut self, words: &str) -> String {
        let mut line = String::new();
        while !line.starts_with(words) {
            line.clear();
            assert!(self.log.read_line(&mut line).unwrap() > 0, "the node ended before it said {words:?}");
        }
        line
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
