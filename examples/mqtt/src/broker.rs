//! A connection to a broker.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::time::{Duration, Instant};

use iot_tls::{Server, Stream};
use mqtt_protocol_core::mqtt::Connection;
use mqtt_protocol_core::mqtt::common::Cursor;
use mqtt_protocol_core::mqtt::connection::{Event, TimerKind, role};
use mqtt_protocol_core::mqtt::packet::{GenericPacketTrait as _, Packet};

use crate::packets::{self, Client, Message, Said};

/// How long the broker may take for an answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// A connection to a broker, which has subscribed. Messages go and come at least once each.
pub struct Broker {
    stream: Stream,
    connection: Connection<role::Client>,
    client: Client,
    arrived: VecDeque<Message>,
    /// Answers to CONNECT and SUBSCRIBE that came.
    answers: usize,
    /// When the broker is to be asked whether it is there, and when its answer is overdue.
    ping: Option<Instant>,
    pong: Option<Instant>,
}

impl Broker {
    /// Connects and subscribes.
    ///
    /// # Errors
    ///
    /// When nobody is there, or the broker refuses the client: [`PermissionDenied`](ErrorKind::PermissionDenied) when it
    /// is about who that is.
    pub fn dial(server: &Server, client: Client) -> io::Result<Self> {
        let stream = server.connect(PATIENCE)?;
        Self::introduce(stream, client).map_err(|error| server.doubt(error, PATIENCE))
    }

    fn introduce(stream: Stream, client: Client) -> io::Result<Self> {
        let mut connection = Connection::new(client.version);
        connection.set_auto_pub_response(true);
        connection.set_pingresp_recv_timeout(PATIENCE.as_millis() as u64);
        let mut broker =
            Self { stream, connection, client, arrived: VecDeque::new(), answers: 0, ping: None, pong: None };
        let connect = broker.client.connect().map_err(io::Error::other)?;
        broker.exchange(connect)?;
        let subscribe = broker.connection.acquire_packet_id().and_then(|id| broker.client.subscribe(id));
        broker.exchange(subscribe.map_err(io::Error::other)?)?;
        if let Some(status) = broker.client.status.clone() {
            let online = broker.connection.acquire_packet_id().and_then(|id| broker.client.online(id, &status));
            broker.hand_over(online.map_err(io::Error::other)?)?;
        }
        Ok(broker)
    }

    /// Hands a packet over to the broker.
    ///
    /// # Errors
    ///
    /// When the connection is lost, or the broker acknowledges nothing for too long.
    pub fn send(&mut self, topic: &str, packet: &[u8]) -> io::Result<()> {
        // The broker says how many messages it takes before it has acknowledged the first.
        let end = Instant::now() + PATIENCE;
        while self.connection.get_receive_maximum_vacancy_for_send() == Some(0) {
            self.listen(end.checked_duration_since(Instant::now()).ok_or(ErrorKind::TimedOut)?)?;
        }
        let publish = self.connection.acquire_packet_id().and_then(|id| self.client.publish(id, topic, packet));
        self.hand_over(publish.map_err(io::Error::other)?)
    }

    /// The next message, or nothing when none came for so long.
    ///
    /// # Errors
    ///
    /// When the connection is lost.
    pub fn receive(&mut self, patience: Duration) -> io::Result<Option<Message>> {
        if self.arrived.is_empty() {
            self.listen(patience)?;
        }
        Ok(self.arrived.pop_front())
    }

    /// Sends a packet and waits for the broker's answer.
    fn exchange(&mut self, packet: Packet) -> io::Result<()> {
        let (before, end) = (self.answers, Instant::now() + PATIENCE);
        self.hand_over(packet)?;
        while self.answers == before {
            let left = end.checked_duration_since(Instant::now()).ok_or(ErrorKind::TimedOut)?;
            self.listen(left).map_err(|error| match error.kind() {
                ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset => {
                    io::Error::new(error.kind(), "the broker hung up at once")
                }
                _ => error,
            })?;
        }
        Ok(())
    }

    fn hand_over(&mut self, packet: Packet) -> io::Result<()> {
        let events = self.connection.send(packet);
        self.handle(events)
    }

    /// Waits for octets, and takes the packets that they complete.
    fn listen(&mut self, patience: Duration) -> io::Result<()> {
        let is_due = |due: &mut Instant| *due <= Instant::now();
        let silent = self.pong.take_if(is_due).map(|_| TimerKind::PingrespRecv);
        if let Some(kind) = silent.or_else(|| self.ping.take_if(is_due).map(|_| TimerKind::PingreqSend)) {
            let events = self.connection.notify_timer_fired(kind);
            self.handle(events)?;
        }
        // A time-out of zero would mean none to the operating system.
        self.stream.set_read_timeout(Some(patience.max(Duration::from_micros(1))))?;
        let mut octets = [0; 4096];
        let len = match self.stream.read(&mut octets) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(len) => len,
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted) =>
            {
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let mut cursor = Cursor::new(&octets[..len]);
        while cursor.position() < len as u64 {
            let events = self.connection.recv(&mut cursor);
            self.handle(events)?;
        }
        Ok(())
    }

    fn handle(&mut self, events: Vec<Event>) -> io::Result<()> {
        for event in events {
            match event {
                Event::RequestSendPacket { packet, .. } => self.stream.write_all(&packet.to_continuous_buffer())?,
                Event::NotifyPacketReceived(packet) => match packets::read(&packet)? {
                    Said::Message(message) => self.arrived.push_back(message),
                    Said::Answer => self.answers += 1,
                    Said::Nothing => {}
                },
                Event::RequestTimerReset { kind, duration_ms } => {
                    let due = Some(Instant::now() + Duration::from_millis(duration_ms));
                    match kind {
                        TimerKind::PingreqSend => self.ping = due,
                        _ => self.pong = due,
                    }
                }
                Event::RequestTimerCancel(TimerKind::PingreqSend) => self.ping = None,
                Event::RequestTimerCancel(_) => self.pong = None,
                Event::NotifyError(error) => return Err(io::Error::other(format!("the broker: {error:?}"))),
                Event::RequestClose => return Err(ErrorKind::ConnectionAborted.into()),
                Event::NotifyPacketIdReleased(_) => {}
            }
        }
        Ok(())
    }
}
