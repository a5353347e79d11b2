//! What an application brings: a link, and how it is made.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::time::Duration;

use iot_core::Instant;
use iot_exchange::Turn;
use iot_queue::{FileStorage, Queue};

/// A transport, as an end sees it: packets leave and arrive, each whole, or not at all.
pub trait Link {
    /// Hands a packet over to the transport.
    ///
    /// # Errors
    ///
    /// The link is broken; it is dropped then, and another is dialled.
    fn send(&mut self, packet: &[u8]) -> io::Result<()>;

    /// The next packet, or `None` when none came for so long.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    fn receive(&mut self, patience: Duration) -> io::Result<Option<Vec<u8>>>;

    /// What is said once it is made. Who cannot tell whether anybody is at the other end says so.
    fn greeting(&self) -> &'static str {
        "connected"
    }

    /// Whose turn it is, where the ends take turns.
    fn turn(&mut self) -> Turn {
        Turn::Send
    }

    /// Takes what it wants from the outbox by itself, at its own pace, and lets go of what is handed over; `false` if
    /// it wants packets one by one.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    fn forward(&mut self, _now: Instant, _outbox: &mut Queue<FileStorage>) -> io::Result<bool> {
        Ok(false)
    }

    /// Hears that the packet which was received last is not what it says: a broker may have a place for such.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    fn refuse(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Makes a link, or says why there is none: [`WouldBlock`](ErrorKind::WouldBlock) if nobody has come yet. What
/// [`PermissionDenied`](ErrorKind::PermissionDenied) and [`InvalidInput`](ErrorKind::InvalidInput) say, no second try
/// will mend: before the first link was made, they end the program.
pub type Dialer = Box<dyn FnMut() -> io::Result<Box<dyn Link>>>;

/// What somebody asked for cannot be.
pub fn invalid(words: impl ToString) -> io::Error {
    io::Error::new(ErrorKind::InvalidInput, words.to_string())
}

/// Where `HOST:PORT` is.
///
/// # Errors
///
/// When nobody knows.
pub fn address_of(server: &str) -> io::Result<SocketAddr> {
    server.to_socket_addrs()?.next().ok_or_else(|| ErrorKind::AddrNotAvailable.into())
}

/// A connection to `HOST:PORT`, that breaks when it stands still for so long.
///
/// # Errors
///
/// When there is none.
pub fn connect(server: &str, patience: Duration) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address_of(server)?, patience)?;
    stream.set_nodelay(true)?;
    stream.set_write_timeout(Some(patience))?;
    Ok(stream)
}

/// A runtime that lasts as long as the process: what clients leave behind wants one, too, when it is dropped.
///
/// # Errors
///
/// When the operating system does not give it what it needs.
#[cfg(feature = "tokio")]
pub fn runtime() -> io::Result<&'static tokio::runtime::Runtime> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let runtime: &'static _ = Box::leak(Box::new(runtime));
    std::mem::forget(runtime.enter());
    Ok(runtime)
}
