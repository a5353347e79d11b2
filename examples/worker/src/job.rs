//! What a job is, as a line of text and as a message of the queue.

use std::time::Duration;

use iot_codec::{cbor, record};
use iot_queue::{Message, MessageId};

record! {
    /// A job, and when it is to be done again.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct Job {
        /// What the command reads.
        1 => pub text: String,
        /// Milliseconds between one time and the next, if there is one.
        2 => pub every_ms: Option<u64>,
        /// How many times are left, this one included, if somebody counts.
        3 => pub times: Option<u64>,
        /// Drawn when the job was given: names it among all others.
        4 => pub name: [u8; 8],
        /// Which time this is.
        5 => pub run: u64,
    }
}

impl Job {
    /// Reads a line `[after=SECONDS] [every=SECONDS] [times=N] TEXT`, and how long the first time has to wait.
    pub fn parse(line: &str, name: [u8; 8]) -> Result<(Self, Duration), String> {
        let mut job = Self { text: String::new(), every_ms: None, times: None, name, run: 0 };
        let (mut after, mut rest) = (Duration::ZERO, line.trim());
        while let Some((key, value, tail)) = setting(rest) {
            let wrong = || format!("{key} takes a number, not {value}");
            let seconds = || match value.parse() {
                Ok(seconds) => Duration::try_from_secs_f64(seconds).map_err(|_| wrong()),
                Err(_) => Err(wrong()),
            };
            match key {
                "after" => after = seconds()?,
                "every" => job.every_ms = Some(seconds()?.as_millis() as u64),
                _ => job.times = Some(value.parse().map_err(|_| wrong())?),
            }
            rest = tail;
        }
        job.text = rest.into();
        Ok((job, after))
    }

    /// The job as it is to be done the next time, and after which wait; `None` if this was the last time.
    pub fn next(&self) -> Option<(Self, Duration)> {
        let times = self.times.map(|times| times.saturating_sub(1));
        let wait = Duration::from_millis(self.every_ms.filter(|_| times != Some(0))?);
        Some((Self { times, run: self.run + 1, ..self.clone() }, wait))
    }

    /// Hands the message of this job to `append`. Its identifier follows from the job and the time that this is, so that
    /// whoever repeats himself after a crash is known.
    pub fn append<T>(&self, wait: Duration, append: impl FnOnce(&Message<'_>) -> T) -> T {
        let mut id = [0; MessageId::LEN];
        id[..8].copy_from_slice(&self.name);
        id[8..].copy_from_slice(&self.run.to_be_bytes());
        append(&Message::new(&cbor::to_vec(self)).delay(wait).id(MessageId::from_bytes(id)))
    }
}

fn setting(rest: &str) -> Option<(&str, &str, &str)> {
    let (word, tail) = rest.split_once(' ')?;
    let (key, value) = word.split_once('=')?;
    ["after", "every", "times"].contains(&key).then_some((key, value, tail.trim_start()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_schedule_and_counts_its_times() {
        let (job, after) = Job::parse("after=0.5 every=2 times=2 open=valve 7", [1; 8]).unwrap();
        assert_eq!((job.text.as_str(), after), ("open=valve 7", Duration::from_millis(500)));
        let (second, wait) = job.next().unwrap();
        assert_eq!((second.times, second.run, wait), (Some(1), 1, Duration::from_secs(2)));
        assert_eq!(second.next(), None);
        assert_eq!(Job::parse("once", [1; 8]).unwrap().0.next(), None);
        assert_eq!(Job::parse("every=soon x", [1; 8]).unwrap_err(), "every takes a number, not soon");
        assert!(Job::parse("every=-1 x", [1; 8]).is_err());
    }
}
