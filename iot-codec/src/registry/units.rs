use super::edition::is_equal;

/// A unit of `SenML`: the symbols of RFC 8428 §12.1 (version 1 of this list), and those of RFC 8798 (version 2).
///
/// The numbers are this crate's. They never change and are never reused; units that IANA registers later get the next
/// ones. The 24 that telemetry uses most have the numbers below 24, which take one byte in CBOR.
///
/// ```
/// use iot_codec::registry::Unit;
/// let hectopascal = Unit::find("hPa").ok_or("no such unit")?;
/// assert_eq!(hectopascal.number(), 3);
/// let (pascal, value) = hectopascal.to_primary(1013.25);
/// assert_eq!((pascal.symbol(), value), ("Pa", 101_325.0));
/// # Ok::<(), &str>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Unit {
    // As narrow as they can be: a device has the whole table in its flash.
    symbol: &'static str,
    /// RFC 8798 §3: a value times the numerator, by the denominator, plus the offset is one in the primary unit.
    numerator: u32,
    denominator: u32,
    offset: i8,
    /// The primary unit's number: its own for a primary one.
    primary: u8,
    number: u8,
    since: u8,
}

impl Unit {
    /// The version of the list: [`since`](Self::since) is at most this.
    pub const VERSION: u32 = 2;

    /// All units, in the order of their numbers, which begin at 0 and leave none out.
    pub const ALL: &'static [Self] = &UNITS;

    /// The unit of this number, if there is one.
    #[must_use]
    pub const fn new(number: u32) -> Option<&'static Self> {
        if (number as usize) < UNITS.len() { Some(&UNITS[number as usize]) } else { None }
    }

    /// The unit of this symbol, if there is one. It looks at one after the other.
    #[must_use]
    pub const fn find(symbol: &str) -> Option<&'static Self> {
        let mut index = 0;
        while index < UNITS.len() {
            if is_equal(UNITS[index].symbol, symbol) {
                return Some(&UNITS[index]);
            }
            index += 1;
        }
        None
    }

    /// Its number.
    #[must_use]
    pub const fn number(&self) -> u32 {
        self.number as u32
    }

    /// The first version of this list that has it: 1 for RFC 8428, 2 for RFC 8798.
    #[must_use]
    pub const fn since(&self) -> u32 {
        self.since as u32
    }

    /// Its symbol.
    #[must_use]
    pub const fn symbol(&self) -> &'static str {
        self.symbol
    }

    /// Whether it is a secondary unit (RFC 8798 §3): another unit, scaled or shifted.
    #[must_use]
    pub const fn is_secondary(&self) -> bool {
        self.primary != self.number
    }

    /// The primary unit for this one, and `value` in it: both as they are for a primary unit.
    #[must_use]
    pub fn to_primary(&'static self, value: f64) -> (&'static Self, f64) {
        if !self.is_secondary() {
            // Not even the sign of a zero changes.
            return (self, value);
        }
        let primary = Self::new(self.primary.into()).unwrap_or(self);
        (primary, value * f64::from(self.numerator) / f64::from(self.denominator) + f64::from(self.offset))
    }

    const fn primary_unit(number: u8, since: u8, symbol: &'static str) -> Self {
        Self { symbol, numerator: 1, denominator: 1, offset: 0, primary: number, number, since }
    }

    const fn scaled(
        number: u8,
        symbol: &'static str,
        primary: u8,
        numerator: u32,
        denominator: u32,
        offset: i8,
    ) -> Self {
        Self { symbol, numerator, denominator, offset, primary, number, since: 2 }
    }
}

