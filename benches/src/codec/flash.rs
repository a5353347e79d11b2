//! What encoding, decoding and validating the standard message takes of a microcontroller's flash: the programs of
//! `benches/device/flash`, built here for a Cortex-M3 and weighed, less the one that does nothing.

use std::path::Path;

use object::{Object as _, ObjectSection as _, SectionKind};

use super::device;
use crate::measure::Effort;
use crate::report::{Failure, Row};

/// Octets: 3.5 KB.
const BOUND: u64 = 3_500;

/// The row.
pub fn flash(_: Effort) -> Result<Row, Failure> {
    let empty = weigh("empty")?;
    let net = |name| Ok::<_, Failure>(weigh(name)?.saturating_sub(empty));
    let (ours, with_names) = (net("ours")?, net("ours-named")?);
    let peers = [("postcard", net("postcard")?), ("minicbor", net("minicbor")?), ("ciborium", net("ciborium")?)];
    Ok(Row::count(ours, &peers, "B", BOUND).with_note(&format!("{with_names} with names")))
}

/// Builds a program by itself, so that it is compiled with no other contestant's features.
fn weigh(contestant: &str) -> Result<u64, Failure> {
    let features = if contestant == "empty" { "" } else { contestant };
    let program = format!("flash-{contestant}");
    let path = device::build("release", "device-flash", &program, features)?;
    in_flash(&path).map_err(|error| format!("{}: {error}", path.display()).into())
}

/// Octets of all sections that lie in flash: code, constants, and what variables begin with.
fn in_flash(path: &Path) -> Result<u64, Failure> {
    let content = std::fs::read(path)?;
    let file = object::File::parse(&*content)?;
    let is_in_flash = |kind| matches!(kind, SectionKind::Text | SectionKind::ReadOnlyData | SectionKind::Data);
    Ok(file.sections().filter(|section| is_in_flash(section.kind())).map(|section| section.size()).sum())
}
