//! Writes the seeds of the targets that take whole true messages, which nobody could write by hand.
//!
//! ```sh
//! cargo run --release --manifest-path fuzz/Cargo.toml --example seeds [FOLDER]
//! ```
//!
//! Into `fuzz/seeds` by default. Keys and random numbers follow from fixed seeds, so each run writes the same octets.

use std::{env, fs, io, path::PathBuf};

use iot_fuzz::{envelopes, groups, neighbour, streams, structures};

fn main() -> io::Result<()> {
    let folder =
        env::args_os().nth(1).map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("seeds"), PathBuf::from);
    for (target, seeds) in [
        ("cose_messages", structures::seeds()),
        ("stream", streams::seeds()),
        ("group", groups::seeds()),
        ("open", envelopes::seeds()),
        ("dht_wire", neighbour::datagrams()),
        ("dht_record", neighbour::values()),
        ("dht_node", neighbour::stories()),
    ] {
        fs::create_dir_all(folder.join(target))?;
        for (name, octets) in seeds {
            fs::write(folder.join(target).join(name), octets)?;
        }
    }
    Ok(())
}
