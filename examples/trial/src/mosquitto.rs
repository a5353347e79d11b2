//! A broker of MQTT.

use std::path::Path;
use std::process::Command;

use crate::Program;

/// mosquitto on a port of its own, which asks for a password and keeps its sessions on disk.
pub struct Mosquitto {
    configuration: String,
}

impl Mosquitto {
    /// Writes its configuration into `folder`: it will know the user `plant` by the password `right`.
    ///
    /// # Panics
    ///
    /// If there is no `mosquitto_passwd`.
    pub fn prepare(folder: &Path, port: u16) -> Self {
        let path = |name: &str| folder.join(name).to_str().expect("it has a plain name").to_owned();
        let passwords = path("passwords");
        let made = Command::new("mosquitto_passwd").args(["-c", "-b", &passwords, "plant", "right"]).status();
        assert!(made.is_ok_and(|status| status.success()), "mosquitto_passwd makes a file");
        let user = Command::new("id").arg("-u").output().expect("every system has `id`");
        let owner = if user.stdout == b"0\n" { "user root\n" } else { "" };
        let settings = format!(
            "{owner}listener {port} 127.0.0.1\npassword_file {passwords}\npersistence true\npersistence_location {}/\n\
             autosave_on_changes true\nautosave_interval 50\nmax_queued_messages 0\n",
            folder.display()
        );
        let configuration = path("mosquitto.conf");
        std::fs::write(&configuration, settings).expect("there is room for a file");
        Self { configuration }
    }

    /// Lets it speak TLS alone, with a certificate and its key.
    ///
    /// # Panics
    ///
    /// If its configuration cannot be written.
    #[must_use]
    pub fn with_tls(self, [certificate, key]: &[String; 2]) -> Self {
        let settings = std::fs::read_to_string(&self.configuration).expect("it was written");
        let settings = format!("{settings}certfile {certificate}\nkeyfile {key}\n");
        std::fs::write(&self.configuration, settings).expect("there is room for a file");
        self
    }

    /// Starts it, and waits until it takes connections.
    ///
    /// # Panics
    ///
    /// If it does not.
    pub fn start(&self) -> Program {
        let program = Program::start("mosquitto", &["-c", &self.configuration]);
        program.wait_for(1, "running");
        program
    }
}
