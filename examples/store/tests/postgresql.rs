//! Into `PostgreSQL`, which is killed and started again in the middle, as both ends are.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use iot_trial::{Program, Trial, Validity, free_port};

const PROGRAM: &str = env!("CARGO_BIN_EXE_store");

/// A server that asks for a password, with everything that it writes in one folder.
struct Postgresql {
    programs: PathBuf,
    data: String,
    port: u16,
    settings: Vec<String>,
}

impl Postgresql {
    fn prepare(folder: &Path, port: u16) -> Self {
        let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
        // It refuses to be root, and looks for its data itself.
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::create_dir(path("data")).unwrap();
        if is_root() {
            assert!(Command::new("chown").args(["postgres", &path("data")]).status().unwrap().success());
        }
        let versions = std::fs::read_dir("/usr/lib/postgresql").expect("PostgreSQL is installed");
        let programs = versions.map(|version| version.unwrap().path().join("bin")).max().unwrap();
        let server = Self { programs, data: path("data"), port, settings: Vec::new() };
        let pwfile = format!("--pwfile={}", path("right"));
        let made = server.start("initdb", &["-D", &server.data, "-U", "plant", "-A", "scram-sha-256", &pwfile, "-N"]);
        assert!(made.wait().success());
        server
    }

    /// Has it show a certificate, and admit nobody without TLS.
    fn with_tls(mut self, [certificate, key]: &[String; 2]) -> Self {
        std::fs::write(format!("{}/pg_hba.conf", self.data), "hostssl all all 127.0.0.1/32 scram-sha-256\n").unwrap();
        // The key is to be its own, and nobody else's to read.
        std::fs::set_permissions(key, std::fs::Permissions::from_mode(0o600)).unwrap();
        if is_root() {
            assert!(Command::new("chown").args(["postgres", key]).status().unwrap().success());
        }
        for (name, value) in [("ssl", "on"), ("ssl_cert_file", certificate), ("ssl_key_file", key)] {
            self.settings.extend(["-c".into(), format!("{name}={value}")]);
        }
        self
    }

    fn run(&self) -> Program {
        let port = self.port.to_string();
        let settings = ["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="];
        let own: Vec<_> = self.settings.iter().map(String::as_str).collect();
        let server = self.start("postgres", &[&["-D", &self.data, "-p", &port], &settings[..], &own].concat());
        server.wait_for(1, "ready to accept connections");
        server
    }

    /// Starts a program of the server's, as a user that it accepts.
    fn start(&self, name: &str, arguments: &[&str]) -> Program {
        let program = self.programs.join(name);
        if !is_root() {
            return Program::start(program, arguments);
        }
        let user = ["--reuid=postgres", "--regid=postgres", "--clear-groups", program.to_str().unwrap()];
        Program::start("setpriv", &[&user[..], arguments].concat())
    }

    /// What a query finds in a database, a line a row.
    fn find(&self, database: &str, query: &str) -> String {
        let (port, mut psql) = (self.port.to_string(), Command::new("psql"));
        psql.args(["-h", "127.0.0.1", "-p", &port, "-U", "plant", "-At", "-F", ",", "-c", query, database]);
        String::from_utf8(psql.env("PGPASSWORD", "right").output().unwrap().stdout).unwrap()
    }
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().unwrap().stdout == b"0\n"
}

/// Sends readings on into a database whose address ends so, with options of the receiver, while everything is killed; gives
/// the server that runs then.
fn survives_kills_of_all_three(trial: &Trial, postgresql: &Postgresql, end: &str, options: &[&str]) -> Program {
    let path = |name: &str| trial.folder().join(name).to_str().unwrap().to_owned();
    let (database, lines) = (format!("127.0.0.1:{}/postgres{end}", postgresql.port), path("lines"));
    let (right, common) = (path("right"), ["--database", &database, "--user", "plant", "--influx", &lines]);
    let arguments = [&common[..], &["--password", &right], options].concat();

    let device = trial.endless_device(&["--rate", "500"]);
    device.wait_for(1, "is the receiver there?");
    let receiver = trial.receiver(&arguments);
    receiver.wait_for(1, "is PostgreSQL there?");
    receiver.wait_for(150, "accepted");
    assert_eq!(receiver.count("is PostgreSQL there?"), 1, "it is said once");
    let first = postgresql.run();
    // What is in the file is in the table.
    let end = Instant::now() + Duration::from_secs(300);
    while std::fs::metadata(&lines).map_or(0, |file| file.len()) == 0 {
        assert!(Instant::now() < end, "nothing was written; the receiver said\n{}", receiver.lines());
        std::thread::sleep(Duration::from_millis(20));
    }
    first.kill();
    receiver.wait_for(2, "the ledger keeps what was accepted meanwhile");
    // The server's own processes see a moment later that it is gone.
    std::thread::sleep(Duration::from_secs(1));
    let second = postgresql.run();
    trial.goes_through_kills(device, receiver, [&[], &arguments]);

    let rows = "SELECT extract(epoch FROM time)::bigint, value FROM readings ORDER BY sequence, place";
    let rows = postgresql.find("postgres", rows);
    trial.verify(&rows);
    // A point that stands there twice is one to InfluxDB.
    let points: BTreeSet<_> = std::fs::read_to_string(&lines).unwrap().lines().map(str::to_owned).collect();
    assert_eq!(points.len(), rows.lines().count());
    second
}

