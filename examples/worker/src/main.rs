//! Runs a command for each job of a persistent queue. A job is leased while its command runs, and the lease is prolonged
//! meanwhile; when the command fails the job comes again, later each time, and in the end is a dead letter.

mod job;

use std::ffi::OsString;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use iot_codec::cbor;
use iot_link::Failure;
use iot_link::process::{self, now, rng, wall};
use iot_queue::shared::{Clock, SharedQueue, SharedSettings};
use iot_queue::{AppendError, Backoff, FileStorage, Leased, Nacked, Offset, Queue, QueueConfig, Release};
use lexopt::prelude::*;
use rand_core::Rng as _;

use crate::job::Job;

const HELP: &str = "Runs a command for each job of a persistent queue, again until it succeeds.

  worker run FOLDER [OPTIONS] -- COMMAND [ARGUMENT..]
  worker dead FOLDER          show the jobs that had all their attempts
  worker redrive FOLDER       try those again

Jobs are lines of standard input, `[after=SECONDS] [every=SECONDS] [times=N] [until=SECONDS] TEXT`; the command reads TEXT
on its own. One comes again `every` so often, so many `times`, and not later than `until` from when it was given.
The worker ends when its input has ended and no job is left, or by SIGTERM, when the commands that run have ended.

  --threads N      commands at a time, by default 2
  --attempts N     failures after which a job is a dead letter, by default 3
  --lease SECONDS  after which a job of a worker that hangs is somebody else's, by default 10";

struct Options {
    task: String,
    folder: PathBuf,
    threads: usize,
    attempts: u32,
    lease: Duration,
    command: Vec<OsString>,
}

fn main() -> ExitCode {
    process::end("worker", parse().map_err(Failure::from).and_then(|it| it.map_or(Ok(()), |it| perform(&it))))
}

/// The command line; `None` if it asked for help.
fn parse() -> Result<Option<Options>, lexopt::Error> {
    let mut parser = lexopt::Parser::from_env();
    let (mut words, mut options) = (Vec::<OsString>::new(), (2, 3, 10.0));
    while let Some(argument) = parser.next()? {
        match argument {
            Long("help") | Short('h') => {
                println!("{HELP}");
                return Ok(None);
            }
            Long("threads") => options.0 = parser.value()?.parse()?,
            Long("attempts") => options.1 = parser.value()?.parse()?,
            Long("lease") => options.2 = parser.value()?.parse()?,
            Value(word) if words.len() < 2 => words.push(word),
            // From here on the words are the command's.
            Value(word) => {
                words.push(word);
                words.extend(parser.raw_args()?);
            }
            other => return Err(other.unexpected()),
        }
    }
    let mut words = words.into_iter();
    let (Some(task), Some(folder)) = (words.next(), words.next()) else {
        return Err("a command and a folder are missing: see --help".into());
    };
    let lease = Duration::try_from_secs_f64(options.2).map_err(|error| error.to_string())?;
    let (task, command): (_, Vec<_>) = (task.string()?, words.collect());
    match task.as_str() {
        "run" if command.is_empty() => return Err("a command is missing behind --: see --help".into()),
        "run" | "dead" | "redrive" => {}
        other => return Err(format!("there is no command {other:?}: see --help").into()),
    }
    Ok(Some(Options { task, folder: folder.into(), threads: options.0, attempts: options.1, lease, command }))
}

fn perform(options: &Options) -> Result<(), Failure> {
    let random = rng()?.next_u64().to_be_bytes();
    let config = QueueConfig::default().segment_len(1 << 20)?.max_attempts(options.attempts)?.deduplicate_ids(1000)?;
    if options.task == "run" {
        std::fs::create_dir_all(&options.folder)?;
    }
    let mut queue = Queue::open(FileStorage::create(options.folder.join("jobs"))?, config, random)?;
    // Waits go on while the worker is away.
    queue.tell_wall_clock(now(), wall());
    match options.task.as_str() {
        "run" => run(options, &SharedQueue::new(queue, now, SharedSettings::default())),
        "dead" => {
            for letter in queue.dead_letters(Offset::START) {
                println!("{}: {} attempts, {}", letter.offset, letter.attempts, letter.reason);
            }
            Ok(())
        }
        _ => {
            let dead: Vec<_> = queue.dead_letters(Offset::START).map(|letter| letter.offset).collect();
            dead.into_iter().try_for_each(|offset| queue.redrive(now(), offset, Release::InPlace))?;
            queue.close()?;
            Ok(())
        }
    }
}

