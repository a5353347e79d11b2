//! `iot dht feed read`.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::{ErrorKind, Write as _};
use std::time::Duration;

use iot_codec::cbor;
use iot_dht::feed::{Cursor, FetchId, Fetched, Gap, Item, OwnerOnly, Reader, ReaderConfig};
use iot_dht::{Event, OperationId};
use lexopt::Parser;

use super::super::client::{self, Client};
use super::name;
use crate::envelope::options::Options;
use crate::envelope::{failed, refused};
use crate::{Failure, output};

/// How often a reader that follows looks for a new head itself; most are pushed.
const FOLLOWING: Duration = Duration::from_secs(60);

/// How soon one that has not found the head looks again.
const LOOKING: Duration = Duration::from_secs(1);

/// After so many looks without a head there is no such feed.
const LOOKS: u64 = 3;

pub fn run(parser: Parser) -> Result<(), Failure> {
    let valued = [&client::OPTIONS[..], &["from", "device", "name", "state"]].concat();
    let options = Options::parse(parser, &valued, &["follow"], &[])?;
    let (owner, name, state) = (client::owner(&options)?, name(&options)?, options.get("state"));
    let cursor = state.map_or(Ok(Cursor::default()), load)?;
    let poll = if options.has("follow") { FOLLOWING } else { LOOKING };
    let mut reader = Reader::new(owner, name, cursor, ReaderConfig::default().poll_interval(poll).parallel(8));
    client::block_on(async {
        let mut client = match options.has("follow") {
            true => Client::join_and_subscribe(&options, reader.head_key()).await?,
            false => Client::join(&options).await?,
        };
        let mut fetches: BTreeMap<OperationId, FetchId> = BTreeMap::new();
        loop {
            while let Some(fetch) = reader.poll_fetch(client.now(), client::wall()) {
                let get = client.call(move |node, now, wall| node.get(now, wall, fetch.key, fetch.mode)).await?;
                fetches.insert(get.map_err(|error| Failure::Input(error.to_string()))?, fetch.id);
            }
            show(&mut reader, state)?;
            if !options.has("follow") && fetches.is_empty() {
                if reader.caught_up() == Some(true) {
                    return Ok(());
                }
                if reader.stats().heads_missing >= LOOKS {
                    return Err(Failure::Input("there is no such feed, or nobody gives it out".into()));
                }
            }
            let due = reader.poll_timeout().saturating_since(client.now()).clamp(Duration::from_millis(10), poll);
            let done = match client.event_or_change(due).await? {
                Some(Ok(Event::GetDone(done))) => done,
                Some(Err(head)) => {
                    reader.handle_pushed(client.now(), client::wall(), head);
                    continue;
                }
                Some(Ok(_)) | None => continue,
            };
            if let Some(id) = fetches.remove(&done.operation) {
                reader.handle_fetched(client.now(), client::wall(), id, Fetched::from(done));
            }
        }
    })
}

/// Prints messages, a line each; says on standard error what is missing; and remembers how far the reader is.
fn show(reader: &mut Reader, state: Option<&OsStr>) -> Result<(), Failure> {
    let before = reader.cursor();
    let mut out = output::standard();
    while let Some(item) = reader.poll_item(&OwnerOnly) {
        match item {
            Item::Message { octets, .. } => {
                let written = out.write_all(&octets).and_then(|()| out.write_all(b"\n"));
                written.map_err(|error| failed(OsStr::new("-"), &error))?;
            }
            Item::Gap(gap) => eprintln!("{}", words(&gap)),
            Item::Fork(fork) => eprintln!(
                "the owner signed two feeds: head {} denies head {}, which is believed",
                fork.other.sequence(),
                fork.believed.sequence()
            ),
        }
    }
    out.flush().map_err(|error| failed(OsStr::new("-"), &error))?;
    match state {
        Some(file) if reader.cursor() != before => {
            std::fs::write(file, cbor::to_vec(&reader.cursor())).map_err(|error| failed(file, &error))
        }
        _ => Ok(()),
    }
}

fn words(gap: &Gap) -> String {
    match gap {
        Gap::NeverWritten(numbers) => {
            format!("never written: numbers {} to {} of {}", numbers.start, numbers.end - 1, numbers.source)
        }
        Gap::Expired { from, to } => format!("expired: segments {from} to {}", to - 1),
        Gap::Unavailable { segment, asked, answered } => {
            format!("unavailable: segment {segment}; of {asked} nodes that were asked {answered} answered")
        }
        Gap::HeadOverdue { sequence, promised } => {
            format!("overdue: head {sequence} promised the next by {} s", promised.as_secs())
        }
        Gap::ClaimedDropped { by, numbers } => {
            format!("dropped, as {by} says: numbers {} to {} of {}", numbers.start, numbers.end - 1, numbers.source)
        }
    }
}

fn load(file: &OsStr) -> Result<Cursor, Failure> {
    match std::fs::read(file) {
        Ok(octets) => cbor::from_slice(&octets).map_err(|error| refused(file, &error)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Cursor::default()),
        Err(error) => Err(failed(file, &error)),
    }
}
