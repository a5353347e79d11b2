use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use iot_core::{DeviceId, Instant, Timestamp};
use iot_crypto::Signer;
use iot_dht::{Contact, Event, GetMode, LinkId, Node, OperationId, Path, Peer, Reachability};

use crate::Driver;

/// How long a contact is good for.
const LIFE: Duration = Duration::from_secs(3600);
/// How often it is published, for those that stored it may be gone.
const PUBLISH_EVERY: Duration = Duration::from_secs(15);

/// A device in the hash table, on a thread: it publishes where it is met, and finds and meets others. Its node wants
/// [`relays`](iot_dht::NodeConfig::relays) and [`links`](iot_dht::NodeConfig::links).
pub struct Party<S> {
    driver: Driver,
    signer: S,
    wall: fn() -> Timestamp,
    started: std::time::Instant,
    /// None until the node is in the network.
    publish_at: Option<Instant>,
    search: Option<OperationId>,
    meeting: Option<LinkId>,
}

/// What a party hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// A path was found: to the one that was looked for, or to anybody who wants to meet the party.
    Met(LinkId, Path),
    /// Octets over a link. Nobody vouches for who sent them.
    Octets(LinkId, Vec<u8>),
    /// A link is over.
    Parted(LinkId),
    /// None of the bootstrap addresses answers. They are asked again.
    Alone,
    /// The one that was looked for has not said where it is, or not of late.
    Nowhere,
}

impl<S: Signer> Party<S> {
    /// Runs `node` on `socket`, for the device of `signer`, in the network of those at `known`.
    ///
    /// # Errors
    ///
    /// As [`Driver::spawn`].
    pub fn start(
        socket: UdpSocket,
        node: Node,
        signer: S,
        known: Vec<SocketAddr>,
        wall: fn() -> Timestamp,
    ) -> io::Result<Self> {
        let driver = Driver::spawn(socket, node, wall)?;
        driver.call(move |node, now, _| node.bootstrap(now, &known));
        let started = std::time::Instant::now();
        Ok(Self { driver, signer, wall, started, publish_at: None, search: None, meeting: None })
    }

    /// Looks for a device, once the party is in the network and unless it looks for one or has met it already:
    /// [`News::Met`] follows, [`News::Parted`] or [`News::Nowhere`].
    pub fn search(&mut self, device: &DeviceId) {
        if self.search.is_none() && self.meeting.is_none() && self.publish_at.is_some() {
            let key = Contact::key(device);
            let get = self.driver.call(move |node, now, wall| node.get(now, wall, key, GetMode::Newest).ok());
            self.search = get.flatten();
        }
    }

    /// Waits for news.
    ///
    /// # Errors
    ///
    /// When the socket has failed.
    pub fn poll(&mut self, patience: Duration) -> io::Result<Option<News>> {
        if self.publish_at.is_some_and(|at| at <= self.now()) {
            self.publish();
        }
        let event = match self.driver.events().recv_timeout(patience) {
            Err(RecvTimeoutError::Timeout) => return Ok(None),
            event => event.map_err(|_| io::Error::other("the socket failed"))?,
        };
        match event {
            Event::Bootstrapped { .. } | Event::Relays { .. } | Event::Reachability(_) => {
                self.publish_at = Some(self.now());
            }
            Event::BootstrapFailed { .. } => return Ok(Some(News::Alone)),
            Event::GetDone(done) if self.search == Some(done.operation) => {
                self.search = None;
                let contact = done.record.and_then(|record| Contact::read(&record, (self.wall)()).ok());
                let meet = |contact: Contact| self.driver.call(move |node, now, _| node.meet(now, &contact).ok())?;
                self.meeting = contact.and_then(meet);
                if self.meeting.is_none() {
                    return Ok(Some(News::Nowhere));
                }
            }
            Event::Linked(linked) => return Ok(Some(News::Met(linked.link, linked.path))),
            Event::Datagram { link, payload } => return Ok(Some(News::Octets(link, payload))),
            Event::Parted { link, .. } => {
                self.meeting = self.meeting.filter(|meeting| *meeting != link);
                return Ok(Some(News::Parted(link)));
            }
            _ => {}
        }
        Ok(None)
    }

    /// Sends over a link. What finds no path or no room is lost like any datagram.
    pub fn send(&self, link: LinkId, octets: Vec<u8>) {
        self.driver.call(move |node, now, _| node.send(now, link, &octets));
    }

    /// Gives a link up for the next way to the one that was looked for, if its contact names another. [`News::Met`] follows,
    /// of the link that comes back, or [`News::Parted`].
    pub fn reroute(&mut self, link: LinkId) -> Option<LinkId> {
        let next = self.driver.call(move |node, now, _| node.reroute(now, link).ok()).flatten()?;
        self.meeting = Some(next);
        Some(next)
    }

    /// Ends a link.
    pub fn part(&mut self, link: LinkId) {
        self.meeting = self.meeting.filter(|meeting| *meeting != link);
        self.driver.call(move |node, _, _| node.part(link));
    }

    /// Says where this end is met: at its address if strangers reach that, else by who introduces others to it.
    fn publish(&mut self) {
        self.publish_at = Some(self.now().saturating_add(PUBLISH_EVERY));
        let about = |node: &mut Node, _, _| (*node.id(), node.reachability(), node.relays().collect::<Vec<_>>());
        let Some((id, reachability, relays)) = self.driver.call(about) else { return };
        let (signer, wall) = (&self.signer, (self.wall)());
        let sequence = wall.as_micros();
        let contact = match reachability {
            Reachability::Reachable { address } => Contact::sign(signer, sequence, wall, LIFE, &[Peer { id, address }]),
            _ => Contact::sign_relayed(signer, sequence, wall, LIFE, &[], &id, &relays),
        };
        // Without a relay there is nothing to say yet.
        if let Ok(contact) = contact {
            self.driver.call(move |node, now, wall| node.put(now, wall, contact).ok());
        }
    }

    fn now(&self) -> Instant {
        Instant::START.saturating_add(self.started.elapsed())
    }
}
