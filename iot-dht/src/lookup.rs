use alloc::vec::Vec;

use iot_core::Instant;

use crate::id::{Distance, Id};
use crate::peer::{Address, Peer};
use crate::rtt::Patience;

mod config;
mod credit;
mod crowd;
mod silence;
mod summary;
#[cfg(test)]
mod tests;

pub use crate::lookup::config::LookupConfig;
pub use crate::lookup::summary::Summary;

use crate::lookup::credit::{Credit, TRUSTED};
use crate::lookup::silence::Silence;

/// A search for the nodes closest to a target: asks the closest that it has heard of, learns closer ones from their
/// answers, and is done when the closest have all answered.
///
/// It sends nothing itself: ask the nodes that [`next`](Self::next) names, and report every answer and every failure.
/// It remembers at most [`CANDIDATES`](Self::CANDIDATES) nodes; beyond that the farthest of those that were not asked is
/// forgotten, and once three quarters as many were asked, the farthest of all.
///
/// # Time
///
/// Each request has its own [`Patience`]. Past [`hedge`](Patience::hedge) the search no longer counts on the node and asks
/// the next; the answer is still welcome. Past [`timeout`](Patience::timeout) the answer is overdue, and the request should
/// be sent again. As long after that again, the answer is overdue twice: the second request would have been answered by
/// then, too.
///
/// The search waits on for an overdue answer until its failure is reported, so that one lost datagram does not hide a
/// node. That ends where silence means that nodes are gone, as long as others can answer in their place:
/// - Once more than a sixth of all requests (and one) are overdue or failed, nobody overdue is waited for.
/// - Where the network loses a sixth of all requests, one in 36 is lost twice. Once more than that (and one, and one for
///   each answer that came though it was overdue) are overdue twice or failed, nobody who is overdue twice is waited for.
///
/// # Paths
///
/// On several [`paths`](LookupConfig::paths) each path starts from its own share of the nodes and belongs to those that
/// it heard of first. Each ends when its share of the closest has answered; then what is left of the closest of all
/// paths together is asked.
///
/// # Example
/// With a [`Table`](crate::Table) and nothing else of this crate: two hundred nodes, each with a table of its own, and a
/// search of the first among them.
/// ```
/// use iot_core::Instant;
/// use iot_dht::{Entry, Id, Lookup, LookupConfig, Peer, SubnetLimit, Table, TableConfig};
///
/// let now = Instant::START;
/// let peer = |n: u8| Peer { id: Id::from_bytes([n.wrapping_mul(73); 20]), address: ([10, 0, 0, n], 4000).into() };
/// let peers = (0..200).map(peer);
/// let mut tables: Vec<_> = peers
///     .clone()
///     .map(|own| Table::new(own.id, TableConfig::default().bucket_size(8).subnets(SubnetLimit::Off)))
///     .collect();
/// for table in &mut tables {
///     for peer in peers.clone() {
///         // As if it had just answered this one.
///         let _ = table.insert(now, peer);
///     }
/// }
///
/// let (own, target) = (&tables[0], Id::from_bytes([0x5a; 20]));
/// let start = own.closest(&target).take(8).map(Entry::peer);
/// let mut lookup = Lookup::new(*own.own(), target, LookupConfig::default().closest(8), start);
/// while !lookup.is_done(now) {
///     while let Some(peer) = lookup.next(now, |peer| own.patience(&peer.id)) {
///         // A driver sends a request here, and hears later of the answer, or of nothing.
///         let asked = tables.iter().find(|table| *table.own() == peer.id).expect("it is one of them");
///         let answer = asked.closest(&lookup.point_for(&peer.id)).take(8).map(Entry::peer);
///         lookup.handle_response(&peer.id, answer);
///     }
/// }
///
/// let mut truly: Vec<_> = peers.map(|peer| peer.id).collect();
/// truly.sort_by_key(|id| id.distance(&target));
/// assert!(lookup.closest().map(|peer| peer.id).eq(truly.into_iter().take(8)));
/// assert!(lookup.summary().answered < 30);
/// ```
#[derive(Clone, Debug)]
pub struct Lookup<const N: usize> {
    own: Id<N>,
    target: Id<N>,
    config: LookupConfig,
    /// Nobody who shares more leading bits with the own identifier is asked.
    nearest: usize,
    /// Ascending by distance.
    candidates: Vec<Candidate<N>>,
    /// Who is taken no notice of, ascending by distance.
    ignored: Vec<Distance<N>>,
    asked: usize,
    answered: usize,
    failed: usize,
    /// Answers that came though they were overdue.
    late: usize,
    /// The most nodes that one answer has named.
    most_named: usize,
    /// The subtrees about which somebody has answered.
    covered: Vec<u16>,
    stopped: Stopped,
    /// Up to when the passing of time has been taken into account.
    looked_at: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Candidate<const N: usize> {
    /// With the target, the identifier.
    distance: Distance<N>,
    address: Address,
    path: u8,
    /// Whether the search began with it.
    given: bool,
    /// How many named it, and the ordinals of the first two: one and the same, if no other has.
    named: u8,
    named_by: [u8; 2],
    /// Its own ordinal among those who answered, once it has.
    ordinal: Option<u8>,
    /// How many answers lead from the start to it, its own included.
    hops: u8,
    /// The subtree that it is asked about, by the leading bits that it shares with the target; none, if it is asked about
    /// the target.
    about: Option<u16>,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Heard,
    Asked { hedge: Instant, timeout: Instant, twice: Instant },
    Answered,
    Failed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stopped {
    No,
    Early,
}

/// Which candidates a step looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum View {
    Path(u8),
    All,
}

impl<const N: usize> Candidate<N> {
    /// How many leading bits it shares with the target.
    fn subtree(&self) -> u16 {
        self.distance.shared_prefix(&Distance::ZERO) as u16
    }
}

impl<const N: usize> Lookup<N> {
    /// The most nodes that a lookup remembers.
    pub const CANDIDATES: usize = 128;

