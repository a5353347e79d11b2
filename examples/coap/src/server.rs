//! The server: it answers, and notifies those who observe.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use coap_lite::{CoapOption, MessageClass, MessageType, Packet, RequestType, ResponseType};

use crate::message::{
    BLOCK, COMMANDS, MAX_PACKET, PACKETS, TRANSMISSIONS, block_of, message, patience, put_block, random,
};

/// How many clients send packets in blocks at a time.
const MAX_SENDERS: usize = 16;

/// Who observes a resource; more are answered, but not told what is new.
const MAX_OBSERVERS: usize = 8;

/// Names for which something waits or that somebody observes. Of more, those go first that nobody observes.
const MAX_RESOURCES: usize = 1024;

/// Packets that wait for an observer. Of more, the oldest are dropped, and sent again in time.
const MAX_WAITING: usize = 256;

/// Clients whose last answer is kept: whoever did not get it asks again.
const MAX_ANSWERED: usize = 256;

/// Options that a server may not pass over (odd numbers), and that this one knows.
const KNOWN: [CoapOption; 6] = {
    use CoapOption::{Accept, Block1, Block2, UriHost, UriPath, UriPort};
    [UriHost, UriPort, UriPath, Accept, Block1, Block2]
};

struct Observer {
    address: SocketAddr,
    token: Vec<u8>,
    /// The notification that it has not acknowledged.
    owes: Option<u16>,
}

/// A packet that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrived {
    /// From where.
    pub from: SocketAddr,
    /// The name that it was posted under.
    pub name: String,
    /// The packet.
    pub packet: Vec<u8>,
}

/// Who is asked what becomes of a packet, before its sender is answered.
type Taker<'t> = &'t mut dyn FnMut(Arrived) -> ResponseType;

/// What is observed under a name.
#[derive(Default)]
struct Resource {
    going: VecDeque<Vec<u8>>,
    /// The state of the resource: the packet that is told at present.
    state: Vec<u8>,
    age: u32,
    observers: Vec<Observer>,
    /// How often that packet was told, and when it is told again.
    told: u32,
    due: Option<Instant>,
}

/// A server to which packets are posted, each under a name, and that has packets for whoever observes a name.
pub struct Server {
    socket: UdpSocket,
    is_name: fn(&str) -> bool,
    next_id: u16,
    resources: BTreeMap<String, Resource>,
    /// Blocks of packets that are not complete.
    blocks: BTreeMap<SocketAddr, Vec<u8>>,
    answered: BTreeMap<SocketAddr, (u16, Vec<u8>)>,
}

impl Server {
    /// Listens. There is nothing under what `is_name` says to be no name.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](ErrorKind::InvalidInput) when the address is not free.
    pub fn bind(address: &str, is_name: fn(&str) -> bool) -> io::Result<Self> {
        let socket = UdpSocket::bind(address).map_err(|error| io::Error::new(ErrorKind::InvalidInput, error))?;
        let (resources, blocks, answered) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Ok(Self { socket, is_name, next_id: random()?.0, resources, blocks, answered })
    }

    /// Has a packet for whoever observes this name, now or later.
    pub fn put(&mut self, name: &str, packet: &[u8]) {
        let Some(resource) = self.resource(name) else { return };
        if resource.going.len() == MAX_WAITING {
            resource.going.pop_front();
        }
        resource.going.push_back(packet.to_vec());
    }

    /// Notifies whoever is to be notified, and answers what comes next, if something does before so long. `take` is asked
    /// what its sender is answered to a packet: 2.04 ([`Changed`](ResponseType::Changed)) says that it was taken.
    ///
    /// # Errors
    ///
    /// When the socket fails.
    pub fn serve(&mut self, patience: Duration, take: Taker<'_>) -> io::Result<()> {
        for resource in self.resources.values_mut() {
            resource.notify(&self.socket, &mut self.next_id)?;
        }
        // A time-out of zero would mean none to the operating system.
        self.socket.set_read_timeout(Some(patience.max(Duration::from_micros(1))))?;
        let mut octets = [0; 2 * BLOCK];
        match self.socket.recv_from(&mut octets) {
            Ok((len, from)) => {
                Packet::from_bytes(&octets[..len]).map_or(Ok(()), |heard| self.handle(&heard, from, take))
            }
            Err(error) => is_passing(error),
        }
    }

