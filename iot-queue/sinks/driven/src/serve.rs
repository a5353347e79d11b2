//! The loop of a sink's task.

use std::future::Future;

use iot_queue::Epoch;
use iot_queue::sink::{Answer, Forwarded, ResumePoint};

use crate::sink::{Command, Orders};

/// Where a sink's entries go: a server, a cluster, a broker.
pub trait Server: Send {
    /// Why it cannot be reached, or does not take what it was sent.
    type Error: Send;
    /// What takes the entries that follow on an answer.
    type Link: Link<Error = Self::Error>;

    /// Finds where the log `feed` goes on, and links up with what takes it from there. `before` is the link of the question
    /// before, unless that has failed.
    ///
    /// # Errors
    /// When the server cannot be reached, or does not take the log.
    fn ask(
        &mut self,
        feed: Epoch,
        before: Option<Self::Link>,
    ) -> impl Future<Output = Result<(Self::Link, ResumePoint), Self::Error>> + Send;
}

/// What takes entries, from a question on until the next one, or until it fails.
pub trait Link: Send {
    /// Why it fails.
    type Error: Send;
    /// What it waits for.
    type Event: Send;

    /// Sends entries that follow on those before.
    ///
    /// # Errors
    /// When it fails; any of the entries may have arrived.
    fn send(&mut self, entries: Vec<Forwarded>) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Waits until something happens. May be given up at any time, and gone on with.
    ///
    /// # Errors
    /// When it fails.
    fn wait(&mut self) -> impl Future<Output = Result<Self::Event, Self::Error>> + Send;

    /// Does what there is to do about that, and gives what it tells the mirror.
    ///
    /// # Errors
    /// When it fails.
    fn handle(&mut self, event: Self::Event) -> impl Future<Output = Result<Vec<Answer>, Self::Error>> + Send;
}

/// Does at `server` what a mirror orders, until the sink is dropped. A link that fails is dropped, and the mirror hears why.
pub async fn serve<S: Server>(mut server: S, mut orders: Orders<S::Error>) {
    let mut linked: Option<(u64, S::Link)> = None;
    loop {
        let command = match &mut linked {
            None => orders.next().await,
            Some((turn, link)) => tokio::select! {
                biased;
                command = orders.next() => command,
                event = link.wait() => {
                    let heard = match event {
                        Ok(event) => link.handle(event).await,
                        Err(error) => Err(error),
                    };
                    match heard {
                        Ok(answers) => answers.into_iter().for_each(|answer| orders.say(*turn, Ok(answer))),
                        Err(error) => {
                            orders.say(*turn, Err(error));
                            linked = None;
                        }
                    }
                    continue;
                }
            },
        };
        match command {
            None => return,
            Some(Command::Ask { turn, feed }) => match server.ask(feed, linked.take().map(|(_, link)| link)).await {
                Ok((link, point)) => {
                    linked = Some((turn, link));
                    orders.say(turn, Ok(Answer::Resume(point)));
                }
                Err(error) => orders.say(turn, Err(error)),
            },
            Some(Command::Send { turn, entries }) => {
                let Some((_, link)) = linked.as_mut().filter(|(of, _)| *of == turn) else { continue };
                if let Err(error) = link.send(entries).await {
                    orders.say(turn, Err(error));
                    linked = None;
                }
            }
        }
    }
}
