/// A topic, or a unit of one's own: a name, its number, and the version that brought it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Entry<'r> {
    pub(super) number: u32,
    pub(super) since: u32,
    pub(super) name: &'r str,
}

impl<'r> Entry<'r> {
    /// The entry `number` of version `since` and all later ones.
    #[must_use]
    pub const fn new(number: u32, since: u32, name: &'r str) -> Self {
        Self { number, since, name }
    }

    /// Its number, the same in all versions.
    #[must_use]
    pub const fn number(&self) -> u32 {
        self.number
    }

    /// The first version that has it, from 1.
    #[must_use]
    pub const fn since(&self) -> u32 {
        self.since
    }

    /// Its name.
    #[must_use]
    pub const fn name(&self) -> &'r str {
        self.name
    }
}

/// What is measured, and in which unit: one number for both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Channel<'r> {
    pub(super) entry: Entry<'r>,
    pub(super) unit: u32,
}

impl<'r> Channel<'r> {
    /// The channel `number` of version `since` and all later ones, whose values are in the unit of that number.
    #[must_use]
    pub const fn new(number: u32, since: u32, name: &'r str, unit: u32) -> Self {
        Self { entry: Entry::new(number, since, name), unit }
    }

    /// Its number, the same in all versions.
    #[must_use]
    pub const fn number(&self) -> u32 {
        self.entry.number
    }

    /// The first version that has it, from 1.
    #[must_use]
    pub const fn since(&self) -> u32 {
        self.entry.since
    }

    /// Its name.
    #[must_use]
    pub const fn name(&self) -> &'r str {
        self.entry.name
    }

    /// The number of its unit.
    #[must_use]
    pub const fn unit(&self) -> u32 {
        self.unit
    }
}