fn run<C: Clock>(options: &Options, queue: &SharedQueue<FileStorage, C>) -> Result<(), Failure> {
    let (stop, ended) = (process::stop_flag()?, Arc::new(AtomicBool::new(false)));
    let (input, has_ended) = (queue.clone(), ended.clone());
    // Nobody waits for this thread: it may read for ever.
    std::thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            take_in(&input, &line).unwrap_or_else(|failure| eprintln!("worker: {line:?} is no job: {failure}"));
        }
        has_ended.store(true, Ordering::Relaxed);
    });
    std::thread::scope(|threads| {
        let upkeep = threads.spawn(|| queue.run());
        let worker = || {
            loop {
                let stats = queue.stats();
                let is_done = ended.load(Ordering::Relaxed) && stats.depth == stats.dead;
                if is_done || stop.load(Ordering::Relaxed) {
                    return Ok(());
                }
                for leased in queue.reserve_wait(options.lease, 1, Duration::from_millis(100))? {
                    handle(options, queue, &leased)?;
                }
            }
        };
        let workers: Vec<_> = (0..options.threads.max(1)).map(|_| threads.spawn(worker)).collect();
        let results: Vec<Result<(), Failure>> =
            workers.into_iter().map(|worker| worker.join().unwrap_or(Err("a thread panicked".into()))).collect();
        queue.close();
        upkeep.join().map_err(|_| "a thread panicked")??;
        results.into_iter().collect()
    })
}

fn take_in<C: Clock>(queue: &SharedQueue<FileStorage, C>, line: &str) -> Result<(), Failure> {
    let (job, wait) = Job::parse(line, rng()?.next_u64().to_be_bytes(), wall())?;
    let offset = job.append(wait, |message| queue.append(message))?;
    println!("worker: took {offset}: {}", job.text);
    Ok(())
}

/// Runs the command for a job, and says what became of it.
fn handle<C: Clock>(options: &Options, queue: &SharedQueue<FileStorage, C>, leased: &Leased) -> Result<(), Failure> {
    let (offset, lease) = (leased.offset, leased.lease);
    let Ok(job) = cbor::from_slice::<Job>(&leased.payload) else {
        return Ok(queue.with(|queue, _| queue.reject(lease, "it is no job of this version"))?);
    };
    let attempt = leased.attempts;
    match execute(options, &job, || queue.touch(lease, options.lease).is_ok()) {
        Ok(()) => {
            if let Some((next, wait)) = job.next(wall()) {
                match next.append(wait, |message| queue.append(message)) {
                    // A worker before this one came as far, and was killed.
                    Ok(_) | Err(AppendError::Duplicate { .. }) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            match queue.ack(lease) {
                Ok(()) => println!("worker: did {offset} at attempt {attempt}: {}", job.text),
                Err(error) => println!("worker: did {offset}, and somebody else will again: {error}"),
            }
            // What was done is not done again, even if the power goes now.
            queue.commit()?;
        }
        Err(reason) => {
            let backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(600));
            let again = Release::Backoff { backoff, seed: offset.number() ^ u64::from(attempt) };
            match queue.nack(lease, &reason, again) {
                Ok(Nacked::Released) => println!("worker: failed {offset} at attempt {attempt}: {reason}"),
                Ok(Nacked::Dead) => println!("worker: gave up {offset} after attempt {attempt}: {reason}"),
                Err(error) => println!("worker: failed {offset}, {reason}; {error}"),
            }
        }
    }
    Ok(())
}

/// Runs the command, and prolongs the lease meanwhile.
fn execute(options: &Options, job: &Job, touch: impl Fn() -> bool) -> Result<(), String> {
    let (program, arguments) = options.command.split_first().ok_or("there is no command")?;
    let mut command = Command::new(program);
    let mut child = command.args(arguments).stdin(Stdio::piped()).spawn().map_err(|error| error.to_string())?;
    if let Some(mut input) = child.stdin.take() {
        // A command that does not read its input may be all right.
        let _ = writeln!(input, "{}", job.text);
    }
    let mut touched = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => return Ok(()),
            Ok(Some(status)) => return Err(status.to_string()),
            Ok(None) => std::thread::sleep(Duration::from_millis(5)),
            Err(error) => return Err(error.to_string()),
        }
        if touched.elapsed() > options.lease / 3 {
            touched = Instant::now();
            if !touch() {
                let _ = child.kill();
                let _ = child.wait();
                return Err("its lease had ended, so it was stopped".into());
            }
        }
    }
}
