//! What a row of the scoreboard says, and how it is printed.

use std::fmt::{self, Write as _};

use crate::measure::{Effort, Ratio, Samples, Share};

/// What a row may be over its bound and still hold: 5 %, for noise.
const NOISE: f64 = 1.05;

/// The quantile of the normal distribution that leaves 2.5 % beyond either end.
const QUANTILE: f64 = 1.96;

/// Why a row could not be measured.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// A row that can be measured.
#[derive(Clone, Copy, Debug)]
pub struct RowSpec {
    /// Its name, `area/row`.
    pub name: &'static str,
    /// Measures it.
    pub measure: fn(Effort) -> Result<Row, Failure>,
}

/// Whether a row's bound holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The bound holds.
    Ok,
    /// It does not.
    Short,
    /// This machine does not let it be measured.
    Skipped,
    /// It was measured too briefly to say.
    Unjudged,
}

/// What of a share is held against the bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judged {
    /// The share as it was found.
    Part,
    /// The lower end of its 95 % interval.
    LowerBound,
}

/// What a measured row says.
#[derive(Clone, Debug)]
pub struct Row {
    ours: String,
    peer: String,
    ratio: String,
    bound: String,
    verdict: Verdict,
}

impl Row {
    /// A row whose bound is a ratio. The samples are ours, the peer's that judges, and any that only stand beside.
    pub fn ratio(samples: &[Samples], bound: f64) -> Self {
        Self::timed(samples, bound, format!("<= {bound:.3}"))
    }

    /// A row whose bound is a time. It scales with the machine: by a peer's time now over its time in the table. Where
    /// the table has times of several peers, which lead `samples` after ours, the one that allows least judges.
    /// `bound` and `in_table` are in seconds.
    pub fn scaled(samples: &[Samples], bound: f64, in_table: &[f64]) -> Self {
        let allowed = |peer: usize| bound * samples[1 + peer].median() / in_table[peer];
        let judge =
            (0..in_table.len()).min_by(|a, b| allowed(*a).total_cmp(&allowed(*b))).expect("the table has a time");
        let mut samples = samples.to_vec();
        let text = format!("<= {} (here {})", Time(bound), Time(allowed(judge)));
        samples.swap(1, 1 + judge);
        Self::timed(&samples, bound / in_table[judge], text)
    }

    /// Like [`ratio`](Self::ratio), and what stands beside is printed as a ratio to the judging peer too.
    pub fn ratio_to(samples: &[Samples], bound: f64) -> Self {
        let mut row = Self::ratio(samples, bound);
        row.peer.clear();
        let judge = samples[1].median();
        for (index, samples) in samples[1..].iter().enumerate() {
            let before = ["", " (", ", "][index.min(2)];
            let _ = match index {
                0 => write!(row.peer, "{} {}", samples.name, Time(judge)),
                _ => write!(row.peer, "{before}{} {:.2}", samples.name, samples.median() / judge),
            };
        }
        row.peer.push_str(if samples.len() > 2 { ")" } else { "" });
        row
    }

    /// A row that counts, so that there is no noise: its bound holds as it stands.
    pub fn count(ours: u64, peers: &[(&str, u64)], unit: &str, bound: u64) -> Self {
        let mut peer = String::new();
        for (index, (name, count)) in peers.iter().enumerate() {
            push_peer(&mut peer, index, peers.len(), name, format_args!("{count} {unit}"));
        }
        let ratio = peers.first().map(|(_, count)| format!("{:.3}", ours as f64 / *count as f64));
        Self {
            ours: format!("{ours} {unit}"),
            peer: if peer.is_empty() { "-".into() } else { peer },
            ratio: ratio.unwrap_or_else(|| "-".into()),
            bound: format!("<= {bound} {unit}"),
            verdict: if ours <= bound { Verdict::Ok } else { Verdict::Short },
        }
    }

