//! `iot queue` on directories, from outside.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio};

use iot_queue::{FileStorage, Message, Queue, QueueConfig, WhenFull};

const IOT: &str = env!("CARGO_BIN_EXE_iot");

struct Folder {
    _root: tempfile::TempDir,
    queue: PathBuf,
}

impl Folder {
    /// A queue of `segments` segments of 4 KiB.
    fn create(segments: u32) -> Self {
        let root = tempfile::tempdir().unwrap();
        let queue = root.path().join("queue");
        let folder = Self { _root: root, queue };
        let segments = segments.to_string();
        printed(&folder.run(&["create"], &["--segment-len", "4096", "--segments", &segments], b""));
        folder
    }

    fn run(&self, command: &[&str], arguments: &[&str], input: &[u8]) -> Output {
        let mut iot = Command::new(IOT);
        iot.arg("queue").args(command).arg(&self.queue).args(arguments);
        let mut child = iot.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // A command that refuses its arguments does not read.
        let _ = child.stdin.take().unwrap().write_all(input);
        child.wait_with_output().unwrap()
    }

    fn segment(&self, number: u32) -> PathBuf {
        self.queue.join(format!("{number:08}.segment"))
    }

    /// All files of the queue, one behind the other.
    fn octets(&self) -> Vec<u8> {
        let mut files: Vec<_> = std::fs::read_dir(&self.queue).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files.iter().flat_map(|file| std::fs::read(file).unwrap()).collect()
    }
}

/// A process that holds leases, until it is told otherwise.
struct Holder {
    child: Child,
    input: ChildStdin,
    said: Lines<BufReader<ChildStdout>>,
    leases: Vec<String>,
}

impl Holder {
    fn start(folder: &Folder, leases: usize) -> Self {
        let mut iot = Command::new(IOT);
        iot.args(["queue", "reserve", "--max", &leases.to_string(), "--hold", "3600"]).arg(&folder.queue);
        let mut child = iot.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
        let lease = |line: String| line.split('\t').next().unwrap().to_owned();
        let leases = said.by_ref().take(leases).map(|line| lease(line.unwrap())).collect();
        Self { input: child.stdin.take().unwrap(), child, said, leases }
    }

    fn ask(&mut self, line: &str) -> String {
        writeln!(self.input, "{line}").unwrap();
        self.said.next().unwrap().unwrap()
    }

    fn end(mut self) {
        drop(self.input);
        assert!(self.child.wait().unwrap().success());
    }
}

