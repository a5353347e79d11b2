//! A server of our own, on a free loopback port.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use async_nats::jetstream::stream::Stream;
use async_nats::{Client, ConnectOptions, jetstream};

pub struct Server {
    child: Child,
    folder: tempfile::TempDir,
    port: u16,
}

impl Server {
    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = run(port, folder.path().join("store"));
        Self { child, folder, port }
    }

    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Kills the server with signal 9 and starts it again on what it has stored.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.child = run(self.port, self.folder.path().join("store"));
    }

    pub async fn client(&self) -> Client {
        connect(&self.url()).await
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A client that comes again at once whenever the server does.
pub async fn connect(url: &str) -> Client {
    let options = ConnectOptions::new().retry_on_initial_connect().max_reconnects(None);
    let options = options.reconnect_delay_callback(|_| Duration::from_millis(20));
    let client = options.connect(url).await.unwrap();
    while client.connection_state() != async_nats::connection::State::Connected {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    client
}

/// A stream with a window for duplicates of one second, which everything here outlasts.
pub async fn make_stream(client: &Client, name: &str, prefix: &str) -> Stream {
    let config = jetstream::stream::Config {
        name: name.into(),
        subjects: vec![format!("{prefix}.>")],
        duplicate_window: Duration::from_secs(1),
        ..Default::default()
    };
    jetstream::new(client.clone()).create_stream(config).await.unwrap()
}

fn run(port: u16, store: PathBuf) -> Child {
    let start = |program: &str| {
        let mut command = Command::new(program);
        command.args(["-a", "127.0.0.1", "-js", "-p", &port.to_string(), "-sd"]).arg(&store);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()
    };
    // Debian keeps it where only administrators look.
    start("nats-server").or_else(|_| start("/usr/sbin/nats-server")).expect("nats-server is installed")
}
