//! Packets over TCP: the device connects, the receiver listens, and each packet is a frame that says its length.

#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use iot_codec::framing::{LengthDelimited, frame_header};
use iot_link::{Dialer, Link, Options, Role, connect};

/// Octets of the longest packet: a message of 256 readings needs less.
const MAX_PACKET: usize = 16 * 1024;

/// How long a connection may stand still before it counts as broken.
const MAX_STALL: Duration = Duration::from_secs(5);

/// What makes connections of an end.
///
/// # Errors
///
/// When the receiver cannot listen, or the address has another scheme than `tcp`.
pub fn dialer(options: &Options) -> io::Result<Dialer> {
    let server = options.address("tcp")?.to_owned();
    if options.role == Role::Device {
        return Ok(Box::new(move || Frames::over(connect(&server, MAX_STALL)?)));
    }
    let listener =
        TcpListener::bind(&server).map_err(|error| io::Error::new(error.kind(), format!("{server}: {error}")))?;
    listener.set_nonblocking(true)?;
    Ok(Box::new(move || match listener.accept() {
        Ok((stream, _)) => Frames::over(stream),
        Err(nobody) => {
            std::thread::sleep(Duration::from_millis(20));
            Err(nobody)
        }
    }))
}

/// Packets as frames on a connection.
struct Frames {
    stream: TcpStream,
    decoder: LengthDelimited<Vec<u8>>,
    arrived: VecDeque<Vec<u8>>,
}

impl Frames {
    fn over(stream: TcpStream) -> io::Result<Box<dyn Link>> {
        stream.set_nonblocking(false)?;
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(MAX_STALL))?;
        Ok(Box::new(Self { stream, decoder: LengthDelimited::new(vec![0; MAX_PACKET]), arrived: VecDeque::new() }))
    }

    fn decode(&mut self, mut octets: &[u8]) -> io::Result<()> {
        while !octets.is_empty() {
            let taken = self.decoder.push(octets).map_err(io::Error::other)?;
            octets = &octets[taken..];
            while let Some(frame) = self.decoder.next_frame() {
                self.arrived.push_back(frame.to_vec());
            }
        }
        Ok(())
    }
}

impl Link for Frames {
    fn send(&mut self, packet: &[u8]) -> io::Result<()> {
        let mut frame = frame_header(packet.len()).map_err(io::Error::other)?.to_vec();
        frame.extend_from_slice(packet);
        self.stream.write_all(&frame)
    }

    fn receive(&mut self, patience: Duration) -> io::Result<Option<Vec<u8>>> {
        let end = Instant::now() + patience;
        while self.arrived.is_empty() {
            // A time-out of zero would mean none to the operating system.
            let left = end.saturating_duration_since(Instant::now()).max(Duration::from_micros(1));
            self.stream.set_read_timeout(Some(left))?;
            let mut octets = [0; 4096];
            match self.stream.read(&mut octets) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(len) => self.decode(&octets[..len])?,
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(self.arrived.pop_front())
    }
}
