//! The file of a registry.
//!
//! - What is read is written as the same file, or as a shorter one where unknown keys and empty lists were passed over.
//! - `Registry::new`, which checks while compiling, and the reader, which checks in linear time, refuse alike.
//! - Every entry is found by its number and its name in each version that has it, and in no earlier one.

#![no_main]

use iot_codec::{
    cbor::{Decode, Items, Limits, from_slice, to_vec, validate},
    record,
    registry::{Channel, Edition, Entry, LookupError, Registry, RegistryError, RegistryFile},
};
use libfuzzer_sys::fuzz_target;

record! {
    struct File<'b> {
        1 => version: u32,
        2 => topics: Option<Items<'b, Entry<'b>>>,
        3 => channels: Option<Items<'b, Channel<'b>>>,
        4 => units: Option<Items<'b, Entry<'b>>>,
    }
}

fuzz_target!(|input: &[u8]| {
    let read = RegistryFile::read(input, &Limits::default());
    let lists = from_slice::<File>(input)
        .ok()
        .and_then(|file| Some((file.version, collect(file.topics)?, collect(file.channels)?, collect(file.units)?)));
    let Some((version, topics, channels, units)) = &lists else {
        assert!(matches!(read, Err(RegistryError::Malformed(_))), "read what is no file");
        return;
    };
    let checked = Registry::new(*version, topics, channels, units);
    assert_eq!(checked.err(), read.as_ref().err().copied(), "two checks of the same lists disagree");
    let Ok(file) = read else { return };
    let registry = file.registry();
    assert_eq!(Ok(registry), checked);

    let bytes = to_vec(&registry);
    assert_eq!(validate(&bytes, &Limits::default()), Ok(()));
    assert!(bytes.len() < input.len() || bytes == input, "a second encoding");
    let again = RegistryFile::read(&bytes, &Limits::default()).expect("what was written can be read");
    assert_eq!(again.registry(), registry);

    assert!(registry.at(0).is_err() && registry.at(version.saturating_add(1)).is_err() | (*version == u32::MAX));
    for topic in topics {
        each(&registry, topic, Edition::topic, |edition| edition.topic_number(topic.name()));
    }
    for channel in channels {
        let entry = Entry::new(channel.number(), channel.since(), channel.name());
        each(
            &registry,
            &entry,
            |edition, number| edition.channel(number).map(|channel| channel.name()),
            |edition| edition.channel_number(entry.name()),
        );
        let edition = registry.at(channel.since()).expect("the registry has this version");
        assert!(edition.unit(channel.unit()).is_ok(), "a channel without its unit");
    }
    for unit in units {
        each(&registry, unit, Edition::unit, |edition| edition.unit_number(unit.name()));
    }
});

fn collect<'b, T: Decode<'b>>(items: Option<Items<'b, T>>) -> Option<Vec<T>> {
    items.map_or(Some(Vec::new()), |items| items.iter().collect::<Result<_, _>>().ok())
}

/// An entry in the version that brought it, in the latest, and in the one before.
fn each<'r>(
    registry: &Registry<'r>,
    entry: &Entry<'r>,
    name: impl Fn(&Edition<'r>, u32) -> Result<&'r str, LookupError>,
    number: impl Fn(&Edition<'r>) -> Option<u32>,
) {
    let first = registry.at(entry.since()).expect("the registry has this version");
    for edition in [first, registry.latest()] {
        assert_eq!(name(&edition, entry.number()), Ok(entry.name()));
        assert_eq!(number(&edition), Some(entry.number()));
    }
    if let Ok(before) = registry.at(entry.since() - 1) {
        assert!(matches!(name(&before, entry.number()), Err(LookupError::UnknownNumber { .. })));
        assert_eq!(number(&before), None);
    }
}