    /// What is under a name; nothing if all names are in use.
    fn resource(&mut self, name: &str) -> Option<&mut Resource> {
        if self.resources.len() == MAX_RESOURCES && !self.resources.contains_key(name) {
            self.resources.retain(|_, resource| !resource.observers.is_empty());
        }
        let has_room = self.resources.len() < MAX_RESOURCES || self.resources.contains_key(name);
        has_room.then(|| self.resources.entry(name.to_owned()).or_default())
    }

    fn handle(&mut self, heard: &Packet, from: SocketAddr, take: Taker<'_>) -> io::Result<()> {
        let (kind, id) = (heard.header.get_type(), heard.header.message_id);
        match (kind, heard.header.code) {
            (MessageType::Acknowledgement | MessageType::Reset, _) => {
                let is_it = |it: &Observer| it.address == from && it.owes == Some(id);
                for observers in self.resources.values_mut().map(|resource| &mut resource.observers) {
                    // It does not know what it observes.
                    observers.retain(|it| kind != MessageType::Reset || !is_it(it));
                    observers.iter_mut().filter(|it| is_it(it)).for_each(|it| it.owes = None);
                }
            }
            (_, MessageClass::Request(method)) => {
                if let Some((_, octets)) = self.answered.get(&from).filter(|(answered, _)| *answered == id) {
                    return self.socket.send_to(octets, from).map(drop).or_else(is_passing);
                }
                let answer = self.answer(method, heard, from, take)?;
                let octets = send(&self.socket, &answer, from)?;
                if self.answered.len() == MAX_ANSWERED && !self.answered.contains_key(&from) {
                    self.answered.pop_first();
                }
                self.answered.insert(from, (id, octets));
            }
            // It asks whether somebody is here.
            (MessageType::Confirmable, _) => {
                send(&self.socket, &message(MessageType::Reset, MessageClass::Empty, id, &[]), from)?;
            }
            _ => {}
        }
        Ok(())
    }

    fn answer(&mut self, method: RequestType, heard: &Packet, from: SocketAddr, take: Taker<'_>) -> io::Result<Packet> {
        let is_confirmable = heard.header.get_type() == MessageType::Confirmable;
        let kind = if is_confirmable { MessageType::Acknowledgement } else { MessageType::NonConfirmable };
        let mut answer = message(kind, MessageClass::Empty, heard.header.message_id, heard.get_token());
        let path = heard.get_option(CoapOption::UriPath).into_iter().flatten();
        let path = path.map(|part| String::from_utf8_lossy(part).into_owned()).collect::<Vec<_>>().join("/");
        let (resource, name) = path.split_once('/').unwrap_or((&path, ""));
        let is_known = |(number, _): (&u16, _)| number % 2 == 0 || KNOWN.map(u16::from).contains(number);
        let code = match (method, resource) {
            _ if !heard.options().all(is_known) => ResponseType::BadOption,
            (_, PACKETS | COMMANDS) if !(self.is_name)(name) => ResponseType::NotFound,
            (RequestType::Post, PACKETS) => {
                if let Some(block) = block_of(heard, CoapOption::Block1) {
                    answer.add_option_as(CoapOption::Block1, block);
                }
                match self.put_together(heard, from) {
                    Ok(packet) => take(Arrived { from, name: name.to_owned(), packet }),
                    Err(code) => code,
                }
            }
            (RequestType::Get, COMMANDS) => match self.resource(name) {
                None => ResponseType::ServiceUnavailable,
                Some(resource) => {
                    match heard.get_observe_value() {
                        Some(Ok(0)) => resource.register(from, heard.get_token(), &mut answer),
                        Some(_) => resource.observers.retain(|observer| observer.address != from),
                        None => {}
                    }
                    let number = block_of(heard, CoapOption::Block2).map_or(0, |block| block.num.into());
                    put_block(&mut answer, CoapOption::Block2, &resource.state, number)?;
                    ResponseType::Content
                }
            },
            (_, PACKETS | COMMANDS) => ResponseType::MethodNotAllowed,
            _ => ResponseType::NotFound,
        };
        answer.header.code = MessageClass::Response(code);
        Ok(answer)
    }

