//! Input that was made to do harm: how much stack validating it takes, how much memory reading it takes, and whether
//! anything falls over. What peers are known for is done in the same run, by a process of its own where it ends one.

use std::hint::black_box;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Command, Stdio};

use iot_codec::cbor::lenient::{self, Rules, normalize};
use iot_codec::cbor::{DecodeError, Diagnostic, Limits, List, from_slice, validate};
use iot_codec::framing::{Checksum, Cobs, LengthDelimited, Slip};
use iot_codec::serde::from_slice_strict;
use iot_codec::{fragment, senml, series};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng as _};
use serde::Deserialize;
use standard_message::{SPACE, ours};

use super::{device, text_keyed::text_keyed};
use crate::allocation::counted;
use crate::measure::Effort;
use crate::report::{Failure, Row};

/// The first argument of a process that decodes what may end it.
pub const ARGUMENT: &str = "--as-victim";

/// Octets, on a Cortex-M3.
const STACK: u64 = 512;
/// Of the input, in per cent.
const MEMORY: u64 = 200;
/// Deeper than any stack of a thread.
const DEPTH: usize = 10_000_000;
/// What a victim may have, in KiB.
const VICTIM_MEMORY: u64 = 8 << 20;

/// What holds others of its kind.
#[derive(Deserialize)]
struct Nest(#[allow(dead_code)] Vec<Nest>);

/// The most stack that validating took on a Cortex-M3: the firmware paints it and validates every vector, sound and
/// damaged, in both of its profiles.
pub fn stack(_: Effort) -> Result<Row, Failure> {
    let mut most = 0;
    for profile in ["release", "fast"] {
        let lines = device::run_firmware(profile)?;
        let line = lines.iter().find_map(|line| line.strip_prefix("stack validate "));
        most = most.max(line.ok_or("the firmware tells no stack")?.trim().parse()?);
    }
    let ends = [("dcbor", victim("dcbor")?), ("minicbor-serde", victim("minicbor-serde")?)];
    let ends: Vec<String> = ends.iter().map(|(name, end)| format!("{name}: {}", end.text())).collect();
    let row = Row::count(most, &[], "B", STACK);
    Ok(row.with_note(&format!("10^7 levels end {}", ends.join(", "))))
}

/// The most memory that refusing a claim took, for its input. Ours: each decoder that owns what it reads, and input that
/// claims more than it has, at every place of it. The note says what it takes to own what is there.
pub fn memory(_: Effort) -> Result<Row, Failure> {
    let mut most = 0;
    for input in false_claims() {
        let (accepted, heap) = counted(|| refuse_owned(&input));
        if accepted {
            return Err(format!("{input:02x?} was accepted").into());
        }
        most = most.max(heap.peak.unsigned_abs() * 100 / input.len() as u64);
    }
    let claim = [0x9a, 0xff, 0xff, 0xff, 0xff];
    let (refused, heap) = counted(|| ciborium::from_reader::<Vec<u64>, _>(&claim[..]).is_err());
    let ciborium = heap.peak.unsigned_abs() * 100 / claim.len() as u64;
    let bincode = victim("bincode")?;
    if !refused {
        return Err("ciborium read what is not there".into());
    }
    let row = Row::count(most, &[("ciborium", ciborium)], "% of input", MEMORY);
    let owned: Vec<String> = owned().iter().map(|(what, times)| format!("{what} {times:.1}")).collect();
    Ok(row.with_note(&format!(
        "times the input where it is owned: {}; bincode, 9 octets: {}",
        owned.join(", "),
        bincode.text()
    )))
}

/// How many times its length the input takes that makes each reader own the most, the reader's result included. Each but
/// the map with one key is sound, and read to its end.
fn owned() -> Vec<(&'static str, f64)> {
    let array = |item: &[u8]| [&[0x99, 0x75, 0x30][..], &item.repeat(30_000)].concat();
    let (zeros, empty, records) = (array(&[0x00]), array(&[0x80]), array(&[0xa0]));
    let descending: Vec<u8> =
        (0..30_000_u16).rev().flat_map(|key| [&[0x19][..], &(key + 256).to_be_bytes(), &[0]].concat()).collect();
    let descending = [&[0xb9, 0x75, 0x30][..], &descending].concat();
    let one_key = [&[0xb9, 0x75, 0x30][..], &[0x00; 60_000]].concat();
    let json = format!("[{}]", vec!["{}"; 20_000].join(","));
    let limits = Limits::default();
    let times = |input: &[u8], read: &dyn Fn(&[u8]) -> bool| {
        let (_, heap) = counted(|| black_box(read(black_box(input))));
        heap.peak as f64 / input.len() as f64
    };
    let normalized = |input: &[u8]| normalize(input, &limits, Rules::default()).is_ok();
    vec![
        ("List<u64>", times(&zeros, &|input| black_box(from_slice::<List<u64>>(input)).is_ok())),
        ("List<List>", times(&empty, &|input| black_box(from_slice::<List<List<u64>>>(input)).is_ok())),
        ("serde Vec<u64>", times(&zeros, &|input| black_box(from_slice_strict::<Vec<u64>>(input)).is_ok())),
        ("normalize", times(&descending, &normalized)),
        ("normalize, one key", times(&one_key, &normalized)),
        ("SenML CBOR", times(&records, &|input| black_box(senml::from_cbor(input, &limits)).is_ok())),
        (
            "one by one",
            times(&records, &|input| senml::each_from_cbor(input, &limits, |record| drop(black_box(record))).is_ok()),
        ),
        ("SenML JSON", times(json.as_bytes(), &|input| black_box(senml::from_json(input, &limits)).is_ok())),
        (
            "one by one",
            times(json.as_bytes(), &|input| {
                senml::each_from_json(input, &limits, |record| drop(black_box(record))).is_ok()
            }),
        ),
    ]
}

/// How many inputs made anything fall over: damaged, cut, random, and nested by the million.
pub fn crashes(effort: Effort) -> Result<Row, Failure> {
    let inputs = effort.choose(400_000, 2_000);
    let mut rng = ChaCha20Rng::seed_from_u64(5);
    let seeds = seeds()?;
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| ()));
    let mut crashes = 0;
    for _ in 0..inputs {
        let input = mutated(&seeds, &mut rng);
        crashes += u64::from(catch_unwind(AssertUnwindSafe(|| decode_all(&input))).is_err());
    }
    std::panic::set_hook(hook);
    let crashed = |name| Ok::<_, Failure>(u64::from(victim(name)? != End::Refused));
    let deep = crashed("ours")?;
    let peers = [
        ("dcbor", crashed("dcbor")?),
        ("minicbor-serde", crashed("minicbor-serde")?),
        ("bincode", crashed("bincode")?),
        ("ciborium", crashed("ciborium")?),
    ];
    Ok(Row::count(crashes + deep, &peers, "crashes", 0).with_note(&format!("{inputs} inputs")))
}

