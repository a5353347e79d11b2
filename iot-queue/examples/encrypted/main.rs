//! A queue in a directory whose payloads are encrypted at rest. Another key does not open it, and loses nothing.
//!
//! ```text
//! cargo run -p iot-queue --example encrypted
//! ```

mod cipher;

use std::error::Error;

use cipher::XChaChaPayloads;
use iot_core::Instant;
use iot_queue::{FileStorage, Message, OpenError, Queue, QueueConfig};

fn main() -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let config = QueueConfig::default().segment_len(256 << 10)?.segments(4)?;
    // A device draws these from its generator, anew for each opening, and keeps the key where the medium is not.
    let (key, other_key) = ([7; 32], [8; 32]);
    let open = |key, random: u8| {
        let cipher = Box::new(XChaChaPayloads::new(&key, [random; 16]));
        Queue::open_encrypted(FileStorage::create(directory.path())?, config, [random; 8], cipher)
    };

    let mut queue = open(key, 1)?;
    queue.append(&Message::new(b"21.5 C"))?;
    drop(queue);

    match open(other_key, 2) {
        Err(OpenError::WrongKey { offset }) => println!("message {offset} is encrypted under another key"),
        opened => return Err(format!("another key opened the queue: {:?}", opened.map(drop)).into()),
    }

    // Whoever changes the key keeps the former as long as messages are left from its time.
    let cipher = XChaChaPayloads::new(&other_key, [3; 16]).and_opening(&key);
    let storage = FileStorage::create(directory.path())?;
    let mut queue = Queue::open_encrypted(storage, config, [3; 8], Box::new(cipher))?;
    for stored in queue.peek(Instant::START, 10)? {
        println!("{}", String::from_utf8_lossy(&stored.payload));
    }
    Ok(())
}
