//! Two pseudo terminals with a noisy line between them, which is unplugged in the middle, as both ends are killed.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use iot_trial::Trial;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};

/// A line between two terminals, `device.tty` and `receiver.tty` of a folder, which turns a bit over in one of so many
/// pieces.
struct Cable {
    links: [PathBuf; 2],
    is_plugged: Arc<AtomicBool>,
}

impl Cable {
    fn plug(folder: &Path, noise: u32) -> Self {
        let is_plugged = Arc::new(AtomicBool::new(true));
        let links = ["device.tty", "receiver.tty"].map(|name| folder.join(name));
        let ends = links.each_ref().map(|link| {
            let end = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
            grantpt(&end).unwrap();
            unlockpt(&end).unwrap();
            let mut settings = tcgetattr(&end).unwrap();
            settings.make_raw();
            tcsetattr(&end, OptionalActions::Now, &settings).unwrap();
            std::os::unix::fs::symlink(ptsname(&end, Vec::new()).unwrap().to_str().unwrap(), link).unwrap();
            File::from(end)
        });
        let [device, receiver] = ends;
        for (from, to) in [(device.try_clone().unwrap(), receiver.try_clone().unwrap()), (receiver, device)] {
            let is_plugged = is_plugged.clone();
            std::thread::spawn(move || carry(from, to, noise, &is_plugged));
        }
        Self { links, is_plugged }
    }

    fn unplug(self) {
        // First the names: the terminals behind them may be given to the next cable, the other way round.
        self.links.iter().for_each(|link| std::fs::remove_file(link).unwrap());
        self.is_plugged.store(false, Relaxed);
    }
}

fn carry(mut from: File, mut to: File, noise: u32, is_plugged: &AtomicBool) {
    let (mut octets, mut pieces) = ([0; 256], 0_u32);
    rustix::fs::fcntl_setfl(&from, rustix::fs::OFlags::NONBLOCK).unwrap();
    while is_plugged.load(Relaxed) {
        // A terminal that nobody has open reads as an error.
        let Ok(len) = from.read(&mut octets) else {
            std::thread::sleep(std::time::Duration::from_millis(2));
            continue;
        };
        pieces += 1;
        if len > 0 && pieces % noise == 0 {
            octets[pieces as usize % len] ^= 0x10;
        }
        let mut left = &octets[..len];
        while !left.is_empty() && is_plugged.load(Relaxed) {
            match to.write(left) {
                Ok(len) => left = &left[len..],
                Err(_) => std::thread::sleep(std::time::Duration::from_millis(2)),
            }
        }
    }
}

#[test]
fn nothing_is_lost_over_a_noisy_line_that_is_unplugged() {
    let trial = Trial::new(env!("CARGO_BIN_EXE_serial"), "unused", 3_000).with(&["--patience", "1"]);
    let path = |name: &str| trial.folder().join(name).to_str().unwrap().to_owned();
    let (near, far) = (path("device.tty"), path("receiver.tty"));
    let device = trial.endless_device(&["--server", &near, "--rate", "500"]);
    device.wait_for(1, "is it plugged in");
    let cable = Cable::plug(trial.folder(), 40);
    let receiver = trial.receiver(&["--server", &far]);
    receiver.wait_for(30, "accepted");
    cable.unplug();
    device.wait_for(1, "the link ended");
    let _cable = Cable::plug(trial.folder(), 40);
    trial.survives_kills(device, receiver, [&["--server", &near], &["--server", &far]]);
}
