//! A broker of MQTT 5 in this process, which loses, repeats and reorders messages, and cuts connections.

use std::future::Future;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use iot_queue_driven::Dial;
use mqtt_protocol_core::mqtt::common::Cursor;
use mqtt_protocol_core::mqtt::connection::{Event, role};
use mqtt_protocol_core::mqtt::packet::{GenericPacketTrait as _, Packet, Qos, v5_0};
use mqtt_protocol_core::mqtt::result_code::{ConnectReasonCode, PubackReasonCode, SubackReasonCode};
use mqtt_protocol_core::mqtt::{Connection, Version};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

/// How often the broker did what.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mischief {
    pub lost: u64,
    pub repeated: u64,
    pub late: u64,
    pub cut: u64,
}

struct State {
    random: Random,
    /// Whether it still does any of this.
    is_lossy: bool,
    mischief: Mischief,
    subscribers: Vec<(String, UnboundedSender<v5_0::Publish>)>,
    /// The payloads that were published as entries.
    entries: Vec<Vec<u8>>,
    /// What is handed out behind the next message.
    late: Option<v5_0::Publish>,
}

/// Connects to the broker that it is.
#[derive(Clone)]
pub struct Lossy(Arc<Mutex<State>>);

impl Lossy {
    pub fn new(seed: u64) -> Self {
        let (random, mischief) = (Random(seed), Mischief::default());
        let (subscribers, entries) = (Vec::new(), Vec::new());
        let state = State { random, is_lossy: true, mischief, subscribers, entries, late: None };
        Self(Arc::new(Mutex::new(state)))
    }

    /// From now on it keeps to the protocol.
    pub fn mend(&self) {
        self.0.lock().unwrap().is_lossy = false;
    }

    /// Somebody else publishes.
    pub fn publish(&self, topic: &str, payload: &str) {
        let message = v5_0::Publish::builder().topic_name(topic).unwrap().qos(Qos::AtLeastOnce).packet_id(1_u16);
        self.0.lock().unwrap().hand_out(&message.payload(payload).build().unwrap());
    }

    /// The payloads of all entries that were published.
    pub fn entries(&self) -> Vec<Vec<u8>> {
        self.0.lock().unwrap().entries.clone()
    }

    pub fn mischief(&self) -> Mischief {
        self.0.lock().unwrap().mischief
    }
}

impl Dial for Lossy {
    type Stream = DuplexStream;

    fn dial(&self, _: &str) -> impl Future<Output = io::Result<DuplexStream>> + Send {
        let (ours, theirs) = tokio::io::duplex(1 << 16);
        tokio::spawn(serve(self.clone(), ours));
        async { Ok(theirs) }
    }
}

/// Talks to one client, until either ends.
async fn serve(broker: Lossy, mut stream: DuplexStream) {
    let mut protocol = Connection::<role::Server>::new(Version::V5_0);
    let (publish, mut published) = unbounded_channel();
    let mut octets = [0; 4096];
    loop {
        let packets = tokio::select! {
            biased;
            message = published.recv() => {
                let message: v5_0::Publish = message.unwrap();
                let id = protocol.acquire_packet_id().unwrap();
                let copy = v5_0::Publish::builder().topic_name(message.topic_name()).unwrap().qos(Qos::AtLeastOnce);
                let copy = copy.packet_id(id).props(message.props().clone()).payload(message.payload().clone());
                vec![copy.build().unwrap().into()]
            }
            read = stream.read(&mut octets) => match read {
                Ok(0) | Err(_) => return,
                Ok(len) => {
                    let mut packets = Vec::new();
                    let mut cursor = Cursor::new(&octets[..len]);
                    while cursor.position() < len as u64 {
                        for event in protocol.recv(&mut cursor) {
                            if let Event::NotifyPacketReceived(packet) = event {
                                packets.push(packet);
                            }
                        }
                    }
                    let Some(answers) = broker.answers(packets, &publish) else { return };
                    answers
                }
            },
        };
        for packet in packets {
            for event in protocol.send(packet) {
                if let Event::RequestSendPacket { packet, .. } = event {
                    if stream.write_all(&packet.to_continuous_buffer()).await.is_err() {
                        return;
                    }
                }
            }
        }
        // What is sent takes a moment.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

impl Lossy {
    /// What it says to these packets; nothing when it hangs up.
    fn answers(&self, packets: Vec<Packet>, publish: &UnboundedSender<v5_0::Publish>) -> Option<Vec<Packet>> {
        let mut state = self.0.lock().unwrap();
        let mut answers: Vec<Packet> = Vec::new();
        for packet in packets {
            match packet {
                Packet::V5_0Connect(_) => {
                    let builder = v5_0::Connack::builder().session_present(false);
                    answers.push(builder.reason_code(ConnectReasonCode::Success).build().unwrap().into());
                }
                Packet::V5_0Subscribe(subscribe) => {
                    let filter = subscribe.entries()[0].topic_filter().trim_end_matches('+').to_owned();
                    state.subscribers.push((filter, publish.clone()));
                    let builder = v5_0::Suback::builder().packet_id(subscribe.packet_id());
                    let codes = vec![SubackReasonCode::GrantedQos1];
                    answers.push(builder.reason_codes(codes).build().unwrap().into());
                }
                Packet::V5_0Pingreq(_) => answers.push(v5_0::Pingresp::builder().build().unwrap().into()),
                Packet::V5_0Publish(message) => {
                    if state.is_lossy && state.random.below(200) == 0 {
                        state.mischief.cut += 1;
                        return None;
                    }
                    let builder = v5_0::Puback::builder().packet_id(message.packet_id().unwrap());
                    let code = if state.hand_out(&message) {
                        PubackReasonCode::Success
                    } else {
                        PubackReasonCode::NoMatchingSubscribers
                    };
                    answers.push(builder.reason_code(code).build().unwrap().into());
                }
                _ => {}
            }
        }
        Some(answers)
    }
}

impl State {
    /// Hands a message to whoever subscribed to it, or not; says whether somebody has.
    fn hand_out(&mut self, message: &v5_0::Publish) -> bool {
        let topic = message.topic_name().to_owned();
        if topic.contains("/entries/") {
            self.entries.push(message.payload().as_slice().to_vec());
        }
        self.subscribers.retain(|(_, subscriber)| !subscriber.is_closed());
        let drawn = if self.is_lossy { self.random.below(20) } else { 20 };
        let mut due = vec![message.clone()];
        match drawn {
            0 => {
                self.mischief.lost += 1;
                due.clear();
            }
            1 => {
                self.mischief.repeated += 1;
                due.push(message.clone());
            }
            2 if self.late.is_none() => {
                self.mischief.late += 1;
                due.clear();
                self.late = Some(message.clone());
            }
            _ => due.extend(self.late.take()),
        }
        for message in due {
            let is_for = |filter: &str| message.topic_name().starts_with(filter);
            for (_, subscriber) in self.subscribers.iter().filter(|(filter, _)| is_for(filter)) {
                // Whoever has hung up hears nothing.
                let _ = subscriber.send(message.clone());
            }
        }
        self.subscribers.iter().any(|(filter, _)| topic.starts_with(filter.as_str()))
    }
}
