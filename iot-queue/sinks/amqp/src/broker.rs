use std::fmt;

use amqprs::connection::OpenConnectionArguments;

use crate::error::AmqpError;

/// Octets of the longest name of a virtual host.
const LONGEST_HOST: usize = 255;

/// Seconds of silence after which either side asks whether the other is there. After two of them the connection is lost.
const HEARTBEAT: u16 = 5;

/// Where a broker is, and as whom one is known there.
#[derive(Clone)]
pub struct Broker {
    host: String,
    port: u16,
    user: String,
    password: String,
    virtual_host: String,
    #[cfg(feature = "tls")]
    tls: Option<tokio_rustls::TlsConnector>,
}

impl Broker {
    /// The broker at `host`, a name or an address.
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        let guest = String::from("guest");
        Self {
            host: host.into(),
            port,
            user: guest.clone(),
            password: guest,
            virtual_host: "/".into(),
            #[cfg(feature = "tls")]
            tls: None,
        }
    }

    /// The user that the broker knows; by default `guest`, with that as the password.
    #[must_use]
    pub fn login(self, user: impl Into<String>, password: impl Into<String>) -> Self {
        Self { user: user.into(), password: password.into(), ..self }
    }

    /// The broker's virtual host; by default `/`.
    ///
    /// # Errors
    /// If its name has more than 255 octets.
    pub fn virtual_host(self, name: impl Into<String>) -> Result<Self, AmqpError> {
        Ok(Self { virtual_host: short(name.into(), LONGEST_HOST)?, ..self })
    }

    /// Connects with TLS, by a configuration of `rustls` that says whom to trust; by default without. The broker's
    /// certificate must be for its host.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(self, config: impl Into<tokio_rustls::TlsConnector>) -> Self {
        Self { tls: Some(config.into()), ..self }
    }

    /// `HOST:PORT`.
    pub(crate) fn address(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    pub(crate) fn connection(&self) -> OpenConnectionArguments {
        let mut arguments = OpenConnectionArguments::new(&self.host, self.port, &self.user, &self.password);
        arguments.virtual_host(&self.virtual_host).heartbeat(HEARTBEAT);
        #[cfg(feature = "tls")]
        if let Some(connector) = &self.tls {
            // An address of IPv6 stands in brackets, and not in a certificate.
            let name = self.host.trim_matches(['[', ']']).to_owned();
            arguments.tls_adaptor(amqprs::tls::TlsAdaptor::new(connector.clone(), name));
        }
        arguments
    }
}

/// Shows everything but the password.
impl fmt::Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port, user, virtual_host, .. } = self;
        write!(f, "Broker({user}@{host}:{port}, virtual host {virtual_host})")
    }
}

/// A name, if it has no more octets than this.
pub(crate) fn short(name: String, longest: usize) -> Result<String, AmqpError> {
    let len = name.len();
    if len <= longest { Ok(name) } else { Err(AmqpError::NameTooLong { len, longest }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_no_password() {
        let broker = Broker::new("amqp.example.org", 5672).login("gateway", "secret");
        assert_eq!(format!("{broker:?}"), "Broker(gateway@amqp.example.org:5672, virtual host /)");
    }
}
