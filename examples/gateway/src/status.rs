//! `/metrics` for Prometheus and `/health` for whoever restarts what is ill.

use std::fmt::Write as _;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tiny_http::{Header, Response, Server};

use crate::Store;
use crate::uplink::Health;

/// Opens the page at `address`, and keeps it on a thread.
///
/// # Errors
///
/// When the address is not free.
pub fn open(address: &str, store: Arc<Store>, health: Arc<Health>) -> io::Result<()> {
    let server = Server::http(address).map_err(io::Error::other)?;
    let keep = move || {
        for request in server.incoming_requests() {
            let (status, text) = match request.url() {
                "/metrics" => (200, metrics(&store, &health)),
                "/health" => check(&health),
                _ => (404, "there are /metrics and /health\n".into()),
            };
            let plain = Header::from_bytes("Content-Type", "text/plain; version=0.0.4").expect("it is a header");
            // Who hung up asks again.
            let _ = request.respond(Response::from_string(text).with_status_code(status).with_header(plain));
        }
    };
    std::thread::Builder::new().name("status".into()).spawn(keep).map(drop)
}

/// A gateway that cannot reach its receiver is healthy: that is what it is for. One that cannot store is not.
fn check(health: &Health) -> (u16, String) {
    match (health.is_storing.load(Ordering::Relaxed), health.is_mirroring.load(Ordering::Relaxed)) {
        (true, true) => (200, "ok\n".into()),
        (true, false) => (200, "ok, without a receiver: packets wait in the queue\n".into()),
        (false, _) => (503, "the queue's storage has failed\n".into()),
    }
}

fn metrics(store: &Store, health: &Health) -> String {
    let (stats, counts) = (store.queue.stats(), &store.counts);
    let flag = |flag: &std::sync::atomic::AtomicBool| f64::from(u8::from(flag.load(Ordering::Relaxed)));
    let count = |count: &AtomicU64| count.load(Ordering::Relaxed) as f64;
    let age = stats.oldest_age.unwrap_or_default().as_secs_f64();
    let mut text = String::new();
    let mut say = |kind: &str, name: &str, help: &str, value: f64| {
        // Writing to a string does not fail.
        let _ = write!(text, "# HELP gateway_{name} {help}\n# TYPE gateway_{name} {kind}\ngateway_{name} {value}\n");
    };
    say("counter", "packets_taken_total", "Packets taken.", count(&counts.taken));
    say("counter", "packets_repeated_total", "Packets that had been taken before.", count(&counts.repeated));
    say("counter", "packets_ended_total", "Packets of thermometers that are read here.", count(&counts.ended));
    say("counter", "readings_late_total", "Readings that came too late for their minute.", count(&counts.late));
    say("counter", "packets_malformed_total", "Packets refused for what they are.", count(&counts.malformed));
    say("counter", "packets_limited_total", "Packets of addresses that send too much.", count(&counts.limited));
    say("counter", "packets_refused_total", "Packets that the queue did not take.", count(&counts.refused));
    say("counter", "packets_returned_total", "Packets sent back to devices.", count(&counts.returned));
    say("counter", "packets_lost_total", "Packets for devices whose way is not known.", count(&counts.lost));
    say("gauge", "queue_messages", "Packets that wait for the receiver.", stats.depth as f64);
    say("gauge", "queue_oldest_seconds", "How long the oldest of them has waited.", age);
    say("gauge", "queue_octets", "Octets of the queue in use.", stats.octets as f64);
    say("gauge", "queue_budget_octets", "Octets of the queue.", stats.budget as f64);
    say("counter", "queue_dropped_total", "Packets dropped to make room.", stats.dropped as f64);
    say("counter", "queue_written_octets_total", "Octets handed to the disk.", stats.written as f64);
    say("counter", "queue_syncs_total", "Syncs of the disk.", stats.syncs as f64);
    say("gauge", "queue_storing", "Whether the storage works.", flag(&health.is_storing));
    say("gauge", "mirror_connected", "Whether the receiver is reached.", flag(&health.is_mirroring));
    text
}
