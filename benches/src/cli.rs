//! The command line of the scoreboard.

use crate::measure::Effort;
use crate::report::RowSpec;
use crate::{codec, crypto, dht, queue};

/// What `--help` prints.
pub const HELP: &str = "\
Measures the rows of the targets, each beside its peer in the same run, and prints one line a row:
name, ours, the peer's, the ratio of ours to the peer's with its 95 % interval, the bound, and `ok` or `short`.

usage: scoreboard codec|crypto|queue|dht|all [--smoke] [--long] [--row NAME]

  --smoke     run each row briefly: shows that it runs, judges nothing
  --long      the rows besides that take minutes to an hour each: simulated networks
  --row NAME  only this row, for instance codec/decode, a long one or not; may be given more than once
  --help      this text

Exit status: 0 when every row is ok, 1 when one is short or could not be measured, 2 for a wrong argument.
With --smoke it is 0 whatever the rows measure.
";

/// What was asked for.
#[derive(Clone, Debug)]
pub enum Command {
    /// The text of [`HELP`].
    Help,
    /// A run.
    Run {
        /// The rows, in the order of the scoreboard.
        rows: Vec<RowSpec>,
        /// How thoroughly.
        effort: Effort,
    },
}

/// Why the arguments make no sense.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UsageError {
    /// No area was named.
    MissingArea,
    /// A word that is neither an area nor an option.
    Unknown(String),
    /// More than one area.
    SecondArea(String),
    /// `--row` without a name.
    MissingRow,
    /// A row that the area does not have; and those that it has.
    UnknownRow(String, Vec<&'static str>),
}

impl std::error::Error for UsageError {}

impl std::fmt::Display for UsageError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::MissingArea => f.write_str("no area: codec, crypto, queue, dht or all"),
            Self::Unknown(word) => write!(f, "unknown argument {word:?}"),
            Self::SecondArea(word) => write!(f, "a second area {word:?}"),
            Self::MissingRow => f.write_str("--row without a name"),
            Self::UnknownRow(name, known) => write!(f, "no row {name:?}; there are {}", known.join(", ")),
        }
    }
}

/// The areas, their rows, and those that are run only when they are asked for.
const AREAS: &[(&str, &[RowSpec], &[RowSpec])] = &[
    ("codec", codec::ROWS, &[]),
    ("crypto", crypto::ROWS, &[]),
    ("queue", queue::ROWS, &[]),
    ("dht", dht::ROWS, dht::LONG_ROWS),
];

/// Reads the arguments, the program's name left out.
///
/// # Errors
/// [`UsageError`], which the caller prints before it exits with status 2.
pub fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Command, UsageError> {
    let mut arguments = arguments.into_iter();
    let mut area: Option<String> = None;
    let mut names: Vec<String> = Vec::new();
    let (mut effort, mut long) = (Effort::Full, false);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--help" | "-h" => return Ok(Command::Help),
            "--smoke" => effort = Effort::Smoke,
            "--long" => long = true,
            "--row" => names.push(arguments.next().ok_or(UsageError::MissingRow)?),
            word if word == "all" || AREAS.iter().any(|(name, ..)| *name == word) => {
                if area.is_some() {
                    return Err(UsageError::SecondArea(argument));
                }
                area = Some(argument);
            }
            _ => return Err(UsageError::Unknown(argument)),
        }
    }
    let area = area.ok_or(UsageError::MissingArea)?;
    let of_area: Vec<(RowSpec, bool)> = AREAS
        .iter()
        .filter(|(name, ..)| area == "all" || area == *name)
        .flat_map(|(_, rows, long_rows)| {
            rows.iter().map(|row| (*row, false)).chain(long_rows.iter().map(|row| (*row, true)))
        })
        .collect();
    for name in &names {
        if !of_area.iter().any(|(row, _)| row.name == name) {
            return Err(UsageError::UnknownRow(name.clone(), of_area.iter().map(|(row, _)| row.name).collect()));
        }
    }
    let chosen = |(row, is_long): &(RowSpec, bool)| {
        if names.is_empty() { long || !is_long } else { names.iter().any(|name| name == row.name) }
    };
    Ok(Command::Run { rows: of_area.into_iter().filter(chosen).map(|(row, _)| row).collect(), effort })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(words: &[&str]) -> Vec<&'static str> {
        match parse(words.iter().map(ToString::to_string)) {
            Ok(Command::Run { rows, .. }) => rows.iter().map(|row| row.name).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn all_holds_every_area_and_names_are_unique() {
        let all = rows(&["all", "--long"]);
        let each: usize = AREAS.iter().map(|(area, ..)| rows(&[area, "--long"]).len()).sum();
        assert_eq!(all.len(), each);
        let mut sorted = all.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(sorted.len(), all.len());
    }

    #[test]
    fn a_row_is_chosen_by_name() {
        assert_eq!(rows(&["codec", "--smoke", "--row", "codec/decode"]), ["codec/decode"]);
    }

    #[test]
    fn long_rows_are_run_only_when_asked_for() {
        assert!(!rows(&["all"]).contains(&"dht/sybil-20"));
        assert!(rows(&["dht", "--long"]).contains(&"dht/sybil-20"));
        assert!(rows(&["dht", "--long"]).contains(&"dht/closest"));
        assert_eq!(rows(&["dht", "--row", "dht/sybil-20"]), ["dht/sybil-20"]);
    }

    #[test]
    fn refuses_what_it_does_not_know() {
        let error = |words: &[&str]| parse(words.iter().map(ToString::to_string)).unwrap_err();
        assert_eq!(error(&[]), UsageError::MissingArea);
        assert_eq!(error(&["--quick", "all"]), UsageError::Unknown("--quick".into()));
        assert_eq!(error(&["codec", "dht"]), UsageError::SecondArea("dht".into()));
        assert_eq!(error(&["all", "--row"]), UsageError::MissingRow);
        assert!(matches!(error(&["codec", "--row", "dht/closest"]), UsageError::UnknownRow(..)));
    }
}
