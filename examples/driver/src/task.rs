use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use iot_core::{Instant, Timestamp};
use iot_dht::wire::MAX_DATAGRAM_LEN;
use iot_dht::{Event, Node, Record, Verdict};
use tokio::net::UdpSocket;
use tokio::sync::mpsc::{self, Receiver, Sender, UnboundedReceiver, error::TrySendError};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::clocked::{Beside, Call, Clocked, EVENTS, Untaken};
use crate::socket::{is_passing, sendable};
use crate::verifier::Verifier;

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
    changes: Receiver<Record>,
    task: JoinHandle<Node>,
}

impl Task {
    /// Runs `node` on `socket`, with `wall` as its time of day. Must be called within a runtime of tokio.
    ///
    /// # Errors
    ///
    /// Whatever the operating system says when it does not know the socket's address.
    pub fn spawn(socket: UdpSocket, node: Node, wall: impl Fn() -> Timestamp + Send + 'static) -> io::Result<Self> {
        Self::spawn_beside(socket, node, Beside::Nothing, wall)
    }

    /// The same, with something beside the node.
    ///
    /// # Errors
    ///
    /// As [`spawn`](Self::spawn).
    pub fn spawn_beside(
        socket: UdpSocket,
        node: Node,
        beside: Beside,
        wall: impl Fn() -> Timestamp + Send + 'static,
    ) -> io::Result<Self> {
        let address = socket.local_addr()?;
        let (calls, called) = mpsc::channel(CALLS);
        let (happened, events) = mpsc::channel(EVENTS);
        let (changed, changes) = mpsc::channel(EVENTS);
        let (verdicts, verified) = mpsc::unbounded_channel();
        // A node that has stopped needs no verdict.
        let verifier = Verifier::new(move |verdict| {
            let _ = verdicts.send(verdict);
        });
        let node = Clocked::new(node, beside, wall);
        let worker = Worker { address, socket, node, verifier, verified, happened, changed };
        Ok(Self { address, calls, events, changes, task: tokio::spawn(worker.run(called)) })
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

    /// The next thing that the node reports, or the next version of the record of the subscription beside it, whichever
    /// comes first; `None` once the node has stopped.
    pub async fn event_or_change(&mut self) -> Option<Result<Event, Record>> {
        tokio::select! {
            event = self.events.recv() => event.map(Ok),
            Some(record) = self.changes.recv() => Some(Err(record)),
        }
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
        drop((self.calls, self.events, self.changes));
        self.task.await.ok()
    }
}

struct Worker {
    address: SocketAddr,
    socket: UdpSocket,
    node: Clocked,
    verifier: Verifier,
    verified: UnboundedReceiver<Verdict>,
    happened: Sender<Event>,
    changed: Sender<Record>,
}

/// What a node was woken by.
enum Woken {
    Call(Option<Call>),
    Datagram(io::Result<(usize, SocketAddr)>),
    Verdict(Option<Verdict>),
    Else,
}

/// How many calls may wait for the node.
const CALLS: usize = 16;

/// How long a node sleeps that waits for nothing.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

impl Worker {
    async fn run(mut self, mut called: Receiver<Call>) -> Node {
        let mut buffer = [0; 2048];
        loop {
            self.drain().await;
            let woken = tokio::select! {
                call = called.recv() => Woken::Call(call),
                received = self.socket.recv_from(&mut buffer) => Woken::Datagram(received),
                verdict = self.verified.recv() => Woken::Verdict(verdict),
                // An event that waits is offered again as soon as there is room.
                _ = self.happened.reserve(), if self.node.has_untold() => Woken::Else,
                () = tokio::time::sleep(self.node.idle_for(LONGEST_SLEEP)) => Woken::Else,
            };
            match woken {
                Woken::Call(Some(call)) => self.node.call(call),
                Woken::Call(None) => return self.node.into_node(),
                Woken::Datagram(Ok((len, from))) => self.node.handle_datagram(from, &buffer[..len]),
                Woken::Datagram(Err(error)) if !is_passing(&error) => return self.node.into_node(),
                Woken::Verdict(Some(verdict)) => self.node.handle_verdict(verdict),
                Woken::Datagram(Err(_)) | Woken::Verdict(None) | Woken::Else => {}
            }
            self.node.handle_timeout();
        }
    }

    async fn drain(&mut self) {
        let event = |event| match self.happened.try_send(event) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(event)) => Err(Untaken::Full(Box::new(event))),
            Err(TrySendError::Closed(_)) => Err(Untaken::Gone),
        };
        let change = |record| drop(self.changed.try_send(record));
        self.node.tell(event, change);
        while let Some(job) = self.node.poll_job() {
            self.verifier.verify(job);
        }
        // An event may have led to a question of what runs beside the node.
        let mut buffer = [0; MAX_DATAGRAM_LEN];
        while let Some(transmit) = self.node.poll_transmit(&mut buffer) {
            // What cannot be sent is lost like any datagram, and asked again.
            let _ = self.socket.send_to(&buffer[..transmit.len], sendable(self.address, transmit.to)).await;
        }
    }
}