    /// A row about a time that follows from a seed, or that the targets bound whatever the machine, in seconds: its bound
    /// holds as it stands.
    pub fn seconds(ours: f64, peers: &[(&str, f64)], bound: f64) -> Self {
        let mut peer = String::new();
        for (index, (name, seconds)) in peers.iter().enumerate() {
            push_peer(&mut peer, index, peers.len(), name, format_args!("{}", Time(*seconds)));
        }
        let ratio = peers.first().map(|(_, seconds)| format!("{:.3}", ours / seconds));
        Self {
            ours: Time(ours).to_string(),
            peer: if peer.is_empty() { "-".into() } else { peer },
            ratio: ratio.unwrap_or_else(|| "-".into()),
            bound: format!("<= {}", Time(bound)),
            verdict: if ours <= bound { Verdict::Ok } else { Verdict::Short },
        }
    }

    /// A row about a share of trials, which must be at least `bound`.
    pub fn share(ours: Share, judged: Judged, peer: Option<(&str, Share)>, bound: f64) -> Self {
        let figure = match judged {
            Judged::Part => ours.part(),
            Judged::LowerBound => ours.lower_bound(QUANTILE),
        };
        let percent = |share: f64| format!("{:.2} %", 100.0 * share);
        let of = |Share { successes, trials }: Share| format!("{successes} of {trials}");
        let which = if judged == Judged::LowerBound { " (95 %)" } else { "" };
        Self {
            ours: format!("{}, at least {}", of(ours), percent(ours.lower_bound(QUANTILE))),
            peer: peer.map_or_else(|| "-".into(), |(name, share)| format!("{name} {}", of(share))),
            ratio: "-".into(),
            bound: format!(">= {}{which}", percent(bound)),
            verdict: if figure >= bound { Verdict::Ok } else { Verdict::Short },
        }
    }

    /// The same figures, measured too briefly for the bound to mean anything.
    #[must_use]
    pub fn unjudged(mut self) -> Self {
        if self.verdict != Verdict::Skipped {
            self.verdict = Verdict::Unjudged;
        }
        self
    }

    /// A row that this machine does not let anybody measure, because of what `why` says.
    pub fn skipped(why: &str) -> Self {
        let [peer, ratio, bound] = [const { String::new() }; 3];
        Self { ours: why.into(), peer, ratio, bound, verdict: Verdict::Skipped }
    }

    /// Adds a word to our column: what else was measured with it.
    #[must_use]
    pub fn with_note(mut self, note: &str) -> Self {
        let _ = write!(self.ours, " ({note})");
        self
    }

    /// Refuses the row whatever its figures are, because of what `note` says.
    #[must_use]
    pub fn refused(mut self, note: &str) -> Self {
        self.verdict = Verdict::Short;
        self.with_note(note)
    }

    /// Whether the bound holds.
    pub fn verdict(&self) -> Verdict {
        self.verdict
    }

    fn timed(samples: &[Samples], bound: f64, bound_text: String) -> Self {
        let (ours, peers) = samples.split_first().expect("a row has our samples first");
        let ratio = Ratio::of(ours, &peers[0]);
        let mut peer = String::new();
        for (index, samples) in peers.iter().enumerate() {
            push_peer(&mut peer, index, peers.len(), samples.name, format_args!("{}", Time(samples.median())));
        }
        Self {
            ours: Time(ours.median()).to_string(),
            peer,
            ratio: format!("{:.3} [{:.3}, {:.3}]", ratio.median, ratio.low, ratio.high),
            bound: bound_text,
            verdict: if ratio.high <= bound * NOISE { Verdict::Ok } else { Verdict::Short },
        }
    }
}

/// The first peer judges; the others stand beside it in parentheses.
fn push_peer(text: &mut String, index: usize, count: usize, name: &str, figure: fmt::Arguments<'_>) {
    let (before, after) = match index {
        0 => ("", ""),
        1 => (" (", if count == 2 { ")" } else { "" }),
        _ => (", ", if index + 1 == count { ")" } else { "" }),
    };
    let _ = write!(text, "{before}{name} {figure}{after}");
}

/// A line of the scoreboard.
pub struct Line<'a>(pub &'a str, pub &'a Row);

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(name, Row { ours, peer, ratio, bound, verdict }) = self;
        let verdict = match verdict {
            Verdict::Ok => "ok",
            Verdict::Short => "short",
            Verdict::Unjudged => "not judged",
            Verdict::Skipped => return write!(f, "{name:<22}  {ours}  skipped"),
        };
        write!(f, "{name:<22}  ours {ours:<22}  {peer:<60}  ratio {ratio:<20}  bound {bound:<26}  {verdict}")
    }
}

