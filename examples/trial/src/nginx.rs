//! nginx as a reverse proxy.

use std::path::Path;

use crate::{Program, Trial};

/// A configuration of nginx, with everything that it writes in one folder.
pub struct Nginx {
    configuration: String,
}

impl Nginx {
    /// Writes a configuration for a server on `port` of the loopback interface, which holds `settings`.
    ///
    /// # Panics
    ///
    /// If it cannot be written.
    pub fn configure(folder: &Path, port: u16, settings: &str) -> Self {
        let path = |name: &str| folder.join(name).to_str().expect("it has a plain name").to_owned();
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("{kind}_temp_path {};\n", path(kind)))
            .concat();
        let text = format!(
            "daemon off;\nmaster_process off;\npid {};\nerror_log stderr notice;\nevents {{}}\nhttp {{\naccess_log off;\n\
             {temporary}server {{\nlisten 127.0.0.1:{port};\n{settings}\n}}\n}}\n",
            path("nginx.pid"),
        );
        let configuration = path("nginx.conf");
        std::fs::write(&configuration, text).expect("there is room for a file");
        Self { configuration }
    }

    /// Lets it speak TLS alone, with a certificate and its key.
    ///
    /// # Panics
    ///
    /// If its configuration cannot be written.
    #[must_use]
    pub fn with_tls(self, [certificate, key]: &[String; 2]) -> Self {
        let text = std::fs::read_to_string(&self.configuration).expect("it was written");
        let settings = format!(" ssl;\nssl_certificate {certificate};\nssl_certificate_key {key};\n");
        let (before, after) = text.split_once("listen ").expect("it listens");
        let text = format!("{before}listen {}", after.replacen(";\n", &settings, 1));
        std::fs::write(&self.configuration, text).expect("there is room for a file");
        self
    }

    /// Starts it.
    ///
    /// # Panics
    ///
    /// If it does not start.
    pub fn start(&self) -> Program {
        let nginx = Program::start("nginx", &["-e", "stderr", "-c", &self.configuration]);
        nginx.wait_for(1, "notice");
        nginx
    }

    /// Kills it, where it stands between the ends of a trial, as well as both ends, and starts each again. `device` is
    /// for the device alone: where the proxy is.
    ///
    /// # Panics
    ///
    /// If something is lost.
    pub fn survives_kills(&self, trial: &Trial, device: &[&str]) {
        let arguments = device;
        let device = trial.endless_device(&[arguments, &["--rate", "500"]].concat());
        device.wait_for(1, "is the receiver there?");
        let first = self.start();
        device.wait_for(1, "502");
        let receiver = trial.receiver(&[]);
        receiver.wait_for(30, "accepted");
        first.kill();
        device.wait_for(1, "the link ended");
        let _second = self.start();
        trial.survives_kills(device, receiver, [arguments, &[]]);
    }
}
