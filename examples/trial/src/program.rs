//! A program that runs.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// How long anything may take: the machine may have a lot to do.
const PATIENCE: Duration = Duration::from_secs(300);

/// A program that runs, and what it has said. Dropping it kills it.
pub struct Program {
    child: Child,
    input: Option<ChildStdin>,
    said: Arc<(Mutex<Vec<String>>, Condvar)>,
}

impl Program {
    /// Starts it.
    ///
    /// # Panics
    ///
    /// If there is no such program.
    pub fn start(program: impl AsRef<Path>, arguments: &[&str]) -> Self {
        let program = program.as_ref();
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", program.display()));
        let said = Arc::new((Mutex::new(Vec::new()), Condvar::new()));
        listen(child.stdout.take().expect("it is piped"), said.clone());
        listen(child.stderr.take().expect("it is piped"), said.clone());
        Self { input: child.stdin.take(), child, said }
    }

    /// Waits until `count` lines that hold `words` were said, and returns the last of them.
    ///
    /// # Panics
    ///
    /// If that takes too long.
    pub fn wait_for(&self, count: usize, words: &str) -> String {
        self.wait_for_any(count, &[words])
    }

    /// Waits until `count` lines that hold one of `words` were said, and returns the last of them.
    ///
    /// # Panics
    ///
    /// If that takes too long.
    pub fn wait_for_any(&self, count: usize, words: &[&str]) -> String {
        let (said, more) = &*self.said;
        let end = Instant::now() + PATIENCE;
        let mut lines = said.lock().expect("nobody panics with the lock");
        loop {
            let mut meant = lines.iter().filter(|line| words.iter().any(|words| line.contains(words)));
            if let Some(line) = meant.nth(count.saturating_sub(1)) {
                return line.clone();
            }
            let left = end.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{count} times {words:?} was not said, but:\n{}", lines.join("\n"));
            lines = more.wait_timeout(lines, left).expect("nobody panics with the lock").0;
        }
    }

    /// How many lines that hold `words` were said.
    pub fn count(&self, words: &str) -> usize {
        let lines = self.said.0.lock().expect("nobody panics with the lock");
        lines.iter().filter(|line| line.contains(words)).count()
    }

    /// The number of its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Types a line.
    pub fn type_line(&mut self, line: &str) {
        // Who has ended does not read.
        let _ = self.input.as_mut().map(|input| writeln!(input, "{line}"));
    }

    /// Types nothing more.
    #[must_use]
    pub fn end_input(mut self) -> Self {
        self.input = None;
        self
    }

    /// Kills it in the middle of whatever it does.
    pub fn kill(mut self) {
        self.end();
    }

    /// Asks it to end by SIGTERM, and waits until it has.
    ///
    /// # Panics
    ///
    /// If it takes too long.
    pub fn terminate(self) -> ExitStatus {
        let told = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        assert!(told.is_ok_and(|status| status.success()), "it has ended before:\n{}", self.lines());
        self.wait()
    }

    /// Waits until it has ended.
    ///
    /// # Panics
    ///
    /// If it takes too long.
    pub fn wait(mut self) -> ExitStatus {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("it is our child") {
                return status;
            }
            assert!(Instant::now() < end, "it does not end:\n{}", self.lines());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// All that was said.
    pub fn lines(&self) -> String {
        self.said.0.lock().expect("nobody panics with the lock").join("\n")
    }

    fn end(&mut self) {
        // On Unix this is SIGKILL. Who has ended cannot be killed, which is all right.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The program of another example, built as the program `of` a test is.
///
/// # Panics
///
/// If it cannot be built.
pub fn sibling(of: &str, program: &str) -> &'static str {
    siblings(of, [program])[0]
}

/// Programs of other examples, built by one call beside the program `of` a test.
///
/// # Panics
///
/// If one cannot be built.
pub fn siblings<const N: usize>(of: &str, programs: [&str; N]) -> [&'static str; N] {
    let place = Path::new(of);
    // Of the whole workspace and with a test, so that all crates have the features with which its tests are built: with
    // others they would be compiled once more.
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "--locked", "--workspace", "--test", "applications"]);
    build.current_dir(env!("CARGO_MANIFEST_DIR"));
    build.args(programs.iter().flat_map(|program| ["--bin", program]));
    if place.parent().is_some_and(|folder| folder.ends_with("release")) {
        build.arg("--release");
    }
    assert!(build.status().is_ok_and(|status| status.success()), "{programs:?} are built");
    programs.map(|program| {
        let path = place.with_file_name(program);
        &*path.to_str().expect("it has a plain name").to_owned().leak()
    })
}

impl Drop for Program {
    fn drop(&mut self) {
        self.end();
    }
}

fn listen(output: impl std::io::Read + Send + 'static, said: Arc<(Mutex<Vec<String>>, Condvar)>) {
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            said.0.lock().expect("nobody panics with the lock").push(line);
            said.1.notify_all();
        }
    });
}
