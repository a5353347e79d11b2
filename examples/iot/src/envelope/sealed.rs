//! `iot envelope bundle`, `seal` and `open`.

use std::time::{SystemTime, UNIX_EPOCH};

use iot_core::{DeviceId, Incarnation, Position, StreamId, Timestamp, Topic};
use iot_crypto::{BundleDraft, Carries, Heading, KeyBundle, Opener, Sealer, Signer, Trackers, scratch_len};
use lexopt::Parser;
use rand_core::Rng as _;

use super::options::Options;
use super::{generator, keys, refused, write};
use crate::{Failure, source};

/// `iot envelope bundle`: says to which key others seal.
pub fn bundle(parser: Parser) -> Result<(), Failure> {
    let valued = ["key", "password", "sequence", "days", "next", "out"];
    let options = Options::parse(parser, &valued, &[], &["AGREEMENT"])?;
    let agreement = keys::sealing(options.file(0))?;
    let signer = keys::signing(&options)?;
    let days: u32 = options.number("days")?.unwrap_or(30);
    let expires = Timestamp::from_secs(now().as_secs() + u64::from(days) * 86_400);
    let mut draft = BundleDraft::new(&agreement, options.number("sequence")?.unwrap_or(1), expires);
    if let Some(next) = options.get("next") {
        draft = draft.committing_to(&keys::verifying(next)?.thumbprint());
    }
    let octets = draft.issue(&signer).map_err(|error| Failure::Input(error.to_string()))?;
    write(options.get("out"), &octets)
}

/// `iot envelope seal`.
pub fn seal(parser: Parser) -> Result<(), Failure> {
    let valued = ["key", "password", "to", "device", "topic", "stream", "sequence", "incarnation", "out"];
    let options = Options::parse(parser, &valued, &[], &["FILE"])?;
    let signer = keys::signing(&options)?;
    let name = options.required("to")?;
    let device: DeviceId = options.number("device")?.ok_or_else(|| Failure::Usage("--device is missing".into()))?;
    let reader = KeyBundle::verify(&source::read(name)?, &device, now()).map_err(|error| refused(name, &error))?;
    let topic = options.text("topic")?.ok_or_else(|| Failure::Usage("--topic is missing".into()))?;
    let topic = Topic::new(topic).map_err(|error| Failure::Usage(format!("{topic:?}: {error}")))?;
    let mut rng = generator()?;
    let mut drawn = [0; Incarnation::LEN];
    rng.fill_bytes(&mut drawn);
    let position = Position {
        source: signer.verifying_key().device_id(),
        stream: StreamId::new(options.number("stream")?.unwrap_or(0)),
        incarnation: options.number("incarnation")?.unwrap_or(Incarnation::from_bytes(drawn)),
        sequence: options.number("sequence")?.unwrap_or(0),
    };
    let payload = source::read(options.file(0))?;
    let sealer = Sealer::new(position.source, &signer, reader).carrying(Carries::SourceAndTopic);
    let sealed = sealer.seal(&Heading { topic, position }, &payload, now(), &mut rng);
    write(options.get("out"), &sealed.map_err(|error| refused(options.file(0), &error))?)
}

/// `iot envelope open`.
pub fn open(parser: Parser) -> Result<(), Failure> {
    let options = Options::parse(parser, &["key", "password", "from", "topic", "out"], &[], &["FILE"])?;
    let secrets = [keys::agreement(&options)?];
    let sender = keys::verifying(options.required("from")?)?;
    let topic = options.text("topic")?;
    let topic = topic.map(|text| Topic::new(text).map_err(|error| Failure::Usage(format!("{text:?}: {error}"))));
    let topic = topic.transpose()?;
    let mut message = source::read(options.file(0))?;
    let mut scratch = vec![0; scratch_len(message.len(), usize::from(u16::MAX))];
    // A tool that ends remembers nothing of what it opened, so whoever calls it looks at the position.
    let nothing: Trackers = Trackers::new(1, 1).expect("one stream of one source is a capacity");
    let mut opener = Opener::new(&secrets, sender, nothing);
    let opened = opener.open(topic, &mut message, &mut scratch).map_err(|error| refused(options.file(0), &error))?;
    let Position { source, stream, incarnation, sequence } = opened.position();
    eprintln!("from {source}, topic {}", opened.heading().topic.as_str());
    eprintln!("stream {stream}, incarnation {incarnation}, sequence {sequence}");
    write(options.get("out"), opened.payload())
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_micros(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}