/// Starts the receiver with a database that it does not get into, and hears why.
fn is_refused(trial: &Trial, database: &str, password: &str, more: &[&str], words: &str) {
    let arguments = ["--database", database, "--user", "plant", "--password", password];
    trial.is_refused("receiver", &[&arguments[..], more].concat(), words);
}

#[test]
#[ignore = "needs postgresql"]
fn nothing_is_missing_or_twice_after_kills_of_all_three() {
    let trial = Trial::new(PROGRAM, format!("127.0.0.1:{}", free_port()), 4_500);
    let [right, wrong] = trial.passwords();
    let postgresql = Postgresql::prepare(trial.folder(), free_port());
    let _running = survives_kills_of_all_three(&trial, &postgresql, "", &[]);

    postgresql.find("postgres", "CREATE DATABASE garden");
    postgresql.find("garden", "CREATE TABLE readings (rose text)");
    let [known, absent, garden, tls] = ["postgres", "absent", "garden", "postgres?sslmode=verify-full"]
        .map(|name| format!("127.0.0.1:{}/{name}", postgresql.port));
    is_refused(&trial, &known, &wrong, &[], "wrong --user or --password");
    is_refused(&trial, &absent, &right, &[], "database \"absent\" does not exist: `createdb` makes it");
    let words = "may the user make the table `readings` there, or is there another?";
    is_refused(&trial, &garden, &right, &[], words);
    let (_, [ca, _]) = trial.authorities();
    is_refused(&trial, &tls, &right, &["--ca", &ca], "server does not support TLS: leave sslmode out");
}

#[test]
#[ignore = "needs postgresql"]
fn nothing_is_missing_or_twice_over_tls_and_no_server_is_trusted_without_reason() {
    let trial = Trial::new(PROGRAM, format!("127.0.0.1:{}", free_port()), 4_500);
    let ([right, _], (plant, [ca, other])) = (trial.passwords(), trial.authorities());
    let shown = plant.issue("server", &["127.0.0.1"], Validity::Now);
    let postgresql = Postgresql::prepare(trial.folder(), free_port()).with_tls(&shown);
    let verify = "?sslmode=verify-full";
    let _running = survives_kills_of_all_three(&trial, &postgresql, verify, &["--ca", &ca]);

    let [here, localhost] = ["127.0.0.1", "localhost"].map(|host| format!("{host}:{}/postgres", postgresql.port));
    let [secure, odd] = [&here, &localhost].map(|database| format!("{database}{verify}"));
    is_refused(&trial, &secure, &right, &["--ca", &other], "is of a CA that is not trusted here");
    is_refused(&trial, &odd, &right, &["--ca", &ca], "is for 127.0.0.1, and not for localhost");
    is_refused(&trial, &here, &right, &[], "or it wants NAME?sslmode=verify-full");
}

#[test]
fn a_receiver_without_a_database_says_so() {
    let trial = Trial::new(PROGRAM, format!("127.0.0.1:{}", free_port()), 10);
    let receiver = trial.receiver(&[]);
    receiver.wait_for(1, "neither --database nor --influx");
    assert_eq!(receiver.wait().code(), Some(1));
}

/// The receiver writes twice a second, and once more when it ends.
#[test]
fn what_was_accepted_last_is_written_before_a_receiver_that_is_told_to_end_does() {
    let trial = Trial::new(PROGRAM, format!("127.0.0.1:{}", free_port()), 60);
    let lines = trial.folder().join("lines");
    let receiver = trial.receiver(&["--influx", lines.to_str().unwrap()]);
    assert!(trial.device(&["--rate", "0"]).wait().success());
    assert!(receiver.terminate().success());
    let points = std::fs::read_to_string(&lines).unwrap();
    let value_and_time = |line: &str| {
        let [_, fields, time]: [&str; 3] = line.split(' ').collect::<Vec<_>>().try_into().unwrap();
        let value = fields.split(',').find_map(|field| field.strip_prefix("value=")).unwrap();
        format!("{},{value}\n", time.strip_suffix("000000000").unwrap())
    };
    assert_eq!(points.lines().map(value_and_time).collect::<String>(), trial.readings());
}
