use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use iot_core::Instant;

use crate::id::{Key, NodeId};
use crate::node::Node;
use crate::node::event::OperationId;
use crate::node::link::LinkId;
use crate::node::secrets::COOKIE_PERIOD;
use crate::peer::Peer;
use crate::rtt::Patience;
use crate::store::Part;
use crate::table::Entry;
use crate::wire::{Ask, Body, Challenge, Cookie, Endpoint, Reply, Transaction};

/// A request that waits for its answer.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) transaction: Transaction,
    pub(super) to: SocketAddr,
    /// Who should answer; unknown of a bootstrap address.
    pub(super) id: Option<NodeId>,
    pub(super) purpose: Purpose,
    pub(super) question: Question,
    pub(super) datagram: Vec<u8>,
    pub(super) sent: Instant,
    /// How long this attempt may take.
    pub(super) timeout: Duration,
    pub(super) deadline: Instant,
    pub(super) attempt: u8,
    pub(super) standing: Standing,
    /// How often the answer was that it is to be asked again.
    pub(super) retries: u8,
}

/// What is known of whoever is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It has proved its identifier at this address.
    Proven,
    /// It has to.
    Stranger,
}

/// Whom to ask.
#[derive(Clone, Copy, Debug)]
pub(super) struct Recipient {
    pub(super) address: SocketAddr,
    /// Unknown of a bootstrap address.
    pub(super) id: Option<NodeId>,
    pub(super) standing: Standing,
    pub(super) cookie: Option<Cookie>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Bootstrap,
    Liveness,
    /// To be tried by somebody.
    Probe,
    /// To have a lease, or for longer.
    Lease,
    /// To be introduced to the other end of a link.
    Introduction(LinkId),
    /// A step of an operation's lookup, the one with this number.
    Search(OperationId, u8),
    /// What an operation asks of the closest nodes once its lookup is over.
    Final(OperationId),
    /// What the node that records are compared with has of a part.
    Compare(Part),
    /// A record that it has.
    Fetch(Key),
    /// Of an operation that is over: whether it is answered no longer matters.
    Abandoned,
}

/// What was asked, so that an answer to something else is told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Question {
    Ping,
    FindNode,
    Get,
    Put,
    Compare,
    Probe,
    Reserve,
    Introduce,
}

impl Question {
    pub(super) fn of(body: &Body<'_>) -> Option<Self> {
        match body {
            Body::Ping(_) => Some(Self::Ping),
            Body::FindNode(_) => Some(Self::FindNode),
            Body::Get(_) => Some(Self::Get),
            Body::Put(_) => Some(Self::Put),
            Body::Compare(_) => Some(Self::Compare),
            Body::Ask(Ask::Probe(_)) => Some(Self::Probe),
            Body::Ask(Ask::Reserve(_)) => Some(Self::Reserve),
            Body::Ask(Ask::Introduce(_)) => Some(Self::Introduce),
            Body::Pong(_)
            | Body::Nodes(_)
            | Body::Value(_)
            | Body::Stored(_)
            | Body::Refused(_)
            | Body::Retry(_)
            | Body::Holdings(_)
            | Body::Reply(_)
            | Body::Word(_) => None,
        }
    }

    pub(super) fn fits(self, answer: &Body<'_>) -> bool {
        match self {
            // A put shows its token, and its answers are short.
            Self::Put => matches!(answer, Body::Stored(_) | Body::Refused(_)),
            _ if matches!(answer, Body::Retry(_)) => true,
            Self::Probe | Self::Reserve | Self::Introduce if matches!(answer, Body::Reply(Reply::Declined(_))) => true,
            Self::Ping => matches!(answer, Body::Pong(_)),
            Self::FindNode => matches!(answer, Body::Nodes(_)),
            Self::Get => matches!(answer, Body::Nodes(_) | Body::Value(_)),
            Self::Probe => matches!(answer, Body::Reply(Reply::Probed(_))),
            Self::Reserve => matches!(answer, Body::Reply(Reply::Reserved(_))),
            Self::Introduce => matches!(answer, Body::Reply(Reply::Introduced(_))),
            Self::Compare => matches!(answer, Body::Holdings(_)),
        }
    }
}

/// All requests under way.
#[derive(Clone, Debug, Default)]
pub(super) struct Requests(Vec<Request>);