/// Seconds, printed in the unit that fits, to four digits.
struct Time(f64);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (value, unit) = match self.0 {
            seconds if seconds < 1e-6 => (seconds * 1e9, "ns"),
            seconds if seconds < 1e-3 => (seconds * 1e6, "µs"),
            seconds if seconds < 1.0 => (seconds * 1e3, "ms"),
            seconds => (seconds, "s"),
        };
        let decimals = match value {
            value if value < 10.0 => 2,
            value if value < 100.0 => 1,
            _ => 0,
        };
        write!(f, "{value:.decimals$} {unit}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steady(name: &'static str, seconds: f64) -> Samples {
        Samples::new(name, vec![seconds; 5])
    }

    #[test]
    fn ratio_holds_up_to_the_bound_and_its_noise() {
        let verdict = |ours: f64| Row::ratio(&[steady("ours", ours), steady("peer", 1.0)], 0.5).verdict();
        assert_eq!(verdict(0.52), Verdict::Ok);
        assert_eq!(verdict(0.53), Verdict::Short);
    }

    #[test]
    fn absolute_bound_scales_with_the_peer() {
        // The table says 100 ns beside a peer's 1000 ns; here the peer takes 2000 ns, so 200 ns are allowed.
        let verdict = |ours: f64| Row::scaled(&[steady("ours", ours), steady("peer", 2e-6)], 1e-7, &[1e-6]).verdict();
        assert_eq!(verdict(199e-9), Verdict::Ok);
        assert_eq!(verdict(220e-9), Verdict::Short);
    }

    #[test]
    fn of_several_peers_the_one_that_allows_least_judges() {
        let samples = [steady("ours", 150e-9), steady("slow here", 4e-6), steady("as in the table", 1e-6)];
        let row = Row::scaled(&samples, 1e-7, &[1e-6, 1e-6]);
        assert_eq!(row.verdict(), Verdict::Short);
        assert!(row.peer.starts_with("as in the table 1.00 µs (slow here 4.00 µs)"), "{}", row.peer);
    }

    #[test]
    fn a_count_has_no_noise() {
        assert_eq!(Row::count(52, &[("peer", 90)], "B", 52).verdict(), Verdict::Ok);
        assert_eq!(Row::count(53, &[("peer", 90)], "B", 52).verdict(), Verdict::Short);
    }

    #[test]
    fn a_share_is_judged_by_itself_or_by_what_is_sure_of_it() {
        let verdict = |successes, judged| Row::share(Share { successes, trials: 1000 }, judged, None, 0.99).verdict();
        assert_eq!(verdict(990, Judged::Part), Verdict::Ok);
        assert_eq!(verdict(989, Judged::Part), Verdict::Short);
        assert_eq!(verdict(997, Judged::LowerBound), Verdict::Ok);
        assert_eq!(verdict(996, Judged::LowerBound), Verdict::Short);
    }

    #[test]
    fn a_row_that_was_measured_briefly_is_not_judged() {
        let row = Row::seconds(1.0, &[("plain", 8.0)], 1.5);
        assert_eq!(row.verdict(), Verdict::Ok);
        let line = Line("dht/lookup-dead", &row.unjudged()).to_string();
        assert!(line.contains("plain 8.00 s") && line.ends_with(" not judged"), "{line}");
        assert_eq!(Row::skipped("no qemu").unjudged().verdict(), Verdict::Skipped);
    }

    #[test]
    fn a_line_ends_with_its_verdict() {
        let row = Row::ratio(&[steady("ours", 2e-8), steady("peer", 1e-7), steady("other", 3e-4)], 1.0);
        let line = Line("codec/decode", &row).to_string();
        assert!(line.starts_with("codec/decode "), "{line}");
        assert!(line.contains("peer 100 ns (other 300 µs)"), "{line}");
        assert!(line.contains("ratio 0.200 [0.200, 0.200]"), "{line}");
        assert!(line.ends_with(" ok"), "{line}");
    }
}
