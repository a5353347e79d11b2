//! The device's end: it posts, and observes.

use std::collections::VecDeque;
use std::io::{self, ErrorKind::Interrupted, ErrorKind::TimedOut, ErrorKind::WouldBlock};
use std::net::{Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use coap_lite::block_handler::BlockValue;
use coap_lite::{CoapOption, MessageClass, MessageType, Packet, RequestType, ResponseType};

use crate::message::{
    BLOCK, COMMANDS, MAX_PACKET, PACKETS, TRANSMISSIONS, block_of, message, patience, put_block, random,
};

/// How long an observation is believed without a sign of life; and how long after a packet was posted, for that has an
/// answer. Then the device registers again: a server or a proxy may have forgotten it.
const MAX_AGE: Duration = Duration::from_secs(60);
const ANSWER_WITHIN: Duration = Duration::from_secs(4);

/// A server, as its client sees it.
pub struct Client {
    socket: UdpSocket,
    /// The name of this one among the server's clients; empty where it is the only one.
    name: String,
    next_id: u16,
    /// Names the observation.
    token: [u8; 4],
    /// When it is to be renewed.
    due: Instant,
    /// States of the resource that came, whole or the first block of each.
    states: VecDeque<Packet>,
}

impl Client {
    /// Registers as an observer of the commands for `name`, which is empty where there is one client only.
    ///
    /// # Errors
    ///
    /// When nobody answers at `HOST:PORT`, or lets it observe.
    pub fn connect(server: &str, name: &str) -> io::Result<Self> {
        let address = iot_link::address_of(server)?;
        let any = if address.is_ipv4() { [0, 0, 0, 0].into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let socket = UdpSocket::bind(SocketAddr::new(any, 0))?;
        socket.connect(address)?;
        let (next_id, token) = random()?;
        let mut client =
            Self { socket, name: name.into(), next_id, token, due: Instant::now(), states: VecDeque::new() };
        client.observe()?;
        Ok(client)
    }

    /// Posts a packet, in blocks if it is long, until the server has all of it.
    ///
    /// # Errors
    ///
    /// When it does not answer, or answers something else.
    pub fn post(&mut self, packet: &[u8]) -> io::Result<()> {
        for number in 0..packet.len().div_ceil(BLOCK) {
            let mut request = self.request(RequestType::Post, PACKETS);
            put_block(&mut request, CoapOption::Block1, packet, number)?;
            let is_last = (number + 1) * BLOCK >= packet.len();
            expect(self.exchange(&request)?, if is_last { ResponseType::Changed } else { ResponseType::Continue })?;
        }
        self.due = self.due.min(Instant::now() + ANSWER_WITHIN);
        Ok(())
    }

    /// The next packet that the server has for this client, or nothing when none came for so long.
    ///
    /// # Errors
    ///
    /// When the observation cannot be kept up.
    pub fn receive(&mut self, patience: Duration) -> io::Result<Option<Vec<u8>>> {
        if self.due < Instant::now() {
            self.observe()?;
        }
        let end = Instant::now() + patience;
        while self.states.is_empty() {
            let Some(heard) = self.hear(end)? else { break };
            self.take(heard)?;
        }
        let Some(state) = self.states.pop_front() else { return Ok(None) };
        let packet = self.fetch(state)?;
        Ok(Some(packet).filter(|packet| !packet.is_empty()))
    }

    /// Registers as an observer, and takes back what it registered before: a proxy would go on with that.
    fn observe(&mut self) -> io::Result<()> {
        let mut exchange = |observe| {
            let mut request = self.request(RequestType::Get, COMMANDS);
            request.set_token(self.token.to_vec());
            request.set_observe_value(observe);
            self.exchange(&request)
        };
        // A proxy that knows of none refuses to end it.
        exchange(1)?;
        let answer = expect(exchange(0)?, ResponseType::Content)?;
        if answer.get_observe_value().is_none() {
            return Err(io::Error::other(format!("`{COMMANDS}` cannot be observed")));
        }
        self.due = Instant::now() + MAX_AGE;
        self.states.push_back(answer);
        Ok(())
    }

    /// The whole of a state of which the first block came.
    fn fetch(&mut self, first: Packet) -> io::Result<Vec<u8>> {
        let mut block = block_of(&first, CoapOption::Block2);
        let mut body = first.payload;
        while let Some(BlockValue { more: true, size_exponent, .. }) = block {
            let (size, mut request) = (16 << size_exponent, self.request(RequestType::Get, COMMANDS));
            let next = BlockValue::new(body.len() / size, false, size).ok().filter(|_| body.len() < MAX_PACKET);
            let next = next.ok_or_else(|| io::Error::other("what the receiver says is too long"))?;
            request.add_option_as(CoapOption::Block2, next);
            let answer = expect(self.exchange(&request)?, ResponseType::Content)?;
            block = block_of(&answer, CoapOption::Block2);
            // Blocks of two states make a packet that nobody signed.
            body.extend(answer.payload);
        }
        Ok(body)
    }

    fn request(&mut self, method: RequestType, path: &str) -> Packet {
        self.next_id = self.next_id.wrapping_add(1);
        let token = self.next_id.to_be_bytes();
        let mut request = message(MessageType::Confirmable, MessageClass::Request(method), self.next_id, &token);
        for part in [path, &self.name].into_iter().filter(|part| !part.is_empty()) {
            request.add_option(CoapOption::UriPath, part.into());
        }
        request
    }

    /// Sends a request until it is acknowledged, and waits for its answer.
    fn exchange(&mut self, request: &Packet) -> io::Result<Packet> {
        let (octets, id) = (request.to_bytes().map_err(io::Error::other)?, request.header.message_id);
        for sent in 1..=TRANSMISSIONS {
            self.socket.send(&octets)?;
            let mut end = Instant::now() + patience(sent, id);
            while let Some(heard) = self.hear(end)? {
                let is_about_it = heard.header.message_id == id && heard.header.get_type() != MessageType::Confirmable;
                match heard.header.code {
                    // An empty acknowledgement: the answer comes later, on its own.
                    MessageClass::Empty if is_about_it => end = Instant::now() + patience(TRANSMISSIONS, id),
                    MessageClass::Response(_) if heard.get_token() == request.get_token() => return Ok(heard),
                    _ => self.take(heard)?,
                }
            }
        }
        Err(TimedOut.into())
    }

    /// The next message, if one comes before `end`. What is confirmable is acknowledged.
    fn hear(&mut self, end: Instant) -> io::Result<Option<Packet>> {
        let mut octets = [0; 2048];
        loop {
            // A time-out of zero would mean none to the operating system.
            let left = end.saturating_duration_since(Instant::now()).max(Duration::from_micros(1));
            self.socket.set_read_timeout(Some(left))?;
            let len = match self.socket.recv(&mut octets) {
                Ok(len) => len,
                Err(error) if matches!(error.kind(), WouldBlock | TimedOut | Interrupted) => return Ok(None),
                Err(error) => return Err(error),
            };
            let Ok(heard) = Packet::from_bytes(&octets[..len]) else { continue };
            if heard.header.get_type() == MessageType::Confirmable {
                let empty = message(MessageType::Acknowledgement, MessageClass::Empty, heard.header.message_id, &[]);
                self.socket.send(&empty.to_bytes().map_err(io::Error::other)?)?;
            }
            return Ok(Some(heard));
        }
    }

    /// Takes what nobody asked for: a new state, most of the time.
    fn take(&mut self, heard: Packet) -> io::Result<()> {
        if heard.get_token() == self.token {
            if heard.header.code != MessageClass::Response(ResponseType::Content) {
                return Err(io::Error::other(format!("the observation ended: {}", heard.header.get_code())));
            }
            self.due = Instant::now() + MAX_AGE;
            self.states.push_back(heard);
        }
        Ok(())
    }
}

/// An answer, if it is what its request hoped for.
fn expect(answer: Packet, code: ResponseType) -> io::Result<Packet> {
    let refused = || io::Error::other(format!("the answer was {}", answer.header.get_code()));
    if answer.header.code == MessageClass::Response(code) { Ok(answer) } else { Err(refused()) }
}
