//! What a program has around it.

use std::error::Error;
use std::io;
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock, mpsc};
use std::time::SystemTime;

use iot_core::{Instant, Timestamp};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;

/// Why a program cannot go on.
pub type Failure = Box<dyn Error + Send + Sync>;

/// The time since this process first asked.
pub fn now() -> Instant {
    static START: OnceLock<std::time::Instant> = OnceLock::new();
    Instant::from_micros(START.get_or_init(std::time::Instant::now).elapsed().as_micros() as u64)
}

/// The time of day.
pub fn wall() -> Timestamp {
    let passed = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_micros(u64::try_from(passed.as_micros()).unwrap_or(u64::MAX))
}

/// Chance, seeded by the operating system.
///
/// # Errors
///
/// When that has none.
pub fn rng() -> io::Result<ChaCha20Rng> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(io::Error::other)?;
    Ok(ChaCha20Rng::from_seed(seed))
}

/// What SIGTERM and SIGINT set.
///
/// # Errors
///
/// When the operating system does not take a handler.
pub fn stop_flag() -> io::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let catch = |signal| signal_hook::flag::register(signal, stop.clone()).map(drop);
    [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT].into_iter().try_for_each(catch).map(|()| stop.clone())
}

/// What is typed, line by line. Nobody waits for the thread that reads it: it may read for ever.
pub fn lines_of_stdin() -> mpsc::Receiver<String> {
    let (line, lines) = mpsc::channel();
    std::thread::spawn(move || io::stdin().lines().map_while(Result::ok).try_for_each(|typed| line.send(typed)));
    lines
}

/// Says why a program failed, with all causes, and gives its exit code.
pub fn end(name: &str, outcome: Result<(), Failure>) -> ExitCode {
    let Err(failure) = outcome else { return ExitCode::SUCCESS };
    // A command line that makes no sense is nobody's failure but the caller's; its error says what its source says.
    let is_usage = failure.is::<lexopt::Error>();
    let causes = std::iter::successors(failure.source().filter(|_| !is_usage), |&cause| cause.source());
    eprintln!("{name}: {}", causes.fold(failure.to_string(), |words, cause| format!("{words}: {cause}")));
    if is_usage { ExitCode::from(2) } else { ExitCode::FAILURE }
}
