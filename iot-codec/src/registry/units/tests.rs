extern crate std;

use std::{collections::BTreeSet, string::String, vec::Vec};

use super::*;

/// RFC 8428 §12.1, Table 6, in its order.
const RFC_8428: &str = "m kg g s A K cd mol Hz rad sr N Pa J W C V F Ohm S Wb T H Cel lm lx Bq Gy Sv kat m2 m3 l m/s m/s2 \
    m3/s l/s W/m2 cd/m2 bit bit/s lat lon pH dB dBW Bspl count / % %RH %EL EL 1/s 1/min beat/min beats S/m";

/// RFC 8798 §2, Table 1.
const RFC_8798: &str = "B VA VAs var vars J/m kg/m3 deg";

/// RFC 8798 §3, Table 2: the secondary unit, its primary, 10 of it in the primary.
const SECONDARY: [(&str, &str, f64); 33] = [
    ("ms", "s", 0.01),
    ("min", "s", 600.0),
    ("h", "s", 36_000.0),
    ("MHz", "Hz", 1e7),
    ("kW", "W", 1e4),
    ("kVA", "VA", 1e4),
    ("kvar", "var", 1e4),
    ("Ah", "C", 36_000.0),
    ("Wh", "J", 36_000.0),
    ("kWh", "J", 3.6e7),
    ("varh", "vars", 36_000.0),
    ("kvarh", "vars", 3.6e7),
    ("kVAh", "VAs", 3.6e7),
    ("Wh/km", "J/m", 36.0),
    ("KiB", "B", 10_240.0),
    ("GB", "B", 1e10),
    ("Mbit/s", "bit/s", 1e7),
    ("B/s", "bit/s", 80.0),
    ("MB/s", "bit/s", 8e7),
    ("mV", "V", 0.01),
    ("mA", "A", 0.01),
    ("dBm", "dBW", -20.0),
    ("ug/m3", "kg/m3", 1e-8),
    ("mm/h", "m/s", 1.0 / 360_000.0),
    ("m/h", "m/s", 1.0 / 360.0),
    ("ppm", "/", 1e-5),
    ("/100", "/", 0.1),
    ("/1000", "/", 0.01),
    ("hPa", "Pa", 1000.0),
    ("mm", "m", 0.01),
    ("cm", "m", 0.1),
    ("km", "m", 1e4),
    ("km/h", "m/s", 10.0 / 3.6),
];

#[test]
fn all_units_of_both_documents_are_there_once() {
    let (first, second) = (RFC_8428.split(' '), RFC_8798.split(' '));
    let secondary = SECONDARY.iter().map(|(symbol, _, _)| *symbol);
    let expected: BTreeSet<_> = first.chain(second).chain(secondary).collect();
    let symbols: BTreeSet<_> = Unit::ALL.iter().map(Unit::symbol).collect();
    assert_eq!(symbols, expected);
    assert_eq!(symbols.len(), Unit::ALL.len());
    for (number, unit) in Unit::ALL.iter().enumerate() {
        assert_eq!(unit.number() as usize, number);
        assert_eq!(Unit::new(unit.number()), Some(unit));
        assert_eq!(Unit::find(unit.symbol()), Some(unit));
        let since = if RFC_8428.split(' ').any(|symbol| symbol == unit.symbol()) { 1 } else { 2 };
        assert_eq!(unit.since(), since);
    }
    assert_eq!((Unit::new(Unit::ALL.len() as u32), Unit::find("furlong")), (None, None));
}

#[test]
fn secondary_units_are_converted_as_the_rfc_says() {
    for (symbol, primary, ten) in SECONDARY {
        let unit = Unit::find(symbol).unwrap();
        let (found, value) = unit.to_primary(10.0);
        assert!(unit.is_secondary() && !found.is_secondary());
        assert_eq!((found.symbol(), value), (primary, ten), "{symbol}");
    }
    let primary = Unit::ALL.iter().filter(|unit| !unit.is_secondary());
    assert_eq!(primary.clone().count(), Unit::ALL.len() - SECONDARY.len());
    for unit in primary {
        assert_eq!(unit.to_primary(0.1), (unit, 0.1));
        assert!(unit.to_primary(-0.0).1.is_sign_negative());
    }
}

#[test]
fn the_numbers_are_those_that_were_given_out() {
    // Never to be changed, but only to be added to.
    let given: Vec<String> = include_str!("../../../tests/vectors/units.txt")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(String::from)
        .collect();
    let found = Unit::ALL.iter().map(|unit| std::format!("{} {} {}", unit.number(), unit.since(), unit.symbol()));
    assert_eq!(found.collect::<Vec<_>>(), given);
}
