//! The arguments behind a subcommand.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::str::FromStr;

use lexopt::prelude::*;
use lexopt::{Arg, Parser};

use crate::Failure;

/// Options by name, each at most once, and what else stands there.
pub struct Options {
    values: BTreeMap<String, OsString>,
    files: Vec<OsString>,
}

impl Options {
    /// Reads options with a value, named in `valued`, and without one, named in `flags`, and as many files as `files`
    /// names.
    pub fn parse(mut parser: Parser, valued: &[&str], flags: &[&str], files: &[&str]) -> Result<Self, Failure> {
        let mut options = Self { values: BTreeMap::new(), files: Vec::new() };
        while let Some(argument) = parser.next()? {
            let name = match argument {
                Long(name) if valued.contains(&name) || flags.contains(&name) => name.to_owned(),
                Value(file) if options.files.len() < files.len() => {
                    options.files.push(file);
                    continue;
                }
                other => return Err(Arg::unexpected(other).into()),
            };
            let value = if valued.contains(&name.as_str()) { parser.value()? } else { OsString::new() };
            if options.values.contains_key(&name) {
                return Err(Failure::Usage(format!("--{name} stands there twice")));
            }
            options.values.insert(name, value);
        }
        match files.get(options.files.len()) {
            None => Ok(options),
            Some(missing) => Err(Failure::Usage(format!("{missing} is missing"))),
        }
    }

    /// Whether this flag stands among the arguments, which are not read yet: it decides which others there are.
    pub fn has_ahead(parser: &Parser, flag: &str) -> bool {
        parser.clone().raw_args().is_ok_and(|mut arguments| arguments.any(|argument| argument == flag))
    }

    /// The file in this place.
    pub fn file(&self, place: usize) -> &OsStr {
        &self.files[place]
    }

    pub fn get(&self, name: &str) -> Option<&OsStr> {
        self.values.get(name).map(OsString::as_os_str)
    }

    pub fn has(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }

    pub fn required(&self, name: &str) -> Result<&OsStr, Failure> {
        self.get(name).ok_or_else(|| Failure::Usage(format!("--{name} is missing")))
    }

    pub fn text(&self, name: &str) -> Result<Option<&str>, Failure> {
        let not_text = || Failure::Usage(format!("--{name} is not text"));
        self.get(name).map(|value| value.to_str().ok_or_else(not_text)).transpose()
    }

    /// A number, or whatever else is read from text.
    pub fn number<T: FromStr>(&self, name: &str) -> Result<Option<T>, Failure> {
        let wrong = |text: &str| Failure::Usage(format!("--{name} cannot be {text:?}"));
        self.text(name)?.map(|text| text.parse().map_err(|_| wrong(text))).transpose()
    }
}
