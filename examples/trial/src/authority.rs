//! A CA of a trial's own.

use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, date_time_ymd,
};

/// A CA, and a folder for what it signs. Nothing of it outlives the test, so nothing in the checkout expires.
pub struct Authority {
    folder: PathBuf,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// When a certificate is valid, beside the day of the test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validity {
    /// Then.
    Now,
    /// It was before.
    Past,
    /// It will be.
    Future,
}

impl Authority {
    /// A CA that keeps its certificate in `NAME.pem` of a folder.
    ///
    /// # Panics
    ///
    /// If that cannot be written.
    pub fn new(folder: &Path, name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("it has no names that could be odd");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name = called(name);
        let key = KeyPair::generate().expect("the system has chance");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("it can sign itself");
        let authority = Self { folder: folder.into(), issuer };
        authority.write(&format!("{name}.pem"), &authority.issuer.pem());
        authority
    }

    /// A certificate for these hosts and its key: the files that hold them, `NAME-cert.pem` and `NAME-key.pem`.
    ///
    /// # Panics
    ///
    /// If they cannot be written.
    pub fn issue(&self, name: &str, hosts: &[&str], validity: Validity) -> [String; 2] {
        let hosts: Vec<_> = hosts.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(hosts).expect("the hosts have plain names");
        params.distinguished_name = called(name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        match validity {
            Validity::Now => {}
            Validity::Past => params.not_after = date_time_ymd(2020, 1, 1),
            Validity::Future => params.not_before = date_time_ymd(4000, 1, 1),
        }
        let key = KeyPair::generate().expect("the system has chance");
        let signed = params.signed_by(&key, &self.issuer).expect("the CA can sign");
        [
            self.write(&format!("{name}-cert.pem"), &signed.pem()),
            self.write(&format!("{name}-key.pem"), &key.serialize_pem()),
        ]
    }

    /// The certificate of the CA itself and its key.
    ///
    /// # Panics
    ///
    /// If they cannot be written.
    pub fn own(&self) -> [String; 2] {
        [self.write("own-cert.pem", &self.issuer.pem()), self.write("own-key.pem", &self.issuer.key().serialize_pem())]
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path = self.folder.join(name);
        std::fs::write(&path, text).expect("there is room for a file");
        path.to_str().expect("it has a plain name").to_owned()
    }
}

fn called(name: &str) -> DistinguishedName {
    let mut names = DistinguishedName::new();
    names.push(DnType::CommonName, name);
    names
}
