//! `iot dht feed publish`.

use std::ffi::OsStr;
use std::io::ErrorKind;

use iot_crypto::SigningKey;
use iot_dht::Record;
use iot_dht::feed::{Publisher, PublisherConfig, PushError};
use lexopt::Parser;

use super::super::client::{self, Client};
use super::super::record;
use super::name;
use crate::envelope::options::Options;
use crate::envelope::{failed, refused};
use crate::{Failure, source};

pub fn run(parser: Parser) -> Result<(), Failure> {
    let valued = [&client::OPTIONS[..], &["key", "password", "name", "state", "days"]].concat();
    let options = Options::parse(parser, &valued, &[], &["FILE"])?;
    let lines = source::read(options.file(0))?;
    let mut outlet = Outlet::open(&options)?;
    let text = lines.strip_suffix(b"\n").unwrap_or(&lines);
    let lines = || text.split(|octet| *octet == b'\n').filter(|_| !text.is_empty());
    // Nothing is published of a file that cannot be published whole.
    let limit = Publisher::max_message_len(outlet.publisher.feed());
    if let Some((place, line)) = lines().enumerate().find(|(_, line)| line.len() > limit) {
        let (name, number, len) = (options.file(0).display(), place + 1, line.len());
        return Err(Failure::Input(format!("{name}: line {number} has {len} octets, and a message at most {limit}")));
    }
    client::block_on(async {
        let mut client = Client::join(&options).await?;
        // What an earlier run could not put goes first.
        outlet.put(&mut client).await?;
        let mut messages = 0_u64;
        for line in lines() {
            let pushed = match outlet.publisher.push(line) {
                Err(PushError::SegmentFull) => {
                    outlet.seal()?;
                    outlet.put(&mut client).await?;
                    outlet.publisher.push(line)
                }
                pushed => pushed,
            };
            pushed.map_err(|error| refused(options.file(0), &error))?;
            messages += 1;
        }
        outlet.flush()?;
        outlet.put(&mut client).await?;
        let (segment, pending) = (outlet.publisher.next_segment(), outlet.publisher.pending());
        say!("published {messages} messages; {pending} are in segment {segment}, which is still open");
        Ok(())
    })
}

/// A publisher, its key and the file that remembers it.
struct Outlet<'o> {
    publisher: Publisher,
    key: SigningKey,
    state: &'o OsStr,
}

impl<'o> Outlet<'o> {
    fn open(options: &'o Options) -> Result<Self, Failure> {
        let (key, name, state) = (client::signing(options)?, name(options)?, options.required("state")?);
        let config = PublisherConfig::default().life(record::days(options)?);
        let publisher = match std::fs::read(state) {
            Ok(octets) => Publisher::restore(&octets, config).map_err(|error| refused(state, &error))?,
            Err(error) if error.kind() == ErrorKind::NotFound => Publisher::new(name, config),
            Err(error) => return Err(failed(state, &error)),
        };
        if publisher.feed() != name {
            return Err(Failure::Usage(format!("{} is the state of another feed", state.display())));
        }
        Ok(Self { publisher, key, state })
    }

    fn seal(&mut self) -> Result<(), Failure> {
        self.publisher.seal(&self.key, client::wall(), 0).map_err(|error| refused(self.state, &error))?;
        self.save()
    }

    fn flush(&mut self) -> Result<(), Failure> {
        self.publisher.flush(&self.key, client::wall(), 0).map_err(|error| refused(self.state, &error))?;
        self.save()
    }

    /// Puts what waits, and remembers what is stored.
    async fn put(&mut self, client: &mut Client) -> Result<(), Failure> {
        let waiting: Vec<Record> = self.publisher.outbox().cloned().collect();
        for record in waiting {
            let (key, sequence) = (*record.key(), record.sequence());
            let done = client.put(record, None).await?;
            if done.stored == 0 {
                let words = done.reason.map_or("none answered", client::words);
                return Err(Failure::Input(format!(
                    "no node stores the feed: {words}; what is left waits in the state"
                )));
            }
            self.publisher.confirm(&key, sequence);
        }
        self.save()
    }

    /// The state is durable before anything that is in it is put: a new file takes the place of the old at once.
    fn save(&self) -> Result<(), Failure> {
        let mut new = self.state.to_owned();
        new.push(".new");
        let write = || {
            use std::io::Write as _;
            let mut file = std::fs::File::create(&new)?;
            file.write_all(&self.publisher.state())?;
            file.sync_all()?;
            std::fs::rename(&new, self.state)
        };
        write().map_err(|error| failed(self.state, &error))
    }
}
