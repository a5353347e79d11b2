//! Whom to trust, and who this is.

use std::io;
use std::sync::Arc;

use iot_link::{Options, invalid};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::{Error as PemError, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ConfigBuilder, RootCertStore, WantsVerifier, client::WantsClientCert};

/// Whom to trust, and who this is to a server that asks.
#[derive(Clone, Debug)]
pub struct Trust {
    config: Arc<ClientConfig>,
    roots: Arc<[CertificateDer<'static>]>,
}

impl Trust {
    /// Trusts the CAs in the file that `--ca` names, or those of the system; shows the certificate of `--certificate`, with
    /// its `--key`, to a server that asks for one.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) when a file does not exist or holds nothing of its kind, or the system
    /// has no CAs.
    pub fn of(options: &Options) -> io::Result<Self> {
        let (found, origin) = match options.own("ca") {
            Some(file) => (certificates(file)?, file),
            None => (rustls_native_certs::load_native_certs().certs, "the system's CAs"),
        };
        let mut roots = RootCertStore::empty();
        // A system has hundreds, some of them odd.
        if roots.add_parsable_certificates(found.iter().cloned()).0 == 0 {
            return Err(invalid(format!("{origin}: there is no CA among them: give --ca FILE")));
        }
        let builder = builder(roots);
        let config = match (options.own("certificate"), options.own("key")) {
            (None, None) => builder.with_no_client_auth(),
            (Some(certificate), Some(file)) => {
                let key = PrivateKeyDer::from_pem_file(file).map_err(|error| unreadable(file, "key", error))?;
                let paired = builder.with_client_auth_cert(certificates(certificate)?, key);
                paired.map_err(|error| invalid(format!("{certificate}, {file}: {error}")))?
            }
            _ => return Err(invalid("--certificate and --key go together")),
        };
        Ok(Self { config: config.into(), roots: found.into() })
    }

    /// Trusts nobody, to see whether a server speaks TLS.
    pub(crate) fn nobody() -> Self {
        let config = builder(RootCertStore::empty()).with_no_client_auth();
        Self { config: config.into(), roots: Arc::new([]) }
    }

    /// Says by ALPN what it will speak.
    pub(crate) fn speak(&mut self, protocol: &str) {
        Arc::make_mut(&mut self.config).alpn_protocols = vec![protocol.into()];
    }

    /// What `rustls` and the clients built on it take.
    pub fn config(&self) -> &Arc<ClientConfig> {
        &self.config
    }

    /// The CAs, for clients that bring a configuration of their own.
    pub fn roots(&self) -> &[CertificateDer<'static>] {
        &self.roots
    }
}

fn builder(roots: RootCertStore) -> ConfigBuilder<ClientConfig, WantsClientCert> {
    let builder = ClientConfig::builder_with_provider(default_provider().into()).with_safe_default_protocol_versions();
    let builder: ConfigBuilder<_, WantsVerifier> = builder.expect("ring has the suites of each version");
    builder.with_root_certificates(roots)
}

fn certificates(file: &str) -> io::Result<Vec<CertificateDer<'static>>> {
    let read = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let found = read.map_err(|error| unreadable(file, "certificate", error))?;
    if found.is_empty() { Err(unreadable(file, "certificate", PemError::NoItemsFound)) } else { Ok(found) }
}

fn unreadable(file: &str, what: &str, error: PemError) -> io::Error {
    match error {
        PemError::Io(error) => invalid(format!("{file}: {error}")),
        PemError::NoItemsFound => invalid(format!("{file}: it holds no {what} in PEM")),
        error => invalid(format!("{file}: {error}")),
    }
}
