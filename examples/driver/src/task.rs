use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use iot_core::{Instant, Timestamp};
use iot_dht::wire::MAX_DATAGRAM_LEN;
use iot_dht::{Event, Node};
use tokio::net::UdpSocket;
use tokio::sync::mpsc::{self, Receiver, Sender, error::TrySendError};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::socket::{is_passing, sendable};

/// A node that runs on a tokio task. When it is dropped the task ends and closes the socket.
///
/// ```no_run
/// # use iot_dht::{GetMode, Key, Node, NodeConfig};
/// # use iot_driver::Task;
/// # async fn run(node: Node, key: Key) -> std::io::Result<()> {
/// let socket = tokio::net::UdpSocket::bind("[::]:0").await?;
/// let mut task = Task::spawn(socket, node, || iot_core::Timestamp::from_secs(1_767_225_600))?;
/// task.call(move |node, now, wall| node.get(now, wall, key, GetMode::Newest)).await;
/// while let Some(event) = task.event().await {
///     println!("{event:?}");
/// }
/// # Ok(())
/// # }
/// ```
pub struct Task {
    address: SocketAddr,
    calls: Sender<Call>,
    events: Receiver<Event>,
    task: JoinHandle<Node>,
}

type Call = Box<dyn FnOnce(&mut Node, Instant, Timestamp) + Send>;

impl Task {
    /// Runs `node` on `socket`, with `wall` as its time of day. Must be called within a runtime of tokio.
    ///
    /// # Errors
    ///
    /// Whatever the operating system says when it does not know the socket's address.
    pub fn spawn(socket: UdpSocket, node: Node, wall: impl Fn() -> Timestamp + Send + 'static) -> io::Result<Self> {
        let address = socket.local_addr()?;
        let (calls, called) = mpsc::channel(CALLS);
        let (happened, events) = mpsc::channel(EVENTS);
        let (started, wall) = (tokio::time::Instant::now(), Box::new(wall));
        let worker = Worker { address, socket, node, wall, started, happened, waiting: None };
        Ok(Self { address, calls, events, task: tokio::spawn(worker.run(called)) })
    }

    /// Where the socket is bound.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The next thing that the node reports; `None` once it has stopped. Events that nobody takes wait at the node,
    /// within its own bounds.
    pub async fn event(&mut self) -> Option<Event> {
        self.events.recv().await
    }

    /// Runs `call` on the node and waits for what it returns; `None` if the node has stopped.
    pub async fn call<T: Send + 'static>(
        &self,
        call: impl FnOnce(&mut Node, Instant, Timestamp) -> T + Send + 'static,
    ) -> Option<T> {
        let (answer, answered) = oneshot::channel();
        let call = move |node: &mut Node, now, wall| {
            // Whoever asked may have gone meanwhile.
            let _ = answer.send(call(node, now, wall));
        };
        self.calls.send(Box::new(call)).await.ok()?;
        answered.await.ok()
    }

    /// Stops the node and gives it back; `None` if its task panicked.
    pub async fn stop(self) -> Option<Node> {
        drop((self.calls, self.events));
        self.task.await.ok()
    }
}

struct Worker {
    address: SocketAddr,
    socket: UdpSocket,
    node: Node,
    wall: Box<dyn Fn() -> Timestamp + Send>,
    started: tokio::time::Instant,
    happened: Sender<Event>,
    /// An event for which there was no room.
    waiting: Option<Event>,
}

/// How many calls may wait for the node.
const CALLS: usize = 16;

/// How many events may wait for whoever listens.
const EVENTS: usize = 64;

/// How long a node sleeps that waits for nothing.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

impl Worker {
    async fn run(mut self, mut called: Receiver<Call>) -> Node {
        let mut buffer = [0; 2048];
        loop {
            self.drain().await;
            let now = self.now();
            let sleep = self.node.poll_timeout(now).map_or(LONGEST_SLEEP, |due| due.saturating_since(now));
            tokio::select! {
                call = called.recv() => match call {
                    Some(call) => {
                        let now = self.now();
                        call(&mut self.node, now, (self.wall)());
                    }
                    None => return self.node,
                },
                received = self.socket.recv_from(&mut buffer) => match received {
                    Ok((len, from)) => {
                        let now = self.now();
                        self.node.handle_datagram(now, (self.wall)(), from, &buffer[..len]);
                    }
                    Err(error) if is_passing(&error) => {}
                    Err(_) => return self.node,
                },
                // An event that waits is offered again as soon as there is room.
                permit = self.happened.reserve(), if self.waiting.is_some() => {
                    if let (Ok(permit), Some(event)) = (permit, self.waiting.take()) {
                        permit.send(event);
                    }
                }
                () = tokio::time::sleep(sleep) => {}
            }
            let now = self.now();
            if self.node.poll_timeout(now).is_some_and(|due| due <= now) {
                self.node.handle_timeout(now, (self.wall)());
            }
        }
    }

    async fn drain(&mut self) {
        let mut buffer = [0; MAX_DATAGRAM_LEN];
        while let Some(transmit) = self.node.poll_transmit(&mut buffer) {
            // What cannot be sent is lost like any datagram, and asked again.
            let _ = self.socket.send_to(&buffer[..transmit.len], sendable(self.address, transmit.to)).await;
        }
        while let Some(event) = self.waiting.take().or_else(|| self.node.poll_event()) {
            match self.happened.try_send(event) {
                Ok(()) => {}
                // What is not fetched counts against the node's own bounds.
                Err(TrySendError::Full(event)) => {
                    self.waiting = Some(event);
                    break;
                }
                // Whoever listened has gone; the node works on.
                Err(TrySendError::Closed(_)) => break,
            }
        }
    }

    fn now(&self) -> Instant {
        Instant::from_micros(u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX))
    }
}
