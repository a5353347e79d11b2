//! Sealed readings over `CoAP`: the device posts them to the receiver and observes the receiver's commands.

use std::collections::VecDeque;
use std::io;
use std::process::ExitCode;
use std::time::Duration;

use iot_coap::{Client, ResponseType, Server};
use iot_link::{Application, Dialer, Feedback, Link, Options, Role};

const APPLICATION: Application = Application {
    name: "coap",
    about: "Posts sealed readings over CoAP until the receiver has verified and kept them.",
    server: "127.0.0.1:5683",
    hint: "is the receiver there? `coap receiver FOLDER --server ADDRESS` starts it; trying again",
    options: &[],
    feedback: Feedback::Acknowledged { within: Duration::from_secs(5) },
    dialer,
    sink: None,
};

fn main() -> ExitCode {
    APPLICATION.main()
}

fn dialer(options: &Options) -> io::Result<Dialer> {
    let address = options.address("coap")?.to_owned();
    // A gateway tells its devices apart by name.
    let name = options.source.map(|source| source.to_string()).unwrap_or_default();
    Ok(match options.role {
        Role::Device => Box::new(move || Ok(Box::new(Device(Client::connect(&address, &name)?)))),
        Role::Receiver => {
            Box::new(move || Ok(Box::new(Receiver(Server::bind(&address, str::is_empty)?, VecDeque::new()))))
        }
    })
}

struct Device(Client);

impl Link for Device {
    fn send(&mut self, packet: &[u8]) -> io::Result<()> {
        self.0.post(packet)
    }

    fn receive(&mut self, patience: Duration) -> io::Result<Option<Vec<u8>>> {
        self.0.receive(patience)
    }
}

/// The receiver's end, and what came to it meanwhile.
struct Receiver(Server, VecDeque<Vec<u8>>);

impl Link for Receiver {
    fn send(&mut self, packet: &[u8]) -> io::Result<()> {
        self.0.put("", packet);
        Ok(())
    }

    fn receive(&mut self, patience: Duration) -> io::Result<Option<Vec<u8>>> {
        let patience = if self.1.is_empty() { patience } else { Duration::ZERO };
        self.0.serve(patience, &mut |arrived| {
            self.1.push_back(arrived.packet);
            ResponseType::Changed
        })?;
        Ok(self.1.pop_front())
    }
}
