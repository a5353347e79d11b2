use std::net::SocketAddr;
use std::time::Duration;

use iot_core::{Instant, Timestamp};
use iot_dht::subscription::{Leases, Subscription, is_subscription};
use iot_dht::wire::MAX_DATAGRAM_LEN;
use iot_dht::{Event, Job, Node, OperationId, Record, Transmit, Verdict};

/// What runs beside a node, on its socket.
#[derive(Debug)]
pub enum Beside {
    /// Nothing.
    Nothing,
    /// The node pushes changes of what it stores.
    Leases(Leases),
    /// The node's user is told of changes of one record.
    Subscription(Subscription),
}

/// What is called on a node.
pub type Call = Box<dyn FnOnce(&mut Node, Instant, Timestamp) + Send>;

/// How many events, and how many changes, may wait for whoever listens.
pub const EVENTS: usize = 64;

/// Why an event was not taken.
pub enum Untaken {
    /// There is no room for it now.
    Full(Box<Event>),
    /// Whoever listened has gone.
    Gone,
}

/// A node and what runs beside it, with the clocks that they go by: all that a driver does which is no input or output.
pub struct Clocked {
    node: Node,
    beside: Beside,
    /// The search for nodes at which to subscribe.
    search: Option<OperationId>,
    wall: Box<dyn Fn() -> Timestamp + Send>,
    started: std::time::Instant,
    /// An event for which there was no room.
    waiting: Option<Event>,
}

impl Clocked {
    pub fn new(node: Node, beside: Beside, wall: impl Fn() -> Timestamp + Send + 'static) -> Self {
        let (wall, started) = (Box::new(wall), std::time::Instant::now());
        Self { node, beside, search: None, wall, started, waiting: None }
    }

    pub fn call(&mut self, call: Call) {
        let now = self.now();
        call(&mut self.node, now, (self.wall)());
    }

    pub fn handle_datagram(&mut self, from: SocketAddr, datagram: &[u8]) {
        let (now, wall) = (self.now(), (self.wall)());
        match &mut self.beside {
            Beside::Leases(leases) if is_subscription(datagram) => leases.handle_datagram(now, from, datagram),
            Beside::Subscription(subscription) if is_subscription(datagram) => {
                subscription.handle_datagram(now, wall, from, datagram);
            }
            _ => self.node.handle_datagram(now, wall, from, datagram),
        }
    }

    pub fn handle_verdict(&mut self, verdict: Verdict) {
        let now = self.now();
        self.node.handle_verdict(now, (self.wall)(), verdict);
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self) {
        let (now, wall) = (self.now(), (self.wall)());
        if self.node.poll_timeout(now).is_some_and(|due| due <= now) {
            self.node.handle_timeout(now, wall);
        }
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
            }
        }
    }

    /// The next signatures to verify, if the node hands that out.
    pub fn poll_job(&mut self) -> Option<Job> {
        self.node.poll_job()
    }

    pub fn poll_transmit(&mut self, buffer: &mut [u8; MAX_DATAGRAM_LEN]) -> Option<Transmit> {
        self.node.poll_transmit(buffer).or_else(|| match &mut self.beside {
            Beside::Nothing => None,
            Beside::Leases(leases) => leases.poll_transmit(buffer),
            Beside::Subscription(subscription) => subscription.poll_transmit(buffer),
        })
    }

    /// Offers what happened to whoever listens, as far as there is room: what is not taken counts against the node's own
    /// bounds. A change of the record that is subscribed to and finds no room is known from the next version, or the next
    /// look.
    pub fn tell(&mut self, mut event: impl FnMut(Event) -> Result<(), Untaken>, mut change: impl FnMut(Record)) {
        while let Some(next) = self.waiting.take().or_else(|| self.poll_event()) {
            match event(next) {
                Ok(()) => {}
                Err(Untaken::Full(untaken)) => {
                    self.waiting = Some(*untaken);
                    break;
                }
                Err(Untaken::Gone) => break,
            }
        }
        if let Beside::Subscription(subscription) = &mut self.beside {
            std::iter::from_fn(|| subscription.poll_change()).for_each(&mut change);
        }
    }

    /// Whether an event waits for room.
    #[cfg(feature = "tokio")]
    pub fn has_untold(&self) -> bool {
        self.waiting.is_some()
    }

    /// How long nothing is due, at most so long.
    pub fn idle_for(&self, longest: Duration) -> Duration {
        let now = self.now();
        let beside = match &self.beside {
            Beside::Nothing => None,
            Beside::Leases(leases) => leases.poll_timeout(),
            Beside::Subscription(subscription) => Some(subscription.poll_timeout()),
        };
        let due = self.node.poll_timeout(now).into_iter().chain(beside).min();
        due.map_or(longest, |due| due.saturating_since(now).min(longest))
    }

    pub fn wall(&self) -> Timestamp {
        (self.wall)()
    }

    pub fn into_node(self) -> Node {
        self.node
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

    fn now(&self) -> Instant {
        Instant::START.saturating_add(self.started.elapsed())
    }
}
