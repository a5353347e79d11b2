//! What it costs to come back after a week, and to keep records where they belong while others come and go.

use std::time::Duration;

use iot_dht::sim::study::{self, Upkeep};

use super::network::{REGION, grown, on_threads};
use crate::measure::Effort;
use crate::report::{Failure, Row};

/// Octets of the headers of IPv4 and UDP, which the network carries beside each datagram.
const HEADERS: f64 = 28.0;

/// A reader who was offline for seven days reads 168 messages of one source.
pub(super) fn offline(effort: Effort) -> Result<Row, Failure> {
    let hosts = effort.choose(10_000, 80);
    let caught_up = study::catch_up(&mut grown(hosts, REGION), &mut on_threads);
    let study::CaughtUp { messages, gaps, fetches, requests, took, .. } = caught_up;
    let note =
        format!("{hosts} hosts; {messages} messages, {gaps} gaps, {fetches} records, {:.1} s", took.as_secs_f64());
    let row = Row::count(requests, &[], "requests", 700);
    let is_whole = messages == 168 && gaps == 0;
    Ok(if is_whole { row.with_note(&note) } else { row.refused(&note) })
}

/// Half of the hosts are replaced within an hour, and each stores records of 1 kB.
pub(super) fn upkeep(effort: Effort) -> Result<Row, Failure> {
    let (hosts, records, gets) = effort.choose((10_000, 1_000, 1_000), (80, 4, 4));
    let mut sim = grown(hosts, REGION);
    let keys = study::lay_out(&mut sim, records, &mut on_threads);
    let hour = Duration::from_secs(effort.choose(3600, 60));
    let kept = study::keep_up(&mut sim, &keys, 0.5, hour, &mut on_threads);
    let found = study::get_some(&mut sim, &keys, gets, &mut on_threads);
    let Upkeep { octets, datagrams, copies, in_place, .. } = kept;
    let note = format!(
        "{hosts} hosts, {} records; {:.1} % in their place, {} lost, {found} of {gets} gets",
        keys.len(),
        100.0 * in_place,
        copies.none()
    );
    let row = Row::count((octets + HEADERS * datagrams).ceil() as u64, &[], "B/s", 2_000);
    Ok(if copies.none() == 0 && found == gets { row.with_note(&note) } else { row.refused(&note) })
}
