//! The files that hold what must come out.

macro_rules! of_the_tests {
    ($name:literal) => {
        include_str!(concat!("../../../../iot-codec/tests/vectors/", $name))
    };
}

pub(crate) const APPENDIX_A: &str = of_the_tests!("cbor_appendix_a.txt");
pub(crate) const DETERMINISTIC: &str = of_the_tests!("cbor_deterministic.txt");
pub(crate) const FEC: &str = of_the_tests!("fec.txt");
pub(crate) const FRAGMENT: &str = of_the_tests!("fragment.txt");
pub(crate) const FRAMING: &str = of_the_tests!("framing.txt");
pub(crate) const SERIES: &str = of_the_tests!("series.txt");
const EXPECTED: &str = include_str!("../expected.txt");

/// The lines that are neither empty nor comments.
pub(crate) fn rows(text: &'static str) -> impl Iterator<Item = &'static str> {
    text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'))
}

/// What stands there under this name, in hexadecimal.
pub(crate) fn expected(name: &str) -> Option<&'static str> {
    rows(EXPECTED).find_map(|row| row.strip_prefix(name)?.strip_prefix(' '))
}

/// The octets of a hexadecimal text, at the front of `space`.
pub(crate) fn octets<'s>(text: &str, space: &'s mut [u8]) -> Option<&'s mut [u8]> {
    let space = space.get_mut(..text.len() / 2)?;
    for (octet, pair) in space.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *octet = u8::from_str_radix(core::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    text.len().is_multiple_of(2).then_some(space)
}
