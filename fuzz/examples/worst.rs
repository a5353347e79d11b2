//! Replays corpora through the decoders alone, and prints for each the input that takes the most memory for its length
//! and the one that takes the most time.
//!
//! ```sh
//! cargo run --release --manifest-path fuzz/Cargo.toml --example worst [FOLDER...]
//! ```
//!
//! The folders hold one folder of inputs for each target; `fuzz/corpus` and `fuzz/seeds` by default. What a target
//! makes to check the decoder with is not measured, only what the decoder allocates and returns.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    env,
    error::Error,
    fs,
    hint::black_box,
    io::{self, Write},
    path::PathBuf,
    sync::{
        LazyLock,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use iot_codec::{
    cbor::{
        self, Bignum, Diagnostic, EncodeError, Limits, List, TypedArray, Writer, from_slice,
        lenient::{self, Rules},
    },
    fec,
    framing::{Checksum, Cobs, LengthDelimited, Sequence, Slip},
    record,
    registry::RegistryFile,
    senml,
    serde::from_slice_strict,
    series,
};
use iot_crypto::{
    CoseKey, CoseKeySet, Trackers,
    cose::{Encrypt, Encrypt0, Mac0, Sign, Sign1},
    group::{GroupMember, GroupMessage},
    stream::{StreamMessage, StreamReceiver},
};
use iot_fuzz::{groups::PLANT, party::topic};
use serde::Deserialize;

#[global_allocator]
static HEAP: Heap = Heap { held: AtomicUsize::new(0), peak: AtomicUsize::new(0) };

/// Counts octets that are held. A block that grows is counted twice while it is copied.
struct Heap {
    held: AtomicUsize,
    peak: AtomicUsize,
}

impl Heap {
    /// The most that `work` held at once, beyond what was held before.
    fn peak_of(&self, work: impl FnOnce()) -> usize {
        let before = self.held.load(Relaxed);
        self.peak.store(before, Relaxed);
        work();
        self.peak.load(Relaxed) - before
    }
}

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let held = self.held.fetch_add(layout.size(), Relaxed) + layout.size();
        self.peak.fetch_max(held, Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        self.held.fetch_sub(layout.size(), Relaxed);
        unsafe { System.dealloc(block, layout) }
    }
}

/// What stands in front of the item in the inputs of a target.
#[derive(Clone, Copy)]
enum Input {
    /// Any bytes.
    Bytes,
    /// Any bytes behind the octet that chooses the decoder.
    Chosen,
    /// One item of CBOR behind so many bytes; some are also replayed many times over in one array and one map.
    Item { behind: usize },
}

/// A decoder, the target whose corpus it gets, and a call as a caller makes it.
type Decoder = (&'static str, &'static str, Input, fn(&[u8]));

const ITEM: Input = Input::Item { behind: 0 };

