use super::*;

const CELSIUS: u32 = 1;
const OWN: u32 = Registry::OWN_UNITS;

static TOPICS: [Entry; 3] = [Entry::new(1, 1, "a"), Entry::new(3, 2, "b"), Entry::new(70_000, 1, "c/d")];
static CHANNELS: [Channel; 2] = [Channel::new(0, 1, "temperature", CELSIUS), Channel::new(1, 2, "grain", OWN + 1)];
static UNITS: [Entry; 2] = [Entry::new(OWN, 1, "furlong"), Entry::new(OWN + 1, 2, "bushel")];

static REGISTRY: Registry = match Registry::new(2, &TOPICS, &CHANNELS, &UNITS) {
    Ok(registry) => registry,
    Err(_) => panic!("the lists agree"),
};

#[test]
fn a_number_means_the_same_in_all_versions_that_have_it() {
    let (first, second) = (REGISTRY.at(1).unwrap(), REGISTRY.at(2).unwrap());
    for edition in [first, second, REGISTRY.latest()] {
        assert_eq!(edition.topic(1), Ok("a"));
        assert_eq!(edition.topic(70_000), Ok("c/d"));
        assert_eq!(edition.topic_number("c/d"), Some(70_000));
        assert_eq!(edition.channel(0).map(|channel| (channel.name(), channel.unit())), Ok(("temperature", CELSIUS)));
        assert_eq!((edition.unit(CELSIUS), edition.unit(OWN)), (Ok("Cel"), Ok("furlong")));
        assert_eq!((edition.unit_number("Cel"), edition.unit_number("furlong")), (Some(CELSIUS), Some(OWN)));
    }
    assert_eq!((second.topic(3), second.topic_number("b")), (Ok("b"), Some(3)));
    assert_eq!(second.channel(1).map(|channel| channel.name()), Ok("grain"));
    assert_eq!(second.channel_number("grain"), Some(1));
    assert_eq!(
        (first.topic_number("b"), first.channel_number("grain"), first.unit_number("bushel")),
        (None, None, None)
    );
}

#[test]
fn what_a_version_does_not_have_is_an_error_that_carries_it() {
    let first = REGISTRY.at(1).unwrap();
    let unknown = |list, number| LookupError::UnknownNumber { list, number, version: 1 };
    for number in [0, 2, 3, 69_999, 70_001, u32::MAX] {
        assert_eq!(first.topic(number), Err(unknown(List::Topics, number)));
    }
    assert_eq!(first.channel(1), Err(unknown(List::Channels, 1)));
    for number in [99, OWN - 1, OWN + 1, u32::MAX] {
        assert_eq!(first.unit(number), Err(unknown(List::Units, number)));
    }
    for version in [0, 3, u32::MAX] {
        let error = REGISTRY.at(version).unwrap_err();
        assert_eq!(error, LookupError::UnknownVersion { version, latest: 2 });
    }
}

#[test]
fn lists_that_contradict_themselves_are_refused() {
    use RegistryError::*;
    let topics = |topics: &[Entry]| Registry::new(2, topics, &[], &[]).map(|_| ());
    let units = |units: &[Entry]| Registry::new(2, &[], &[], units).map(|_| ());
    let channels = |channels: &[Channel]| Registry::new(2, &[], channels, &UNITS).map(|_| ());
    let list = List::Topics;
    assert_eq!(Registry::new(0, &[], &[], &[]).map(|_| ()), Err(NoVersion));
    assert_eq!(topics(&[Entry::new(2, 1, "a"), Entry::new(1, 1, "b")]), Err(Unsorted { list, number: 1 }));
    assert_eq!(topics(&[Entry::new(1, 1, "a"), Entry::new(1, 1, "b")]), Err(Unsorted { list, number: 1 }));
    assert_eq!(topics(&[Entry::new(1, 1, "a"), Entry::new(2, 2, "a")]), Err(DuplicateName { list, number: 2 }));
    assert_eq!(topics(&[Entry::new(1, 0, "a")]), Err(WrongSince { list, number: 1, since: 0 }));
    assert_eq!(topics(&[Entry::new(1, 3, "a")]), Err(WrongSince { list, number: 1, since: 3 }));
    let list = List::Units;
    assert_eq!(units(&[Entry::new(OWN - 1, 1, "u")]), Err(ReservedUnit { number: OWN - 1, least: OWN }));
    assert_eq!(units(&[Entry::new(OWN, 1, "Cel")]), Err(DuplicateName { list, number: OWN }));
    let list = List::Channels;
    let twice = [Channel::new(1, 1, "c", 0), Channel::new(2, 1, "c", 0)];
    assert_eq!(channels(&twice), Err(DuplicateName { list, number: 2 }));
    assert_eq!(channels(&[Channel::new(1, 1, "c", 99)]), Err(UnknownUnit { number: 1, unit: 99 }));
    // The unit comes a version later than the channel.
    assert_eq!(channels(&[Channel::new(1, 1, "c", OWN + 1)]), Err(UnknownUnit { number: 1, unit: OWN + 1 }));
    assert_eq!(channels(&[Channel::new(1, 2, "c", OWN + 1)]), Ok(()));
}
