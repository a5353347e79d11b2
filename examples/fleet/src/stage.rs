//! What must be there before the story can begin. Everything that a person can get wrong is found here.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use crate::input::Input;
use crate::network::Sockets;
use crate::options::Options;

/// The sockets, the input and the folder of a run.
pub struct Stage {
    /// What a person asked for.
    pub options: Options,
    /// What the devices will read.
    pub input: Input,
    /// For all nodes that are there at the beginning.
    pub sockets: Sockets,
    /// Where devices will find the gateway.
    pub gateway: SocketAddr,
    /// Keeps that port until the gateway starts.
    pub place: Option<TcpListener>,
    /// Where the run leaves its page.
    pub folder: PathBuf,
    /// Held until the run ends, so that two runs do not share a folder.
    _lock: File,
}

/// How many nodes lie.
pub const LIARS: usize = 12;

/// Readings of one run at the most: what is published lives for about nine minutes of the machine.
const MAX_READINGS: usize = 100_000;

/// The gateway's port is one of these, which operating systems do not give out by themselves: while the gateway is
/// dead, nobody else takes it.
const GATEWAY_PORTS: std::ops::Range<u16> = 20_000..30_000;

impl Stage {
    /// Checks everything that a person can get wrong.
    ///
    /// # Errors
    ///
    /// What is wrong, in words.
    pub fn set(options: Options) -> Result<Self, String> {
        let input = match &options.input {
            Some(path) => Input::from_path(path).map_err(|error| format!("{}: {error}", path.display()))?,
            None => Input::from_reader(&include_bytes!("../data/surfrad-alamosa-2016-01-01.csv")[..])
                .map_err(|error| error.to_string())?,
        };
        let readings: usize = (0..options.devices).map(|index| input.channel(index).readings.len()).sum();
        if readings > MAX_READINGS {
            return Err(format!("{readings} readings of {} devices are more than {MAX_READINGS}", options.devices));
        }
        let sockets = Sockets::bind(options.port, options.nodes + LIARS)?;
        let place = gateway_place(&options)?;
        let gateway = place.local_addr().map_err(|error| error.to_string())?;
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
        let folder = target.join("fleet");
        let lock = prepare(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        Ok(Self { options, input, sockets, gateway, place: Some(place), folder, _lock: lock })
    }

    /// Where the page with the plots goes.
    pub fn page(&self) -> PathBuf {
        self.folder.join("report.html")
    }

    /// Where the processes keep what they need.
    pub fn processes(&self) -> PathBuf {
        self.folder.join("processes")
    }
}

/// A port that is free. Runs at the same time begin to look at different ones.
fn gateway_place(options: &Options) -> Result<TcpListener, String> {
    let count = u32::from(GATEWAY_PORTS.end - GATEWAY_PORTS.start);
    let first = std::process::id();
    let any = (0..count).map(|step| GATEWAY_PORTS.start + (first.wrapping_add(step) % count) as u16);
    let candidates: Vec<u16> = options.port.map_or_else(|| any.collect(), |port| vec![port]);
    let mut refused = String::new();
    for port in candidates {
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            Ok(listener) => return Ok(listener),
            Err(error) => refused = format!("port {port} on 127.0.0.1 cannot be had: {error}"),
        }
    }
    Err(refused)
}

/// Makes the folder for this run, without what an earlier run left.
fn prepare(folder: &Path) -> std::io::Result<File> {
    std::fs::create_dir_all(folder)?;
    let lock = File::create(folder.join("lock"))?;
    lock.try_lock().map_err(|_| std::io::Error::other("another run is under way in this folder"))?;
    let processes = folder.join("processes");
    if processes.exists() {
        std::fs::remove_dir_all(&processes)?;
    }
    create_private(&processes)?;
    Ok(lock)
}

/// A folder that only its owner can read: it will hold secrets.
fn create_private(folder: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}
