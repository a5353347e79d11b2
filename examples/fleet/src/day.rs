//! The day: devices read, and everything goes wrong that the story tells of.

use std::error::Error;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::attacker;
use crate::network::OVERLAY;
use crate::options::Progress;
use crate::process::Process;
use crate::progress::Bar;
use crate::run::{DAY, PATIENCE, Story};
use crate::words::{LinkState, Order};

/// What happens on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    Flood,
    LinkDown,
    KillGateway,
    RestartGateway,
    LinkUp,
    ReplaceNodes,
    StartServer,
}

/// When, in parts of the day. The gateway dies while its link is down and its queue is full.
const SCHEDULE: [(f64, Event); 7] = [
    (0.20, Event::Flood),
    (0.35, Event::LinkDown),
    (0.43, Event::KillGateway),
    (0.49, Event::RestartGateway),
    (0.54, Event::LinkUp),
    (0.62, Event::ReplaceNodes),
    (0.75, Event::StartServer),
];

/// Requests of the flood.
const FLOOD_REQUESTS: u32 = 5_000;

/// How often it is counted how widespread records are.
const COPIES_INTERVAL: Duration = Duration::from_secs(2);

type Flood = JoinHandle<std::io::Result<u32>>;

/// From the first reading to the last.
///
/// # Errors
///
/// What kept it from its end.
pub fn live(story: &mut Story, progress: Progress) -> Result<(), Box<dyn Error>> {
    let mut day = Day { flood: None, began: [0.0; SCHEDULE.len()], words: "devices sign, seal and hand over" };
    let mut bar = Bar::new(progress, "the day");
    let mut schedule = SCHEDULE.iter().peekable();
    let mut moved = (0, Instant::now());
    let mut counted = Instant::now();
    // A short input does not end before everything has gone wrong.
    while story.devices.iter().any(|device| !device.is_finished()) || schedule.peek().is_some() {
        let share = story.seconds() / story.clock.stretched(DAY).as_secs_f64();
        while let Some((_, event)) = schedule.next_if(|(due, _)| *due <= share) {
            day.happen(*event, story)?;
        }
        story.intrude();
        story.listen()?;
        if counted.elapsed() > COPIES_INTERVAL {
            story.count_copies();
            counted = Instant::now();
        }
        let handed_over = story.field.handed_over.load(Ordering::Relaxed);
        if handed_over != moved.0 {
            moved = (handed_over, Instant::now());
        } else if moved.1.elapsed() > DAY + PATIENCE {
            return Err("the devices hand nothing over any more".into());
        }
        let count = format!("{:4.1} h, {handed_over} readings:", (24.0 * share).min(24.0));
        bar.show(handed_over as usize, story.findings.expected as usize, &count, day.words);
        std::thread::sleep(Duration::from_millis(15));
    }
    for device in std::mem::take(&mut story.devices) {
        let sent = device.join().map_err(|_| "a device panicked")??;
        story.findings.messages_sent.push(sent);
    }
    if let Some(flood) = day.flood {
        story.findings.flooded = u64::from(flood.join().map_err(|_| "the flood panicked")??);
    }
    bar.done(&format!("{} readings handed over", story.field.handed_over.load(Ordering::Relaxed)));
    Ok(())
}

struct Day {
    flood: Option<Flood>,
    /// When each event happened, in seconds of the day.
    began: [f64; SCHEDULE.len()],
    /// What is happening.
    words: &'static str,
}

impl Day {
    fn happen(&mut self, event: Event, story: &mut Story) -> Result<(), Box<dyn Error>> {
        self.began[event as usize] = story.seconds();
        self.words = match event {
            Event::Flood => {
                let victim = story.network.victim();
                self.flood = Some(std::thread::spawn(move || attacker::flood(victim, OVERLAY, FLOOD_REQUESTS)));
                "one node is flooded; devices go on"
            }
            Event::LinkDown => {
                story.link = LinkState::Down;
                story.order_gateway(Order::LinkDown);
                "the gateway's link is down; its queue grows"
            }
            Event::KillGateway => {
                story.findings.depth_before_kill = story.findings.gateway.depth;
                story.gateway.take().into_iter().for_each(Process::kill);
                "the gateway was killed; devices keep what it did not acknowledge"
            }
            Event::RestartGateway => {
                story.start_gateway()?;
                story.outage("gateway killed", self.began[Event::KillGateway as usize]);
                "the gateway is back with its queue, its link is still down"
            }
            Event::LinkUp => {
                story.link = LinkState::Up;
                story.order_gateway(Order::LinkUp);
                story.outage("link down", self.began[Event::LinkDown as usize]);
                "the link is back; the queue drains into the hash table"
            }
            Event::ReplaceNodes => {
                story.findings.replaced = story.network.replace_a_quarter()?;
                story.outage("a quarter of the nodes replaced", self.began[event as usize]);
                "a quarter of the nodes has left, others have joined"
            }
            Event::StartServer => {
                story.start_server()?;
                "the server is up, and pulls what it missed"
            }
        };
        Ok(())
    }
}