    /// Starts a search of the node `own` for `target` from the nodes that it knows.
    pub fn new(own: Id<N>, target: Id<N>, config: LookupConfig, start: impl IntoIterator<Item = Peer<N>>) -> Self {
        Self::within(own, target, config, 8 * N, &[], start)
    }

    /// Starts a search that takes no notice of some nodes, whoever names them: an earlier one has asked them.
    pub(crate) fn ignoring(
        own: Id<N>,
        target: Id<N>,
        config: LookupConfig,
        ignored: &[Id<N>],
        start: impl IntoIterator<Item = Peer<N>>,
    ) -> Self {
        Self::within(own, target, config, 8 * N, ignored, start)
    }

    /// Starts a search for nodes of one bucket of the node's table, that of the target.
    ///
    /// It asks nobody who is nearer to the node itself than that bucket. Such nodes have learned from each other, may all
    /// miss the same bucket, and would end the search among themselves.
    pub fn across(own: Id<N>, target: Id<N>, config: LookupConfig, start: impl IntoIterator<Item = Peer<N>>) -> Self {
        Self::within(own, target, config, own.shared_prefix(&target), &[], start)
    }

    fn within(
        own: Id<N>,
        target: Id<N>,
        config: LookupConfig,
        nearest: usize,
        ignored: &[Id<N>],
        start: impl IntoIterator<Item = Peer<N>>,
    ) -> Self {
        let (candidates, covered, stopped, looked_at) = (Vec::new(), Vec::new(), Stopped::No, None);
        let (asked, answered, failed, late, most_named) = (0, 0, 0, 0, 0);
        let mut ignored: Vec<_> = ignored.iter().map(|id| id.distance(&target)).collect();
        ignored.sort_unstable();
        let mut lookup = Self {
            own,
            target,
            config,
            nearest,
            candidates,
            ignored,
            asked,
            answered,
            failed,
            late,
            most_named,
            covered,
            stopped,
            looked_at,
        };
        start.into_iter().for_each(|peer| lookup.hear_of(peer, 0, 1, TRUSTED));
        // Dealt out in order of distance, so that no path starts farther away than another.
        for (place, candidate) in lookup.candidates.iter_mut().enumerate() {
            candidate.path = (place % config.paths) as u8;
            (candidate.given, candidate.named) = (true, 0);
        }
        lookup
    }

