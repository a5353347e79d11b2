//! Queues in real files: other processes, other owners, and kill -9.
#![cfg(all(feature = "std", any(unix, windows)))]

use core::time::Duration;
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
#[cfg(unix)]
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use iot_core::Instant;
use iot_queue::{
    Durability, Entry, FileStorage, Message, Offset, Operation, Queue, QueueConfig, SegmentNumber, Storage,
    StorageError, Syncer,
};

const CHILD: &str = "IOT_QUEUE_TEST_CHILD";
const MINUTE: Duration = Duration::from_secs(60);

fn config() -> QueueConfig {
    let config = QueueConfig::default().max_payload(256).and_then(|config| config.segment_len(16 * 1024));
    config.and_then(|config| config.segments(6)).expect("in range").durability(Durability::Manual)
}

fn open(path: &Path) -> Queue<FileStorage> {
    let storage = FileStorage::open(path).expect("the directory is there and free");
    Queue::open(storage, config(), *b"realfile").expect("nothing is wrong with the files")
}

fn payload(number: u64) -> Vec<u8> {
    let mut payload = number.to_le_bytes().to_vec();
    payload.resize(40 + (number % 50) as usize, number as u8);
    payload
}

/// Runs the test of this name in a process of its own, where it takes the child's part.
fn spawn(test: &str, path: &Path) -> (Child, BufReader<ChildStdout>) {
    let program = std::env::current_exe().expect("the test runs from a file");
    let mut command = Command::new(program);
    command.args(["--exact", test, "--nocapture"]).env(CHILD, path);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("a test can be started");
    let output = BufReader::new(child.stdout.take().expect("it was asked for"));
    (child, output)
}

/// Where to take the child's part, in a process that was started for that.
fn child_path() -> Option<std::path::PathBuf> {
    std::env::var_os(CHILD).map(Into::into)
}

fn say(line: core::fmt::Arguments<'_>) {
    // One write a line, past the harness's own buffer: a line that was read was written whole.
    let mut out = std::io::stdout().lock();
    out.write_all(format!("\n@{line}\n").as_bytes()).and_then(|()| out.flush()).expect("the parent listens");
}

fn append_and_acknowledge_until_killed(path: &Path) {
    let mut queue = open(path);
    say(format_args!("opened {}", queue.next_offset()));
    loop {
        for _ in 0..3 {
            let number = queue.next_offset().number();
            match queue.append(&Message::new(&payload(number))) {
                Ok(offset) => say(format_args!("appended {offset}")),
                Err(error) => assert!(matches!(error, iot_queue::AppendError::Full { .. }), "{error}"),
            }
        }
        for leased in queue.reserve(Instant::START, MINUTE, 3).expect("the disk works") {
            assert_eq!(leased.payload, payload(leased.offset.number()));
            queue.ack(leased.lease).expect("it is held");
            say(format_args!("acking {}", leased.offset));
        }
        let durable = queue.commit().expect("the disk works");
        say(format_args!("committed {durable}"));
    }
}

