//! Kademlia as most implementations have it, for comparison: three requests at once, two seconds for each, over the tables
//! and the round-trip times of a simulated network. Nobody takes part but whoever searches, so the network stays as it is.

use std::time::Duration;

use iot_dht::sim::{Host, Sim};
use iot_dht::{Distance, Entry, Key, Peer};

/// Requests at once.
const PARALLELISM: usize = 3;

/// After so long a node counts as gone.
const TIMEOUT: Duration = Duration::from_secs(2);

/// How many of the closest must answer, and how many an answer names.
const CLOSEST: usize = 20;

/// What a search cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Search {
    /// How long it took in the network.
    pub took: Duration,
    /// Requests that it made.
    pub requests: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Heard,
    /// Until when the searcher waits, and whether an answer comes then.
    Asked(Duration, Answer),
    Answered,
    Failed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Comes,
    Lacks,
}

struct Candidate {
    distance: Distance<32>,
    host: Host,
    state: State,
}

/// Has a host search for a point: asks the closest that it has heard of and has not asked, three at once, and ends when the
/// twenty closest of those that are not known to be gone have answered.
pub fn search(sim: &Sim, searcher: Host, target: &Key) -> Search {
    let mut candidates = Vec::new();
    hear(sim, searcher, searcher, target, &mut candidates);
    let mut search = Search { took: Duration::ZERO, requests: 0 };
    loop {
        while let Some(place) = next(&candidates) {
            let (host, now) = (candidates[place].host, search.took);
            let round_trip = sim.round_trip(searcher, host);
            let comes = sim.node(host).is_some() && round_trip < TIMEOUT;
            candidates[place].state = if comes {
                State::Asked(now + round_trip, Answer::Comes)
            } else {
                State::Asked(now + TIMEOUT, Answer::Lacks)
            };
            search.requests += 1;
        }
        let first = candidates.iter_mut().filter(|candidate| matches!(candidate.state, State::Asked(..)));
        let Some(first) = first.min_by_key(|candidate| until(candidate.state)) else { return search };
        let State::Asked(at, answer) = first.state else { return search };
        search.took = at;
        let host = first.host;
        match answer {
            Answer::Comes => {
                first.state = State::Answered;
                hear(sim, searcher, host, target, &mut candidates);
            }
            Answer::Lacks => first.state = State::Failed,
        }
        if is_done(&candidates) {
            return search;
        }
    }
}

fn until(state: State) -> Duration {
    if let State::Asked(at, _) = state { at } else { Duration::MAX }
}

/// The next to ask: one of the closest that are not known to be gone, if a request more may be under way.
fn next(candidates: &[Candidate]) -> Option<usize> {
    let under_way = candidates.iter().filter(|candidate| matches!(candidate.state, State::Asked(..))).count();
    let alive = candidates.iter().enumerate().filter(|(_, candidate)| candidate.state != State::Failed);
    let mut heard = alive.take(CLOSEST).filter(|(_, candidate)| candidate.state == State::Heard);
    heard.next().filter(|_| under_way < PARALLELISM).map(|(place, _)| place)
}

fn is_done(candidates: &[Candidate]) -> bool {
    let mut alive = candidates.iter().filter(|candidate| candidate.state != State::Failed);
    alive.by_ref().take(CLOSEST).all(|candidate| candidate.state == State::Answered)
}

/// Takes in whom a host knows near the target.
fn hear(sim: &Sim, searcher: Host, from: Host, target: &Key, candidates: &mut Vec<Candidate>) {
    let Some(node) = sim.node(from) else { return };
    for Peer { id, address } in node.table().closest(target).take(CLOSEST).map(Entry::peer) {
        let Some(host) = Host::at(address).filter(|host| *host != searcher) else { continue };
        let distance = id.distance(target);
        if let Err(place) = candidates.binary_search_by_key(&distance, |candidate| candidate.distance) {
            candidates.insert(place, Candidate { distance, host, state: State::Heard });
        }
    }
}

#[cfg(test)]
mod tests {
    use iot_dht::sim::{self, SimConfig, study};

    use super::*;

    #[test]
    fn each_who_is_gone_costs_two_seconds_of_one_of_three_requests() {
        let mut sim = Sim::new(SimConfig::default());
        let joined = study::grow(&mut sim, 200);
        sim.run_until(joined.saturating_add(Duration::from_secs(30)), &mut sim::in_turn);
        let searcher = sim.hosts()[0];
        let before = search(&sim, searcher, &sim.point(1));
        assert!(before.requests >= CLOSEST as u64 && before.took < TIMEOUT, "{before:?}");
        study::kill(&mut sim, 0.5, &mut sim::in_turn);
        let after = search(&sim, searcher, &sim.point(1));
        // Half of those that are asked before twenty have answered are gone, and three wait side by side.
        assert!(after.took > 2 * TIMEOUT && after.requests > before.requests + 10, "{after:?}");
    }
}
