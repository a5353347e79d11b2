//! The program around an end.

use std::fmt;
use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::SystemTime;

use iot_core::Timestamp;
use iot_queue::Stored;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;

use crate::endpoint::read_ledger;
use crate::options::Task;
use crate::session::Session;
use crate::{Dialer, Endpoint, Failure, Feedback, Keys, Options, provision, readings};

/// Which end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It sends readings, and obeys commands.
    Device,
    /// It takes readings, and sends commands.
    Receiver,
}

impl Role {
    /// What this end writes about.
    pub const fn topic(self) -> &'static str {
        match self {
            Self::Device => "readings",
            Self::Receiver => "commands",
        }
    }

    /// The other end.
    #[must_use]
    pub const fn peer(self) -> Self {
        match self {
            Self::Device => Self::Receiver,
            Self::Receiver => Self::Device,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::Device { "device" } else { "receiver" })
    }
}

/// An application: what it is called, and how it dials.
pub struct Application {
    /// Its name.
    pub name: &'static str,
    /// One line about it.
    pub about: &'static str,
    /// The address that holds if none is said.
    pub server: &'static str,
    /// What to do when nobody answers there.
    pub hint: &'static str,
    /// Options of its own: names, and what the help says of each.
    pub options: &'static [(&'static str, &'static str)],
    /// Whether acknowledgements come back.
    pub feedback: Feedback,
    /// Makes what makes the links of one end.
    pub dialer: fn(&Options) -> io::Result<Dialer>,
    /// Makes where the receiver's ledger goes on to, if it does.
    pub sink: Option<OpenSink>,
}

/// Makes a sink.
pub type OpenSink = fn(&Options) -> io::Result<Box<dyn Sink>>;

/// Where accepted messages go on to, such as a database.
pub trait Sink {
    /// Takes messages for good. Some come again after a kill: their positions tell.
    ///
    /// # Errors
    ///
    /// The sink took none of them; they come again. [`PermissionDenied`](io::ErrorKind::PermissionDenied) and
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) end the program, as no second try will mend what they say.
    fn write(&mut self, messages: &[Stored]) -> io::Result<()>;
}

impl Application {
    /// Does what the command line of this process says.
    pub fn main(&self) -> ExitCode {
        let (task, options) = match Options::parse(self, std::env::args_os().skip(1)) {
            Ok(Some(parsed)) => parsed,
            Ok(None) => {
                println!("{}", self.help());
                return ExitCode::SUCCESS;
            }
            Err(error) => {
                eprintln!("{}: {error}", self.name);
                return ExitCode::from(2);
            }
        };
        match self.perform(task, &options) {
            Ok(()) => ExitCode::SUCCESS,
            Err(failure) => {
                let mut words = failure.to_string();
                let mut source = failure.source();
                while let Some(cause) = source {
                    words += &format!(": {cause}");
                    source = cause.source();
                }
                eprintln!("{}: {words}", self.name);
                ExitCode::FAILURE
            }
        }
    }

    fn perform(&self, task: Task, options: &Options) -> Result<(), Failure> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed)?;
        let mut rng = ChaCha20Rng::from_seed(seed);
        match task {
            Task::Keys => {
                provision(&options.folder, wall(), &mut rng)?;
                println!("{}: keys of both ends are in {}", self.name, options.folder.display());
                Ok(())
            }
            Task::List => list(&options.folder.join("receiver")),
            Task::Run(role) => {
                let stop = Arc::new(AtomicBool::new(false));
                for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
                    signal_hook::flag::register(signal, stop.clone())?;
                }
                let folder = options.folder.join(role.to_string());
                let keys = Keys::load(&folder, wall())?;
                let mut endpoint = Endpoint::open(&folder, &keys, role, options.feedback, rng, wall)?;
                let mut options = options.clone();
                if options.is_behind_gateway {
                    endpoint = endpoint.naming_its_source();
                    options.source = Some(keys.signing.verifying_key().device_id());
                }
                let sink = self.sink.filter(|_| role == Role::Receiver).map(|open| open(&options)).transpose()?;
                let dialer = (self.dialer)(&options)?;
                Session::new((self.name, self.hint), &options, endpoint, stop, sink)?.run(dialer)
            }
        }
    }

    fn help(&self) -> String {
        let Self { name, about, server, .. } = self;
        let patience = match self.feedback {
            Feedback::Acknowledged { within } => {
                format!(
                    "\n  --patience S      seconds until a message is sent again, by default {}",
                    within.as_secs_f32()
                )
            }
            Feedback::None => String::new(),
        };
        let own: String = self.options.iter().map(|(name, about)| format!("\n  --{name} {about}")).collect();
        format!(
            "{about}

  {name} keys FOLDER       draw keys for both ends
  {name} device FOLDER     read, seal, keep, and send until the receiver has it
  {name} receiver FOLDER   verify, keep, acknowledge; each line typed is a command for the device
  {name} list FOLDER       show what the receiver accepted, as lines `seconds,value`

  --server ADDRESS  where to connect or to listen, by default {server}
  --readings N      end when so many were acknowledged; by default never
  --input FILE      take readings from lines `seconds,value`, in place of a thermometer's
  --batch N         readings in a message, 1 to 256, by default 10
  --rate N          readings a second, by default 10; 0 for as fast as they go
  --behind-gateway  name the device in each packet, for a gateway that passes on those of many{patience}{own}"
        )
    }
}

/// Shows what the end whose folder this is accepted, and which messages it never got.
///
/// # Errors
///
/// When its ledger cannot be read, or another process has it.
pub fn list(folder: &Path) -> Result<(), Failure> {
    let mut last = None;
    read_ledger(folder, |position, payload| {
        let next = last.filter(|(incarnation, _)| *incarnation == position.incarnation).map_or(0, |(_, next)| next);
        if next != position.sequence {
            println!("# messages {next}..{} are missing or come later", position.sequence);
        }
        last = Some((position.incarnation, position.sequence + 1));
        match readings::decode(payload) {
            Some(readings) => readings.iter().for_each(|reading| println!("{},{}", reading.time, reading.value)),
            None => println!("# message {} holds no readings", position.sequence),
        }
    })
}

fn wall() -> Timestamp {
    let passed = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_micros(u64::try_from(passed.as_micros()).unwrap_or(u64::MAX))
}