fn printed(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn complaint(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn lines(count: u32) -> Vec<u8> {
    (0..count).flat_map(|number| format!("reading {number}\n").into_bytes()).collect()
}

fn find(octets: &[u8], wanted: &[u8]) -> usize {
    octets.windows(wanted.len()).position(|window| window == wanted).unwrap()
}

#[test]
fn lines_and_records_come_out_as_they_went_in() {
    let folder = Folder::create(2);
    let records = [b"\0\0\0\x05a\nb\xffc".as_slice(), b"\0\0\0\0", b"\0\0\0\x01x"].concat();
    assert_eq!(printed(&folder.run(&["append"], &["--frames"], &records)), "3 messages, up to 3\n");
    assert_eq!(folder.run(&["dump", "--frames"], &[], b"").stdout, records);
    assert_eq!(printed(&folder.run(&["append"], &["-"], b"one\n\ntwo")), "3 messages, up to 6\n");
    let dump = "0\t-\ta\\nb\\xffc\n1\t-\t\n2\t-\tx\n3\t-\tone\n4\t-\t\n5\t-\ttwo\n";
    assert_eq!(printed(&folder.run(&["dump"], &[], b"")), dump);
    let cut_off = folder.run(&["append"], &["--frames"], b"\0\0\0\x01y\0\0\0\x09half");
    assert!(complaint(&cut_off).contains("cut off; 1 messages before that are appended and durable"));
    let json = printed(&folder.run(&["stat"], &["--json"], b""));
    assert!(json.starts_with("{\"oldest_offset\": 0, \"next_offset\": 7, \"depth\": 7, "), "{json}");
    assert!(json.ends_with("}\n") && json.contains("\"segments\": 2, \"oldest_age_seconds\": "), "{json}");
    assert_eq!(printed(&folder.run(&["verify"], &[], b"")), "7 messages are whole\n");
}

/// A lease ends with the process that held it: what was not acknowledged comes again, with one attempt more.
#[test]
fn messages_are_acknowledged_by_their_place_from_another_process() {
    let folder = Folder::create(2);
    printed(&folder.run(&["append"], &[], &lines(3)));
    let first = printed(&folder.run(&["reserve"], &["--max", "2"], b""));
    let leases: Vec<&str> = first.lines().map(|line| line.split('\t').next().unwrap()).collect();
    assert!(first.lines().all(|line| line.contains("\t1\t-\treading ")), "{first}");
    printed(&folder.run(&["ack"], &[leases[1]], b""));
    let again = printed(&folder.run(&["reserve"], &["--max", "9"], b""));
    assert!(again.lines().next().unwrap().ends_with("\t2\t-\treading 0"), "{again}");
    assert!(again.lines().nth(1).unwrap().ends_with("\t1\t-\treading 2"), "{again}");
    printed(&folder.run(&["ack"], &["0", "2"], b""));
    assert_eq!(printed(&folder.run(&["reserve"], &[], b"")), "");
    assert!(complaint(&folder.run(&["ack"], &["2"], b"")).contains(": 2 could not be acknowledged"));
}

#[test]
fn dead_letters_are_listed_and_tried_again() {
    let folder = Folder::create(2);
    printed(&folder.run(&["append"], &[], &lines(3)));
    let mut holder = Holder::start(&folder, 3);
    let leases = holder.leases.clone();
    let [first, _, third] = &leases[..] else { panic!("{leases:?}") };
    let rejects = [format!("reject {first} it says\tnothing"), format!("reject {third} no")];
    assert_eq!(rejects.map(|line| holder.ask(&line)), [format!("dead {first}"), format!("dead {third}")]);
    holder.end();

    let before = folder.octets();
    let listed = printed(&folder.run(&["dead"], &[], b""));
    assert_eq!(listed, "0\t1\tit says\\tnothing\treading 0\n2\t1\tno\treading 2\n");
    assert_eq!(folder.run(&["dead", "--frames"], &[], b"").stdout, b"\0\0\0\x09reading 0\0\0\0\x09reading 2");
    assert_eq!(folder.octets(), before, "looking changes nothing");
    let refused = folder.run(&["redrive"], &["1", "2"], b"");
    assert!(complaint(&refused).contains("message 1 is no dead letter"));
    assert_eq!(refused.stdout, b"1 messages are tried again\n");
    assert_eq!(printed(&folder.run(&["dead"], &[], b"")), "0\t1\tit says\\tnothing\treading 0\n");
    assert_eq!(printed(&folder.run(&["redrive"], &[], b"")), "1 messages are tried again\n");
    // Of what was never tried this is the first attempt.
    let again = printed(&folder.run(&["reserve"], &["--max", "9"], b""));
    let attempts: Vec<_> = again.lines().map(|line| line.split('\t').nth(1).unwrap()).collect();
    assert_eq!(attempts, ["1", "2", "1"]);
}

#[test]
fn one_process_holds_leases_and_is_told_what_became_of_them() {
    let folder = Folder::create(2);
    printed(&folder.run(&["append"], &[], &lines(3)));
    let mut holder = Holder::start(&folder, 3);

    // A second process is refused, whatever it wants.
    for command in [["stat"], ["reserve"], ["dump"], ["verify"]] {
        assert!(complaint(&folder.run(&command, &[], b"")).contains("in use by another process"));
    }
    let leases = holder.leases.clone();
    let mut ask = |line: String| holder.ask(&line);
    assert_eq!(ask(format!("ack {}", leases[0])), format!("acknowledged {}", leases[0]));
    assert!(ask(format!("ack {}", leases[0])).starts_with(&format!("refused {}: the lease on", leases[0])));
    assert_eq!(ask(format!("reject {} it says nothing", leases[1])), format!("dead {}", leases[1]));
    assert_eq!(ask(format!("touch {}", leases[2])), format!("held {}", leases[2]));
    assert_eq!(ask("ack 77:0".into()), "no lease 77:0");
    assert_eq!(ask(format!("release {}", leases[2])), format!("released {}", leases[2]));
    assert!(ask("more".into()).ends_with("\t2\t-\treading 2"));
    holder.child.kill().unwrap();
    holder.child.wait().unwrap();

    // It was killed: the lease is over, the attempt counts, and so does what it had said was done.
    assert!(printed(&folder.run(&["reserve"], &["--max", "9"], b"")).ends_with("\t3\t-\treading 2\n"));
    let json = printed(&folder.run(&["stat"], &["--json"], b""));
    assert!(json.contains("\"depth\": 2, \"delayed\": 0, \"dead\": 1,"), "{json}");
    printed(&folder.run(&["ack"], &["1", "2"], b""));
}

#[test]
fn verify_names_what_flipped_octets_hit_and_changes_nothing() {
    let folder = Folder::create(8);
    printed(&folder.run(&["append"], &[], &lines(100)));
    let sound = folder.octets();
    for number in [3, 42, 99] {
        let segment = (0..8).map(|number| folder.segment(number)).find(|segment| {
            let octets = std::fs::read(segment).unwrap();
            octets.windows(10).any(|window| window == format!("reading {number}").as_bytes())
        });
        let segment = segment.unwrap_or_else(|| folder.segment(0));
        let mut octets = std::fs::read(&segment).unwrap();
        let at = find(&octets, format!("reading {number}").as_bytes());
        octets[at + 3] ^= 0x10;
        std::fs::write(&segment, &octets).unwrap();
        let damaged = folder.octets();
        let output = folder.run(&["verify"], &[], b"");
        let named = String::from_utf8(output.stdout.clone()).unwrap();
        let (record, message) = named.split_once('\n').unwrap();
        assert!(record.starts_with("segment ") && record.ends_with(&format!(": message {number} is lost")), "{named}");
        assert_eq!(message, format!("message {number} is damaged\n"));
        assert!(complaint(&output).contains("99 messages are whole, 1 damaged"));
        let dump = folder.run(&["dump"], &[], b"");
        assert!(String::from_utf8(dump.stderr.clone()).unwrap().contains(&format!("messages {number} to ")));
        assert_eq!(printed(&dump).lines().count(), 99);
        assert_eq!(folder.octets(), damaged, "looking changed something");
        octets[at + 3] ^= 0x10;
        std::fs::write(&segment, &octets).unwrap();
    }
    assert_eq!(folder.octets(), sound);
    assert_eq!(printed(&folder.run(&["verify"], &[], b"")), "100 messages are whole\n");
}

/// An acknowledgement that one flipped bit had made void went unnoticed: the messages came again, and the queue was called
/// whole.
#[test]
fn verify_names_damage_that_costs_no_message() {
    let folder = Folder::create(4);
    printed(&folder.run(&["append"], &[], &lines(3)));
    printed(&folder.run(&["ack"], &["0", "1"], b""));
    let sound = std::fs::read(folder.segment(0)).unwrap();
    // The records of life, of which bit 0 of an octet is flipped: an acknowledgement's kind is 2.
    let tag = sound[1024];
    let at = (1024..4000).step_by(8).find(|&at| sound[at] == tag && sound[at + 4] == 2).unwrap();
    let words = |kind: &str| format!("segment 0, octet {at}: {kind}\n");
    for (octets, expected) in [
        (at + 32..at + 33, words("record of acknowledgements is lost")),
        (at + 20..at + 21, words("record of acknowledgements has a wrong bit, which is put right")),
        (20..21, "segment 0, octet 0: copy of the header has a wrong bit, which is put right\n".into()),
        (512..576, "segment 0, octet 512: copy of the header is lost\n".into()),
        (4032..4096, "segment 0, octet 4032: footer is lost\n".into()),
    ] {
        let mut damaged = sound.clone();
        damaged[octets].iter_mut().for_each(|octet| *octet ^= 1);
        std::fs::write(folder.segment(0), &damaged).unwrap();
        let output = folder.run(&["verify"], &[], b"");
        assert_eq!(String::from_utf8(output.stdout.clone()).unwrap(), expected);
        assert!(complaint(&output).contains("3 messages are whole, 0 damaged, 0 cannot be read; of all records, "));
        assert_eq!(std::fs::read(folder.segment(0)).unwrap(), damaged, "looking changed something");
    }
    std::fs::write(folder.segment(0), &sound).unwrap();
    assert_eq!(printed(&folder.run(&["verify"], &[], b"")), "3 messages are whole\n");
}

/// `stat` passed over what a queue had dropped, and over gaps.
#[test]
fn stat_tells_what_is_missing() {
    let folder = Folder::create(4);
    let config = QueueConfig::default().max_payload(1000).and_then(|config| config.segment_len(4096)).unwrap();
    let config = config.segments(4).unwrap().when_full(WhenFull::DropOldest);
    let mut queue = Queue::open(FileStorage::open(&folder.queue).unwrap(), config, [1; 8]).unwrap();
    while queue.stats().dropped == 0 {
        queue.append(&Message::new(&[7; 500])).unwrap();
    }
    queue.append(&Message::new(b"damaged")).unwrap();
    let dropped = queue.stats().dropped;
    drop(queue);
    let stands = |segment: &PathBuf| std::fs::read(segment).unwrap().windows(7).any(|octets| octets == b"damaged");
    let segment = (0..4).map(|number| folder.segment(number)).find(stands).unwrap();
    let mut octets = std::fs::read(&segment).unwrap();
    let at = find(&octets, b"damaged");
    octets[at] ^= 1;
    std::fs::write(&segment, octets).unwrap();
    let json = printed(&folder.run(&["stat"], &["--json"], b""));
    assert!(json.contains(&format!("\"expired\": 0, \"dropped\": {dropped}, ")) && dropped > 0, "{json}");
    assert!(json.contains("\"gaps\": 1, \"quarantined\": 1, ") && json.contains("\"unread\": 0, "), "{json}");
}

#[test]
fn a_full_queue_says_what_it_took_and_goes_on_when_there_is_room() {
    let folder = Folder::create(2);
    let full = complaint(&folder.run(&["append"], &[], &lines(1000)));
    let taken = full.rsplit_once("; ").unwrap().1.split(' ').next().unwrap().parse::<u32>().unwrap();
    assert!(full.contains("is full: what is free of its 8192 octets is kept") && taken > 20, "{full}");
    assert_eq!(printed(&folder.run(&["verify"], &[], b"")), format!("{taken} messages are whole\n"));
    let offsets: Vec<_> = (0..taken).map(|offset| offset.to_string()).collect();
    printed(&folder.run(&["ack"], &offsets.iter().map(String::as_str).collect::<Vec<_>>(), b""));
    assert_eq!(printed(&folder.run(&["append"], &[], &lines(10))), format!("10 messages, up to {}\n", taken + 10));
}

#[test]
fn says_what_is_wrong_with_the_directory() {
    let folder = Folder::create(2);
    assert!(complaint(&folder.run(&["create"], &[], b"")).contains("there is a queue already"));
    let elsewhere = |name: &str| Command::new(IOT).args(["queue", "stat", name]).output().unwrap();
    assert_eq!(complaint(&elsewhere("absent")), "iot: absent: the directory of the queue does not exist\n");
    assert!(complaint(&elsewhere(IOT)).contains("the path of the queue is not a directory"));
    let empty = tempfile::tempdir().unwrap();
    for command in ["stat", "append", "reserve"] {
        let refused =
            Command::new(IOT).args(["queue", command]).arg(empty.path()).stdin(Stdio::null()).output().unwrap();
        assert!(complaint(&refused).contains("there is no queue; 'iot queue create' makes one"));
    }
    assert_eq!(std::fs::read_dir(empty.path()).unwrap().count(), 0, "nothing was made");
    for len in [0, 5, 999] {
        std::fs::write(empty.path().join("00000000.segment"), vec![7; len]).unwrap();
        for command in ["stat", "verify", "dump", "append", "reserve"] {
            let mut iot = Command::new(IOT);
            let refused = iot.args(["queue", command]).arg(empty.path()).stdin(Stdio::null()).output().unwrap();
            assert!(complaint(&refused).contains("files are too short or too long for segments"), "{refused:?}");
        }
    }
    let files = ["00000000.segment", "00000001.segment"].map(|name| empty.path().join(name));
    for content in [vec![7; 4096], b"no queue ".repeat(1000)] {
        files.iter().for_each(|file| std::fs::write(file, &content).unwrap());
        let run = |command: &str| {
            let mut iot = Command::new(IOT);
            iot.args(["queue", command]).arg(empty.path()).stdin(Stdio::null()).output().unwrap()
        };
        for command in ["stat", "dump", "append", "reserve"] {
            assert!(complaint(&run(command)).contains("this is no queue, or all its headers are lost"));
        }
        assert!(complaint(&run("verify")).contains("2 segments say nothing about what was in them"));
        assert_eq!(std::fs::read(&files[0]).unwrap(), content, "looking changed something");
    }
    std::fs::remove_file(folder.segment(1)).unwrap();
    assert!(complaint(&folder.run(&["stat"], &[], b"")).contains("the file of segment 1 is missing"));
    assert_eq!(folder.run(&["ack"], &[], b"").status.code(), Some(2));
    for command in ["ack", "redrive"] {
        let refused = folder.run(&[command], &["0", "first"], b"");
        assert_eq!(
            (refused.status.code(), refused.stderr.starts_with(b"iot: \"first\" is no offset")),
            (Some(2), true)
        );
    }
}

/// Numbers were refused in the words of the library, which name no option, and a 0 that asks for nothing was taken.
#[test]
fn what_is_wrong_with_the_arguments_names_the_option() {
    let folder = Folder::create(2);
    let wrong = [
        ("create", "--segments", "many"),
        ("create", "--segments", "70000"),
        ("create", "--segment-len", "5"),
        ("create", "--segment-len", "4097"),
        ("create", "--segment-len", "-1"),
        ("append", "--sources", "many"),
        ("append", "--sources", "100000"),
        ("append", "--ids", "100000"),
        ("reserve", "--ids", "-1"),
        ("reserve", "--max", "0"),
        ("reserve", "--hold", "-1"),
        ("ack", "--sources", "4294967296"),
        ("redrive", "--ids", "many"),
    ];
    let before = folder.octets();
    for (command, option, value) in wrong {
        let arguments: &[&str] = if command == "ack" { &["0", option, value] } else { &[option, value] };
        let refused = folder.run(&[command], arguments, b"");
        let said = String::from_utf8_lossy(&refused.stderr);
        assert_eq!(refused.status.code(), Some(2), "{command} {option} {value}: {said}");
        assert!(said.starts_with(&format!("iot: {option} ")), "{command} {option} {value}: {said}");
    }
    assert_eq!(folder.octets(), before);
    for (option, value) in [("--seeds", "0"), ("--steps", "0"), ("--failures", "0"), ("--from", "many")] {
        let refused = Command::new(IOT).args(["queue", "sim", option, value]).output().unwrap();
        let said = String::from_utf8_lossy(&refused.stderr);
        assert_eq!(refused.status.code(), Some(2), "sim {option} {value}: {said}");
        assert!(said.starts_with(&format!("iot: {option} ")), "sim {option} {value}: {said}");
    }
}

/// `append` began a new queue in the files of one whose headers were lost, and in files that were none: what could still be
/// found there by hand was written over.
#[test]
fn nothing_is_written_where_no_header_is_left() {
    let folder = Folder::create(2);
    printed(&folder.run(&["append"], &[], &lines(3)));
    let sound = std::fs::read(folder.segment(0)).unwrap();
    for from in [0, 1] {
        let mut damaged = sound.clone();
        damaged[from..1024].fill(0);
        damaged[from..1024].iter_mut().step_by(7).for_each(|octet| *octet = from as u8);
        std::fs::write(folder.segment(0), &damaged).unwrap();
        for command in ["stat", "dump", "append", "reserve"] {
            let refused = complaint(&folder.run(&[command], &[], b"more\n"));
            assert!(refused.contains("this is no queue, or all its headers are lost"), "{refused}");
        }
        assert_eq!(folder.run(&["verify"], &[], b"").status.code(), Some(1));
        assert_eq!(std::fs::read(folder.segment(0)).unwrap(), damaged, "something was written");
    }
    // One wrong bit in each copy is put right, be it where it says what the file is.
    let mut corrected = sound.clone();
    (corrected[3], corrected[515]) = (sound[3] ^ 8, sound[515] ^ 8);
    std::fs::write(folder.segment(0), &corrected).unwrap();
    assert_eq!(printed(&folder.run(&["append"], &[], b"more\n")), "1 messages, up to 4\n");
    // Making a queue was broken off: there is nothing to lose.
    (0..2).for_each(|segment| std::fs::write(folder.segment(segment), [0; 4096]).unwrap());
    assert_eq!(printed(&folder.run(&["append"], &[], b"first\n")), "1 messages, up to 1\n");
}

/// The first header of a queue, with `change` made to it and its checksum put right.
fn alter_header(folder: &Folder, change: impl Fn(&mut [u8])) {
    let mut octets = std::fs::read(folder.segment(0)).unwrap();
    for copy in [0, 512] {
        let header = &mut octets[copy..copy + 64];
        change(header);
        let checksum = crc32c::crc32c(&header[..60]);
        header[60..].copy_from_slice(&checksum.to_le_bytes());
    }
    std::fs::write(folder.segment(0), octets).unwrap();
}

#[test]
fn refuses_what_others_wrote_and_what_a_later_version_wrote() {
    let folder = Folder::create(2);
    printed(&folder.run(&["append"], &[], &lines(1)));
    alter_header(&folder, |header| header[8] = 2);
    let words = "segment 0 has format version 2, which this version of iot-queue cannot read";
    assert!(complaint(&folder.run(&["stat"], &[], b"")).contains(words));
    alter_header(&folder, |header| header[8] = 1);
    assert_eq!(printed(&folder.run(&["verify"], &[], b"")), "1 messages are whole\n");
    alter_header(&folder, |header| header[..8].copy_from_slice(b"SOMETHNG"));
    for command in [["append"], ["verify"]] {
        assert!(complaint(&folder.run(&command, &[], b"")).contains("segment 0 does not belong to this queue"));
    }
}

/// The command as a user without rights, for permissions do not bind an administrator.
fn as_a_stranger(program: &Path, folder: &Folder, command: &str) -> Output {
    let mut iot = Command::new(program);
    iot.args(["queue", command]).arg(&folder.queue).stdin(Stdio::null());
    if std::fs::metadata(&folder.queue).unwrap().permissions().readonly() || is_administrator(folder) {
        iot.uid(65534).gid(65534);
    }
    iot.output().unwrap()
}

fn is_administrator(folder: &Folder) -> bool {
    let probe = folder.queue.join("probe");
    std::fs::write(&probe, b"").unwrap();
    std::fs::set_permissions(&probe, std::fs::Permissions::from_mode(0o400)).unwrap();
    let may = std::fs::OpenOptions::new().write(true).open(&probe).is_ok();
    std::fs::remove_file(&probe).unwrap();
    may
}

#[test]
fn a_file_without_permission_is_named_and_can_still_be_looked_at() {
    let folder = Folder::create(2);
    printed(&folder.run(&["append"], &[], &lines(2)));
    let program = folder.queue.parent().unwrap().join("iot");
    // Not by this process: what another test starts meanwhile would hold the copy open for writing, and nobody may run it.
    assert!(Command::new("cp").arg(IOT).arg(&program).status().unwrap().success());
    let mode = |path: &Path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    mode(folder.queue.parent().unwrap(), 0o755);
    mode(&folder.queue, 0o777);
    mode(&folder.segment(0), 0o666);
    mode(&folder.segment(1), 0o444);
    let refused = complaint(&as_a_stranger(&program, &folder, "append"));
    assert!(refused.contains("00000001.segment: no permission to write; the queue needs it"), "{refused}");
    assert!(printed(&as_a_stranger(&program, &folder, "stat")).contains(" 2 depth\n"));
    assert!(printed(&as_a_stranger(&program, &folder, "dump")).ends_with("\treading 1\n"));
}