/// What was said is held to what a new process finds: everything that an append returned for, unless acknowledged, and
/// nothing whose acknowledgement was committed.
#[test]
fn nothing_appended_is_lost_when_the_process_is_killed_thirty_times() {
    if let Some(path) = child_path() {
        return append_and_acknowledge_until_killed(&path);
    }
    let directory = tempfile::tempdir().expect("there is room for a directory");
    let (mut appended, mut acking, mut acked) = (0, BTreeSet::new(), BTreeSet::new());
    let mut seed = 1_u64;
    for round in 0..30 {
        let (mut child, output) =
            spawn("nothing_appended_is_lost_when_the_process_is_killed_thirty_times", directory.path());
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let mut left = 20 + (seed >> 33) % 150;
        let mut killed = false;
        // What the child said before it died is read to the end.
        for line in output.lines() {
            let line = line.expect("the pipe works");
            let Some((what, number)) = line.strip_prefix('@').and_then(|line| line.split_once(' ')) else { continue };
            let number: u64 = number.parse().expect("children say numbers");
            match what {
                "appended" => appended = appended.max(number + 1),
                "acking" => drop(acking.insert(number)),
                "committed" => acked.append(&mut acking),
                _ => {}
            }
            left = left.saturating_sub(1);
            if left == 0 && !killed {
                child.kill().expect("it runs until it is killed");
                killed = true;
            }
        }
        assert!(killed, "round {round}: the child ended by itself");
        child.wait().expect("it was started here");

        let mut queue = open(directory.path());
        assert!(queue.next_offset().number() >= appended, "round {round}: {} of {appended}", queue.next_offset());
        appended = queue.next_offset().number();
        let mut found = BTreeSet::new();
        for leased in queue.reserve(Instant::START, MINUTE, usize::MAX).expect("the disk works") {
            let number = leased.offset.number();
            assert_eq!(leased.payload, payload(number), "round {round}");
            assert!(!acked.contains(&number), "round {round}: message {number} came back");
            found.insert(number);
        }
        // An acknowledgement that was under way may have lasted.
        for number in 0..appended {
            let excused = acked.contains(&number) || acking.contains(&number);
            assert!(excused || found.contains(&number), "round {round}: message {number} is lost");
        }
        acked.extend(acking.iter().filter(|number| !found.contains(number)));
        acking.clear();
        assert_eq!(queue.stats().quarantined, 0, "round {round}");
    }
    assert!(appended > 300 && acked.len() > 300, "{appended} appended, {} acknowledged", acked.len());
}

fn hold_the_queue_until_killed(path: &Path) {
    let queue = open(path);
    say(format_args!("opened {}", queue.next_offset()));
    std::io::stdin().read_line(&mut String::new()).expect("the parent holds the other end");
}

#[test]
fn one_process_at_a_time_and_a_dead_one_does_not_count() {
    if let Some(path) = child_path() {
        return hold_the_queue_until_killed(&path);
    }
    let directory = tempfile::tempdir().expect("there is room for a directory");
    let (mut child, output) = spawn("one_process_at_a_time_and_a_dead_one_does_not_count", directory.path());
    let opened = output.lines().any(|line| line.is_ok_and(|line| line.starts_with("@opened")));
    assert!(opened);
    assert_eq!(FileStorage::open(directory.path()).err(), Some(StorageError::Locked));
    child.kill().expect("it waits");
    child.wait().expect("it was started here");
    let queue = open(directory.path());
    assert_eq!(FileStorage::open(directory.path()).err(), Some(StorageError::Locked), "nor one handle beside another");
    drop(queue);
    open(directory.path());
}

#[test]
fn says_what_is_wrong_with_the_directory() {
    let directory = tempfile::tempdir().expect("there is room for a directory");
    let missing = directory.path().join("missing");
    assert_eq!(FileStorage::open(&missing).err(), Some(StorageError::MissingDirectory));
    assert_eq!(FileStorage::create(missing.join("deeper")).err(), Some(StorageError::MissingDirectory));
    let file = directory.path().join("file");
    std::fs::write(&file, b"").expect("there is room for a file");
    assert_eq!(FileStorage::open(&file).err(), Some(StorageError::NotADirectory));
    assert!(FileStorage::create(&missing).is_ok());
}

#[cfg(unix)]
#[test]
fn says_that_a_directory_is_read_only() {
    use iot_queue::OpenError;

    let directory = tempfile::tempdir().expect("there is room for a directory");
    std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o555)).expect("it is ours");
    // Permissions do not bind an administrator; a kernel's own file system does.
    let administrator = std::fs::write(directory.path().join("probe"), b"").is_ok();
    let path = if administrator { Path::new("/sys") } else { directory.path() };
    let storage = FileStorage::open(path).expect("reading is allowed");
    let error = Queue::open(storage, config(), [1; 8]).expect_err("files cannot be made");
    assert!(matches!(error, OpenError::Storage(StorageError::Denied { .. })), "{error:?}");
}

