//! Every order in which the steps of a few threads can happen, by loom, as long as no more than [`PREEMPTIONS`] times a
//! thread loses its turn that could go on.
//!
//!     RUSTFLAGS="--cfg iot_loom" cargo test -p iot-queue --lib shared::tests::model
//!     RUSTFLAGS="--cfg iot_loom --cfg iot_fault" cargo test -p iot-queue --lib shared::tests::model
//!
//! The second loses a wake-up on purpose, and must find it.

use super::*;

/// Each more makes the search some ten times longer.
const PREEMPTIONS: usize = 4;

/// Two threads append and then wait, and a third appends; each returns, and what it asked for is durable then.
fn threads_that_append() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(PREEMPTIONS);
    model.check(|| {
        let medium = Medium::default();
        let config = QueueConfig::default().max_payload(8).unwrap().segment_len(4096).unwrap().segments(2).unwrap();
        let queue = Queue::open(medium.clone(), config, [7; 8]).unwrap();
        let queue = SharedQueue::new(queue, || Instant::START, SharedSettings::default());
        let threads: Vec<_> = [b"a", b"b"]
            .into_iter()
            .map(|payload| {
                let queue = queue.clone();
                loom::thread::spawn(move || {
                    let ticket = queue.submit(&Message::new(payload)).unwrap();
                    queue.wait(ticket).unwrap();
                    assert!(queue.durable() >= ticket.until());
                })
            })
            .collect();
        queue.append(&Message::new(b"c")).unwrap();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(medium.payloads_after_power_cut().len(), 3);
    });
}

#[cfg(not(iot_fault))]
#[test]
fn nobody_waits_for_ever_for_a_sync() {
    threads_that_append();
}

/// In a process of its own, which loom ends with the threads still waiting.
#[cfg(iot_fault)]
#[test]
fn a_lost_wake_up_is_found() {
    const CHILD: &str = "IOT_QUEUE_LOST_WAKE_UP";
    if std::env::var_os(CHILD).is_some() {
        crate::fault::lose_wakeups();
        return threads_that_append();
    }
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    let output = child.args(["a_lost_wake_up_is_found", "--nocapture"]).env(CHILD, "1").output().unwrap();
    let said = std::string::String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("deadlock"), "{said}");
}