    /// Ends the search early: nobody is asked any more, and what is under way no longer counts.
    pub fn stop(&mut self) {
        self.stopped = Stopped::Early;
    }

    /// Takes in the answer of `from`: the nodes that it knows near the target. An answer that was not asked for, or
    /// that comes after its failure was reported, changes nothing.
    pub fn handle_response(&mut self, from: &Id<N>, nodes: impl IntoIterator<Item = Peer<N>>) {
        if let Some(place) = self.settle(from, State::Answered) {
            let ordinal = self.answered.min(TRUSTED.into()) as u8;
            self.answered += 1;
            let candidate = &mut self.candidates[place];
            // Who is asked once more is still the same.
            let by = *candidate.ordinal.get_or_insert(ordinal);
            let (path, hops) = (candidate.path, candidate.hops);
            self.covered.extend(candidate.about);
            self.forget_doubted();
            let mut named = 0;
            for peer in nodes {
                named += 1;
                if peer.id != *from {
                    self.hear_of(peer, path, hops.saturating_add(1), by);
                }
            }
            self.most_named = self.most_named.max(named);
        }
    }

    /// Notes that `from` did not answer in time, or that its answer was refused.
    pub fn handle_failure(&mut self, from: &Id<N>) {
        if self.settle(from, State::Failed).is_some() {
            self.failed += 1;
        }
    }

    /// The next node to ask, if one should be asked now. Call until it returns nothing. `patience` says how long that
    /// node may take; [`Table::patience`](crate::Table::patience) knows.
    pub fn next(&mut self, now: Instant, patience: impl FnOnce(&Peer<N>) -> Patience) -> Option<Peer<N>> {
        self.look_at(now);
        if self.stopped == Stopped::Early || self.asked >= self.config.requests {
            return None;
        }
        let (place, about) = self.next_place(now)?;
        let peer = self.peer(&self.candidates[place]);
        self.candidates[place].about = about;
        let Patience { hedge, timeout } = patience(&peer);
        let [hedge, timeout, twice] =
            [hedge, timeout, timeout.saturating_mul(2)].map(|patience| now.saturating_add(patience));
        self.candidates[place].state = State::Asked { hedge, timeout, twice };
        self.asked += 1;
        Some(peer)
    }

    /// The point that a node is to be asked about: the target, as a rule.
    ///
    /// An answer names so many nodes closest to the point, those that are gone and were not missed yet included. Where
    /// some of the closest are gone, the search must go on beyond the last that anybody names for the target. There it asks
    /// about the nearest point of the next subtree: around that others are named, in the order in which they follow from
    /// the target.
    pub fn point_for(&self, id: &Id<N>) -> Id<N> {
        let about = self.place(id).and_then(|place| self.candidates[place].about);
        about.map_or(self.target, |bits| self.target.with_flipped(bits.into()))
    }

