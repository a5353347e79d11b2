/// Octets from the hexadecimal digits in which standards print their vectors.
///
/// # Panics
///
/// If there are too few digits, or one that is none.
pub(crate) fn hex<const N: usize>(digits: &str) -> [u8; N] {
    core::array::from_fn(|i| u8::from_str_radix(&digits[2 * i..2 * i + 2], 16).expect("a vector in hexadecimal"))
}

/// The names and the digits of a file of vectors, `name: digits`.
pub(crate) fn lines(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once(": "))
}
