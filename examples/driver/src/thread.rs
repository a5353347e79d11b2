use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender, SyncSender, TrySendError};
use std::thread::JoinHandle;
use std::time::Duration;

use iot_core::{Instant, Timestamp};
use iot_dht::wire::MAX_DATAGRAM_LEN;
use iot_dht::{Event, Node, Record};

use crate::clocked::{Beside, Call, Clocked, EVENTS, Untaken};
use crate::socket::{is_passing, own_address, sendable};
use crate::verifier::Verifier;

/// A node that runs. Dropping it stops the thread and closes the socket.
pub struct Driver {
    address: SocketAddr,
    /// Where this process itself reaches the socket.
    reached: SocketAddr,
    calls: Sender<Call>,
    events: Receiver<Event>,
    changes: Receiver<Record>,
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

impl Driver {
    /// Runs `node` on `socket`, with `wall` as its time of day.
    ///
    /// # Errors
    ///
    /// Whatever the operating system says when it has no further socket or thread.
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
        Self::start(socket, Clocked::new(node, beside, wall), Box::new(|_, _, _| Verdict::Deliver))
    }

    /// The same as [`spawn`](Self::spawn), with a filter in front of the node.
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
        Self::start(socket, Clocked::new(node, Beside::Nothing, wall), filter)
    }

    fn start(socket: UdpSocket, node: Clocked, filter: Filter) -> io::Result<Self> {
        let address = socket.local_addr()?;
        let reached = own_address(address);
        let waker = UdpSocket::bind((reached.ip(), 0))?;
        let link_is_up = Arc::new(AtomicBool::new(true));
        let (calls, called) = mpsc::channel();
        let (verdicts, verified) = mpsc::channel();
        let (happened, events) = mpsc::sync_channel(EVENTS);
        let (changed, changes) = mpsc::sync_channel(EVENTS);
        let bell = waker.try_clone()?;
        let verifier = Verifier::new(move |verdict| {
            // A node that has stopped needs none; one whose bell is not heard wakes up for another reason.
            let _ = verdicts.send(verdict);
            let _ = bell.send_to(&[], reached);
        });
        let worker = Worker {
            address,
            waker: waker.local_addr()?,
            link_is_up: link_is_up.clone(),
            socket,
            node,
            filter,
            verifier,
            called,
            verified,
            happened,
            changed,
        };
        let thread = std::thread::Builder::new().name(format!("node {address}")).stack_size(256 * 1024);
        let thread = Some(thread.spawn(|| worker.run())?);
        Ok(Self { address, reached, calls, events, changes, waker, link_is_up, thread })
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

    /// The next versions of the record of the subscription beside the node. What finds no room is known from the version
    /// after it, or the next look.
    pub fn changes(&self) -> &Receiver<Record> {
        &self.changes
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
    node: Clocked,
    filter: Filter,
    verifier: Verifier,
    called: Receiver<Call>,
    verified: Receiver<iot_dht::Verdict>,
    happened: SyncSender<Event>,
    changed: SyncSender<Record>,
}

/// How long the thread sleeps at the most, so that a lost wake-up costs no more.
const LONGEST_SLEEP: Duration = Duration::from_millis(500);

impl Worker {
    fn run(mut self) -> Node {
        let mut buffer = [0; 2048];
        loop {
            loop {
                match self.called.try_recv() {
                    Ok(call) => self.node.call(call),
                    Err(mpsc::TryRecvError::Empty) => break,
                    Err(mpsc::TryRecvError::Disconnected) => return self.node.into_node(),
                }
            }
            self.verified.try_iter().for_each(|verdict| self.node.handle_verdict(verdict));
            self.node.handle_timeout();
            self.drain();
            // A time-out of zero would mean none to the operating system.
            let sleep = self.node.idle_for(LONGEST_SLEEP).max(Duration::from_millis(1));
            if self.socket.set_read_timeout(Some(sleep)).is_err() {
                return self.node.into_node();
            }
            match self.socket.recv_from(&mut buffer) {
                Ok((len, from)) => self.receive(from, &buffer[..len]),
                Err(error) if is_passing(&error) => {}
                Err(_) => return self.node.into_node(),
            }
        }
    }

    fn receive(&mut self, from: SocketAddr, datagram: &[u8]) {
        if sendable(self.waker, from) == self.waker || !self.link_is_up.load(Ordering::SeqCst) {
            return;
        }
        match (self.filter)(self.node.wall(), from, datagram) {
            Verdict::Deliver => self.node.handle_datagram(from, datagram),
            Verdict::Answer(answer) => self.send(from, &answer),
        }
    }

    fn drain(&mut self) {
        let event = |event| match self.happened.try_send(event) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(event)) => Err(Untaken::Full(Box::new(event))),
            Err(TrySendError::Disconnected(_)) => Err(Untaken::Gone),
        };
        let change = |record| drop(self.changed.try_send(record));
        self.node.tell(event, change);
        while let Some(job) = self.node.poll_job() {
            self.verifier.verify(job);
        }
        // An event may have led to a question of what runs beside the node.
        let mut buffer = [0; MAX_DATAGRAM_LEN];
        while let Some(transmit) = self.node.poll_transmit(&mut buffer) {
            self.send(transmit.to, &buffer[..transmit.len]);
        }
    }

    fn send(&self, to: SocketAddr, datagram: &[u8]) {
        if self.link_is_up.load(Ordering::SeqCst) {
            // What cannot be sent is lost like any datagram, and asked again.
            let _ = self.socket.send_to(datagram, sendable(self.address, to));
        }
    }
}
