//! What the run and its processes tell each other, as records over standard input and output.

use iot_codec::cbor::List;
use iot_codec::record;

use crate::cast::Secrets;
use crate::clock::Clock;

record! {
    /// What the gateway's process is given.
    #[derive(Clone)]
    pub struct GatewayConfig {
        /// Its keys.
        1 => pub secrets: Secrets,
        /// The clock of the story.
        2 => pub clock: Clock,
        /// Nodes through which it finds the others.
        3 => pub bootstrap: List<String>,
        /// The port at which devices find it.
        4 => pub port: u16,
        /// The identities of the devices whose records it publishes.
        5 => pub devices: List<[u8; 32]>,
        /// Whether the network is there when it starts.
        6 => pub link: LinkState,
    }
}

record! {
    /// Whether the network is there.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum LinkState {
        /// It is.
        1 => Up,
        /// It is not.
        2 => Down,
    }
}

record! {
    /// What the server's process is given: keys and addresses.
    #[derive(Clone)]
    pub struct ServerConfig {
        /// Its keys.
        1 => pub secrets: Secrets,
        /// The clock of the story.
        2 => pub clock: Clock,
        /// Nodes through which it finds the others.
        3 => pub bootstrap: List<String>,
        /// The identity of who owns the feed.
        4 => pub gateway: [u8; 32],
        /// The verifying keys of the devices that it listens to.
        5 => pub devices: List<[u8; 32]>,
    }
}

record! {
    /// What the run asks of a process.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Order {
        /// The network is gone.
        1 => LinkDown,
        /// The network is back.
        2 => LinkUp,
        /// Bring to an end what is under way, report, and stop.
        3 => Finish,
    }
}

record! {
    /// What the gateway says.
    #[derive(Clone, Debug)]
    pub enum GatewayWord {
        /// It is ready for devices.
        1 => Ready(Empty),
        /// How it stands.
        2 => Status(GatewayStatus),
        /// It is done.
        3 => Done(GatewayStatus),
    }
}

record! {
    /// Nothing more to say.
    #[derive(Clone, Copy, Debug)]
    pub struct Empty {}
}

record! {
    /// Where the gateway stands.
    #[derive(Clone, Debug, Default)]
    pub struct GatewayStatus {
        /// When, in microseconds of the story since the Unix epoch.
        1 => pub at_us: u64,
        /// Messages in the queue that are not yet in the hash table.
        2 => pub depth: u64,
        /// Segments of the feed that the hash table confirmed.
        3 => pub segments: u64,
        /// Messages that are in them.
        4 => pub messages: u64,
        /// How long putting took, in microseconds of the machine, one entry a put since the last word.
        5 => pub put_us: List<u64>,
        /// Octets of messages taken in.
        6 => pub message_octets: u64,
        /// Octets of the records that carry them.
        7 => pub record_octets: u64,
        /// Octets of datagrams, both ways.
        8 => pub datagram_octets: u64,
        /// Messages that the queue still had after the process was started.
        9 => pub recovered: u64,
    }
}

record! {
    /// What the server says.
    #[derive(Clone, Debug)]
    pub enum ServerWord {
        /// How far it is.
        1 => Status(ServerStatus),
        /// It is done.
        2 => Done(ServerStatus),
    }
}

record! {
    /// Where the server stands.
    #[derive(Clone, Debug, Default)]
    pub struct ServerStatus {
        /// Readings that were written.
        1 => pub readings: u64,
        /// Messages that were verified.
        2 => pub messages: u64,
        /// Messages whose source has not proved that its positions are current.
        3 => pub unproven: u64,
        /// How often what was refused, by its reason.
        4 => pub refused: List<Refused>,
        /// Gaps of the feed, in words.
        5 => pub gaps: List<String>,
        /// How long getting took, in microseconds of the machine, one entry a get since the last word.
        6 => pub get_us: List<u64>,
        /// Octets of datagrams, both ways.
        7 => pub datagram_octets: u64,
        /// Receipts that were sealed and published.
        8 => pub receipts: u64,
        /// Segments read.
        9 => pub segments: u64,
        /// Sequence numbers that are missing below the highest seen, over all devices.
        10 => pub holes: u64,
    }
}

record! {
    /// How often the server refused something.
    #[derive(Clone, Copy, Debug)]
    pub struct Refused {
        /// Why.
        1 => pub reason: Reason,
        /// How often.
        2 => pub count: u64,
    }
}

record! {
    /// Why the server refused something.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
    pub enum Reason {
        /// A message that cannot be decrypted: it was altered.
        1 => MessageAltered,
        /// A message that its source did not sign, or not for this reader under this heading.
        2 => MessageSignature,
        /// A message that was accepted before.
        3 => MessageRepeated,
        /// A message that is none, or from nobody known, or in which no readings stand.
        4 => MessageMalformed,
        /// A record that its owner did not sign as it is.
        5 => RecordSignature,
        /// A record that is none, or another than the one that was asked for, or that its owner signed twice.
        6 => RecordWrong,
        /// A record that has a newer version. Nodes that missed the newer one bring it, too.
        7 => RecordSuperseded,
        /// A record that has expired.
        8 => RecordExpired,
        /// A bundle that is none of the device's.
        9 => BundleWrong,
        /// A bundle that has expired.
        10 => BundleExpired,
    }
}

/// What somebody tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attack {
    /// To pass something off as another's, or to alter it.
    Forged,
    /// To have something accepted again.
    Replayed,
    /// To have something accepted that has expired.
    Stale,
}

impl Reason {
    /// Which attack was refused so.
    pub fn attack(self) -> Attack {
        match self {
            Self::MessageAltered
            | Self::MessageSignature
            | Self::MessageMalformed
            | Self::RecordSignature
            | Self::RecordWrong
            | Self::BundleWrong => Attack::Forged,
            Self::MessageRepeated | Self::RecordSuperseded => Attack::Replayed,
            Self::RecordExpired | Self::BundleExpired => Attack::Stale,
        }
    }

    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Self::MessageAltered => "message: it cannot be decrypted",
            Self::MessageSignature => "message: not signed by its source for this reader, topic and position",
            Self::MessageRepeated => "message: accepted before",
            Self::MessageMalformed => "message: malformed, or from nobody known",
            Self::RecordSignature => "record: not signed by its owner",
            Self::RecordWrong => "record: malformed, or another than was asked for",
            Self::RecordSuperseded => "record: an older version",
            Self::RecordExpired => "record: expired",
            Self::BundleWrong => "key bundle: not the device's",
            Self::BundleExpired => "key bundle: expired",
        }
    }
}
