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
    /// A count with its reason.
    #[derive(Clone, Debug)]
    pub struct Refused {
        /// Why.
        1 => pub reason: String,
        /// Which kind of attack that is.
        2 => pub kind: Attack,
        /// How often.
        3 => pub count: u64,
    }
}

record! {
    /// What an attacker tried.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
    pub enum Attack {
        /// To pass something off as another's, or to alter it.
        1 => Forged,
        /// To have something accepted again.
        2 => Replayed,
        /// To have something accepted that has expired.
        3 => Stale,
    }
}