/// Heads that claim more than follows: of every width, in every kind that has a length, alone and behind the sound
/// beginning of something long.
fn false_claims() -> Vec<Vec<u8>> {
    let mut claims = Vec::new();
    for major in [0x40, 0x60, 0x80, 0xa0_u8] {
        for (information, argument) in [(25, 2), (26, 4), (27, 8)] {
            for first in [0x7f, 0xff] {
                let mut head = vec![major | information, first];
                head.resize(1 + argument, 0xff);
                claims.push(head.clone());
                for before in [[0x82, 0x40], [0x82, 0x80], [0xa1, 0x00]] {
                    claims.push([&before[..], &head].concat());
                }
                // An array of 1,000 short arrays, text and octets, and then the claim.
                let mut long = vec![0x99, 0x03, 0xe9];
                (0..1_000).for_each(|number| long.push([0x40, 0x60, 0x00][number % 3]));
                claims.push([&long, &head[..]].concat());
            }
        }
    }
    claims
}

/// Every decoder with memory of its own; whether any of them takes the input.
fn refuse_owned(input: &[u8]) -> bool {
    let mut accepted = from_slice::<Vec<u8>>(input).is_ok();
    accepted |= from_slice::<String>(input).is_ok();
    accepted |= from_slice_strict::<Vec<u64>>(input).is_ok();
    accepted |= from_slice_strict::<Vec<String>>(input).is_ok();
    accepted |= from_slice_strict::<serde_bytes::ByteBuf>(input).is_ok();
    accepted |= from_slice_strict::<Nest>(input).is_ok();
    accepted | normalize(input, &Limits::default(), Rules::default()).is_ok()
}

fn seeds() -> Result<Vec<Vec<u8>>, Failure> {
    let mut space = [0; SPACE];
    let message = ours::encode(&ours::Message::standard(), &mut space)?.to_vec();
    let times: Vec<i64> = (0..60).map(|minute| minute * 60_000_000).collect();
    let floats: Vec<f64> = (0..60).map(|minute| f64::from(215 + minute / 7) / 10.0).collect();
    let series = series::to_vec(&times, &[series::Channel::floats(&floats)])?;
    let fragments = [&[0xc0, 0x40][..], &[7; 40]].concat();
    Ok(vec![
        message,
        text_keyed(),
        series,
        fragments,
        vec![0x81; 64],
        vec![0xbf; 64],
        vec![0x00, 0xc0, 0x05, 0xdb, 0x00],
    ])
}

/// A seed with up to four octets changed, cut, or followed by something random.
fn mutated(seeds: &[Vec<u8>], rng: &mut ChaCha20Rng) -> Vec<u8> {
    let mut below = |bound: usize| rng.next_u32() as usize % bound;
    let mut input = seeds[below(seeds.len())].clone();
    for _ in 0..below(5) {
        let place = below(input.len());
        input[place] = match below(3) {
            0 => input[place] ^ 1 << below(8),
            1 => [0xff, 0x9b, 0xbb, 0x5f, 0x7f, 0xfb, 0x1b, 0xf8][below(8)],
            _ => below(256) as u8,
        };
    }
    match below(4) {
        0 => input.truncate(below(input.len())),
        1 => input.extend((0..below(20)).map(|_| below(256) as u8)),
        _ => {}
    }
    input
}

