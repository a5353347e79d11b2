//! What a job is, as a line of text and as a message of the queue.

use std::time::Duration;

use iot_codec::{cbor, record};
use iot_core::Timestamp;
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
        /// Milliseconds since the Unix epoch after which it is not done again, if somebody says when.
        6 => pub until_ms: Option<u64>,
    }
}

impl Job {
    /// Reads a line `[after=SECONDS] [every=SECONDS] [times=N] [until=SECONDS] TEXT`, and how long the first time has to
    /// wait. It is `wall` by the time of day.
    pub fn parse(line: &str, name: [u8; 8], wall: Timestamp) -> Result<(Self, Duration), String> {
        let mut job = Self { text: String::new(), every_ms: None, times: None, name, run: 0, until_ms: None };
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
                "until" => job.until_ms = Some(wall.saturating_add(seconds()?).as_micros() / 1000),
                _ => job.times = Some(value.parse().map_err(|_| wrong())?),
            }
            rest = tail;
        }
        job.text = rest.into();
        Ok((job, after))
    }

    /// The job as it is to be done the next time, and after which wait; `None` if this was the last time. It is `wall` by
    /// the time of day.
    pub fn next(&self, wall: Timestamp) -> Option<(Self, Duration)> {
        let times = self.times.map(|times| times.saturating_sub(1));
        let wait = Duration::from_millis(self.every_ms.filter(|_| times != Some(0))?);
        let due_ms = wall.saturating_add(wait).as_micros() / 1000;
        if self.until_ms.is_some_and(|until| until < due_ms) {
            return None;
        }
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
    ["after", "every", "times", "until"].contains(&key).then_some((key, value, tail.trim_start()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_767_225_600);

    #[test]
    fn reads_a_schedule_and_counts_its_times() {
        let parse = |line| Job::parse(line, [1; 8], NOW);
        let (job, after) = parse("after=0.5 every=2 times=2 open=valve 7").unwrap();
        assert_eq!((job.text.as_str(), after), ("open=valve 7", Duration::from_millis(500)));
        let (second, wait) = job.next(NOW).unwrap();
        assert_eq!((second.times, second.run, wait), (Some(1), 1, Duration::from_secs(2)));
        assert_eq!(second.next(NOW), None);
        assert_eq!(parse("once").unwrap().0.next(NOW), None);
        assert_eq!(parse("every=soon x").unwrap_err(), "every takes a number, not soon");
        assert!(parse("every=-1 x").is_err());
    }

    #[test]
    fn ends_at_the_last_time_that_is_due_before_its_end() {
        let (mut job, _) = Job::parse("every=2 until=5 x", [1; 8], NOW).unwrap();
        let mut done_at = Vec::new();
        let mut wall = NOW;
        while let Some((next, wait)) = job.next(wall) {
            (job, wall) = (next, wall.saturating_add(wait));
            done_at.push(wall.as_secs() - NOW.as_secs());
        }
        assert_eq!(done_at, [2, 4]);
        // At its very end it is still done.
        assert!(Job::parse("every=5 until=5 x", [1; 8], NOW).unwrap().0.next(NOW).is_some());
    }
}
