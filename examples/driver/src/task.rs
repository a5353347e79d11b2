use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use iot_core::{Instant, Timestamp};
use iot_dht::subscription::{Leases, Subscription, is_subscription};
use iot_dht::wire::MAX_DATAGRAM_LEN;
use iot_dht::{Event, Node, OperationId, Record, Transmit};
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
    changes: Receiver<Record>,
    task: JoinHandle<Node>,
}

/// What runs beside a node, on its socket.
#[derive(Debug)]
pub enum Beside {
    /// Nothing.
    Nothing,
    /// The node pushes changes of what it stores.
    Leases(Leases),
    /// The node's user is told of changes: see [`Task::event_or_change`].
    Subscription(Subscription),
}

type Call = Box<dyn FnOnce(&mut Node, Instant, Timestamp) + Send>;

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
        let (started, wall) = (tokio::time::Instant::now(), Box::new(wall));
        let worker =
            Worker { address, socket, node, beside, search: None, wall, started, happened, changed, waiting: None };
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
    node: Node,
    beside: Beside,
    /// The search for nodes at which to subscribe.
    search: Option<OperationId>,
    wall: Box<dyn Fn() -> Timestamp + Send>,
    started: tokio::time::Instant,
    happened: Sender<Event>,
    changed: Sender<Record>,
    /// An event for which there was no room.
    waiting: Option<Event>,
}

/// What a node was woken by.
enum Woken {
    Call(Option<Call>),
    Datagram(io::Result<(usize, SocketAddr)>),
    Else,
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
            let sleep = self.poll_timeout(now).map_or(LONGEST_SLEEP, |due| due.saturating_since(now));
            let woken = tokio::select! {
                call = called.recv() => Woken::Call(call),
                received = self.socket.recv_from(&mut buffer) => Woken::Datagram(received),
                // An event that waits is offered again as soon as there is room.
                permit = self.happened.reserve(), if self.waiting.is_some() => {
                    if let (Ok(permit), Some(event)) = (permit, self.waiting.take()) {
                        permit.send(event);
                    }
                    Woken::Else
                }
                () = tokio::time::sleep(sleep) => Woken::Else,
            };
            match woken {
                Woken::Call(Some(call)) => {
                    let now = self.now();
                    call(&mut self.node, now, (self.wall)());
                }
                Woken::Call(None) => return self.node,
                Woken::Datagram(Ok((len, from))) => self.receive(from, &buffer[..len]),
                Woken::Datagram(Err(error)) if !is_passing(&error) => return self.node,
                Woken::Datagram(Err(_)) | Woken::Else => {}
            }
            let now = self.now();
            if self.node.poll_timeout(now).is_some_and(|due| due <= now) {
                self.node.handle_timeout(now, (self.wall)());
            }
            self.look_beside(now);
        }
    }

    fn receive(&mut self, from: SocketAddr, datagram: &[u8]) {
        let (now, wall) = (self.now(), (self.wall)());
        match &mut self.beside {
            Beside::Leases(leases) if is_subscription(datagram) => leases.handle_datagram(now, from, datagram),
            Beside::Subscription(subscription) if is_subscription(datagram) => {
                subscription.handle_datagram(now, wall, from, datagram);
            }
            _ => self.node.handle_datagram(now, wall, from, datagram),
        }
    }

    fn look_beside(&mut self, now: Instant) {
        let wall = (self.wall)();
        match &mut self.beside {
            Beside::Nothing => {}
            Beside::Leases(leases) => leases.handle_timeout(now, wall, self.node.store()),
            Beside::Subscription(subscription) => {
                subscription.handle_timeout(now);
                if let Some(key) = subscription.poll_search(now) {
                    match self.node.find(now, wall, key) {
                        Ok(search) => self.search = Some(search),
                        // A busy node finds nobody, and is asked again soon.
                        Err(_) => subscription.handle_found(now, &[]),
                    }
                }
                while let Some(record) = subscription.poll_change() {
                    // What finds no room is known from the next version, or the next look.
                    let _ = self.changed.try_send(record);
                }
            }
        }
    }

    fn poll_timeout(&self, now: Instant) -> Option<Instant> {
        let beside = match &self.beside {
            Beside::Nothing => None,
            Beside::Leases(leases) => leases.poll_timeout(),
            Beside::Subscription(subscription) => Some(subscription.poll_timeout()),
        };
        self.node.poll_timeout(now).into_iter().chain(beside).min()
    }

    fn poll_transmit(&mut self, buffer: &mut [u8; MAX_DATAGRAM_LEN]) -> Option<Transmit> {
        self.node.poll_transmit(buffer).or_else(|| match &mut self.beside {
            Beside::Nothing => None,
            Beside::Leases(leases) => leases.poll_transmit(buffer),
            Beside::Subscription(subscription) => subscription.poll_transmit(buffer),
        })
    }

    /// The next event that is not for what runs beside the node.
    fn poll_event(&mut self) -> Option<Event> {
        let now = self.now();
        while let Some(event) = self.node.poll_event() {
            match (event, &mut self.beside) {
                (Event::FindDone(done), Beside::Subscription(subscription)) if self.search == Some(done.operation) => {
                    subscription.handle_found(now, &done.closest);
                }
                (event, _) => return Some(event),
            }
        }
        None
    }

    async fn drain(&mut self) {
        while let Some(event) = self.waiting.take().or_else(|| self.poll_event()) {
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
        // An event may have led to a question of what runs beside the node.
        let mut buffer = [0; MAX_DATAGRAM_LEN];
        while let Some(transmit) = self.poll_transmit(&mut buffer) {
            // What cannot be sent is lost like any datagram, and asked again.
            let _ = self.socket.send_to(&buffer[..transmit.len], sendable(self.address, transmit.to)).await;
        }
    }

    fn now(&self) -> Instant {
        Instant::from_micros(u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX))
    }
}
