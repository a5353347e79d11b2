use std::io;
use std::sync::mpsc::{self, Sender};
use std::thread::{self, JoinHandle};

use iot_dht::{Job, Verdict};

/// A thread that verifies the signatures that a node hands out. It begins with the first, and ends when this is dropped.
pub struct Verifier {
    report: Option<Box<dyn FnMut(Verdict) + Send>>,
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Verifier {
    /// One that hands each verdict to `report`, on its own thread.
    pub fn new(report: impl FnMut(Verdict) + Send + 'static) -> Self {
        Self { report: Some(Box::new(report)), jobs: None, thread: None }
    }

    /// Has the signatures verified. Without a thread they are not, and the node goes on without that answer.
    pub fn verify(&mut self, job: Job) {
        if let Some(report) = self.report.take() {
            // A system without another thread has none for the next job either.
            if let Ok((jobs, thread)) = start(report) {
                (self.jobs, self.thread) = (Some(jobs), Some(thread));
            }
        }
        if let Some(jobs) = &self.jobs {
            // Its thread ends only after this.
            let _ = jobs.send(job);
        }
    }
}

impl Drop for Verifier {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // What it verified in vain is nobody's concern.
            let _ = thread.join();
        }
    }
}

fn start(mut report: Box<dyn FnMut(Verdict) + Send>) -> io::Result<(Sender<Job>, JoinHandle<()>)> {
    let (jobs, received) = mpsc::channel::<Job>();
    let thread = thread::Builder::new().name("signatures".into()).stack_size(256 * 1024);
    let thread = thread.spawn(move || received.into_iter().for_each(|job| report(job.verify())))?;
    Ok((jobs, thread))
}