const DECODERS: &[Decoder] = &[
    ("cbor::validate", "cbor_validate", ITEM, |input| {
        let _ = black_box(cbor::validate(input, &Limits::default()));
    }),
    ("record! with owned fields", "cbor_record", ITEM, |input| {
        let _ = black_box(from_slice::<Owned>(input).map(Owned::len));
    }),
    ("Bignum, TypedArray", "cbor_values", ITEM, |input| {
        let _ = black_box((from_slice::<Bignum>(input), from_slice::<TypedArray<f32>>(input)));
    }),
    ("List<u64>", "cbor_values", ITEM, |input| {
        let _ = black_box(from_slice::<List<u64>>(input));
    }),
    ("lenient::validate", "cbor_lenient", Input::Item { behind: 1 }, |input| {
        let _ = black_box(lenient::validate(input, &Limits::default(), Rules::default()));
    }),
    ("lenient::normalize", "cbor_lenient", Input::Item { behind: 1 }, |input| {
        let _ = black_box(lenient::normalize(input, &Limits::default(), Rules::default()));
    }),
    ("Diagnostic", "cbor_lenient", Input::Item { behind: 1 }, |input| {
        if let Ok(diagnostic) = Diagnostic::new(input, &Limits::default()) {
            write!(io::sink(), "{diagnostic}").expect("nothing can fail");
        }
    }),
    ("serde into a struct", "serde", ITEM, |input| {
        let _ = black_box(from_slice_strict::<Fields>(input).map(|fields| fields.len()));
    }),
    ("serde into ciborium::Value", "serde", ITEM, |input| {
        let _ = black_box(from_slice_strict::<ciborium::Value>(input));
    }),
    ("senml::from_json", "senml_json", Input::Bytes, |input| {
        let _ = black_box(senml::from_json(input, &Limits::default()));
    }),
    ("senml::from_cbor", "senml_cbor", Input::Bytes, |input| {
        let _ = black_box(senml::from_cbor(input, &Limits::default()));
    }),
    ("RegistryFile::read", "registry_file", Input::Bytes, |input| {
        let _ = black_box(RegistryFile::read(input, &Limits::default()));
    }),
    ("series::Reader", "series", Input::Bytes, |input| {
        let _ = black_box(series::Reader::new(input, &series::Limits::default()).and_then(|mut reader| {
            while reader.next_channel()?.is_some() {}
            Ok(())
        }));
    }),
    ("series::from_slice", "series", Input::Bytes, |input| {
        let _ = black_box(series::from_slice(input, &series::Limits::default()));
    }),
    ("Sequence", "sequence", Input::Item { behind: 1 }, |input| {
        if let Ok(sequence) = Sequence::new(input, &Limits::default()) {
            black_box(sequence.map_while(Result::ok).count());
        }
    }),
    ("LengthDelimited", "framing", Input::Bytes, |input| {
        let (mut decoder, mut rest) = (LengthDelimited::new([0; 512]), input);
        while let Some(after) = decoder.push(rest).ok().filter(|len| *len > 0).and_then(|len| rest.get(len..)) {
            black_box(decoder.next_frame());
            rest = after;
        }
    }),
    ("Cobs", "cobs", Input::Bytes, |input| {
        let (mut decoder, mut rest) = (Cobs::new([0; 512], Checksum::Crc32), input);
        while !rest.is_empty() {
            rest = &rest[decoder.push(rest)..];
            black_box(decoder.next_frame());
        }
    }),
    ("Slip", "slip", Input::Bytes, |input| {
        let (mut decoder, mut rest) = (Slip::new([0; 512], Checksum::Crc32), input);
        while !rest.is_empty() {
            rest = &rest[decoder.push(rest)..];
            black_box(decoder.next_frame());
        }
    }),
    ("fec::reconstruct", "fec", Input::Bytes, |input| {
        let Some((count, rest)) = input.split_first() else { return };
        let Some((held, content)) = rest.split_at_checked((*count).into()) else { return };
        let mut block = [0; 1024];
        let len = content.len().min(block.len()) / held.len().max(1) * held.len();
        block[..len].copy_from_slice(&content[..len]);
        let _ = black_box(fec::reconstruct(&mut block[..len], held));
    }),
    ("cose::Sign1", "cose_messages", Input::Bytes, |input| {
        let _ = black_box(Sign1::parse(input));
    }),
    ("cose::Sign", "cose_messages", Input::Bytes, |input| {
        if let Ok(signed) = Sign::parse(input) {
            black_box(signed.signatures().count());
        }
    }),
    ("cose::Mac0", "cose_messages", Input::Bytes, |input| {
        let _ = black_box(Mac0::parse(input));
    }),
    ("cose::Encrypt0", "cose_messages", Input::Bytes, |input| {
        let _ = black_box(Encrypt0::parse(input));
    }),
    ("cose::Encrypt", "cose_messages", Input::Bytes, |input| {
        if let Ok(encrypted) = Encrypt::parse(input) {
            black_box(encrypted.recipients().count());
        }
    }),
    ("CoseKey, CoseKeySet", "keys", Input::Bytes, |input| {
        let _ = black_box((CoseKey::parse(input), CoseKeySet::parse(input).map(Iterator::count)));
    }),
    ("StreamMessage", "stream", Input::Chosen, |input| {
        let _ = black_box(StreamMessage::parse(input));
    }),
    ("StreamReceiver::restore", "stream", Input::Chosen, |input| {
        let _ = black_box(<StreamReceiver<_>>::restore(input, topic().as_str()));
    }),
    ("Trackers::restore", "stream", Input::Chosen, |input| {
        let _ = black_box(<Trackers>::new(1, 1).map(|mut trackers| trackers.restore(input)));
    }),
    ("GroupMessage", "group", Input::Chosen, |input| {
        let _ = black_box(GroupMessage::parse(input));
    }),
    ("GroupMember::restore", "group", Input::Chosen, |input| {
        let _ = black_box(<GroupMember>::restore(PLANT.group, input));
    }),
];

