//! `iot envelope bundle`, `seal` and `open`.

use std::ffi::OsStr;
use std::time::{SystemTime, UNIX_EPOCH};

use iot_core::{DeviceId, Incarnation, KeyId, Position, StreamId, Timestamp, Topic};
use iot_crypto::{
    BundleDraft, Carries, Directory, Heading, KeyBundle, Opener, Sealer, Signer, Succession, UnverifiedSuccession,
    VerifyingKey, scratch_len,
};
use lexopt::Parser;
use rand_core::Rng as _;

use super::options::Options;
use super::state::{self, State};
use super::{generator, keys, raw, refused, write};
use crate::{Failure, source};

/// `iot envelope bundle`: says to which key others seal.
pub fn bundle(parser: Parser) -> Result<(), Failure> {
    let valued = ["key", "password", "sequence", "days", "next", "x-wing", "out"];
    let options = Options::parse(parser, &valued, &[], &["AGREEMENT"])?;
    let agreement = keys::sealing(options.file(0))?;
    let signer = keys::signing(&options)?;
    let days: u32 = options.number("days")?.unwrap_or(30);
    let expires = Timestamp::from_secs(now().as_secs() + u64::from(days) * 86_400);
    let mut draft = BundleDraft::new(&agreement, options.number("sequence")?.unwrap_or(1), expires);
    if let Some(next) = options.get("next") {
        draft = draft.committing_to(&keys::verifying(next)?.thumbprint());
    }
    if let Some(name) = options.get("x-wing") {
        draft = draft.with_x_wing(&keys::sealing_x_wing(name)?);
    }
    let octets = draft.issue(&signer).map_err(|error| Failure::Input(error.to_string()))?;
    write(options.get("out"), &octets)
}

/// `iot envelope seal`.
pub fn seal(parser: Parser) -> Result<(), Failure> {
    if Options::has_ahead(&parser, "--raw") {
        return raw::seal(parser);
    }
    let own = ["key", "password", "succession", "topic", "stream", "sequence", "incarnation"];
    let valued = [&own[..], &["to", "device", "to-succession", "x-wing", "out"]].concat();
    let options = Options::parse(parser, &valued, &[], &["FILE"])?;
    let signer = keys::signing(&options)?;
    let name = options.required("to")?;
    let device: DeviceId = options.number("device")?.ok_or_else(|| Failure::Usage("--device is missing".into()))?;
    let reader = reader(name, &device, options.get("to-succession"))?;
    let topic = options.text("topic")?.ok_or_else(|| Failure::Usage("--topic is missing".into()))?;
    let topic = Topic::new(topic).map_err(|error| Failure::Usage(format!("{topic:?}: {error}")))?;
    let mut rng = generator()?;
    let mut drawn = [0; Incarnation::LEN];
    rng.fill_bytes(&mut drawn);
    let position = Position {
        source: device_of(&signer.verifying_key(), options.get("succession"))?,
        stream: StreamId::new(options.number("stream")?.unwrap_or(0)),
        incarnation: options.number("incarnation")?.unwrap_or(Incarnation::from_bytes(drawn)),
        sequence: options.number("sequence")?.unwrap_or(0),
    };
    let payload = source::read(options.file(0))?;
    let mut sealer = Sealer::new(position.source, &signer, reader).carrying(Carries::SourceAndTopic);
    if let Some(name) = options.get("x-wing") {
        sealer = sealer.to_x_wing(&keys::sealing_x_wing(name)?).map_err(|error| refused(name, &error))?;
    }
    let sealed = sealer.seal(&Heading { topic, position }, &payload, now(), &mut rng);
    write(options.get("out"), &sealed.map_err(|error| refused(options.file(0), &error))?)
}

/// `iot envelope open`.
pub fn open(parser: Parser) -> Result<(), Failure> {
    if Options::has_ahead(&parser, "--raw") {
        return raw::open(parser);
    }
    let valued = ["key", "password", "from", "succession", "topic", "state", "out"];
    let options = Options::parse(parser, &valued, &[], &["FILE"])?;
    let secrets = keys::opening(&options)?;
    let key = keys::verifying(options.required("from")?)?;
    let sender = Sender { device: device_of(&key, options.get("succession"))?, key };
    let topic = options.text("topic")?;
    let topic = topic.map(|text| Topic::new(text).map_err(|error| Failure::Usage(format!("{text:?}: {error}"))));
    let topic = topic.transpose()?;
    let mut message = source::read(options.file(0))?;
    let mut scratch = vec![0; scratch_len(message.len(), usize::from(u16::MAX))];
    // Without a file nothing is remembered, so whoever calls the tool looks at the position.
    let (state, before) = match options.get("state").map(State::open).transpose()? {
        Some((state, before)) => (Some(state), before),
        None => (None, state::nothing()),
    };
    let mut opener = Opener::new(&secrets.agreement, sender, before).with_x_wing(&secrets.x_wing);
    let opened = opener.open(topic, &mut message, &mut scratch).map_err(|error| refused(options.file(0), &error))?;
    if let Some(state) = state {
        state.save(opener.replay())?;
    }
    let Position { source, stream, incarnation, sequence } = opened.position();
    eprintln!("from {source}, topic {}", opened.heading().topic.as_str());
    eprintln!("stream {stream}, incarnation {incarnation}, sequence {sequence}");
    write(options.get("out"), opened.payload())
}

/// The device whose messages are opened, and the key with which it signs now.
struct Sender {
    device: DeviceId,
    key: VerifyingKey,
}

impl Directory for Sender {
    fn sender(&self, key: KeyId) -> Option<(DeviceId, VerifyingKey)> {
        (key == self.key.key_id()).then_some((self.device, self.key))
    }
}

/// The device that signs with `key`: with its first key, or with the one to which its succession leads.
fn device_of(key: &VerifyingKey, succession: Option<&OsStr>) -> Result<DeviceId, Failure> {
    let Some(name) = succession else { return Ok(key.device_id()) };
    let octets = source::read(name)?;
    let chain = chain(name, &octets)?;
    if chain.current_key() == key {
        return Ok(chain.device());
    }
    Err(Failure::Input(format!("{}: it does not lead to the key that signs", name.display())))
}

/// The bundle of a device that signs with its first key, or with the one to which its succession leads.
fn reader(name: &OsStr, device: &DeviceId, succession: Option<&OsStr>) -> Result<KeyBundle, Failure> {
    let bundle = source::read(name)?;
    let verified = match succession {
        None => KeyBundle::verify(&bundle, device, now()),
        Some(name) => {
            let octets = source::read(name)?;
            let chain = chain(name, &octets)?;
            if chain.device() != *device {
                return Err(Failure::Input(format!("{}: it belongs to {}", name.display(), chain.device())));
            }
            KeyBundle::verify_with(&bundle, &chain, now())
        }
    };
    verified.map_err(|error| refused(name, &error))
}

fn chain<'o>(name: &OsStr, octets: &'o [u8]) -> Result<Succession<'o>, Failure> {
    let chain = UnverifiedSuccession::parse(octets).and_then(UnverifiedSuccession::verify);
    chain.map_err(|error| refused(name, &error))
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_micros(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}
