//! `iot dht put` and `get`: one record.

use std::time::Duration;

use iot_dht::{GetMode, Key, Record};
use lexopt::Parser;

use super::client::{self, Client};
use crate::envelope::options::Options;
use crate::envelope::write;
use crate::{Failure, source};

/// How long a record lives if nothing else is said.
const DAYS: u64 = 7;

/// `iot dht put`.
pub fn put(parser: Parser) -> Result<(), Failure> {
    let valued = [&client::OPTIONS[..], &["key", "password", "name", "days", "sequence", "replaces"]].concat();
    let options = Options::parse(parser, &valued, &[], &["FILE"])?;
    let key = client::signing(&options)?;
    let value = source::read(options.file(0))?;
    let life = days(&options)?;
    let now = client::wall();
    // Without another word, the later of two records is the newer, however soon after the other.
    let sequence = options.number("sequence")?.unwrap_or(now.as_micros());
    let replaces = options.number("replaces")?;
    let name = name(&options)?;
    let record = Record::sign(&key, name.as_bytes(), sequence, now.saturating_add(life), &value)
        .map_err(|error| Failure::Input(error.to_string()))?;
    client::block_on(async {
        let key = *record.key();
        let done = Client::join(&options).await?.put(record, replaces).await?;
        say!("key       {key}");
        say!("sequence  {sequence}");
        say!("stored by {} of {} nodes", done.stored, done.asked);
        if let Some(newer) = &done.newer {
            say!("newer     sequence {} is there", newer.sequence());
        }
        if done.fork.is_some() {
            say!("fork      another value with this sequence is there: its owner signed one number twice");
        }
        match done.reason {
            _ if done.stored > 0 => Ok(()),
            Some(reason) => Err(Failure::Input(format!("no node stores it: {}", client::words(reason)))),
            None => Err(Failure::Input("no node stores it: none answered".into())),
        }
    })
}

/// `iot dht get`.
pub fn get(parser: Parser) -> Result<(), Failure> {
    let valued = [&client::OPTIONS[..], &["from", "device", "name", "out"]].concat();
    let options = Options::parse(parser, &valued, &[], &[])?;
    let key = Key::of_record(&client::owner(&options)?, name(&options)?.as_bytes());
    client::block_on(async {
        let done = Client::join(&options).await?.get(key, GetMode::Newest).await?;
        let Some(record) = done.record else {
            return Err(Failure::Input(format!(
                "there is no such record: {} of {} nodes answered",
                done.answered, done.asked
            )));
        };
        eprintln!(
            "sequence {}, expires at {} s, given by {} of {} nodes that answered",
            record.sequence(),
            record.expires().as_secs(),
            done.agreed,
            done.answered
        );
        if done.conflicting > 0 {
            eprintln!("{} nodes gave another value of the same sequence: the owner signed two", done.conflicting);
        }
        write(options.get("out"), record.value())
    })
}

fn name(options: &Options) -> Result<&str, Failure> {
    options.text("name")?.ok_or_else(|| Failure::Usage("--name is missing".into()))
}

/// How long what is signed shall live.
pub fn days(options: &Options) -> Result<Duration, Failure> {
    let days: u64 = options.number("days")?.unwrap_or(DAYS);
    let life = Duration::from_secs(days.saturating_mul(24 * 60 * 60));
    if life.is_zero() || life >= Record::MAX_LIFE {
        return Err(Failure::Usage("--days takes 1 to 29".into()));
    }
    Ok(life)
}
