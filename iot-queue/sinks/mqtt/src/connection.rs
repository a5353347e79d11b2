//! A connection to a broker.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use iot_queue_driven::{ConnectionError, Dial, connect};
use mqtt_protocol_core::mqtt;
use mqtt_protocol_core::mqtt::common::Cursor;
use mqtt_protocol_core::mqtt::connection::{Event, TimerKind, role};
use mqtt_protocol_core::mqtt::packet::{GenericPacketTrait as _, Packet, Property};
use mqtt_protocol_core::mqtt::result_code::ConnectReasonCode;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio::time::{Instant, sleep_until, timeout};

use crate::ANSWER_WITHIN;
use crate::error::MqttError;
use crate::topic::{self, Topic};

/// Octets that are read at a time.
const READ: usize = 64 << 10;

/// Octets of a packet that are not the payload, at the most.
const OVERHEAD: usize = 4096;

/// A connection that the broker has accepted, with one subscription.
pub(crate) struct Connection<S> {
    input: ReadHalf<S>,
    output: WriteHalf<S>,
    protocol: mqtt::Connection<role::Client>,
    read: BytesMut,
    unsent: BytesMut,
    arrived: VecDeque<Packet>,
    /// When the broker is to be asked whether it is there, and when its answer is overdue.
    ping: Option<Instant>,
    pong: Option<Instant>,
    /// Octets of the longest payload that the broker takes.
    longest: usize,
}

impl<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin> Connection<S> {
    /// Connects as `client`, and subscribes to `filter`.
    pub(crate) async fn open<D: Dial<Stream = S>>(
        dial: &D,
        topic: &Topic,
        client: &str,
        filter: &str,
    ) -> Result<Self, MqttError> {
        let stream = connect(dial, &topic.broker, ANSWER_WITHIN).await?;
        let (input, output) = tokio::io::split(stream);
        let mut protocol = mqtt::Connection::new(mqtt::Version::V5_0);
        protocol.set_auto_pub_response(true);
        protocol.set_pingresp_recv_timeout(ANSWER_WITHIN.as_millis() as u64);
        let (read, unsent) = (BytesMut::with_capacity(READ), BytesMut::new());
        let (arrived, longest) = (VecDeque::new(), usize::MAX);
        let mut opened = Self { input, output, protocol, read, unsent, arrived, ping: None, pong: None, longest };
        opened.send(topic.connect(client)?)?;
        match opened.answer().await? {
            Packet::V5_0Connack(answer) if answer.reason_code() == ConnectReasonCode::Success => {
                for property in answer.props() {
                    if let Property::MaximumPacketSize(size) = property {
                        opened.longest = (size.val() as usize).saturating_sub(OVERHEAD);
                    }
                }
            }
            Packet::V5_0Connack(answer) => return Err(refused("the connection", &answer.reason_code())),
            _ => return Err(ConnectionError::Disconnected.into()),
        }
        let id = opened.protocol.acquire_packet_id()?;
        opened.send(topic::subscribe(id, filter)?)?;
        loop {
            // Somebody may be quicker than the broker's answer.
            let Packet::V5_0Suback(answer) = opened.answer().await? else { continue };
            return match answer.reason_codes().iter().find(|code| !code.is_success()) {
                Some(code) => Err(refused("the subscription", code)),
                None => Ok(opened),
            };
        }
    }

    /// Octets of the longest payload that the broker takes.
    pub(crate) fn longest(&self) -> usize {
        self.longest
    }

    /// Whether the broker takes another message before it has acknowledged one.
    pub(crate) fn has_room(&self) -> bool {
        self.protocol.get_receive_maximum_vacancy_for_send() != Some(0)
    }

