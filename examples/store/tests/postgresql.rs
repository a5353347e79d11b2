//! Into `PostgreSQL`, which is killed and started again in the middle, as both ends are.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use iot_trial::{Program, Trial, free_port};

const PROGRAM: &str = env!("CARGO_BIN_EXE_store");

/// A server that asks for a password, with everything that it writes in one folder.
struct Postgresql {
    programs: PathBuf,
    data: String,
    port: u16,
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
        let server = Self { programs, data: path("data"), port };
        let pwfile = format!("--pwfile={}", path("right"));
        let made = server.start("initdb", &["-D", &server.data, "-U", "plant", "-A", "scram-sha-256", &pwfile, "-N"]);
        assert!(made.wait().success());
        server
    }

    fn run(&self) -> Program {
        let port = self.port.to_string();
        let settings = ["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="];
        let server = self.start("postgres", &[&["-D", &self.data, "-p", &port], &settings[..]].concat());
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

#[test]
#[ignore = "needs postgresql"]
fn nothing_is_missing_or_twice_after_kills_of_all_three() {
    let port = free_port();
    let trial = Trial::new(PROGRAM, format!("127.0.0.1:{}", free_port()), 4_500);
    let path = |name: &str| trial.folder().join(name).to_str().unwrap().to_owned();
    let ([right, wrong], lines) = (trial.passwords(), path("lines"));
    let postgresql = Postgresql::prepare(trial.folder(), port);
    let database = format!("127.0.0.1:{port}/postgres");
    let common = ["--database", &database, "--user", "plant", "--influx", &lines, "--password"];
    let arguments = [&common[..], &[&right]].concat();

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

    postgresql.find("postgres", "CREATE DATABASE garden");
    postgresql.find("garden", "CREATE TABLE readings (rose text)");
    let [absent, garden] = ["absent", "garden"].map(|name| format!("127.0.0.1:{port}/{name}"));
    let common = ["--user", "plant", "--password"];
    for (database, password, words) in [
        (&database, &wrong, "wrong --user or --password"),
        (&absent, &right, "database \"absent\" does not exist: `createdb` makes it"),
        (&garden, &right, "may the user make the table `readings` there, or is there another?"),
    ] {
        let stranger = trial.receiver(&[&["--database", database], &common[..], &[password]].concat());
        stranger.wait_for(1, words);
        assert_eq!(stranger.wait().code(), Some(1));
    }
    drop(second);
}

#[test]
fn a_receiver_without_a_database_says_so() {
    let trial = Trial::new(PROGRAM, format!("127.0.0.1:{}", free_port()), 10);
    let receiver = trial.receiver(&[]);
    receiver.wait_for(1, "neither --database nor --influx");
    assert_eq!(receiver.wait().code(), Some(1));
}