    /// When to call [`next`](Self::next) and [`is_done`](Self::is_done) though nothing was reported: a request becomes slow
    /// or overdue then. Nothing until `next` has been called later than that.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.stopped == Stopped::Early {
            return None;
        }
        let moments = self.candidates.iter().filter_map(|candidate| match candidate.state {
            State::Asked { hedge, timeout, twice } => Some([hedge, timeout, twice]),
            State::Heard | State::Answered | State::Failed => None,
        });
        // No more than these wait, and they stand in front.
        let waiting = self.asked - self.answered - self.failed;
        moments.take(waiting).flatten().filter(|at| self.looked_at.is_none_or(|before| *at > before)).min()
    }

    /// Whether the search is over: the closest have answered, or nobody is left to ask or to wait for.
    pub fn is_done(&self, now: Instant) -> bool {
        self.stopped == Stopped::Early || {
            let silence = self.silence(now);
            self.paths_are_settled(now, silence)
                && self.is_settled(View::All, self.config.closest, now, silence)
                && self.uncovered(now, silence).is_none()
        }
    }

    /// The closest nodes that answered, in ascending distance, at most as many as [`LookupConfig::closest`] says.
    pub fn closest(&self) -> impl Iterator<Item = Peer<N>> + '_ {
        self.closest_answered().map(|candidate| self.peer(candidate))
    }

    /// The nodes nearest to the target that were named and not asked, in ascending distance.
    pub fn heard(&self) -> impl Iterator<Item = Peer<N>> + '_ {
        let heard = self.candidates.iter().filter(|candidate| candidate.state == State::Heard);
        heard.map(|candidate| self.peer(candidate))
    }

    /// All nodes that were asked.
    pub(crate) fn asked(&self) -> impl Iterator<Item = Peer<N>> + '_ {
        let asked = self.candidates.iter().filter(|candidate| candidate.state != State::Heard);
        asked.map(|candidate| self.peer(candidate))
    }

    /// All nodes that it has heard of, in ascending distance: but for those that have failed, and those whom nobody named but
    /// such as have named hardly anybody who answers.
    pub(crate) fn known(&self, now: Instant) -> impl Iterator<Item = Peer<N>> + '_ {
        let credit = Credit::of(self, now);
        let known = self.candidates.iter().filter(move |candidate| match candidate.state {
            State::Failed => false,
            State::Heard | State::Asked { .. } => !credit.doubts(candidate),
            State::Answered => true,
        });
        known.map(|candidate| self.peer(candidate))
    }

    /// How many nodes the whole network has, if it is everywhere as dense as around the target. Counts who answered and
    /// whom at least two have named, so that no single liar makes it larger.
    pub(crate) fn estimated_size(&self) -> Option<u64> {
        let credible =
            self.candidates.iter().filter(|candidate| candidate.state == State::Answered || candidate.named >= 2);
        size_from(credible.take(SIZE_SAMPLE).map(|candidate| candidate.distance))
    }

    /// See [`Node::glance`](crate::Node).
    #[cfg(feature = "sim")]
    pub(crate) fn glance(&self) -> u64 {
        (self.candidates.len() + self.answered) as u64
    }

    #[cfg(feature = "sim")]
    pub(crate) fn glance_at_candidates(&self) -> u64 {
        self.candidates.iter().map(|candidate| u64::from(candidate.hops)).sum()
    }

    /// How many were asked, answered, failed and agreed so far.
    pub fn summary(&self) -> Summary {
        let agreed = self.closest_answered().filter(|candidate| candidate.named >= 2).count();
        let hops = self.closest_answered().next().map_or(0, |candidate| candidate.hops.into());
        Summary { asked: self.asked, answered: self.answered, failed: self.failed, agreed, hops }
    }

    /// What is searched for.
    pub fn target(&self) -> &Id<N> {
        &self.target
    }

    /// Notes that it need not be looked at again for what happened up to now.
    pub(crate) fn look_at(&mut self, now: Instant) {
        self.looked_at = self.looked_at.max(Some(now));
    }

    fn peer(&self, candidate: &Candidate<N>) -> Peer<N> {
        let id = Id::from_bytes(*Id::from_bytes(*candidate.distance.as_bytes()).distance(&self.target).as_bytes());
        Peer { id, address: candidate.address.into() }
    }

    fn closest_answered(&self) -> impl Iterator<Item = &Candidate<N>> + '_ {
        self.candidates.iter().filter(|candidate| candidate.state == State::Answered).take(self.config.closest)
    }

    fn next_place(&self, now: Instant) -> Option<(usize, Option<u16>)> {
        if self.config.paths > 1 {
            let mut paths: Vec<_> = (0..self.config.paths as u8).map(View::Path).collect();
            paths.sort_by_key(|path| self.under_way(*path, now));
            if let Some(place) = paths.into_iter().find_map(|path| self.next_of(path, self.share(), now)) {
                return Some((place, self.about(place)));
            }
            if !self.paths_are_settled(now, self.silence(now)) {
                return None;
            }
        }
        let next = self.next_of(View::All, self.config.closest, now).map(|place| (place, self.about(place)));
        next.or_else(|| {
            let silence = self.silence(now);
            let is_settled = self.is_settled(View::All, self.config.closest, now, silence);
            let (place, subtree) = is_settled.then(|| self.uncovered(now, silence))??;
            Some((place, Some(subtree)))
        })
    }

    /// What a candidate is asked about that is not asked a second time: if many of the closer ones are asked about the
    /// target, its own subtree, because all of them say the same.
    fn about(&self, place: usize) -> Option<u16> {
        let says_it = |candidate: &&Candidate<N>| {
            candidate.about.is_none() && matches!(candidate.state, State::Asked { .. } | State::Answered)
        };
        let same = self.candidates[..place].iter().filter(says_it).count();
        (same >= self.horizon() / 2).then(|| self.candidates[place].subtree()).filter(|bits| self.is_near(*bits))
    }

    /// Whether a subtree is among the last before the target, so that those who are closer can be expected to know all of
    /// it. Somebody farther away is worth more asked about the target, whoever has answered before.
    fn is_near(&self, bits: u16) -> bool {
        let expected = |network: u64| network.checked_shr(u32::from(bits) + 1).unwrap_or(0);
        self.config.network.is_none_or(|network| expected(network) <= 2 * self.horizon() as u64)
    }

    /// How many of the closest candidates are sure to be all that there are: as many as an answer names.
    fn horizon(&self) -> usize {
        self.most_named.max(self.config.closest)
    }

    /// Who must be asked once more, and about which subtree: one into which the result reaches beyond the horizon and about
    /// which nobody was asked who has answered or is waited for. Somebody who lies there is asked, or the closest.
    fn uncovered(&self, now: Instant, silence: Silence) -> Option<(usize, u16)> {
        let answered =
            || self.candidates.iter().enumerate().filter(|(_, candidate)| candidate.state == State::Answered);
        let (_, last) = answered().nth(self.config.closest - 1)?;
        let credit = Credit::of(self, now);
        let first = self.candidates.iter().filter(|candidate| !credit.doubts(candidate)).nth(self.horizon())?;
        if first.distance > last.distance {
            return None;
        }
        let is_asked = |bits| {
            let asked = |candidate: &Candidate<N>| {
                let State::Asked { timeout, twice, .. } = candidate.state else { return false };
                candidate.about == Some(bits) && !silence.gives_up(now, timeout, twice)
            };
            self.covered.contains(&bits) || self.candidates.iter().any(asked)
        };
        let bits = (last.subtree()..=first.subtree()).rev().find(|bits| self.is_near(*bits) && !is_asked(*bits))?;
        let of_subtree = answered().find(|(_, candidate)| candidate.subtree() == bits);
        let spent = self.asked >= self.config.requests;
        of_subtree.or_else(|| answered().next()).filter(|_| !spent).map(|(place, _)| (place, bits))
    }

    fn next_of(&self, view: View, reach: usize, now: Instant) -> Option<usize> {
        let credit = Credit::of(self, now);
        // A slow node counts neither as a request under way nor as one of the closest, until it answers.
        let mut hopeful = self.candidates.iter().enumerate().filter(|(_, candidate)| {
            view.holds(candidate)
                && match candidate.state {
                    State::Asked { hedge, .. } => now < hedge,
                    State::Failed => false,
                    State::Heard => credit.trusts(candidate) && !self.is_surplus(candidate),
                    State::Answered => true,
                }
        });
        let (nearest, first) = hopeful.next()?;
        let converged = first.state == State::Answered;
        let width = if converged { reach } else { self.config.parallelism };
        if self.under_way(view, now) >= width {
            return None;
        }
        if first.state == State::Heard {
            return Some(nearest);
        }
        hopeful.take(reach - 1).find(|(_, candidate)| candidate.state == State::Heard).map(|(place, _)| place)
    }

    /// How many of a path's closest nodes must answer before it is over.
    fn share(&self) -> usize {
        self.config.closest.div_ceil(self.config.paths)
    }

    fn under_way(&self, view: View, now: Instant) -> usize {
        let waiting = self.candidates.iter().filter(|candidate| match candidate.state {
            State::Asked { hedge, .. } => view.holds(candidate) && now < hedge,
            State::Heard | State::Answered | State::Failed => false,
        });
        waiting.count()
    }

    /// What it means that an answer is overdue.
    fn silence(&self, now: Instant) -> Silence {
        let (mut once, mut twice) = (0, 0);
        for candidate in &self.candidates {
            let since = match candidate.state {
                State::Asked { timeout, twice, .. } => [timeout <= now, twice <= now],
                State::Failed => [true; 2],
                State::Heard | State::Answered => continue,
            };
            once += usize::from(since[0]);
            twice += usize::from(since[1]);
        }
        Silence::of(self.asked, self.late, once, twice)
    }

    fn paths_are_settled(&self, now: Instant, silence: Silence) -> bool {
        let paths = 0..self.config.paths as u8;
        self.config.paths == 1
            || paths.into_iter().all(|path| self.is_settled(View::Path(path), self.share(), now, silence))
    }

    fn is_settled(&self, view: View, reach: usize, now: Instant, silence: Silence) -> bool {
        let spent = self.asked >= self.config.requests;
        let credit = Credit::of(self, now);
        let (mut answered, mut passed_over) = (0, 0);
        for candidate in self.candidates.iter().filter(|candidate| view.holds(candidate)) {
            match candidate.state {
                State::Heard if spent || credit.doubts(candidate) || self.is_surplus(candidate) => {}
                State::Heard => return false,
                State::Asked { timeout, twice, .. } if silence.gives_up(now, timeout, twice) => passed_over += 1,
                State::Asked { .. } => return false,
                State::Answered => answered += 1,
                State::Failed => {}
            }
            if answered == reach {
                return true;
            }
        }
        // Where nobody else is left, those who are silent are waited for all the same.
        passed_over == 0
    }

    /// Notes what became of a request, and gives the place of who was asked.
    fn settle(&mut self, from: &Id<N>, state: State) -> Option<usize> {
        let place = self.place(from)?;
        let candidate = &mut self.candidates[place];
        let State::Asked { timeout, .. } = candidate.state else { return None };
        let is_late = state == State::Answered && self.looked_at.is_some_and(|now| timeout <= now);
        self.late += usize::from(is_late);
        candidate.state = state;
        Some(place)
    }

    fn place(&self, id: &Id<N>) -> Option<usize> {
        let distance = id.distance(&self.target);
        self.candidates.binary_search_by_key(&distance, |candidate| candidate.distance).ok()
    }

    fn hear_of(&mut self, peer: Peer<N>, path: u8, hops: u8, by: u8) {
        if peer.id == self.own || self.own.shared_prefix(&peer.id) > self.nearest {
            return;
        }
        let distance = peer.id.distance(&self.target);
        if self.ignored.binary_search(&distance).is_ok() {
            return;
        }
        match self.candidates.binary_search_by_key(&distance, |candidate| candidate.distance) {
            Ok(place) => {
                let candidate = &mut self.candidates[place];
                let first_two = usize::from(candidate.named.min(2));
                if !candidate.named_by[..first_two].contains(&by) {
                    candidate.named_by[first_two..].fill(by);
                    candidate.named = candidate.named.saturating_add(1);
                }
            }
            Err(place) => {
                let address = peer.address.into();
                let (given, named, named_by, ordinal, about, state) = (false, 1, [by; 2], None, None, State::Heard);
                let heard = Candidate { distance, address, path, given, named, named_by, ordinal, hops, about, state };
                self.candidates.insert(place, heard);
                if self.candidates.len() > self.config.candidates {
                    self.forget_one();
                }
            }
        }
    }
}

/// How many of the nodes closest to a point an estimate of the network's size is made from.
pub(crate) const SIZE_SAMPLE: usize = 12;

/// The size of a network in which the farthest of [`SIZE_SAMPLE`] neighbours of a point is so far away: one less of them,
/// over the share of the space that they fill, which is the estimate without bias.
pub(crate) fn size_from<const N: usize>(distances: impl Iterator<Item = Distance<N>>) -> Option<u64> {
    let farthest = distances.enumerate().nth(SIZE_SAMPLE - 1).map(|(_, distance)| distance)?;
    let share = u128::from(Id::from_bytes(*farthest.as_bytes()).prefix()) + 1;
    u64::try_from(((SIZE_SAMPLE as u128 - 1) << 64) / share).ok()
}

impl View {
    fn holds<const N: usize>(self, candidate: &Candidate<N>) -> bool {
        match self {
            Self::Path(path) => candidate.path == path,
            Self::All => true,
        }
    }
}
