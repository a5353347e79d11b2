//! The numbers that options take.

use std::ops::RangeBounds;
use std::str::FromStr;
use std::time::Duration;

use lexopt::Parser;
use lexopt::prelude::*;

use crate::Failure;

/// The number that follows `option`, which must lie within `range`.
pub fn within<T: FromStr + PartialOrd>(
    parser: &mut Parser,
    option: &str,
    range: impl RangeBounds<T>,
) -> Result<T, Failure> {
    sound(parser, option, |text| text.parse().ok().filter(|number| range.contains(number)))
}

/// The seconds that follow `option`, or parts of one.
pub fn seconds(parser: &mut Parser, option: &str) -> Result<Duration, Failure> {
    sound(parser, option, |text| Duration::try_from_secs_f64(text.parse().ok()?).ok())
}

fn sound<T>(parser: &mut Parser, option: &str, read: impl Fn(&str) -> Option<T>) -> Result<T, Failure> {
    let text = parser.value()?.string()?;
    read(&text).ok_or_else(|| Failure::Usage(format!("{option} cannot be {text:?}")))
}