    /// Publishes a message, as soon as somebody waits for what comes.
    pub(crate) fn publish(
        &mut self,
        topic: &str,
        properties: &[(&'static str, String)],
        payload: Vec<u8>,
    ) -> Result<(), MqttError> {
        let id = self.protocol.acquire_packet_id()?;
        self.send(topic::publish(id, topic, properties, payload)?)
    }

    /// The next packet that came, once everything was sent. May be given up at any time, and gone on with.
    pub(crate) async fn receive(&mut self) -> Result<Packet, MqttError> {
        loop {
            if let Some(packet) = self.take_arrived() {
                return Ok(packet);
            }
            self.exchange().await?;
        }
    }

    /// What came with the packet before.
    pub(crate) fn take_arrived(&mut self) -> Option<Packet> {
        if self.unsent.is_empty() { self.arrived.pop_front() } else { None }
    }

    /// Sends everything.
    pub(crate) async fn flush(&mut self) -> Result<(), MqttError> {
        let flushed = timeout(ANSWER_WITHIN, async {
            while !self.unsent.is_empty() {
                self.exchange().await?;
            }
            Ok(())
        });
        flushed.await.map_err(|_| ConnectionError::Unanswered)?
    }

    async fn answer(&mut self) -> Result<Packet, MqttError> {
        timeout(ANSWER_WITHIN, self.receive()).await.map_err(|_| ConnectionError::Unanswered)?
    }

    /// Reads or writes something, or notes the time.
    async fn exchange(&mut self) -> Result<(), MqttError> {
        let due = [(self.ping, TimerKind::PingreqSend), (self.pong, TimerKind::PingrespRecv)];
        let due = due.into_iter().filter_map(|(at, kind)| Some((at?, kind))).min_by_key(|(at, _)| *at);
        let (at, kind) = due.unwrap_or_else(|| (Instant::now() + Duration::from_secs(3600), TimerKind::PingreqRecv));
        let events = tokio::select! {
            biased;
            written = self.output.write_buf(&mut self.unsent), if !self.unsent.is_empty() => match written {
                Ok(0) | Err(_) => return Err(ConnectionError::Disconnected.into()),
                Ok(_) => return Ok(()),
            },
            read = self.input.read_buf(&mut self.read) => match read {
                Ok(0) | Err(_) => return Err(ConnectionError::Disconnected.into()),
                Ok(_) => return self.take(),
            },
            () = sleep_until(at) => match kind {
                TimerKind::PingreqSend => {
                    self.ping = None;
                    self.protocol.notify_timer_fired(kind)
                }
                TimerKind::PingrespRecv => return Err(ConnectionError::Unanswered.into()),
                TimerKind::PingreqRecv => return Ok(()),
            },
        };
        self.handle(events)
    }

    /// Takes what was read.
    fn take(&mut self) -> Result<(), MqttError> {
        while self.read.has_remaining() {
            let mut cursor = Cursor::new(&self.read[..]);
            let events = self.protocol.recv(&mut cursor);
            let taken = usize::try_from(cursor.position()).unwrap_or(usize::MAX).min(self.read.len());
            if taken == 0 {
                return Err(ConnectionError::Disconnected.into());
            }
            self.read.advance(taken);
            self.handle(events)?;
        }
        self.read.reserve(READ);
        Ok(())
    }

    fn send(&mut self, packet: Packet) -> Result<(), MqttError> {
        let events = self.protocol.send(packet);
        self.handle(events)
    }

    fn handle(&mut self, events: Vec<Event>) -> Result<(), MqttError> {
        for event in events {
            match event {
                Event::RequestSendPacket { packet, .. } => {
                    self.unsent.extend_from_slice(&packet.to_continuous_buffer());
                }
                Event::NotifyPacketReceived(Packet::V5_0Disconnect(_)) | Event::RequestClose => {
                    return Err(ConnectionError::Disconnected.into());
                }
                Event::NotifyPacketReceived(packet) => self.arrived.push_back(packet),
                Event::RequestTimerReset { kind, duration_ms } => {
                    let at = Some(Instant::now() + Duration::from_millis(duration_ms));
                    match kind {
                        TimerKind::PingreqSend => self.ping = at,
                        _ => self.pong = at,
                    }
                }
                Event::RequestTimerCancel(TimerKind::PingreqSend) => self.ping = None,
                Event::RequestTimerCancel(_) => self.pong = None,
                Event::NotifyError(error) => return Err(MqttError::Protocol(error)),
                Event::NotifyPacketIdReleased(_) => {}
            }
        }
        Ok(())
    }
}

pub(crate) fn refused(request: &'static str, reason: &impl ToString) -> MqttError {
    MqttError::Refused { request, reason: reason.to_string() }
}
