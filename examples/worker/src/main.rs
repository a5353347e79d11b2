//! Runs a command for each job of a persistent queue. A job is leased while its command runs, and the lease is prolonged
//! meanwhile; when the command fails the job comes again, later each time, and in the end is a dead letter.

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::process::{Command, ExitCode, Stdio};
use std::sync::atomic::Ordering;
use std::sync::mpsc::RecvTimeoutError;
use std::thread::ScopedJoinHandle;
use std::time::Duration;

use iot_core::Timestamp;
use iot_link::Failure;
use iot_link::process::{self, lines_of_stdin, now, rng, wall};
use iot_queue::schedule::{Occurrence, Schedule};
use iot_queue::shared::{Clock, SharedQueue, SharedSettings};
use iot_queue::worker::{Job, Verdict, Worker, WorkerSettings};
use iot_queue::{AppendError, FileStorage, Message, Queue, QueueConfig};
use lexopt::prelude::*;
use rand_core::Rng as _;

const HELP: &str = "Runs a command for each job of a persistent queue, again until it succeeds.

  worker FOLDER [OPTIONS] -- COMMAND [ARGUMENT..]

Jobs are lines of standard input, `[after=SECONDS] [every=SECONDS] [times=N] [until=SECONDS] TEXT`; the command reads TEXT
on its own. One comes again `every` so often, so many `times`, and not later than `until` from when it was given.
The worker ends when its input has ended and no job is left, or by SIGTERM, when the commands that run have ended;
when it is killed (kill -9) they go on, beside the worker that does their jobs again.
Jobs that had all their attempts stay, with the reason: `iot queue dead FOLDER` shows them.

  --threads N      commands at a time, by default 2
  --attempts N     failures after which a job is a dead letter, by default 3
  --lease SECONDS  after which a job of a worker that hangs is somebody else's, by default 10: a command that runs
                   is killed when its lease is lost, but not when its worker is";

/// How long it waits for jobs before it looks whether it is to end.
const TICK: Duration = Duration::from_millis(100);

fn main() -> ExitCode {
    process::end("worker", run(lexopt::Parser::from_env()))
}

fn run(mut parser: lexopt::Parser) -> Result<(), Failure> {
    let mut config = QueueConfig::default().segment_len(1 << 20)?.max_attempts(3)?.deduplicate_ids(1000)?;
    let mut settings = WorkerSettings::default().lease(Duration::from_secs(10))?;
    let (mut words, mut threads) = (Vec::<OsString>::new(), 2_usize);
    while let Some(argument) = parser.next()? {
        match argument {
            Long("help") | Short('h') => {
                println!("{HELP}");
                return Ok(());
            }
            Long("threads") => threads = parser.value()?.parse()?,
            Long("attempts") => config = config.max_attempts(parser.value()?.parse()?)?,
            Long("lease") => settings = settings.lease(seconds(&parser.value()?.string()?)?)?,
            Value(word) if words.is_empty() => words.push(word),
            // From here on the words are the command's.
            Value(word) => {
                words.push(word);
                words.extend(parser.raw_args()?);
            }
            other => return Err(other.unexpected().into()),
        }
    }
    let [folder, program, arguments @ ..] = &words[..] else {
        return Err(lexopt::Error::from("a folder or a command is missing: see --help").into());
    };
    let mut queue = Queue::open(FileStorage::create(folder)?, config, rng()?.next_u64().to_be_bytes())?;
    // Waits go on while the worker is away.
    queue.tell_wall_clock(now(), wall());
    let queue = SharedQueue::new(queue, now, SharedSettings::default());
    work(&queue, &Worker::new(queue.clone(), settings), threads.max(1), (program, arguments))
}

/// Takes jobs in, and has so many threads do them, until there are none, or somebody stops it.
fn work<C: Clock>(
    queue: &SharedQueue<FileStorage, C>,
    worker: &Worker<FileStorage, C>,
    count: usize,
    command: (&OsString, &[OsString]),
) -> Result<(), Failure> {
    let (stop, lines) = (process::stop_flag()?, lines_of_stdin());
    let do_jobs = || -> Result<(), Failure> {
        while let Some(handled) = worker.handle_next(|job| handle(queue, job, command))? {
            println!("worker: {handled}");
            // What was done is not done again, even if the power goes now.
            queue.commit()?;
        }
        Ok(())
    };
    std::thread::scope(|threads| {
        let upkeep = threads.spawn(|| queue.run());
        threads.spawn(|| worker.keep());
        let working: Vec<_> = (0..count).map(|_| threads.spawn(do_jobs)).collect();
        while !stop.load(Ordering::Relaxed) && !working.iter().any(ScopedJoinHandle::is_finished) {
            match lines.recv_timeout(TICK) {
                Ok(line) => take_in(queue, &line).unwrap_or_else(|why| eprintln!("worker: {line:?} is no job: {why}")),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) if queue.stats().depth == queue.stats().dead => break,
                Err(RecvTimeoutError::Disconnected) => std::thread::sleep(TICK),
            }
        }
        worker.stop();
        let done: Vec<_> = working.into_iter().map(ScopedJoinHandle::join).collect();
        queue.close();
        upkeep.join().map_err(|_| "a thread panicked")??;
        done.into_iter().try_for_each(|done| done.unwrap_or(Err("a thread panicked".into())))
    })
}

