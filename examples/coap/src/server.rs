//! The receiver's end: it answers, and notifies those who observe.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use coap_lite::{CoapOption, MessageClass, MessageType, Packet, RequestType, ResponseType};
use iot_link::Link;

use crate::{BLOCK, COMMANDS, PACKETS, TRANSMISSIONS, block_of, message, patience, put_block, random};

/// Octets of the longest packet that comes in blocks, and how many clients send such at a time.
const MAX_PACKET: usize = 16 * 1024;
const MAX_SENDERS: usize = 16;

/// Who observes; more are answered, but not told what is new.
const MAX_OBSERVERS: usize = 8;

/// Packets that wait for an observer. Of more, the oldest are dropped, and sent again in time.
const MAX_WAITING: usize = 256;

/// Options that a server may not pass over (odd numbers), and that this one knows.
const KNOWN: [CoapOption; 6] = [
    CoapOption::UriHost,
    CoapOption::UriPort,
    CoapOption::UriPath,
    CoapOption::Accept,
    CoapOption::Block1,
    CoapOption::Block2,
];

struct Observer {
    address: SocketAddr,
    token: Vec<u8>,
    /// The notification that it has not acknowledged.
    owes: Option<u16>,
}

/// A server with two resources.
pub struct Server {
    socket: UdpSocket,
    next_id: u16,
    arrived: VecDeque<Vec<u8>>,
    going: VecDeque<Vec<u8>>,
    /// The state of the resource that is observed: the packet that is told at present.
    state: Vec<u8>,
    age: u32,
    observers: Vec<Observer>,
    /// How often that packet was told, and when it is told again.
    told: (u32, Instant),
    /// Blocks of packets that are not complete.
    blocks: BTreeMap<SocketAddr, Vec<u8>>,
    /// The last answer: whoever did not get it asks again.
    answered: Option<(SocketAddr, u16, Vec<u8>)>,
}

impl Server {
    /// Listens.
    pub fn bind(address: &str) -> io::Result<Self> {
        let socket = UdpSocket::bind(address).map_err(|error| io::Error::new(ErrorKind::InvalidInput, error))?;
        Ok(Self {
            socket,
            next_id: random()?.0,
            arrived: VecDeque::new(),
            going: VecDeque::new(),
            state: Vec::new(),
            age: 0,
            observers: Vec::new(),
            told: (0, Instant::now()),
            blocks: BTreeMap::new(),
            answered: None,
        })
    }

    /// Tells the observers of the next packet once all of them have the one before, or have been told often enough.
    fn notify(&mut self) -> io::Result<()> {
        if self.observers.iter().any(|observer| observer.owes.is_some()) {
            if Instant::now() < self.told.1 {
                return Ok(());
            }
            if self.told.0 == TRANSMISSIONS {
                self.observers.retain(|observer| observer.owes.is_none());
            }
        } else if let Some(packet) = self.going.pop_front_if(|_| !self.observers.is_empty()) {
            (self.state, self.age, self.told.0) = (packet, (self.age + 1) % (1 << 24), 0);
            for observer in &mut self.observers {
                self.next_id = self.next_id.wrapping_add(1);
                observer.owes = Some(self.next_id);
            }
        } else {
            return Ok(());
        }
        self.told = (self.told.0 + 1, Instant::now() + patience(self.told.0 + 1, self.next_id));
        for observer in &self.observers {
            let Some(id) = observer.owes else { continue };
            let content = MessageClass::Response(ResponseType::Content);
            let mut news = message(MessageType::Confirmable, content, id, &observer.token);
            news.set_observe_value(self.age);
            put_block(&mut news, CoapOption::Block2, &self.state, 0)?;
            send(&self.socket, &news, observer.address)?;
        }
        Ok(())
    }

    fn handle(&mut self, heard: &Packet, from: SocketAddr) -> io::Result<()> {
        let (kind, id) = (heard.header.get_type(), heard.header.message_id);
        match (kind, heard.header.code) {
            (MessageType::Acknowledgement, _) => {
                for it in self.observers.iter_mut().filter(|it| it.address == from && it.owes == Some(id)) {
                    it.owes = None;
                }
            }
            // It does not know what it observes.
            (MessageType::Reset, _) => self.observers.retain(|it| it.address != from || it.owes != Some(id)),
            (_, MessageClass::Request(method)) => {
                if let Some((_, _, octets)) = self.answered.as_ref().filter(|it| (it.0, it.1) == (from, id)) {
                    return self.socket.send_to(octets, from).map(drop).or_else(is_gone);
                }
                let is_confirmable = kind == MessageType::Confirmable;
                let kind = if is_confirmable { MessageType::Acknowledgement } else { MessageType::NonConfirmable };
                let mut answer = message(kind, MessageClass::Empty, id, heard.get_token());
                answer.header.code = MessageClass::Response(self.answer(method, heard, from, &mut answer)?);
                self.answered = Some((from, id, send(&self.socket, &answer, from)?));
            }
            // It asks whether somebody is here.
            (MessageType::Confirmable, _) => {
                send(&self.socket, &message(MessageType::Reset, MessageClass::Empty, id, &[]), from)?;
            }
            _ => {}
        }
        Ok(())
    }

