use super::{Channel, Entry, List, LookupError, RegistryError, Unit};

/// Numbered topics, channels and units, in all versions up to the latest that is known.
///
/// See the [module](super) for what may change from version to version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registry<'r> {
    version: u32,
    // In ascending order of their numbers.
    topics: &'r [Entry<'r>],
    channels: &'r [Channel<'r>],
    units: &'r [Entry<'r>],
}

impl<'r> Registry<'r> {
    /// The least number of a unit of one's own; below it are those of `SenML`.
    pub const OWN_UNITS: u32 = 1024;

    /// A registry whose latest version is `version`, from 1, with its lists in ascending order of their numbers.
    ///
    /// In a `static` it is checked while compiling. The check of the names takes time in the square of their count.
    ///
    /// # Errors
    /// [`RegistryError`]: what contradicts itself.
    pub const fn new(
        version: u32,
        topics: &'r [Entry<'r>],
        channels: &'r [Channel<'r>],
        units: &'r [Entry<'r>],
    ) -> Result<Self, RegistryError> {
        if version == 0 {
            return Err(RegistryError::NoVersion);
        }
        // Loops by index: nothing else runs while compiling.
        let mut index = 0;
        while index < topics.len() {
            let previous = if index > 0 { Some(&topics[index - 1]) } else { None };
            if let Err(error) = check(List::Topics, version, previous, &topics[index]) {
                return Err(error);
            }
            if is_among(topics[index].name, topics, index) {
                return Err(RegistryError::DuplicateName { list: List::Topics, number: topics[index].number });
            }
            index += 1;
        }
        index = 0;
        while index < units.len() {
            let previous = if index > 0 { Some(&units[index - 1]) } else { None };
            if let Err(error) = check_unit(version, previous, &units[index]) {
                return Err(error);
            }
            if is_among(units[index].name, units, index) || Unit::find(units[index].name).is_some() {
                return Err(RegistryError::DuplicateName { list: List::Units, number: units[index].number });
            }
            index += 1;
        }
        index = 0;
        while index < channels.len() {
            let channel = &channels[index];
            let previous = if index > 0 { Some(&channels[index - 1].entry) } else { None };
            if let Err(error) = check(List::Channels, version, previous, &channel.entry) {
                return Err(error);
            }
            let mut earlier = 0;
            while earlier < index {
                if is_equal(channels[earlier].entry.name, channel.entry.name) {
                    return Err(RegistryError::DuplicateName { list: List::Channels, number: channel.entry.number });
                }
                earlier += 1;
            }
            if !has_unit(channel, units) {
                return Err(RegistryError::UnknownUnit { number: channel.entry.number, unit: channel.unit });
            }
            index += 1;
        }
        Ok(Self { version, topics, channels, units })
    }

    /// As [`new`](Self::new), in time linear in the entries, up to sorting their names.
    #[cfg(feature = "alloc")]
    pub(super) fn from_lists(
        version: u32,
        topics: &'r [Entry<'r>],
        channels: &'r [Channel<'r>],
        units: &'r [Entry<'r>],
    ) -> Result<Self, RegistryError> {
        use alloc::collections::BTreeSet;

        if version == 0 {
            return Err(RegistryError::NoVersion);
        }
        let (mut names, mut previous) = (BTreeSet::new(), None);
        for topic in topics {
            check(List::Topics, version, previous.replace(topic), topic)?;
            if !names.insert(topic.name) {
                return Err(RegistryError::DuplicateName { list: List::Topics, number: topic.number });
            }
        }
        (names, previous) = (BTreeSet::new(), None);
        for unit in units {
            check_unit(version, previous.replace(unit), unit)?;
            if !names.insert(unit.name) || Unit::find(unit.name).is_some() {
                return Err(RegistryError::DuplicateName { list: List::Units, number: unit.number });
            }
        }
        (names, previous) = (BTreeSet::new(), None);
        for channel in channels {
            check(List::Channels, version, previous.replace(&channel.entry), &channel.entry)?;
            if !names.insert(channel.entry.name) {
                return Err(RegistryError::DuplicateName { list: List::Channels, number: channel.entry.number });
            }
            let is_known = match find(units, channel.unit, Entry::number) {
                Some(unit) => unit.since <= channel.entry.since,
                None => Unit::new(channel.unit).is_some(),
            };
            if !is_known {
                return Err(RegistryError::UnknownUnit { number: channel.entry.number, unit: channel.unit });
            }
        }
        Ok(Self { version, topics, channels, units })
    }

    /// A registry of lists that were checked before.
    #[cfg(feature = "alloc")]
    pub(super) const fn checked(
        version: u32,
        topics: &'r [Entry<'r>],
        channels: &'r [Channel<'r>],
        units: &'r [Entry<'r>],
    ) -> Self {
        Self { version, topics, channels, units }
    }

    /// The latest version that is known.
    #[must_use]
    pub const fn version(&self) -> u32 {
        self.version
    }

    /// The registry as it is in `version`.
    ///
    /// # Errors
    /// [`LookupError::UnknownVersion`] for 0, and for one later than the latest.
    pub const fn at(&self, version: u32) -> Result<Edition<'r>, LookupError> {
        if version == 0 || version > self.version {
            return Err(LookupError::UnknownVersion { version, latest: self.version });
        }
        Ok(Edition { registry: *self, version })
    }

    /// The registry as it is in the latest version.
    #[must_use]
    pub const fn latest(&self) -> Edition<'r> {
        Edition { registry: *self, version: self.version }
    }

    /// All topics of all versions.
    #[must_use]
    pub const fn topics(&self) -> &'r [Entry<'r>] {
        self.topics
    }

    /// All channels of all versions.
    #[must_use]
    pub const fn channels(&self) -> &'r [Channel<'r>] {
        self.channels
    }

    /// All units of one's own of all versions.
    #[must_use]
    pub const fn units(&self) -> &'r [Entry<'r>] {
        self.units
    }
}

