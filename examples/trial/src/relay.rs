//! Who stands between two ends that take turns.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use iot_link::{Dialer, Link, Options, Role};

use crate::{Counts, Interference, Mischief};

/// Stands for as long as this process lives between who makes requests, whom it answers at the port `front`, and who answers
/// at the port `back`, to whom it makes requests: as a proxy that knows the packets in them, and alters, drops, repeats and
/// reorders those of each. `dialer` makes the links of both. Gives what was done on the way there, and back.
///
/// # Panics
///
/// If there is no link to be had.
pub fn meddle_between(
    dialer: impl Fn(&Options) -> io::Result<Dialer> + Send + 'static,
    front: u16,
    back: u16,
) -> [Arc<Counts>; 2] {
    let counts = [Arc::<Counts>::default(), Arc::default()];
    let kept = counts.clone();
    std::thread::spawn(move || {
        let ends = [(Role::Receiver, front), (Role::Device, back)].map(|(role, port)| {
            let options = Options { role, server: format!("127.0.0.1:{port}"), ..Options::default() };
            let mut dial = dialer(&options).expect("the options make sense");
            std::iter::from_fn(|| Some(dial())).find_map(Result::ok).expect("it is tried for ever")
        });
        let seeds = [(7, &kept[0]), (8, &kept[1])];
        pass_on(ends, seeds.map(|(seed, counts)| Interference::new(Mischief::OF_EACH, seed, counts)));
    });
    counts
}

fn pass_on(mut ends: [Box<dyn Link>; 2], mut ways: [Interference; 2]) -> ! {
    loop {
        for (from, way) in ways.iter_mut().enumerate() {
            while let Some(packet) = ends[from].receive(Duration::from_millis(2)).expect("the link stays") {
                for packet in way.interfere(&packet) {
                    ends[1 - from].send(&packet).expect("the link stays");
                }
            }
        }
    }
}
