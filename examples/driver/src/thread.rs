use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender, SyncSender, TrySendError};
use std::thread::JoinHandle;
use std::time::Duration;

use iot_core::{Instant, Timestamp};
use iot_dht::wire::MAX_DATAGRAM_LEN;
use iot_dht::{Event, Node};

use crate::socket::{is_passing, own_address, sendable};

/// A node that runs. Dropping it stops the thread and closes the socket.
pub struct Driver {
    address: SocketAddr,
    /// Where this process itself reaches the socket.
    reached: SocketAddr,
    calls: Sender<Call>,
    events: Receiver<Event>,
    waker: UdpSocket,
    link_is_up: Arc<AtomicBool>,
    thread: Option<JoinHandle<Node>>,
}

/// What becomes of a datagram before the node sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The node handles it.
    Deliver,
    /// The node never sees it; this goes back to its sender.
    Answer(Vec<u8>),
}

/// Looks at each datagram first: where it came from and what it says. Only those who study attacks need one.
pub type Filter = Box<dyn FnMut(Timestamp, SocketAddr, &[u8]) -> Verdict + Send>;

type Call = Box<dyn FnOnce(&mut Node, Instant, Timestamp) + Send>;

impl Driver {
    /// Runs `node` on `socket`, with `wall` as its time of day.
    ///
    /// # Errors
    ///
    /// Whatever the operating system says when it has no further socket or thread.
    pub fn spawn(socket: UdpSocket, node: Node, wall: impl Fn() -> Timestamp + Send + 'static) -> io::Result<Self> {
        Self::spawn_filtered(socket, node, wall, Box::new(|_, _, _| Verdict::Deliver))
    }

    /// The same, with a filter in front of the node.
    ///
    /// # Errors
    ///
    /// As [`spawn`](Self::spawn).
    pub fn spawn_filtered(
        socket: UdpSocket,
        node: Node,
        wall: impl Fn() -> Timestamp + Send + 'static,
        filter: Filter,
    ) -> io::Result<Self> {
        let address = socket.local_addr()?;
        let reached = own_address(address);
        let waker = UdpSocket::bind((reached.ip(), 0))?;
        let link_is_up = Arc::new(AtomicBool::new(true));
        let (calls, called) = mpsc::channel();
        let (happened, events) = mpsc::sync_channel(EVENTS);
        let worker = Worker {
            address,
            waker: waker.local_addr()?,
            link_is_up: link_is_up.clone(),
            started: std::time::Instant::now(),
            socket,
            node,
            wall: Box::new(wall),
            filter,
            called,
            happened,
            waiting: None,
        };
        let thread = std::thread::Builder::new().name(format!("node {address}")).stack_size(256 * 1024);
        let thread = Some(thread.spawn(|| worker.run())?);
        Ok(Self { address, reached, calls, events, waker, link_is_up, thread })
    }

    /// Where the socket is bound.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What the node reports. The iterator ends when the node stops. Events that nobody takes wait at the node, within
    /// its own bounds.
    pub fn events(&self) -> &Receiver<Event> {
        &self.events
    }

    /// Runs `call` on the node's thread and waits for what it returns; `None` if the node has stopped.
    pub fn call<T: Send + 'static>(
        &self,
        call: impl FnOnce(&mut Node, Instant, Timestamp) -> T + Send + 'static,
    ) -> Option<T> {
        let (answer, answered) = mpsc::channel();
        let call = move |node: &mut Node, now, wall| {
            // Whoever asked may have gone meanwhile.
            let _ = answer.send(call(node, now, wall));
        };
        self.calls.send(Box::new(call)).ok()?;
        self.wake();
        answered.recv().ok()
    }

    /// Cuts the node off from the network, or connects it again. Datagrams of a node that is cut off are lost.
    pub fn set_link(&self, link: Link) {
        self.link_is_up.store(link == Link::Up, Ordering::SeqCst);
    }

    /// Stops the node and gives it back.
    ///
    /// # Panics
    ///
    /// If the node's thread panicked.
    pub fn stop(mut self) -> Node {
        self.end().expect("the node's thread does not panic")
    }

    /// `None` if the thread has ended before, or panicked.
    fn end(&mut self) -> Option<Node> {
        self.calls = mpsc::channel().0;
        self.wake();
        self.thread.take()?.join().ok()
    }

    fn wake(&self) {
        // If the datagram is lost the node sees the call when it wakes up for another reason.
        let _ = self.waker.send_to(&[], self.reached);
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.end();
    }
}

/// Whether a node is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// Datagrams come and go.
    Up,
    /// Datagrams are lost, both ways.
    Down,
}

struct Worker {
    socket: UdpSocket,
    address: SocketAddr,
    waker: SocketAddr,
    link_is_up: Arc<AtomicBool>,
    started: std::time::Instant,
    node: Node,
    wall: Box<dyn Fn() -> Timestamp + Send>,
    filter: Filter,
    called: Receiver<Call>,
    happened: SyncSender<Event>,
    /// An event for which there was no room.
    waiting: Option<Event>,
}

/// How many events may wait for whoever listens.
const EVENTS: usize = 64;

/// How long the thread sleeps at the most, so that a lost wake-up costs no more.
const LONGEST_SLEEP: Duration = Duration::from_millis(500);

impl Worker {
    fn run(mut self) -> Node {
        let mut buffer = [0; 2048];
        loop {
            loop {
                match self.called.try_recv() {
                    Ok(call) => {
                        let now = self.now();
                        call(&mut self.node, now, (self.wall)());
                    }
                    Err(mpsc::TryRecvError::Empty) => break,
                    Err(mpsc::TryRecvError::Disconnected) => return self.node,
                }
            }
            let now = self.now();
            let due = self.node.poll_timeout(now);
            if due.is_some_and(|due| due <= now) {
                self.node.handle_timeout(now, (self.wall)());
            }
            self.drain();
            let now = self.now();
            let sleep = self.node.poll_timeout(now).map_or(LONGEST_SLEEP, |due| due.saturating_since(now));
            // A time-out of zero would mean none to the operating system.
            let sleep = sleep.clamp(Duration::from_millis(1), LONGEST_SLEEP);
            if self.socket.set_read_timeout(Some(sleep)).is_err() {
                return self.node;
            }
            match self.socket.recv_from(&mut buffer) {
                Ok((len, from)) => self.receive(from, &buffer[..len]),
                Err(error) if is_passing(&error) => {}
                Err(_) => return self.node,
            }
        }
    }

    fn receive(&mut self, from: SocketAddr, datagram: &[u8]) {
        if sendable(self.waker, from) == self.waker || !self.link_is_up.load(Ordering::SeqCst) {
            return;
        }
        let (now, wall) = (self.now(), (self.wall)());
        match (self.filter)(wall, from, datagram) {
            Verdict::Deliver => self.node.handle_datagram(now, wall, from, datagram),
            Verdict::Answer(answer) => self.send(from, &answer),
        }
    }

    fn drain(&mut self) {
        let mut buffer = [0; MAX_DATAGRAM_LEN];
        while let Some(transmit) = self.node.poll_transmit(&mut buffer) {
            self.send(transmit.to, &buffer[..transmit.len]);
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
                Err(TrySendError::Disconnected(_)) => break,
            }
        }
    }

    fn send(&self, to: SocketAddr, datagram: &[u8]) {
        if self.link_is_up.load(Ordering::SeqCst) {
            // What cannot be sent is lost like any datagram, and asked again.
            let _ = self.socket.send_to(datagram, sendable(self.address, to));
        }
    }

    fn now(&self) -> Instant {
        Instant::from_micros(u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX))
    }
}
