//! `iot envelope inspect`: what stands in a file, without keys and without proof.

use std::fmt::Write as _;

use iot_codec::cbor::{Cursor, Diagnostic, Limits};
use iot_crypto::cose::{CoseError, Encrypt, Encrypt0, Mac0, Sign, Sign1};
use iot_crypto::stream::StreamMessage;
use iot_crypto::{CoseKey, KeyFile, KeyKind, RoutingHeader, UnverifiedSuccession, XWingKey, XWingSecret};
use lexopt::Parser;

use super::{hexadecimal, write};
use crate::{Failure, source};

/// Runs `inspect`.
pub fn run(mut parser: Parser) -> Result<(), Failure> {
    let name = source::only_argument(&mut parser, "FILE")?;
    let octets = source::read(&name)?;
    let mut page = Page(String::new());
    if let Ok(key) = CoseKey::parse(&octets) {
        page.key(&key);
    } else if let Ok(secret) = XWingSecret::from_secret_cose_key(&octets) {
        page.x_wing_key(secret.public(), SECRET);
    } else if let Ok(key) = XWingKey::from_cose_key(&octets) {
        page.x_wing_key(&key, PUBLIC);
    } else if let Ok(file) = KeyFile::parse(&octets) {
        let cost = file.cost();
        page.line("a key file", "locked with a password");
        page.line("cost", &format!("{} KiB, {} passes, {} lanes", cost.kibibytes(), cost.passes(), cost.lanes()));
        page.notation("structure", &octets);
    } else if let Ok(succession) = UnverifiedSuccession::parse(&octets) {
        page.line("a succession", "not verified");
        page.line("device", &succession.device().to_string());
        page.line("current key", &succession.current_key().key_id().to_string());
        page.notation("structure", &octets);
    } else if let Some(structure) = Structure::of(&octets) {
        page.structure(structure, &octets);
    } else if let Ok(message) = StreamMessage::parse(&octets) {
        page.line("a message", "of a stream, not opened");
        page.line("context", &hexadecimal(message.context().as_bytes()));
        page.line("sequence", &message.sequence().to_string());
        page.line("ciphertext", &format!("h'{}'", hexadecimal(message.ciphertext())));
    } else {
        let (header, len) = RoutingHeader::parse(&octets)
            .map_err(|error| Failure::Input(format!("{}: nothing that is known: {error}", name.display())))?;
        page.routing(&header, len);
        let structure = Structure::of(&octets[len..]).ok_or_else(|| {
            Failure::Input(format!("{}: no envelope stands behind the routing header", name.display()))
        })?;
        page.structure(structure, &octets[len..]);
    }
    write(None, page.0.as_bytes())
}

const SECRET: &str = "with its secret, which is not shown";
const PUBLIC: &str = "public";

/// What is printed.
struct Page(String);

impl Page {
    fn line(&mut self, what: &str, value: &str) {
        writeln!(self.0, "{what:<13} {value}").expect("a string grows");
    }

    fn notation(&mut self, what: &str, octets: &[u8]) {
        let limits = Limits::default().bytes(u32::try_from(octets.len()).unwrap_or(u32::MAX));
        match Diagnostic::new(octets, &limits) {
            Ok(notation) => self.line(what, &notation.to_string()),
            Err(_) => self.line(what, &format!("h'{}'", hexadecimal(octets))),
        }
    }

    /// Never the secret.
    fn key(&mut self, key: &CoseKey<'_>) {
        self.line("a key", if key.is_secret() { SECRET } else { PUBLIC });
        self.line("kind", &format!("{:?}", key.kind()));
        self.line("kid", &key.kid().map_or("none".into(), |kid| format!("h'{}'", hexadecimal(kid))));
        if let Some(algorithm) = key.algorithm() {
            self.line("alg", &algorithm.to_string());
        }
        let thumbprint = match key.kind() {
            KeyKind::X25519 => key.agreement_key().map(|key| key.thumbprint()),
            _ => key.verifying_key().map(|key| key.thumbprint()),
        };
        let of_secret = || match key.kind() {
            KeyKind::X25519 => key.agreement_secret().map(|key| key.thumbprint()),
            KeyKind::P256 => key.p256_signing_key().map(|key| key.verifying_key().thumbprint()),
            _ => key.signing_key().map(|key| key.verifying_key().thumbprint()),
        };
        match if key.is_secret() { of_secret() } else { thumbprint } {
            Ok(thumbprint) => self.line("thumbprint", &hexadecimal(thumbprint.as_bytes())),
            Err(error) => self.line("not usable", &error.to_string()),
        }
    }