/// One file of a copied queue kept the rights of the medium that it came from.
#[test]
fn says_which_file_is_read_only() {
    let directory = tempfile::tempdir().expect("there is room for a directory");
    drop(open(directory.path()));
    let path = directory.path().join("00000002.segment");
    let mut permissions = std::fs::metadata(&path).expect("it is there").permissions();
    permissions.set_readonly(true);
    std::fs::set_permissions(&path, permissions.clone()).expect("it is ours");
    // Permissions do not bind an administrator; a file of the kernel's that cannot be written does.
    #[cfg(target_os = "linux")]
    if std::fs::OpenOptions::new().write(true).open(&path).is_ok() {
        std::fs::remove_file(&path).expect("it is ours");
        std::os::unix::fs::symlink("/sys/kernel/uevent_seqnum", &path).expect("there is room for a link");
    }
    let operation = Operation::Open(SegmentNumber::new(2));
    assert_eq!(FileStorage::open(directory.path()).err(), Some(StorageError::Denied { operation }));
    assert_eq!(FileStorage::open(directory.path()).err(), Some(StorageError::Denied { operation }), "nor is it locked");
}

#[test]
fn allocates_every_segment_at_once_and_passes_over_other_files() {
    let directory = tempfile::tempdir().expect("there is room for a directory");
    std::fs::write(directory.path().join("notes.txt"), b"mine").expect("there is room for a file");
    let mut queue = open(directory.path());
    queue.append(&Message::new(b"a")).expect("there is room");
    let extents = queue.into_storage().list().expect("the disk works");
    assert_eq!(extents.len(), 6);
    assert!(extents.iter().all(|extent| extent.len == 16 * 1024));
    assert_eq!(std::fs::read(directory.path().join("notes.txt")).ok().as_deref(), Some(&b"mine"[..]));
}

/// A crash in the middle of allocation leaves a short file behind; a later opening completes it.
#[test]
fn completes_a_file_that_is_too_short() {
    let directory = tempfile::tempdir().expect("there is room for a directory");
    drop(open(directory.path()));
    let shortened = directory.path().join("00000003.segment");
    std::fs::OpenOptions::new().write(true).open(&shortened).and_then(|file| file.set_len(100)).expect("it is ours");
    let mut queue = open(directory.path());
    for number in 0..300 {
        queue.append(&Message::new(&payload(number))).expect("there is room");
    }
    assert_eq!(std::fs::metadata(&shortened).expect("it is there").len(), 16 * 1024);
    drop(queue);
    let queue = open(directory.path());
    let all: Vec<_> = queue.entries_from(Offset::START).map(|entry| entry.expect("the disk works")).collect();
    assert_eq!(all.len(), 300);
    assert!(all.iter().all(|entry| matches!(entry, Entry::Message(_))));
    assert!(queue.into_storage().read_at(SegmentNumber::new(77), 0, &mut [0]).is_err());
}

/// What the kernel's own command says of the directory, and what the storage says.
#[cfg(target_os = "linux")]
#[test]
fn warns_of_a_file_system_in_memory() {
    use iot_queue::FileSystemWarning;

    let Ok(directory) = tempfile::tempdir_in("/dev/shm") else { return };
    let output = Command::new("stat").args(["--file-system", "--format", "%T"]).arg(directory.path()).output();
    let Some(name) = output.ok().and_then(|output| String::from_utf8(output.stdout).ok()) else { return };
    let storage = FileStorage::open(directory.path()).expect("the directory is there and free");
    assert_eq!(storage.warning(), (name.trim() == "tmpfs").then_some(FileSystemWarning::InMemory), "{name}");
}

#[test]
fn a_syncer_works_while_the_storage_is_in_use_and_after_it_is_gone() {
    let directory = tempfile::tempdir().expect("there is room for a directory");
    let mut storage = open(directory.path()).into_storage();
    let syncer = storage.syncer(SegmentNumber::new(0)).expect("the disk works").expect("files have one");
    let other = std::thread::spawn({
        let syncer = syncer.clone();
        move || (0..20).try_for_each(|_| syncer.sync())
    });
    for position in 0..20 {
        storage.write_at(SegmentNumber::new(0), 2048 + position, b"x").expect("the disk works");
    }
    assert_eq!(other.join().expect("it does not panic"), Ok(()));
    drop(storage);
    assert_eq!(syncer.sync(), Ok(()));
    let mut storage = FileStorage::open(directory.path()).expect("it holds no lock");
    assert!(storage.syncer(SegmentNumber::new(77)).is_err());
}
