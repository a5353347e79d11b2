//! A disk that is full for real: a file system of one mebibyte, in a mount namespace that ends with the test.
#![cfg(all(feature = "std", target_os = "linux"))]

use core::time::Duration;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use iot_core::Instant;
use iot_queue::{AppendError, FileStorage, Message, OpenError, Operation, Queue, QueueConfig, StorageError};

const CHILD: &str = "IOT_QUEUE_SMALL_DISK";
const MINUTE: Duration = Duration::from_secs(60);

/// A queue of segments of 128 KiB.
fn open(path: &Path, segments: u32) -> Result<Queue<FileStorage>, OpenError> {
    let config = QueueConfig::default().max_payload(1024).and_then(|config| config.segment_len(128 << 10));
    let config = config.and_then(|config| config.segments(segments)).expect("in range");
    Queue::open(FileStorage::create(path)?, config, *b"smalldsk")
}

fn payload(number: u64) -> Vec<u8> {
    let mut payload = number.to_le_bytes().to_vec();
    payload.resize(300, number as u8);
    payload
}

/// Appends until the queue is full. Gives the number of the next message.
fn fill(queue: &mut Queue<FileStorage>, mut next: u64) -> u64 {
    loop {
        match queue.append(&Message::new(&payload(next))) {
            Ok(_) => next += 1,
            Err(AppendError::Full { .. }) => return next,
            Err(other) => panic!("a full disk is no business of a queue that has its segments: {other}"),
        }
    }
}

/// Takes everything out, and finds exactly the messages from `first` up to `next`.
fn drain(queue: &mut Queue<FileStorage>, first: u64, next: u64) {
    let leased = queue.reserve(Instant::START, MINUTE, usize::MAX).expect("the disk works");
    let found: Vec<_> = leased.iter().map(|message| message.payload.clone()).collect();
    assert_eq!(found, (first..next).map(payload).collect::<Vec<_>>());
    leased.iter().for_each(|message| queue.ack(message.lease).expect("it is held"));
    queue.commit().expect("acknowledgements have their room");
}

/// Fills the file system to its last octet.
fn fill_disk(path: &Path) {
    let mut file = std::fs::File::create(path).expect("a name takes no room");
    let mut piece = 64 << 10;
    while piece > 0 {
        match file.write_all(&vec![0; piece]) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::StorageFull => piece /= 2,
            Err(other) => panic!("{other}"),
        }
    }
}

fn is_no_space(result: Result<Queue<FileStorage>, OpenError>) -> bool {
    let Err(OpenError::Storage(StorageError::NoSpace { operation: Operation::Allocate(_) })) = result else {
        return false;
    };
    true
}

fn meet_a_full_disk(disk: &Path) {
    // Twice what the disk has: that is met when the queue is made, and the room is there again without its files.
    let too_large = disk.join("too-large");
    assert!(is_no_space(open(&too_large, 16)));
    std::fs::remove_dir_all(&too_large).expect("it is ours");

    let path = disk.join("queue");
    let mut queue = open(&path, 4).expect("half of the disk");
    let half = 200;
    for number in 0..half {
        queue.append(&Message::new(&payload(number))).expect("there is room");
    }
    fill_disk(&disk.join("others"));

    // Its own room is its own: it fills up, is drained, and fills up again, over segments that are used again.
    let full = fill(&mut queue, half);
    assert!(full > half + 500, "{full} messages in 512 KiB");
    drain(&mut queue, 0, full);
    let next = fill(&mut queue, full);
    assert!(next > full + 700);
    drop(queue);

    // More segments do not fit, and trying costs nothing of what there is.
    assert!(is_no_space(open(&path, 6)));
    std::fs::remove_file(disk.join("others")).expect("it is ours");
    let mut queue = open(&path, 6).expect("there is room again");
    let last = fill(&mut queue, next);
    assert!(last > next + 500, "{next} {last}");
    drop(queue);
    drain(&mut open(&path, 6).expect("nothing is wrong"), full, last);
    println!("met");
}

#[test]
#[ignore = "mounts a file system, for which it needs user namespaces or an administrator"]
fn a_full_disk_is_met_at_the_start_and_loses_nothing() {
    if let Some(disk) = std::env::var_os(CHILD) {
        return meet_a_full_disk(Path::new(&disk));
    }
    let disk = tempfile::tempdir().expect("there is room for a directory");
    let program = std::env::current_exe().expect("the test runs from a file");
    let mut command = Command::new("unshare");
    let script = "mount -t tmpfs -o size=1m none \"$0\" && exec \"$@\"";
    command.args(["--map-root-user", "--mount", "sh", "-c", script]).arg(disk.path()).arg(program);
    command.args(["--exact", "a_full_disk_is_met_at_the_start_and_loses_nothing", "--include-ignored", "--nocapture"]);
    let output = command.env(CHILD, disk.path()).output().expect("unshare can be started");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("met\n"), "{said}{}", String::from_utf8_lossy(&output.stderr));
}
