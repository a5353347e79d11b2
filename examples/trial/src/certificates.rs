//! Servers that nobody should trust, and what an application says of each.

use crate::{Authority, Program, Trial, Validity};

/// A CA and what it signed for the server of a trial.
pub struct Certificates {
    /// The option with the CA that is trusted.
    pub ca: [String; 2],
    /// The CA.
    pub authority: Authority,
    /// A certificate for the loopback interface, and its key.
    pub good: [String; 2],
}

impl Certificates {
    /// Makes them in the folder of a trial.
    ///
    /// # Panics
    ///
    /// If there is no room for them.
    pub fn make(trial: &Trial) -> Self {
        let plant = Authority::new(trial.folder(), "plant");
        let good = plant.issue("good", &["127.0.0.1", "localhost"], Validity::Now);
        Self { ca: ca(trial, "plant"), authority: plant, good }
    }

    /// The option, as an application takes it.
    pub fn trusted(&self) -> [&str; 2] {
        self.ca.each_ref().map(String::as_str)
    }
}

impl Trial {
    /// Starts the device before servers that are not to be trusted, with arguments of its own, and holds against what is
    /// right what it says of each before it ends. `start` starts a server that shows a certificate, or one without TLS, on
    /// the same port; `plain` and `secure` are its addresses.
    ///
    /// # Panics
    ///
    /// If the device says something else, or goes on.
    pub fn says_what_is_wrong_with_a_server(
        &self,
        [plain, secure]: [&str; 2],
        arguments: &[&str],
        mut start: impl FnMut(Option<&[String; 2]>) -> Program,
    ) {
        let plant = Authority::new(self.folder(), "plant");
        let (trusted, _) = (ca(self, "plant"), Authority::new(self.folder(), "other"));
        let (trusted, other) = (trusted.each_ref().map(String::as_str), ca(self, "other"));
        let other = other.each_ref().map(String::as_str);
        let issue = |name, hosts: &[&str], validity| Some(plant.issue(name, hosts, validity));
        let good = issue("good", &["127.0.0.1", "localhost"], Validity::Now);
        let scheme = secure.split("://").next().unwrap_or_default();
        let speaks = format!("the server speaks TLS there: give {scheme}://");
        for (certificate, server, own, words) in [
            (&good, secure, other, "is of a CA that is not trusted here: give that CA by --ca FILE"),
            (&good, plain, [""; 2], &*speaks),
            (&issue("odd", &["plant.example"], Validity::Now), secure, trusted, "is for plant.example, and not for "),
            (&issue("past", &["127.0.0.1", "localhost"], Validity::Past), secure, trusted, "has expired "),
            (&None, secure, trusted, "the server speaks no TLS there"),
        ] {
            let running = start(certificate.as_ref());
            let own = own.into_iter().filter(|word| !word.is_empty());
            let own: Vec<_> = ["--server", server].into_iter().chain(arguments.iter().copied()).chain(own).collect();
            let device = self.device(&own);
            let line = device.wait_for_any(1, &["the server's certificate", "the server speaks"]);
            assert!(line.contains(words), "{line}\nis not about: {words}");
            assert_eq!(device.wait().code(), Some(1), "{words}");
            running.kill();
        }
    }
}

fn ca(trial: &Trial, name: &str) -> [String; 2] {
    let path = trial.folder().join(format!("{name}.pem"));
    ["--ca".into(), path.to_str().expect("it has a plain name").into()]
}