record! {
    /// Owned fields of every kind, since borrowed ones take no memory. The keys are those of the target's record.
    struct Owned {
        1 => text: Option<String>,
        5 => bytes: Option<Vec<u8>>,
        7 => numbers: Option<List<u64>>,
        24 => note: Option<String>,
    }
}

impl Owned {
    fn len(self) -> usize {
        let text = self.text.map_or(0, |text| text.len()) + self.note.map_or(0, |note| note.len());
        text + self.bytes.map_or(0, |bytes| bytes.len()) + self.numbers.map_or(0, |numbers| numbers.0.len())
    }
}

#[derive(Deserialize)]
struct Fields {
    #[serde(rename = "t", default)]
    topic: String,
    #[serde(rename = "k", with = "serde_bytes", default)]
    key: Vec<u8>,
    #[serde(rename = "r", default)]
    numbers: Vec<u64>,
}

impl Fields {
    fn len(&self) -> usize {
        self.topic.len() + self.key.len() + self.numbers.len()
    }
}

/// The worst that an input made a decoder do.
#[derive(Default)]
struct Worst {
    inputs: usize,
    /// Octets held, and the length of the input, where the first is the most beyond twice the second.
    heap: (usize, usize),
    time: (Duration, usize),
}

impl Worst {
    fn replay(&mut self, decode: fn(&[u8]), input: &[u8]) {
        let peak = HEAP.peak_of(|| decode(input));
        if self.inputs == 0 || beyond_twice((peak, input.len())) > beyond_twice(self.heap) {
            self.heap = (peak, input.len());
        }
        // The least of a few, because what is measured is the input and not the machine.
        let time = (0..3)
            .map(|_| {
                let begun = Instant::now();
                decode(input);
                begun.elapsed()
            })
            .min();
        self.time = self.time.max((time.unwrap_or_default(), input.len()));
        self.inputs += 1;
    }
}

fn beyond_twice((peak, len): (usize, usize)) -> isize {
    peak as isize - 2 * len as isize
}

/// The item as often as 64 KiB and the default limit of items allow: in an array, and behind the keys of a map, which
/// ascend or descend.
fn repeated(item: &[u8]) -> Result<[Vec<u8>; 3], EncodeError> {
    let most = |key: usize| (65_536 / (item.len() + key).max(1)).min(20_000) as u16;
    let mut array = Writer::new(Vec::new());
    array.array(most(0).into())?;
    let array = [array.into_output(), item.repeat(most(0).into())].concat();
    let map = |keys: &mut dyn Iterator<Item = u16>| {
        let mut map = Writer::new(Vec::new());
        map.map(most(3).into())?;
        for key in keys {
            map.unsigned(key.into())?;
            let mut bytes = map.into_output();
            bytes.extend(item);
            map = Writer::new(bytes);
        }
        Ok(map.into_output())
    };
    Ok([array, map(&mut (0..most(3)))?, map(&mut (0..most(3)).rev())?])
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut roots: Vec<PathBuf> = env::args_os().skip(1).map(PathBuf::from).collect();
    if roots.is_empty() {
        let fuzz = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        roots = vec![fuzz.join("corpus"), fuzz.join("seeds")];
    }
    // Made before anything is measured.
    LazyLock::force(&PLANT);
    println!("| decoder | inputs | heap beyond twice the input | there: heap / input | slowest | its length |");
    println!("| --- | ---: | ---: | ---: | ---: | ---: |");
    for (name, target, input, decode) in DECODERS {
        let mut worst = Worst::default();
        for root in &roots {
            let Ok(folder) = fs::read_dir(root.join(target)) else { continue };
            for (index, file) in folder.enumerate() {
                // A run that is still going on replaces its files.
                let Ok(bytes) = fs::read(file?.path()) else { continue };
                match *input {
                    Input::Bytes => worst.replay(*decode, &bytes),
                    Input::Chosen => worst.replay(*decode, bytes.get(1..).unwrap_or_default()),
                    Input::Item { behind } => {
                        let item = bytes.get(behind..).unwrap_or_default();
                        worst.replay(*decode, item);
                        // The shortest, and some of the others: they are long.
                        if item.len() < 4 || index.is_multiple_of(16) {
                            for many in repeated(item)? {
                                worst.replay(*decode, &many);
                            }
                        }
                    }
                }
            }
        }
        let Worst { inputs, heap, time } = worst;
        let beyond = beyond_twice(heap).max(0);
        println!("| `{name}` | {inputs} | {beyond} | {} / {} | {:.1?} | {} |", heap.0, heap.1, time.0, time.1);
    }
    Ok(())
}
