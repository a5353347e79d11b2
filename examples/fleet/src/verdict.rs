//! What the run found out, as a table, a page and a last line.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::attacker::Lie;
use crate::audit::Audit;
use crate::input::Reading;
use crate::intruder::Intrusions;
use crate::report::{Outage, Report};
use crate::words::{Attack, GatewayStatus, Reason, Refused, ServerStatus};

/// Everything that the run found out.
#[derive(Default)]
pub struct Findings {
    /// From which everything followed.
    pub seed: u64,
    /// Honest nodes and liars.
    pub nodes: (usize, usize),
    /// Readings in the input.
    pub expected: u64,
    /// Messages for the server, by device.
    pub messages_sent: Vec<u64>,
    /// What arrived, held against what was sent.
    pub audit: Audit,
    /// What arrived, by device.
    pub channels: Vec<(String, Vec<Reading>)>,
    /// Where the server stood last.
    pub server: ServerStatus,
    /// Where the gateway stood last, its earlier lives added.
    pub gateway: GatewayStatus,
    /// Messages in the queue over the seconds of the day.
    pub depth: Vec<(f64, f64)>,
    /// What did not work, and when.
    pub outages: Vec<Outage>,
    /// When the server came up, in seconds of the day.
    pub server_started: f64,
    /// Whether the gateway has published everything.
    pub gateway_is_done: bool,
    /// Whether the server has read everything.
    pub server_is_done: bool,
    /// Nodes that were replaced.
    pub replaced: usize,
    /// On how many honest nodes the most widespread record is.
    pub copies: usize,
    /// Octets of readings, and of the messages that carry them.
    pub payload_octets: u64,
    /// Octets of sealed messages, as devices sent them.
    pub message_octets: u64,
    /// Octets of datagrams that the run's nodes sent.
    pub network_octets: u64,
    /// Requests of the flood.
    pub flooded: u64,
    /// Requests that nodes refused because of their rate.
    pub rate_limited: u64,
    /// Messages that intruders handed in.
    pub intrusions: Intrusions,
    /// How often each kind of lie was told.
    pub lies: BTreeMap<Lie, u64>,
    /// How often the gateway was started.
    pub gateway_starts: u64,
    /// Messages in the gateway's queue when it was killed, as it last said.
    pub depth_before_kill: u64,
    /// Devices that read from the server that it has all of their messages.
    pub receipts: u64,
    /// Whether the thief of an expired key reads what the server sealed.
    pub thief_reads: bool,
    /// How long it took.
    pub seconds: f64,
    put_ms: Vec<f64>,
    get_ms: Vec<f64>,
    /// What the gateway had counted in its earlier lives, and which life it is in.
    earlier: GatewayStatus,
    life: u64,
}

impl Findings {
    /// Nothing yet.
    pub fn new(nodes: usize, liars: usize, seed: u64) -> Self {
        Self { nodes: (nodes, liars), seed, ..Self::default() }
    }

    /// Takes in what the gateway said at a second of the day.
    pub fn hear_gateway(&mut self, seconds: f64, status: &GatewayStatus) {
        self.depth.push((seconds, status.depth as f64));
        self.put_ms.extend(status.put_us.0.iter().map(|micros| *micros as f64 / 1e3));
        if self.life < self.gateway_starts {
            // It was started again, and counts from nothing.
            self.life = self.gateway_starts;
            self.earlier.segments += self.gateway.segments;
            self.earlier.messages += self.gateway.messages;
            self.earlier.record_octets += self.gateway.record_octets;
            self.earlier.datagram_octets += self.gateway.datagram_octets;
        }
        self.gateway = status.clone();
    }

    /// Takes in what the server said.
    pub fn hear_server(&mut self, status: ServerStatus) {
        self.get_ms.extend(status.get_us.0.iter().map(|micros| *micros as f64 / 1e3));
        self.server = status;
    }

    /// Grows as long as something happens.
    pub fn progress(&self) -> u64 {
        self.gateway.segments
            + self.gateway.messages
            + self.server.segments
            + self.server.messages
            + self.server.receipts
    }

