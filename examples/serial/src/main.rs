//! Sealed readings over a serial line: each packet is a COBS frame with a checksum, so both ends find the next frame
//! behind noise, and after one of them was away.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use iot_codec::framing::{Checksum, Cobs, encode_cobs, max_cobs_len};
use iot_link::{Application, Dialer, Feedback, Link, Options};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};

const APPLICATION: Application = Application {
    name: "serial",
    about: "Sends sealed readings over a serial line until the receiver has verified and kept them.",
    server: "/dev/ttyUSB0",
    hint: "is it plugged in, and are you allowed to use it? trying again",
    options: &[("baud", "N            bits a second, by default 115200")],
    feedback: Feedback::Acknowledged { within: Duration::from_secs(5) },
    dialer,
    sink: None,
};

/// Octets of the longest packet.
const MAX_PACKET: usize = 4096;

/// How long the line may take nothing before it counts as broken.
const MAX_STALL: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    APPLICATION.main()
}

fn dialer(options: &Options) -> io::Result<Dialer> {
    let (path, baud) = (options.server.clone(), options.number("baud", 115_200)?);
    Ok(Box::new(move || {
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let line = rustix::fs::open(&path, flags, Mode::empty())?;
        let mut settings = tcgetattr(&line).map_err(|_| io::Error::other("that is no serial line"))?;
        settings.make_raw();
        settings.set_speed(baud)?;
        tcsetattr(&line, OptionalActions::Flush, &settings)?;
        let decoder = Cobs::new(vec![0; MAX_PACKET + Checksum::Crc32.len()], Checksum::Crc32);
        Ok(Box::new(Line { file: line.into(), decoder, arrived: VecDeque::new() }))
    }))
}

/// Packets as frames on a line.
struct Line {
    file: File,
    decoder: Cobs<Vec<u8>>,
    arrived: VecDeque<Vec<u8>>,
}

impl Line {
    /// Waits until the line takes or gives something.
    fn wait(&self, what: PollFlags, patience: Duration) -> io::Result<bool> {
        let patience = Timespec::try_from(patience).map_err(io::Error::other)?;
        match poll(&mut [PollFd::new(&self.file, what)], Some(&patience)) {
            Ok(count) => Ok(count > 0),
            Err(rustix::io::Errno::INTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

impl Link for Line {
    fn send(&mut self, packet: &[u8]) -> io::Result<()> {
        let mut space = vec![0; max_cobs_len(packet.len(), Checksum::Crc32)];
        let mut left = encode_cobs(packet, Checksum::Crc32, &mut space).map_err(io::Error::other)?;
        while !left.is_empty() {
            match self.file.write(left) {
                Ok(len) => left = &left[len..],
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if !self.wait(PollFlags::OUT, MAX_STALL)? {
                        return Err(ErrorKind::TimedOut.into());
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn receive(&mut self, patience: Duration) -> io::Result<Option<Vec<u8>>> {
        if self.arrived.is_empty() && self.wait(PollFlags::IN, patience)? {
            let mut octets = [0; 4096];
            let mut octets = match self.file.read(&mut octets) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(len) => &octets[..len],
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => &[],
                Err(error) => return Err(error),
            };
            while !octets.is_empty() {
                octets = &octets[self.decoder.push(octets)..];
                // Noise is dropped by its checksum, and counted by the decoder.
                while let Some(frame) = self.decoder.next_frame() {
                    self.arrived.push_back(frame.to_vec());
                }
            }
        }
        Ok(self.arrived.pop_front())
    }
}