    fn answer(
        &mut self,
        method: RequestType,
        heard: &Packet,
        from: SocketAddr,
        answer: &mut Packet,
    ) -> io::Result<ResponseType> {
        if heard.options().any(|(number, _)| number % 2 == 1 && !KNOWN.map(u16::from).contains(number)) {
            return Ok(ResponseType::BadOption);
        }
        let path =
            heard.get_option(CoapOption::UriPath).into_iter().flatten().map(|part| String::from_utf8_lossy(part));
        Ok(match (method, path.collect::<Vec<_>>().join("/").as_str()) {
            (RequestType::Post, PACKETS) => self.take(heard, from, answer),
            (RequestType::Get, COMMANDS) => {
                match heard.get_observe_value() {
                    Some(Ok(0)) => {
                        self.observers.retain(|observer| observer.address != from);
                        if self.observers.len() < MAX_OBSERVERS {
                            let token = heard.get_token().to_vec();
                            self.observers.push(Observer { address: from, token, owes: None });
                            answer.set_observe_value(self.age);
                        }
                    }
                    Some(_) => self.observers.retain(|observer| observer.address != from),
                    None => {}
                }
                let number = block_of(heard, CoapOption::Block2).map_or(0, |block| block.num.into());
                put_block(answer, CoapOption::Block2, &self.state, number)?;
                ResponseType::Content
            }
            (_, PACKETS | COMMANDS) => ResponseType::MethodNotAllowed,
            _ => ResponseType::NotFound,
        })
    }

    /// Takes a packet, or a block of one.
    fn take(&mut self, heard: &Packet, from: SocketAddr, answer: &mut Packet) -> ResponseType {
        let Some(block) = block_of(heard, CoapOption::Block1) else {
            self.arrived.push_back(heard.payload.clone());
            return ResponseType::Changed;
        };
        let mut body = self.blocks.remove(&from).filter(|_| block.num > 0).unwrap_or_default();
        if body.len() != usize::from(block.num) * block.size() {
            return ResponseType::RequestEntityIncomplete;
        }
        if body.len() + heard.payload.len() > MAX_PACKET {
            return ResponseType::RequestEntityTooLarge;
        }
        body.extend_from_slice(&heard.payload);
        let is_last = !block.more;
        answer.add_option_as(CoapOption::Block1, block);
        if is_last {
            self.arrived.push_back(body);
            return ResponseType::Changed;
        }
        if self.blocks.len() == MAX_SENDERS {
            self.blocks.pop_first();
        }
        self.blocks.insert(from, body);
        ResponseType::Continue
    }
}

impl Link for Server {
    fn send(&mut self, packet: &[u8]) -> io::Result<()> {
        if self.going.len() == MAX_WAITING {
            self.going.pop_front();
        }
        self.going.push_back(packet.to_vec());
        Ok(())
    }

    fn receive(&mut self, patience: Duration) -> io::Result<Option<Vec<u8>>> {
        self.notify()?;
        if self.arrived.is_empty() {
            // A time-out of zero would mean none to the operating system.
            self.socket.set_read_timeout(Some(patience.max(Duration::from_micros(1))))?;
            let mut octets = [0; 2 * BLOCK];
            match self.socket.recv_from(&mut octets) {
                Ok((len, from)) => {
                    if let Ok(heard) = Packet::from_bytes(&octets[..len]) {
                        self.handle(&heard, from)?;
                    }
                }
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(error) => is_gone(error)?,
            }
        }
        Ok(self.arrived.pop_front())
    }
}

fn send(socket: &UdpSocket, message: &Packet, to: SocketAddr) -> io::Result<Vec<u8>> {
    let octets = message.to_bytes().map_err(io::Error::other)?;
    socket.send_to(&octets, to).map(drop).or_else(is_gone)?;
    Ok(octets)
}

/// Whoever is gone makes an error of what was sent to it.
fn is_gone(error: io::Error) -> io::Result<()> {
    if error.kind() == ErrorKind::ConnectionRefused { Ok(()) } else { Err(error) }
}