/// A [`Registry`] as it is in one version.
///
/// A number is found in logarithmic time; a name in linear time, which a writer spends once.
#[derive(Clone, Copy, Debug)]
pub struct Edition<'r> {
    registry: Registry<'r>,
    version: u32,
}

impl<'r> Edition<'r> {
    /// Which version it is.
    #[must_use]
    pub const fn version(&self) -> u32 {
        self.version
    }

    /// The topic of this number.
    ///
    /// # Errors
    /// [`LookupError::UnknownNumber`].
    pub fn topic(&self, number: u32) -> Result<&'r str, LookupError> {
        let entry = find(self.registry.topics(), number, Entry::number);
        entry.filter(|entry| self.has(entry)).map(|entry| entry.name).ok_or(self.unknown(List::Topics, number))
    }

    /// The channel of this number.
    ///
    /// # Errors
    /// [`LookupError::UnknownNumber`].
    pub fn channel(&self, number: u32) -> Result<Channel<'r>, LookupError> {
        let channel = find(self.registry.channels(), number, Channel::number);
        channel.filter(|channel| self.has(&channel.entry)).ok_or(self.unknown(List::Channels, number))
    }

    /// The unit of this number: one of the registry, or of `SenML`.
    ///
    /// # Errors
    /// [`LookupError::UnknownNumber`].
    pub fn unit(&self, number: u32) -> Result<&'r str, LookupError> {
        if let Some(unit) = Unit::new(number) {
            return Ok(unit.symbol());
        }
        let entry = find(self.registry.units(), number, Entry::number);
        entry.filter(|entry| self.has(entry)).map(|entry| entry.name).ok_or(self.unknown(List::Units, number))
    }

    /// The number of this topic, if this version has it.
    #[must_use]
    pub fn topic_number(&self, name: &str) -> Option<u32> {
        self.number_of(self.registry.topics().iter(), name)
    }

    /// The number of this channel, if this version has it.
    #[must_use]
    pub fn channel_number(&self, name: &str) -> Option<u32> {
        self.number_of(self.registry.channels().iter().map(|channel| &channel.entry), name)
    }

    /// The number of this unit, if this version or `SenML` has it.
    #[must_use]
    pub fn unit_number(&self, symbol: &str) -> Option<u32> {
        let senml = Unit::find(symbol).map(Unit::number);
        senml.or_else(|| self.number_of(self.registry.units().iter(), symbol))
    }

    fn number_of(&self, mut entries: impl Iterator<Item = &'r Entry<'r>>, name: &str) -> Option<u32> {
        entries.find(|entry| entry.name == name && self.has(entry)).map(Entry::number)
    }

    fn has(&self, entry: &Entry<'_>) -> bool {
        entry.since <= self.version
    }

    fn unknown(&self, list: List, number: u32) -> LookupError {
        LookupError::UnknownNumber { list, number, version: self.version }
    }
}

fn find<E: Copy>(entries: &[E], number: u32, number_of: impl Fn(&E) -> u32) -> Option<E> {
    let index = entries.binary_search_by_key(&number, number_of).ok()?;
    entries.get(index).copied()
}

/// Checks an entry against the version of its registry, and the entry before it.
const fn check(list: List, version: u32, previous: Option<&Entry<'_>>, entry: &Entry<'_>) -> Result<(), RegistryError> {
    let number = entry.number;
    if let Some(previous) = previous {
        if previous.number >= number {
            return Err(RegistryError::Unsorted { list, number });
        }
    }
    if entry.since == 0 || entry.since > version {
        return Err(RegistryError::WrongSince { list, number, since: entry.since });
    }
    Ok(())
}

const fn check_unit(version: u32, previous: Option<&Entry<'_>>, unit: &Entry<'_>) -> Result<(), RegistryError> {
    if unit.number < Registry::OWN_UNITS {
        return Err(RegistryError::ReservedUnit { number: unit.number, least: Registry::OWN_UNITS });
    }
    check(List::Units, version, previous, unit)
}

/// Whether the unit of `channel` is there as early as the channel.
const fn has_unit(channel: &Channel<'_>, units: &[Entry<'_>]) -> bool {
    let mut index = 0;
    while index < units.len() {
        if units[index].number == channel.unit {
            return units[index].since <= channel.entry.since;
        }
        index += 1;
    }
    Unit::new(channel.unit).is_some()
}

/// Whether one of the first `count` entries has this name.
const fn is_among(name: &str, entries: &[Entry<'_>], count: usize) -> bool {
    let mut index = 0;
    while index < count {
        if is_equal(entries[index].name, name) {
            return true;
        }
        index += 1;
    }
    false
}

/// `==`, while compiling.
pub(super) const fn is_equal(first: &str, second: &str) -> bool {
    let (first, second) = (first.as_bytes(), second.as_bytes());
    if first.len() != second.len() {
        return false;
    }
    let mut index = 0;
    while index < first.len() {
        if first[index] != second[index] {
            return false;
        }
        index += 1;
    }
    true
}

#[cfg(test)]
mod tests;
