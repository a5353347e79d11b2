//! Connections for the sinks that wait for a server.

use std::io;

use iot_queue_driven::{Dial, Tcp};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;

use crate::server::Server;
use crate::words::greeting_failed;

/// A connection, with TLS or without.
pub trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Duplex for T {}

/// With TLS if that is what the command line says; the certificate must then be for the host of the address that is dialled.
impl Dial for Server {
    type Stream = Box<dyn Duplex>;

    async fn dial(&self, address: &str) -> io::Result<Self::Stream> {
        let stream = Tcp.dial(address).await?;
        let Some(config) = self.config() else { return Ok(Box::new(stream)) };
        let connected = TlsConnector::from(config.clone()).connect(self.name_at(address)?, stream).await;
        Ok(Box::new(connected.map_err(|error| greeting_failed(error, self.other()))?))
    }
}
