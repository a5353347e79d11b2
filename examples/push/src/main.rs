//! Sealed readings posted to HTTP subscribers. Each has a cursor of its own in one queue, retries of its own and a state
//! of its own, and each answers with a receipt that it signed.

mod keys;
mod page;
mod publisher;
mod receipt;
mod subscriber;

use std::path::PathBuf;
use std::process::ExitCode;

use iot_core::StreamId;
use iot_link::Failure;
use iot_link::process::{self, wall};
use lexopt::prelude::*;

const HELP: &str = "Posts sealed readings to subscribers over HTTP, until each has said that it has them.

  push keys FOLDER NAME...     draw keys for the publisher and for subscribers of these names
  push publisher FOLDER --subscriber NAME=URL ...
                               read, seal, keep, and post until every subscriber has it
  push subscriber FOLDER NAME --listen ADDRESS
                               verify, keep, and answer with a receipt
  push subscriber FOLDER NAME --pull URL
                               fetch from the publisher's --page, verify, keep
  push list FOLDER NAME        show what a subscriber accepted, as lines `seconds,value`

  --subscriber NAME=URL  where to post for a subscriber, or NAME=pull for one that fetches; may be said again
  --listen ADDRESS       where a subscriber listens, by default 127.0.0.1:8080
  --page ADDRESS         where the publisher answers how it is with each subscriber, and those who fetch
  --input FILE           take readings from lines `seconds,value`, in place of a thermometer's
  --readings N           end when every subscriber has so many; by default never
  --rate N               readings a second, by default 10; 0 for as fast as they go
  --max-lag N            how many messages a subscriber may stay behind before it is told that it missed some, by
                         default 50000";

/// What the messages are about, and what receipts are.
const READINGS: &str = "readings";
const RECEIPTS: &str = "receipts";

/// A message. Its incarnation is the epoch of the publisher's queue, and its sequence number its place there.
const MESSAGES: StreamId = StreamId::new(0);

/// "I have all of your messages before this number": a subscriber's.
const HAVE: StreamId = StreamId::new(1);

/// "I have no messages before this number any more": the publisher's, to who waits for one of them.
const OLDEST: StreamId = StreamId::new(2);

/// What the command line says.
#[derive(Default)]
struct Options {
    words: Vec<PathBuf>,
    subscribers: Vec<(String, String)>,
    listen: Option<String>,
    pull: Option<String>,
    page: Option<String>,
    input: Option<PathBuf>,
    readings: Option<u64>,
    rate: Option<u32>,
    max_lag: Option<u64>,
}

fn main() -> ExitCode {
    process::end("push", run(lexopt::Parser::from_env()))
}

fn run(mut parser: lexopt::Parser) -> Result<(), Failure> {
    let mut options = Options::default();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("help") | Short('h') => {
                println!("{HELP}");
                return Ok(());
            }
            Long("subscriber") => {
                let word = parser.value()?.string()?;
                let (name, url) = word.split_once('=').ok_or("--subscriber takes NAME=URL")?;
                if url.starts_with("https:") {
                    return Err(
                        "this client has no TLS; give http://HOST:PORT, of stunnel for one, which speaks it".into()
                    );
                }
                options.subscribers.push((name.into(), url.into()));
            }
            Long("listen") => options.listen = Some(parser.value()?.string()?),
            Long("pull") => options.pull = Some(parser.value()?.string()?),
            Long("page") => options.page = Some(parser.value()?.string()?),
            Long("input") => options.input = Some(parser.value()?.into()),
            Long("readings") => options.readings = Some(parser.value()?.parse()?),
            Long("rate") => options.rate = Some(parser.value()?.parse()?),
            Long("max-lag") => options.max_lag = Some(parser.value()?.parse()?),
            Value(word) => options.words.push(word.into()),
            other => return Err(other.unexpected().into()),
        }
    }
    let stop = process::stop_flag()?;
    let words: Vec<_> = options.words.iter().map(|word| word.to_str().unwrap_or_default()).collect();
    match &words[..] {
        ["keys", folder, names @ ..] if !names.is_empty() => {
            let names: Vec<_> = names.iter().map(ToString::to_string).collect();
            keys::provision(folder.as_ref(), &names, wall())
        }
        ["publisher", folder] => publisher::run(folder.as_ref(), &options, &stop),
        ["subscriber", folder, name] => subscriber::run(folder.as_ref(), name, &options, &stop),
        ["list", folder, name] => Ok(iot_readings::list(&std::path::Path::new(folder).join(name))?),
        _ => Err("a command is missing or incomplete: see --help".into()),
    }
}
