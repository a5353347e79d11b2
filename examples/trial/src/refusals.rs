//! What an application says of servers that are not to be trusted, or not to be spoken to in that way.

use crate::{Authority, Trial};

/// Where servers are on the loopback interface.
pub struct Ports<'p> {
    /// How an address without TLS begins, and the port of a server that does not speak TLS.
    pub plain: (&'p str, u16),
    /// How one with TLS begins, and the port of a server that speaks it, with a certificate for `127.0.0.1` alone.
    pub secure: (&'p str, u16),
}

impl Trial {
    /// Makes a CA for the server, `plant.pem`, and one that it has nothing to do with, `other.pem`; gives their files.
    ///
    /// # Panics
    ///
    /// If there is no room for them.
    pub fn authorities(&self) -> (Authority, [String; 2]) {
        let [plant, _] = ["plant", "other"].map(|name| Authority::new(self.folder(), name));
        let files = ["plant.pem", "other.pem"].map(|name| self.folder().join(name));
        (plant, files.map(|file| file.to_str().expect("it has a plain name").to_owned()))
    }

    /// Starts the device, with arguments of its own, before a server that is there in each wrong way: it says so, and ends at
    /// its first start. The server's CA is the first of two.
    ///
    /// # Panics
    ///
    /// If it says something else, or goes on.
    pub fn trusts_no_server_without_reason(&self, ports: &Ports, [ca, other]: &[String; 2], arguments: &[&str]) {
        let Ports { plain: (plain, plain_port), secure: (secure, port) } = ports;
        for (server, own, words) in [
            (
                format!("{secure}://127.0.0.1:{port}"),
                &["--ca", other][..],
                "is of a CA that is not trusted here: give that CA by --ca FILE",
            ),
            (format!("{secure}://localhost:{port}"), &["--ca", ca], "is for 127.0.0.1, and not for localhost"),
            (format!("{secure}://127.0.0.1:{plain_port}"), &["--ca", ca], "the server speaks no TLS there"),
            (
                format!("{plain}://127.0.0.1:{port}"),
                &[],
                &format!("the server speaks TLS there: give {secure}://127.0.0.1:{port}"),
            ),
        ] {
            self.is_refused("device", &[&["--server", &server], own, arguments].concat(), words);
        }
    }
}