impl Requests {
    pub(super) fn push(&mut self, request: Request) {
        self.0.push(request);
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    #[cfg(feature = "sim")]
    pub(super) fn iter(&self) -> impl Iterator<Item = &Request> {
        self.0.iter()
    }

    /// Takes the request that an answer with this transaction from this address belongs to.
    pub(super) fn take(&mut self, transaction: &Transaction, from: SocketAddr) -> Option<Request> {
        let place = self.0.iter().position(|request| request.transaction == *transaction && request.to == from)?;
        Some(self.remove(place))
    }

    /// Takes a request whose deadline has passed, the earliest first.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<Request> {
        let earliest = (0..self.0.len()).min_by_key(|place| self.0[*place].deadline)?;
        (self.0[earliest].deadline <= now).then(|| self.remove(earliest))
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.0.iter().map(|request| request.deadline).min()
    }

    /// Nobody waits for these answers any longer. They are not sent again; but who has not answered twice the time after
    /// which they would be has left a request unanswered all the same.
    pub(super) fn abandon(&mut self, is_over: impl Fn(Purpose) -> bool) {
        for request in &mut self.0 {
            if is_over(request.purpose) {
                request.purpose = Purpose::Abandoned;
                request.deadline = request.deadline.saturating_add(request.timeout);
            }
        }
    }

    pub(super) fn asks(&self, id: &NodeId) -> bool {
        self.0.iter().any(|request| request.id.as_ref() == Some(id))
    }

    pub(super) fn count(&self, purpose: Purpose) -> usize {
        self.0.iter().filter(|request| request.purpose == purpose).count()
    }

    /// A node is idle most of its life, and then holds no room for what it had under way.
    fn remove(&mut self, place: usize) -> Request {
        let request = self.0.swap_remove(place);
        if self.0.capacity() > 8 && self.0.len() * 4 < self.0.capacity() {
            self.0.shrink_to(self.0.len() * 2);
        }
        request
    }
}

impl Node {
    /// What to tell a peer that is to be asked: one that the table does not know has proved itself only if it is among
    /// `proven`. A cookie that is too old to count is none.
    pub(super) fn recipient(&self, now: Instant, peer: &Peer<32>, proven: &[(Peer<32>, Cookie)]) -> Recipient {
        let entry = self.table.known(&peer.id).filter(|entry| entry.address() == peer.address);
        let given = proven.iter().find(|(of, _)| of == peer).map(|(_, cookie)| *cookie);
        let recent = |entry: &&Entry<32>| now.saturating_since(entry.seen()) < COOKIE_PERIOD;
        let (standing, cookie) = match (entry, given) {
            (Some(entry), given) => (Standing::Proven, Some(entry).filter(recent).and_then(Entry::cookie).or(given)),
            (None, Some(cookie)) => (Standing::Proven, Some(cookie)),
            (None, None) => (Standing::Stranger, None),
        };
        Recipient { address: peer.address, id: Some(peer.id), standing, cookie }
    }

    /// Sends a request.
    pub(super) fn request(
        &mut self,
        now: Instant,
        recipient: Recipient,
        purpose: Purpose,
        body: Body<'_>,
    ) -> Option<Transaction> {
        let question = Question::of(&body)?;
        let Recipient { address: to, id, standing, cookie } = recipient;
        let transaction = self.secrets.transaction();
        let mut message = self.message(transaction, body);
        // A write token says what a cookie would.
        message.cookie = cookie.filter(|_| question != Question::Put);
        if standing == Standing::Stranger {
            message.challenge = Some(Challenge { nonce: transaction, asked: Endpoint(to) });
        }
        let datagram = match question {
            Question::FindNode | Question::Get | Question::Compare if cookie.is_none() => message.encode_padded(),
            _ => message.encode(),
        };
        let timeout = self.patience(id.as_ref()).timeout;
        let deadline = now.saturating_add(timeout);
        self.stats.requests += 1;
        self.transmit(to, datagram.clone());
        let (sent, attempt) = (now, 1);
        self.requests.push(Request {
            transaction,
            to,
            id,
            purpose,
            question,
            datagram,
            sent,
            timeout,
            deadline,
            attempt,
            standing,
            retries: 0,
        });
        Some(transaction)
    }

    /// How long a node may take to answer; one of which only the address is known, as long as is configured.
    pub(super) fn patience(&self, id: Option<&NodeId>) -> Patience {
        let longest = self.config.request_timeout;
        let stranger = Patience { hedge: longest, timeout: longest };
        id.map_or(stranger, |id| self.table.patience(id).at_most(longest))
    }
}