    /// What is wrong; nothing if all is well.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        self.judge_readings(&mut faults);
        self.judge_attacks(&mut faults);
        self.judge_mishaps(&mut faults);
        faults
    }

    fn judge_readings(&self, faults: &mut Vec<String>) {
        let mut demand = demanding(faults);
        let Audit { missing, duplicated, reordered, forged, .. } = self.audit;
        demand(missing == 0, format!("{missing} readings are missing"));
        demand(duplicated == 0, format!("{duplicated} readings arrived twice"));
        demand(reordered == 0, format!("{reordered} readings arrived out of order"));
        demand(forged == 0, format!("{forged} readings were accepted that nobody sent"));
        demand(self.audit.readings == self.expected, format!("{} readings arrived", self.audit.readings));
        demand(self.server.gaps.0.is_empty(), format!("the feed has gaps: {}", self.server.gaps.0.join(", ")));
        demand(self.server.holes == 0, format!("{} sequence numbers are missing", self.server.holes));
        let devices = self.messages_sent.len() as u64;
        demand(self.receipts == devices, format!("{} of {devices} devices have their receipt", self.receipts));
    }

    /// Each attack must have come before the server, and have been refused.
    fn judge_attacks(&self, faults: &mut Vec<String>) {
        let mut demand = demanding(faults);
        let Intrusions { forged, altered, repeated, resealed } = self.intrusions;
        let handed_in = [
            (Reason::MessageSignature, forged + resealed, "forged or resealed messages"),
            (Reason::MessageAltered, altered, "altered messages"),
            (Reason::MessageRepeated, repeated, "repeated messages"),
        ];
        for (reason, tried, what) in handed_in {
            let refused = self.refused_for(reason);
            demand(tried > 0 && refused >= tried, format!("{refused} of {tried} {what} were refused"));
        }
        demand(
            forged > 0 && (resealed > 0 || self.messages_sent.iter().all(|sent| *sent < 6)),
            "an intruder failed".into(),
        );
        let lies = [
            (Reason::RecordSignature, Lie::Forge, "forged"),
            (Reason::RecordSignature, Lie::Alter, "altered"),
            (Reason::RecordSuperseded, Lie::Replay, "replayed"),
            (Reason::RecordExpired, Lie::Expire, "expired"),
        ];
        for (reason, lie, what) in lies {
            let told = self.lies.get(&lie).copied().unwrap_or(0);
            demand(told > 0 && self.refused_for(reason) > 0, format!("no {what} record came before the server"));
        }
        demand(!self.thief_reads, "the thief of an expired key reads a receipt".into());
    }

    /// Everything must have gone wrong that the story tells of.
    fn judge_mishaps(&self, faults: &mut Vec<String>) {
        let mut demand = demanding(faults);
        demand(self.gateway_starts == 2, format!("the gateway was started {} times", self.gateway_starts));
        demand(
            self.depth_before_kill == 0 || self.gateway.recovered > 0,
            format!("{} messages were in the queue of the killed gateway, none was recovered", self.depth_before_kill),
        );
        demand(self.replaced > 0, "no node was replaced".into());
        demand(self.flooded > 0 && self.rate_limited > 0, "no request of the flood was refused".into());
        demand(self.server_started > 0.0, "the server was never down".into());
        let limit = (self.nodes.0 + self.nodes.1) / 4;
        demand(self.copies <= limit, format!("a record is on {} nodes, more than {limit}", self.copies));
        demand(self.copies > 0, "no node stores anything".into());
    }

    /// The line for machines.
    pub fn last_line(&self) -> String {
        let faults = self.faults();
        let Audit { readings, missing, duplicated, reordered, forged } = self.audit;
        let mut line =
            if faults.is_empty() { "fleet: ok".to_owned() } else { format!("fleet: FAILED {};", faults.join("; ")) };
        let _ = write!(
            line,
            " readings={readings} missing={missing} duplicated={duplicated} reordered={reordered} \
             forged_accepted={forged} forged_seen={} replayed_seen={} stale_seen={} seconds={:.1}",
            self.seen(Attack::Forged),
            self.seen(Attack::Replayed),
            self.seen(Attack::Stale),
            self.seconds
        );
        line
    }

    /// The rows of the table.
    pub fn rows(&self) -> Vec<(String, String)> {
        let mut rows = Vec::new();
        let mut row = |what: &str, how_much: String| rows.push((what.to_owned(), how_much));
        let messages: u64 = self.messages_sent.iter().sum();
        let readings = self.expected.max(1) as f64;
        let each = |octets: u64| format!("{octets} ({:.1} a reading)", octets as f64 / readings);
        row("seed", self.seed.to_string());
        row("devices / readings sent", format!("{} / {}", self.messages_sent.len(), self.expected));
        row("messages sealed for the server", messages.to_string());
        row("messages verified by the server", self.server.messages.to_string());
        row("  of them with freshness unproven", self.server.unproven.to_string());
        row("devices with a receipt from end to end", self.receipts.to_string());
        row("octets of readings, encoded", each(self.payload_octets));
        row("octets of sealed messages", each(self.message_octets));
        row("octets of feed records, signed", each(self.gateway.record_octets + self.earlier.record_octets));
        row("octets of the gateway's datagrams", each(self.gateway.datagram_octets + self.earlier.datagram_octets));
        row("octets of the server's datagrams", each(self.server.datagram_octets));
        row("octets sent by all nodes, upkeep included", self.network_octets.to_string());
        row("segments of the feed", self.server.segments.to_string());
        row("puts, median / 99 % / longest", latencies(&self.put_ms));
        row("gets, median / 99 % / longest", latencies(&self.get_ms));
        row("messages recovered by the restarted gateway", self.gateway.recovered.to_string());
        let deepest = self.depth.iter().map(|sample| sample.1).fold(0.0, f64::max);
        row("deepest queue, messages", format!("{deepest}"));
        row("server down until", format!("{:.1} h of 24 h", self.server_started / 3600.0));
        row("nodes honest / lying / replaced", format!("{} / {} / {}", self.nodes.0, self.nodes.1, self.replaced));
        row("nodes that hold the most widespread record", self.copies.to_string());
        row("requests of the flood / refused by rate", format!("{} / {}", self.flooded, self.rate_limited));
        let Intrusions { forged, altered, repeated, resealed } = self.intrusions;
        let of_intruders = format!("{forged} / {altered} / {repeated} / {resealed}");
        row("messages forged / altered / repeated / resealed", of_intruders);
        let told: Vec<_> = self.lies.values().map(u64::to_string).collect();
        row("records forged / altered / replayed / expired", told.join(" / "));
        rows
    }

    /// What the server refused: why, and how often.
    pub fn refused(&self) -> Vec<(String, String)> {
        let row = |it: &Refused| (it.reason.words().to_owned(), it.count.to_string());
        self.server.refused.0.iter().map(row).collect()
    }

    /// The page.
    pub fn to_html(&self) -> String {
        let lookups: Vec<_> = self.put_ms.iter().chain(&self.get_ms).copied().collect();
        Report {
            verdict: &self.last_line(),
            rows: &self.rows(),
            refused: &self.refused(),
            channels: &self.channels,
            depth: &self.depth,
            outages: &self.outages,
            lookups: &lookups,
        }
        .to_html()
    }

    fn seen(&self, kind: Attack) -> u64 {
        self.server.refused.0.iter().filter(|it| it.reason.attack() == kind).map(|it| it.count).sum()
    }

    fn refused_for(&self, reason: Reason) -> u64 {
        self.server.refused.0.iter().filter(|it| it.reason == reason).map(|it| it.count).sum()
    }
}

fn demanding(faults: &mut Vec<String>) -> impl FnMut(bool, String) + '_ {
    |holds, fault| {
        if !holds {
            faults.push(fault);
        }
    }
}

fn latencies(millis: &[f64]) -> String {
    let mut sorted = millis.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = |share: f64| sorted.get(((sorted.len() as f64 - 1.0) * share).round() as usize).copied().unwrap_or(0.0);
    format!("{:.1} / {:.1} / {:.1} ms", at(0.5), at(0.99), at(1.0))
}