/// Takes a line `[after=SECONDS] [every=SECONDS] [times=N] [until=SECONDS] TEXT`.
fn take_in<C: Clock>(queue: &SharedQueue<FileStorage, C>, line: &str) -> Result<(), Failure> {
    let (schedule, text) = parse(line, wall())?;
    let first = Occurrence::first(rng()?.next_u64().to_be_bytes(), schedule, text.into());
    // The first needs no identifier: only what comes after it may be appended twice.
    let offset = queue.append(&Message::new(&first.to_vec()).delay(first.wait(wall())))?;
    println!("worker: took {offset}: {text}");
    Ok(())
}

/// When a job is to be done that was given at `now`, and what it is.
fn parse(line: &str, now: Timestamp) -> Result<(Schedule, &str), Failure> {
    let (mut schedule, mut rest) = (Schedule::at(now), line.trim());
    while let Some((word, tail)) = rest.split_once(' ')
        && let Some((key, value)) = word.split_once('=')
    {
        schedule = match key {
            "after" => schedule.start(now.saturating_add(seconds(value)?)),
            "every" => schedule.every(seconds(value)?)?,
            "times" => schedule.times(value.parse().map_err(|_| format!("{value} is no number of times"))?)?,
            "until" => schedule.until(now.saturating_add(seconds(value)?)),
            _ => break,
        };
        rest = tail.trim_start();
    }
    Ok((schedule, rest))
}

fn seconds(text: &str) -> Result<Duration, Failure> {
    let number = text.parse().map_err(|_| format!("{text} is no number of seconds"))?;
    Ok(Duration::try_from_secs_f64(number).map_err(|error| format!("{text} seconds: {error}"))?)
}

/// Sees to the next time of a job, and does it: its schedule goes on whatever becomes of this time.
fn handle<C: Clock>(queue: &SharedQueue<FileStorage, C>, job: &Job<'_>, command: (&OsString, &[OsString])) -> Verdict {
    let occurrence = match Occurrence::read(&job.message().payload) {
        Ok(occurrence) => occurrence,
        Err(error) => return Verdict::Rejected(error.to_string()),
    };
    if let Some(next) = occurrence.next(wall()) {
        match queue.append(&Message::new(&next.to_vec()).id(next.id()).delay(next.wait(wall()))) {
            // It is durable, or an earlier attempt came as far.
            Ok(_) | Err(AppendError::Duplicate { .. }) => {}
            Err(error) => return Verdict::Failed(error.to_string()),
        }
    }
    execute(command, occurrence.payload(), job).into()
}

/// Runs the command, for as long as nobody else has the job.
fn execute((program, arguments): (&OsString, &[OsString]), text: &[u8], job: &Job<'_>) -> io::Result<()> {
    let mut child = Command::new(program).args(arguments).stdin(Stdio::piped()).spawn()?;
    if let Some(mut input) = child.stdin.take() {
        // A command that does not read its input may be all right.
        let _ = input.write_all(text).and_then(|()| input.write_all(b"\n"));
    }
    while job.is_ours() {
        match child.try_wait()? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => return Err(io::Error::other(status.to_string())),
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    }
    child.kill()?;
    child.wait()?;
    Err(io::Error::other("its lease had ended, so it was stopped"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_767_225_600);

    #[test]
    fn reads_a_schedule_before_the_text() {
        let of = |line| parse(line, NOW).unwrap();
        let after = |seconds| NOW.saturating_add(Duration::from_secs_f64(seconds));
        let schedule = Schedule::at(after(0.5)).every(Duration::from_secs(2)).unwrap().times(3).unwrap();
        let line = "after=0.5 every=2  times=3 until=9 open=valve 7";
        assert_eq!(of(line), (schedule.until(after(9.0)), "open=valve 7"));
        assert_eq!(of(" once \n"), (Schedule::at(NOW), "once"));
    }

    /// What README.md says of clocks that are wrong by decades.
    #[test]
    fn a_clock_that_is_set_moves_a_schedule_with_it() {
        let decades = Duration::from_secs(30 * 365 * 86_400);
        let (line, later) = ("every=60 look", NOW.saturating_add(decades));
        let first = |line, now| Occurrence::first([1; 8], parse(line, now).unwrap().0, Vec::new());
        let forward = first(line, NOW).next(later).unwrap();
        assert!(forward.wait(later) <= Duration::from_secs(60), "{:?}", forward.wait(later));
        assert_eq!(first("every=60 until=600 look", NOW).next(later), None);
        let back = first(line, later).next(NOW).unwrap();
        assert_eq!(back.wait(NOW), decades + Duration::from_secs(60));
    }

    #[test]
    fn says_what_is_wrong_with_a_schedule() {
        let wrong = |line| parse(line, NOW).unwrap_err().to_string();
        assert_eq!(wrong("every=soon x"), "soon is no number of seconds");
        assert_eq!(wrong("times=-1 x"), "-1 is no number of times");
        assert_eq!(wrong("after=-1 x"), "-1 seconds: cannot convert float seconds to Duration: value is negative");
        assert!(wrong("every=0 x").starts_with("every of 0 is not between 1 and"));
    }
}