static UNITS: [Unit; 99] = [
    Unit::primary_unit(0, 1, "/"),
    Unit::primary_unit(1, 1, "Cel"),
    Unit::primary_unit(2, 1, "%RH"),
    Unit::scaled(3, "hPa", 4, 100, 1, 0),
    Unit::primary_unit(4, 1, "Pa"),
    Unit::primary_unit(5, 1, "V"),
    Unit::primary_unit(6, 1, "A"),
    Unit::primary_unit(7, 1, "W"),
    Unit::scaled(8, "kWh", 31, 3_600_000, 1, 0),
    Unit::primary_unit(9, 1, "lx"),
    Unit::primary_unit(10, 1, "m"),
    Unit::primary_unit(11, 1, "m/s"),
    Unit::primary_unit(12, 1, "m/s2"),
    Unit::primary_unit(13, 1, "s"),
    Unit::primary_unit(14, 1, "Hz"),
    Unit::primary_unit(15, 1, "%EL"),
    Unit::primary_unit(16, 1, "count"),
    Unit::scaled(17, "ppm", 0, 1, 1_000_000, 0),
    Unit::scaled(18, "dBm", 55, 1, 1, -30),
    Unit::primary_unit(19, 1, "lat"),
    Unit::primary_unit(20, 1, "lon"),
    Unit::primary_unit(21, 2, "deg"),
    Unit::primary_unit(22, 1, "K"),
    Unit::scaled(23, "mV", 5, 1, 1000, 0),
    Unit::primary_unit(24, 1, "kg"),
    Unit::primary_unit(25, 1, "g"),
    Unit::primary_unit(26, 1, "cd"),
    Unit::primary_unit(27, 1, "mol"),
    Unit::primary_unit(28, 1, "rad"),
    Unit::primary_unit(29, 1, "sr"),
    Unit::primary_unit(30, 1, "N"),
    Unit::primary_unit(31, 1, "J"),
    Unit::primary_unit(32, 1, "C"),
    Unit::primary_unit(33, 1, "F"),
    Unit::primary_unit(34, 1, "Ohm"),
    Unit::primary_unit(35, 1, "S"),
    Unit::primary_unit(36, 1, "Wb"),
    Unit::primary_unit(37, 1, "T"),
    Unit::primary_unit(38, 1, "H"),
    Unit::primary_unit(39, 1, "lm"),
    Unit::primary_unit(40, 1, "Bq"),
    Unit::primary_unit(41, 1, "Gy"),
    Unit::primary_unit(42, 1, "Sv"),
    Unit::primary_unit(43, 1, "kat"),
    Unit::primary_unit(44, 1, "m2"),
    Unit::primary_unit(45, 1, "m3"),
    Unit::primary_unit(46, 1, "l"),
    Unit::primary_unit(47, 1, "m3/s"),
    Unit::primary_unit(48, 1, "l/s"),
    Unit::primary_unit(49, 1, "W/m2"),
    Unit::primary_unit(50, 1, "cd/m2"),
    Unit::primary_unit(51, 1, "bit"),
    Unit::primary_unit(52, 1, "bit/s"),
    Unit::primary_unit(53, 1, "pH"),
    Unit::primary_unit(54, 1, "dB"),
    Unit::primary_unit(55, 1, "dBW"),
    Unit::primary_unit(56, 1, "Bspl"),
    Unit::primary_unit(57, 1, "%"),
    Unit::primary_unit(58, 1, "EL"),
    Unit::primary_unit(59, 1, "1/s"),
    Unit::primary_unit(60, 1, "1/min"),
    Unit::primary_unit(61, 1, "beat/min"),
    Unit::primary_unit(62, 1, "beats"),
    Unit::primary_unit(63, 1, "S/m"),
    Unit::primary_unit(64, 2, "B"),
    Unit::primary_unit(65, 2, "VA"),
    Unit::primary_unit(66, 2, "VAs"),
    Unit::primary_unit(67, 2, "var"),
    Unit::primary_unit(68, 2, "vars"),
    Unit::primary_unit(69, 2, "J/m"),
    Unit::primary_unit(70, 2, "kg/m3"),
    Unit::scaled(71, "ms", 13, 1, 1000, 0),
    Unit::scaled(72, "min", 13, 60, 1, 0),
    Unit::scaled(73, "h", 13, 3600, 1, 0),
    Unit::scaled(74, "MHz", 14, 1_000_000, 1, 0),
    Unit::scaled(75, "kW", 7, 1000, 1, 0),
    Unit::scaled(76, "kVA", 65, 1000, 1, 0),
    Unit::scaled(77, "kvar", 67, 1000, 1, 0),
    Unit::scaled(78, "Ah", 32, 3600, 1, 0),
    Unit::scaled(79, "Wh", 31, 3600, 1, 0),
    Unit::scaled(80, "varh", 68, 3600, 1, 0),
    Unit::scaled(81, "kvarh", 68, 3_600_000, 1, 0),
    Unit::scaled(82, "kVAh", 66, 3_600_000, 1, 0),
    Unit::scaled(83, "Wh/km", 69, 36, 10, 0),
    Unit::scaled(84, "KiB", 64, 1024, 1, 0),
    Unit::scaled(85, "GB", 64, 1_000_000_000, 1, 0),
    Unit::scaled(86, "Mbit/s", 52, 1_000_000, 1, 0),
    Unit::scaled(87, "B/s", 52, 8, 1, 0),
    Unit::scaled(88, "MB/s", 52, 8_000_000, 1, 0),
    Unit::scaled(89, "mA", 6, 1, 1000, 0),
    Unit::scaled(90, "ug/m3", 70, 1, 1_000_000_000, 0),
    Unit::scaled(91, "mm/h", 11, 1, 3_600_000, 0),
    Unit::scaled(92, "m/h", 11, 1, 3600, 0),
    Unit::scaled(93, "/100", 0, 1, 100, 0),
    Unit::scaled(94, "/1000", 0, 1, 1000, 0),
    Unit::scaled(95, "mm", 10, 1, 1000, 0),
    Unit::scaled(96, "cm", 10, 1, 100, 0),
    Unit::scaled(97, "km", 10, 1000, 1, 0),
    Unit::scaled(98, "km/h", 11, 10, 36, 0),
];

#[cfg(test)]
mod tests;