    fn x_wing_key(&mut self, key: &XWingKey, whether: &str) {
        self.line("a key", whether);
        self.line("kind", "X-Wing, experimental");
        self.line("thumbprint", &hexadecimal(key.thumbprint().as_bytes()));
    }

    fn routing(&mut self, header: &RoutingHeader<'_>, len: usize) {
        self.line("a message", "not opened");
        self.line("routing", &format!("{len} octets"));
        if let Some(source) = header.source {
            self.line("source", &source.to_string());
        }
        if let Some(topic) = header.topic {
            self.line("topic", &format!("{:?}", topic.as_str()));
        }
        self.line("stream", &header.stream.to_string());
        self.line("incarnation", &header.incarnation.to_string());
        self.line("sequence", &header.sequence.to_string());
    }

    /// A COSE structure, member by member.
    fn structure(&mut self, structure: &Structure, octets: &[u8]) {
        self.line(structure.name, structure.unproven());
        if let Err(error) = (structure.read)(octets) {
            self.line("not readable", &error.to_string());
        }
        // Whether it was read or has the tag of one, this goes as far as it is one.
        let mut cursor = Cursor::new(octets);
        let _ = cursor.tag();
        let _ = cursor.array();
        for member in ["protected", "unprotected"].iter().chain(structure.members) {
            let Ok(item) = cursor.raw_item() else { return };
            match item.cursor().bytes() {
                // What is inside a byte string is shown if it is one item; a signature or a ciphertext never is.
                Ok(inside) if matches!(*member, "protected" | "payload") => self.notation(member, inside),
                _ => self.notation(member, item.as_bytes()),
            }
        }
    }
}

/// A kind of COSE structure (RFC 9052 §2).
struct Structure {
    tag: u64,
    name: &'static str,
    /// Those behind the headers.
    members: &'static [&'static str],
    read: fn(&[u8]) -> Result<(), CoseError>,
}

impl Structure {
    const ALL: &[Self] = &[
        Self::new(Sign1::TAG, "COSE_Sign1", &["payload", "signature"], |octets| Sign1::parse(octets).map(drop)),
        Self::new(Sign::TAG, "COSE_Sign", &["payload", "signatures"], |octets| Sign::parse(octets).map(drop)),
        Self::new(Encrypt0::TAG, "COSE_Encrypt0", &["ciphertext"], |octets| Encrypt0::parse(octets).map(drop)),
        Self::new(Encrypt::TAG, "COSE_Encrypt", &["ciphertext", "recipients"], |octets| {
            Encrypt::parse(octets).map(drop)
        }),
        Self::new(Mac0::TAG, "COSE_Mac0", &["payload", "tag"], |octets| Mac0::parse(octets).map(drop)),
    ];

    const fn new(
        tag: u64,
        name: &'static str,
        members: &'static [&'static str],
        read: fn(&[u8]) -> Result<(), CoseError>,
    ) -> Self {
        Self { tag, name, members, read }
    }

    /// What was not done, because it takes a key.
    fn unproven(&self) -> &'static str {
        if self.members[0] == "ciphertext" { "not opened" } else { "not verified" }
    }

    /// The kind that the tag says; without a tag, the one as which the octets can be read.
    fn of(octets: &[u8]) -> Option<&'static Self> {
        match Cursor::new(octets).tag() {
            Ok(tag) => Self::ALL.iter().find(|structure| structure.tag == tag),
            Err(_) => Self::ALL.iter().find(|structure| (structure.read)(octets).is_ok()),
        }
    }
}
