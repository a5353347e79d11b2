//! The program around an end.

use std::io;
use std::process::ExitCode;

use iot_core::Instant;
use iot_exchange::{Feedback, Role, folder};
use iot_queue::Stored;
use iot_readings::Feed;

use crate::process::{self, Failure, lines_of_stdin, rng, wall};
use crate::session::Session;
use crate::{Dialer, Options};

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
pub type OpenSink = fn(&Options) -> io::Result<Sink>;

/// Where accepted messages go on to, such as a database: takes them for good. Some come again after a kill, and their
/// positions tell. If it fails it took none of them, and they come again;
/// [`PermissionDenied`](io::ErrorKind::PermissionDenied) and [`InvalidInput`](io::ErrorKind::InvalidInput) end the
/// program, as no second try will mend what they say.
pub type Sink = Box<dyn FnMut(&[Stored]) -> io::Result<()>>;

impl Application {
    /// Does what the command line of this process says.
    pub fn main(&self) -> ExitCode {
        process::end(self.name, self.perform())
    }

    fn perform(&self) -> Result<(), Failure> {
        let Some((task, mut options)) = Options::parse(self)? else {
            println!("{}", self.help());
            return Ok(());
        };
        let folder = options.folder.join(&task);
        match task.as_str() {
            "device" | "receiver" => {}
            "list" => return Ok(iot_readings::list(&options.folder.join("receiver"))?),
            "keys" => {
                folder::provision(&options.folder, wall(), &mut rng()?)?;
                println!("{}: keys of both ends are in {}", self.name, options.folder.display());
                return Ok(());
            }
            other => return Err(lexopt::Error::from(format!("there is no command {other:?}: see --help")).into()),
        }
        let (stop, role) = (process::stop_flag()?, options.role);
        let feed = (role == Role::Device).then(|| Feed::open(&options.feed)).transpose()?;
        let keys = folder::load_keys(&folder, wall())?;
        let mut endpoint = folder::open(&folder, &keys, role, options.feedback, rng()?)?;
        if options.is_behind_gateway {
            (endpoint, options.source) = (endpoint.naming_its_source(), Some(keys.device_id()));
        }
        let sink = self.sink.filter(|_| role == Role::Receiver).map(|open| open(&options)).transpose()?;
        let dialer = (self.dialer)(&options)?;
        Session {
            application: self,
            options: &options,
            endpoint,
            stop,
            commands: feed.is_none().then(lines_of_stdin),
            feed,
            sink: sink.map(|sink| (sink, Instant::START)),
            sent: (0, 0),
            received: (0, 0),
            complaint: String::new(),
        }
        .run(dialer)
    }

    fn help(&self) -> String {
        let Self { name, about, server, .. } = self;
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
  --patience S      seconds until a message is sent again that was not acknowledged, where the transport can tell
  --behind-gateway  name the device in each packet, for a gateway that passes on those of many{own}"
        )
    }
}