/// Every decoder of the codec.
fn decode_all(input: &[u8]) {
    let limits = Limits::default();
    black_box(validate(input, &limits).is_ok());
    black_box(lenient::validate(input, &limits, Rules::default()).is_ok());
    black_box(ours::decode_named(input));
    black_box(Diagnostic::new(input, &limits).map(|notation| notation.to_string()).ok());
    black_box(from_slice::<List<Vec<u8>>>(input).is_ok());
    black_box(refuse_owned(input));
    black_box(series::from_slice(input, &series::Limits::default()).is_ok());
    let mut cobs = Cobs::new([0; 64], Checksum::Crc16);
    let mut slip = Slip::new([0; 64], Checksum::Crc32);
    let mut stream = LengthDelimited::new([0; 64]);
    let mut rest = input;
    while !rest.is_empty() {
        rest = &rest[cobs.push(rest)..];
        black_box(cobs.next_frame().is_some());
    }
    rest = input;
    while !rest.is_empty() {
        rest = &rest[slip.push(rest)..];
        black_box(slip.next_frame().is_some());
    }
    rest = input;
    while let Ok(taken @ 1..) = stream.push(rest) {
        rest = &rest[taken..];
        black_box(stream.next_frame().is_some());
    }
    let mut receiver = fragment::Receiver::<2, 128>::new(fragment::ReceiverConfig::default());
    for frame in input.chunks(24) {
        black_box(receiver.handle_frame(iot_core::Instant::START, fragment::Peer(1), frame).is_ok());
    }
}

/// How a victim ended.
#[derive(Clone, Debug, PartialEq, Eq)]
enum End {
    /// It said no.
    Refused,
    /// The system ended it, or it ended itself.
    Fell(String),
}

impl End {
    fn text(&self) -> &str {
        match self {
            Self::Refused => "refused",
            Self::Fell(how) => how,
        }
    }
}

/// Runs a victim, with a limit of memory.
fn victim(name: &str) -> Result<End, Failure> {
    let script = format!("ulimit -v {VICTIM_MEMORY}; ulimit -c 0; exec \"$0\" {ARGUMENT} {name}");
    let mut command = Command::new("sh");
    command.args(["-c", &script]).arg(std::env::current_exe()?).stdin(Stdio::null());
    let output = command.output()?;
    if output.status.success() {
        return Ok(End::Refused);
    }
    let text = String::from_utf8_lossy(&output.stderr);
    let says = |words: &str| text.lines().find(|line| line.contains(words)).map(str::trim);
    match says("overflowed its stack").map(|_| "stack overflow").or(says("memory allocation of")) {
        Some(how) => Ok(End::Fell(how.to_owned())),
        None => Err(format!("the process {name} ended for another reason: {} {text}", output.status).into()),
    }
}

/// What the program does when its first argument is [`ARGUMENT`]; `arguments` are those after it.
///
/// # Errors
/// When there is no such victim, or one takes what it should refuse. Most do not come so far.
pub fn main(arguments: &[String]) -> Result<(), Failure> {
    let nested = || vec![0x81; DEPTH];
    let refused = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["ours"] => {
            let nested = nested();
            let limits = Limits::default().bytes(u32::MAX);
            let too_deep: Result<(), DecodeError> = validate(&nested, &limits);
            too_deep.is_err() && !refuse_owned(&nested) && Diagnostic::new(&nested, &limits).is_err()
        }
        ["dcbor"] => dcbor::CBOR::try_from_data(nested()).is_err(),
        ["minicbor-serde"] => minicbor_serde::from_slice::<Nest>(&nested()).is_err(),
        ["ciborium"] => ciborium::from_reader::<Nest, _>(&nested()[..]).is_err(),
        ["bincode"] => {
            // A vector of 2^34 octets, of which none follows, in the form that says every length in eight octets.
            let claim = [&(1_u64 << 34).to_le_bytes()[..], &[0]].concat();
            bincode::decode_from_slice::<Vec<u8>, _>(&claim, bincode::config::legacy()).is_err()
        }
        _ => return Err("no such victim".into()),
    };
    if refused { Ok(()) } else { Err("it was accepted".into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_are_false_and_long_ones_are_among_them() {
        let claims = false_claims();
        assert!(claims.iter().all(|claim| !refuse_owned(claim)));
        assert!(claims.iter().any(|claim| claim.len() > 1_000));
    }

    #[test]
    fn what_is_owned_is_bounded_and_records_need_not_be() {
        let owned = owned();
        assert!(owned.iter().all(|(_, times)| (0.0..300.0).contains(times)), "{owned:?}");
        let one_by_one = owned.iter().filter(|(what, _)| *what == "one by one");
        assert!(one_by_one.clone().count() == 2 && one_by_one.clone().all(|(_, times)| *times < 2.0), "{owned:?}");
    }

    #[test]
    fn seeds_are_what_some_decoder_takes() {
        let seeds = seeds().unwrap();
        assert!(ours::decode_named(&seeds[0]).is_some());
        assert_eq!(validate(&seeds[1], &Limits::default()), Ok(()));
        assert!(series::from_slice(&seeds[2], &series::Limits::default()).is_ok());
    }
}