    /// A packet that came whole, or whose last block this is; or what is answered in its place.
    fn put_together(&mut self, heard: &Packet, from: SocketAddr) -> Result<Vec<u8>, ResponseType> {
        let Some(block) = block_of(heard, CoapOption::Block1) else { return Ok(heard.payload.clone()) };
        let mut body = self.blocks.remove(&from).filter(|_| block.num > 0).unwrap_or_default();
        if body.len() != usize::from(block.num) * block.size() {
            return Err(ResponseType::RequestEntityIncomplete);
        }
        body.extend_from_slice(&heard.payload);
        match block.more {
            _ if body.len() > MAX_PACKET => Err(ResponseType::RequestEntityTooLarge),
            false => Ok(body),
            true => {
                if self.blocks.len() == MAX_SENDERS {
                    self.blocks.pop_first();
                }
                self.blocks.insert(from, body);
                Err(ResponseType::Continue)
            }
        }
    }
}

impl Resource {
    /// Lets a client observe, in place of what it observed before.
    fn register(&mut self, address: SocketAddr, token: &[u8], answer: &mut Packet) {
        self.observers.retain(|observer| observer.address != address);
        if self.observers.len() < MAX_OBSERVERS {
            self.observers.push(Observer { address, token: token.to_vec(), owes: None });
            answer.set_observe_value(self.age);
        }
    }

    /// Tells the observers of the next packet once all of them have the one before, or have been told often enough.
    fn notify(&mut self, socket: &UdpSocket, next_id: &mut u16) -> io::Result<()> {
        if self.observers.iter().any(|observer| observer.owes.is_some()) {
            if self.due.is_some_and(|due| Instant::now() < due) {
                return Ok(());
            }
            if self.told == TRANSMISSIONS {
                self.observers.retain(|observer| observer.owes.is_none());
            }
        } else if let Some(packet) = self.going.pop_front_if(|_| !self.observers.is_empty()) {
            (self.state, self.age, self.told) = (packet, (self.age + 1) % (1 << 24), 0);
            for observer in &mut self.observers {
                *next_id = next_id.wrapping_add(1);
                observer.owes = Some(*next_id);
            }
        } else {
            return Ok(());
        }
        self.told += 1;
        self.due = Some(Instant::now() + patience(self.told, *next_id));
        for observer in &self.observers {
            let Some(id) = observer.owes else { continue };
            let content = MessageClass::Response(ResponseType::Content);
            let mut news = message(MessageType::Confirmable, content, id, &observer.token);
            news.set_observe_value(self.age);
            put_block(&mut news, CoapOption::Block2, &self.state, 0)?;
            send(socket, &news, observer.address)?;
        }
        Ok(())
    }
}

fn send(socket: &UdpSocket, message: &Packet, to: SocketAddr) -> io::Result<Vec<u8>> {
    let octets = message.to_bytes().map_err(io::Error::other)?;
    socket.send_to(&octets, to).map(drop).or_else(is_passing)?;
    Ok(octets)
}

/// Nothing came; or whoever is gone made an error of what was sent to it.
fn is_passing(error: io::Error) -> io::Result<()> {
    use ErrorKind::{ConnectionRefused, Interrupted, TimedOut, WouldBlock};
    if matches!(error.kind(), ConnectionRefused | Interrupted | TimedOut | WouldBlock) { Ok(()) } else { Err(error) }
}
