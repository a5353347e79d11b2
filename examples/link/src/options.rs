//! The command line that all applications share.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use iot_core::DeviceId;
use lexopt::prelude::*;

use crate::readings::MAX_BATCH;
use crate::{Application, Feedback, Role};

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// Draw keys for both ends.
    Keys,
    /// Be one end.
    Run(Role),
    /// Show what the receiver accepted.
    List,
}

/// What the command line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Where both ends keep what is theirs.
    pub folder: PathBuf,
    /// Which end this is.
    pub role: Role,
    /// The address to connect to or to listen on, or of the server in between.
    pub server: String,
    /// Readings to send; for ever if none is said.
    pub readings: u64,
    /// A file that holds them.
    pub input: Option<PathBuf>,
    /// How many go into a message.
    pub batch: usize,
    /// How many there are a second; 0 for as fast as they go.
    pub rate: u32,
    /// Whether, and how soon, acknowledgements come back.
    pub feedback: Feedback,
    /// Whether a gateway passes the packets on, so that they must name the device.
    pub is_behind_gateway: bool,
    /// The device that each packet names then. The command line does not say it, the keys do.
    pub source: Option<DeviceId>,
    /// Options of the application itself, by name.
    pub own: BTreeMap<&'static str, String>,
}

impl Options {
    /// Reads a command line; `None` if it asks for help.
    pub(crate) fn parse(
        application: &Application,
        arguments: impl IntoIterator<Item = OsString>,
    ) -> Result<Option<(Task, Self)>, lexopt::Error> {
        let mut parser = lexopt::Parser::from_args(arguments);
        let (mut task, mut folder) = (None, None);
        let mut options = Self {
            folder: PathBuf::new(),
            role: Role::Device,
            server: application.server.into(),
            readings: u64::MAX,
            input: None,
            batch: 10,
            rate: 10,
            feedback: application.feedback,
            is_behind_gateway: false,
            source: None,
            own: BTreeMap::new(),
        };
        while let Some(argument) = parser.next()? {
            match argument {
                Long("help") | Short('h') => return Ok(None),
                Long("server") => options.server = parser.value()?.string()?,
                Long("readings") => options.readings = parser.value()?.parse()?,
                Long("input") => options.input = Some(parser.value()?.into()),
                Long("batch") => options.batch = parser.value()?.parse()?,
                Long("rate") => options.rate = parser.value()?.parse()?,
                Long("behind-gateway") => options.is_behind_gateway = true,
                Long("patience") if application.feedback != Feedback::None => {
                    let within = Duration::try_from_secs_f64(parser.value()?.parse()?);
                    options.feedback = Feedback::Acknowledged { within: within.map_err(|error| error.to_string())? };
                }
                Long(name) => {
                    let known = application.options.iter().find(|(known, _)| *known == name);
                    let Some((name, _)) = known else { return Err(argument.unexpected()) };
                    options.own.insert(name, parser.value()?.string()?);
                }
                Value(word) if task.is_none() => {
                    task = Some(match word.to_str() {
                        Some("keys") => Task::Keys,
                        Some("device") => Task::Run(Role::Device),
                        Some("receiver") => Task::Run(Role::Receiver),
                        Some("list") => Task::List,
                        _ => return Err(format!("there is no command {word:?}: see --help").into()),
                    });
                }
                Value(path) if folder.is_none() => folder = Some(PathBuf::from(path)),
                other => return Err(other.unexpected()),
            }
        }
        let task = task.ok_or("a command is missing: see --help")?;
        options.folder = folder.ok_or("a folder is missing: see --help")?;
        if let Task::Run(role) = task {
            options.role = role;
        }
        if !(1..=MAX_BATCH).contains(&options.batch) {
            return Err(format!("--batch takes a number from 1 to {MAX_BATCH}, not {}", options.batch).into());
        }
        Ok(Some((task, options)))
    }

    /// The server as `HOST:PORT`, with or without `SCHEME://` before it.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) if another scheme stands there, such as that for TLS: it would
    /// bring a second stack of ciphers, with C or assembly, for messages that are sealed in any case.
    pub fn address(&self, scheme: &str) -> io::Result<&str> {
        let server = self.server.as_str();
        let plain = server.strip_prefix(scheme).and_then(|rest| rest.strip_prefix("://")).unwrap_or(server);
        if plain.contains("://") {
            let words = "this client has no TLS; give HOST:PORT, of stunnel for one, which speaks it";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{server}: {words}")));
        }
        Ok(plain)
    }

    /// What the options `--user NAME` and `--password FILE` say, if an application has those.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) if there is but one of them, or no such file.
    pub fn login(&self) -> io::Result<Option<(String, String)>> {
        let invalid = |words: String| io::Error::new(io::ErrorKind::InvalidInput, words);
        match (self.own("user"), self.own("password")) {
            (Some(user), Some(file)) => {
                let password = std::fs::read_to_string(file).map_err(|error| invalid(format!("{file}: {error}")))?;
                Ok(Some((user.into(), password.trim_end().into())))
            }
            (None, None) => Ok(None),
            _ => Err(invalid("--user and --password go together".into())),
        }
    }

    /// An option of the application itself.
    pub fn own(&self, name: &str) -> Option<&str> {
        self.own.get(name).map(String::as_str)
    }
}
