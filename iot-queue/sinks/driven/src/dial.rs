//! Connections to servers.

use std::future::Future;
use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Makes connections: the place for TLS.
pub trait Dial: Send + 'static {
    /// A connection.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// Connects to `HOST:PORT`, which is what was configured, or what a server says of another.
    ///
    /// # Errors
    /// When there is no connection.
    fn dial(&self, address: &str) -> impl Future<Output = io::Result<Self::Stream>> + Send;
}

/// Connections without TLS.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tcp;

impl Dial for Tcp {
    type Stream = TcpStream;

    async fn dial(&self, address: &str) -> io::Result<TcpStream> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

/// Connects to `address`, which may take so long.
///
/// # Errors
/// [`ConnectionError::Unreachable`].
pub async fn connect<D: Dial>(dial: &D, address: &str, within: Duration) -> Result<D::Stream, ConnectionError> {
    let dialled = timeout(within, dial.dial(address)).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    dialled.map_err(|error| ConnectionError::Unreachable { address: address.to_owned(), kind: error.kind() })
}

/// Why there is no connection to a broker, or none any more.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectionError {
    /// No connection could be made.
    #[error("there is no connection to {address}: {kind}")]
    Unreachable {
        /// The broker.
        address: String,
        /// What the system said.
        kind: io::ErrorKind,
    },
    /// The broker closed the connection.
    #[error("the broker closed the connection")]
    Disconnected,
    /// The broker did not answer in time.
    #[error("the broker did not answer")]
    Unanswered,
}
