use alloc::{string::String, vec::Vec};

/// A record as it stands in a pack: its base values hold for it and for the records behind it (RFC 8428 §4).
///
/// Times are seconds; those below 2^28 are relative to now (RFC 8428 §4.5.3).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Record {
    /// `bn`: what is put before each name.
    pub base_name: Option<String>,
    /// `bt`: what is added to each time.
    pub base_time: Option<f64>,
    /// `bu`: the unit where a record has none.
    pub base_unit: Option<String>,
    /// `bv`: what is added to each number.
    pub base_value: Option<f64>,
    /// `bs`: what is added to each sum.
    pub base_sum: Option<f64>,
    /// `bver`: the version of the format; 10 where it is not there.
    pub base_version: Option<u32>,
    /// `n`: the name, behind the base name.
    pub name: Option<String>,
    /// `u`: the unit.
    pub unit: Option<String>,
    /// `v`, `vs`, `vb` or `vd`.
    pub value: Option<Value>,
    /// `s`: the integral of the value over time.
    pub sum: Option<f64>,
    /// `t`: the time.
    pub time: Option<f64>,
    /// `ut`: how long until the next value, at most.
    pub update_time: Option<f64>,
}

/// What was measured.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `v`: a number.
    Number(f64),
    /// `vs`: a string.
    Text(String),
    /// `vb`: true or false.
    Bool(bool),
    /// `vd`: bytes.
    Data(Vec<u8>),
}

/// A label of RFC 8428, Table 4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Label {
    BaseVersion,
    BaseName,
    BaseTime,
    BaseUnit,
    BaseValue,
    BaseSum,
    Name,
    Unit,
    Value,
    TextValue,
    BoolValue,
    Sum,
    Time,
    UpdateTime,
    DataValue,
}

impl Label {
    /// In the order of CBOR.
    const ALL: [(Self, i64, &'static str); 15] = [
        (Self::Name, 0, "n"),
        (Self::Unit, 1, "u"),
        (Self::Value, 2, "v"),
        (Self::TextValue, 3, "vs"),
        (Self::BoolValue, 4, "vb"),
        (Self::Sum, 5, "s"),
        (Self::Time, 6, "t"),
        (Self::UpdateTime, 7, "ut"),
        (Self::DataValue, 8, "vd"),
        (Self::BaseVersion, -1, "bver"),
        (Self::BaseName, -2, "bn"),
        (Self::BaseTime, -3, "bt"),
        (Self::BaseUnit, -4, "bu"),
        (Self::BaseValue, -5, "bv"),
        (Self::BaseSum, -6, "bs"),
    ];

    pub(super) fn of_number(number: i64) -> Option<Self> {
        Self::ALL.iter().find(|(_, found, _)| *found == number).map(|(label, ..)| *label)
    }

    pub(super) fn of_name(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(.., found)| *found == name).map(|(label, ..)| *label)
    }
}

/// The content of a field, for writing.
pub(super) enum Field<'a> {
    Number(f64),
    Text(&'a str),
    Bool(bool),
    Data(&'a [u8]),
}

impl Record {
    /// The fields that are there, in the order of CBOR: number, name and content.
    pub(super) fn fields(&self) -> impl Iterator<Item = (i64, &'static str, Field<'_>)> {
        Label::ALL.iter().filter_map(|(label, number, name)| {
            let field = match label {
                Label::BaseVersion => self.base_version.map(|version| Field::Number(version.into())),
                Label::BaseName => self.base_name.as_deref().map(Field::Text),
                Label::BaseTime => self.base_time.map(Field::Number),
                Label::BaseUnit => self.base_unit.as_deref().map(Field::Text),
                Label::BaseValue => self.base_value.map(Field::Number),
                Label::BaseSum => self.base_sum.map(Field::Number),
                Label::Name => self.name.as_deref().map(Field::Text),
                Label::Unit => self.unit.as_deref().map(Field::Text),
                Label::Sum => self.sum.map(Field::Number),
                Label::Time => self.time.map(Field::Number),
                Label::UpdateTime => self.update_time.map(Field::Number),
                Label::Value | Label::TextValue | Label::BoolValue | Label::DataValue => match (&self.value, label) {
                    (Some(Value::Number(value)), Label::Value) => Some(Field::Number(*value)),
                    (Some(Value::Text(value)), Label::TextValue) => Some(Field::Text(value)),
                    (Some(Value::Bool(value)), Label::BoolValue) => Some(Field::Bool(*value)),
                    (Some(Value::Data(value)), Label::DataValue) => Some(Field::Data(value)),
                    _ => None,
                },
            };
            field.map(|field| (*number, *name, field))
        })
    }

    /// Whether it has base values and nothing else.
    pub(super) fn is_base_only(&self) -> bool {
        let Self { name, unit, value, sum, time, update_time, .. } = self;
        name.is_none() && unit.is_none() && value.is_none() && sum.is_none() && time.is_none() && update_time.is_none()
    }
}

/// The integer that this number is, if it is one that a double tells from its neighbours.
pub(super) fn as_integer(value: f64) -> Option<i64> {
    const LIMIT: f64 = 9_007_199_254_740_992.0;
    let is_safe = (-LIMIT..=LIMIT).contains(&value) && value.to_bits() != (-0.0f64).to_bits();
    let integer = value as i64;
    // Back without loss: it had no fraction.
    (is_safe && integer as f64 == value).then_some(integer)
}
