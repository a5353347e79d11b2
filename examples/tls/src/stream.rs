//! A connection, with TLS or without.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use rustls::{ClientConnection, StreamOwned};

use crate::words::explain;

/// A connection, with TLS or without. A read that times out loses nothing, also in the middle of a record; a write that
/// fails leaves a connection that is good for nothing more.
#[derive(Debug)]
pub enum Stream {
    /// Without.
    Plain(TcpStream),
    /// With.
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Stream {
    /// As that of `TcpStream`.
    ///
    /// # Errors
    ///
    /// When the time is zero.
    pub fn set_read_timeout(&self, patience: Option<Duration>) -> io::Result<()> {
        self.tcp().set_read_timeout(patience)
    }

    /// What carries it.
    pub fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => &stream.sock,
        }
    }
}

impl Read for Stream {
    fn read(&mut self, octets: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(octets),
            Self::Tls(stream) => stream.read(octets).map_err(explain),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(octets),
            Self::Tls(stream) => {
                let len = stream.write(octets).map_err(explain)?;
                // It takes octets into its buffer, and keeps to itself that the network did not take them.
                stream.flush().map_err(explain)?;
                Ok(len)
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.flush(),
            Self::Tls(stream) => stream.flush().map_err(explain),
        }
    }
}
