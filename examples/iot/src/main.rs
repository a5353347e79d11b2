//! A tool with a subcommand for each format of the workspace: inspect, verify, measure, simulate.

#[macro_use]
mod output;

mod cbor;
mod dht;
mod envelope;
mod fragment;
mod number;
mod queue;
mod series;
mod source;

use std::process::ExitCode;

use lexopt::Parser;
use lexopt::prelude::*;

const HELP: &str = "\
iot: a tool for the formats of the workspace

Usage: iot COMMAND [ARGUMENTS]

  cbor validate FILE       whether FILE is one item of deterministic CBOR; exit status 0 or 1, and where and why not
  cbor diag FILE           the items of FILE in diagnostic notation, a line each
  dht node                 a node of the hash table, until SIGTERM or SIGINT; prints its address and identifier first
    --listen ADDR          the UDP socket, of IPv4 or IPv6 [[::]:0, which is any port, and both where the system lets it]
    --bootstrap ADDR,...   who is there already; none for the first node
    --key SECRET           whose hash its identifier is [a new one]; --password FILE as below
    --store DIR            keeps its records there, and whom it knows, and holds them again after a restart
    --local                no limits by subnet: for many nodes on one machine or at one site
  dht put --bootstrap ADDR,... --key SECRET --name NAME FILE       the content of FILE as a record; where it is stored
    --days N, --sequence N its life, 1 to 29 [7], and its number, which must rise [microseconds since 1970]
    --replaces N           only where the record with this number is, or none
  dht get --bootstrap ADDR,... --from PUBLIC --name NAME           the value of a record, or exit status 1
    --device HEX           its owner's thumbprint, in place of --from
    --out FILE             in place of standard output
  dht feed publish --bootstrap ADDR,... --key SECRET --name NAME --state FILE LINES     each line of LINES as a message
    --state FILE           remembers the feed; a feed whose state is lost must not go on
    --days N               how long a message lives, 1 to 29 [7]
  dht feed read --bootstrap ADDR,... --from PUBLIC --name NAME     its messages, a line each; gaps on standard error
    --state FILE           remembers in FILE what was read, and goes on there
    --follow               waits for more: nodes push it, and once a minute it looks itself
    --overlay N            of all of these: which network [0]
    --admission FILE       of all of these: the key of a private network, 64 hexadecimal digits; who lacks it is not answered
  dht sim                  a hash table of many nodes in virtual time: what searches find, how long they take
    --nodes N, --seed S    how many, 2 to 1000000 [1000], and from what all of it follows [1]
    --scenario NAME        what is done to it before it is measured again: plain (nothing), churn, dead or loss [plain];
                           or offline: what it costs a reader who was away for a week to catch up;
                           or sybil, colluders: whether records that attackers wait for are found, and at what cost;
                           or eclipse: whether hosts whose neighbours are all an attacker's put and get, --operations of them;
                           or flood: what a host answers to --sybils others that ask too often;
                           or upkeep: what keeping records costs a host while half of the hosts are replaced in an hour
    --records N            of upkeep: how many records each host holds, 1 to 4000 [1000]
    --sybils N             attackers placed on each key (sybil), around each host (eclipse), or who flood, 0 to 1000 [20]
    --spread WHERE         of sybil: key (on the key itself) or eighth (all over the eighth of its region in which it lies) [key]
    --attack NAME          what attackers of sybil, colluders and eclipse do: gang (name each other alone), withholder,
                           liar (twenty nodes next to each point that do not exist), thin-liar (as far apart as those
                           that do), agreeing-liar (the same twenty as all others) or mute [gang]
    --share P              of colluders and dead: which share of the hosts is one attacker's, or gone, 0 up to 1 [0.3]
    --placement KIND       region or closest [region]: where records are put; closest is plain Kademlia; not of flood
    --operations N         searches, puts and gets of each measurement, 1 to 100000 [1000]; not of offline and flood;
                           an option that would change nothing in the scenario is refused
    --threads N            1 to 64 [as many as there are]; the trace, which is printed last, does not depend on it
    --signatures KIND      real or simulated [simulated]; nor on this
  dht plots DIR            simulates what the plots of docs/dht.md show, and writes each as DIR/NAME.csv and DIR/NAME.svg
  series FILE.csv          octets a sample of each column, as batches of series, beside plain CBOR and zstd
    --column NAME          this column alone
    --batch N              samples of a batch, 1 to 65535 [60]
    --out DIR              write the batches into DIR, which must not exist
  series --decode DIR      the CSV again: the same header, times and values
  fragment sim             how often a message arrives over a link that loses frames
    --size N               octets of the message, 1 to 60000 [480]
    --mtu N                octets of a frame, 8 to 1500 [51]
    --loss P               the share of frames that is lost, 0 up to 0.9 [0.2]
    --trials N             messages, at most 10000000 [100000]
    --seed S               from which the losses follow [1]
  queue create DIR         a new queue in DIR, which must not hold one
    --segment-len N, --segments N          octets of each segment [4194304], and how many, all allocated now [16]
  queue append DIR [FILE...]   each line of the files, or of standard input, as a message; durable once it ends
    --frames               records behind their length in four octets, most significant first, instead of lines
  queue reserve DIR        hands messages out: a line each of lease, attempts, position and payload with escapes
    --max N                so many at a time [1]
    --frames               the payloads alone, as records
    --hold SECONDS         keep them so long, and do what lines of standard input say: 'ack LEASE', 'release LEASE',
                           'nack LEASE REASON', 'reject LEASE REASON', 'touch LEASE', 'more'
                           Without it the leases end with the command, for a queue is open in one process at a time:
                           what nobody acknowledges by 'queue ack' is handed out again, and counts one attempt more
  queue ack DIR OFFSET...  the messages at these places are done, or the dead letters; a lease stands for its offset
  queue dead DIR           the dead letters: a line each of offset, attempts, reason and payload with escapes; '--frames'
                           the payloads alone, as records
  queue redrive DIR [OFFSET...]   the dead letters at these places, or all, are handed out again as if never tried
    --sources N, --ids N   append, reserve, ack, redrive: what the queue's owner remembers against repetitions; it may forget
                           them otherwise [0, 0]
  queue stat DIR           what the queue holds; '--json' as one object
  queue verify DIR         reads every record; exit status 1 if one is damaged, with a line for each and its place
  queue dump DIR           every message that is stored and readable, acknowledged or not: offset, position, payload;
                           '--frames' the payloads as records. What is missing is named on standard error
                           dead, stat, verify and dump need no permission to write, and change nothing
  queue mirror DIR --to TO     everything in DIR, in order and once, into the queue in the directory TO, or, as
                           'tcp:HOST:PORT', into that of a 'queue receive'; it goes on where an earlier one was stopped
    --copy NAME            leave the messages to other consumers, and remember the place under this name; otherwise
                           they are acknowledged once they have arrived
    --forget NAME          in place of --to: the copy of this name is no longer wanted; until then what it lacks stays
    --origin HEX           who keeps the log, for messages without a position [the log's epoch]
    --patience SECONDS     to a receiver: give up when nothing has arrived for so long [60]
  queue receive DIR --listen HOST:PORT   takes what mirrors send into DIR, without encryption or authentication: for
                           loopback, or inside of something that does both; prints where it listens
    --connections N        end after so many [no end]
    --sources N, --ids N   for DIR, and where TO above is a directory: refuse what was appended before, by position, by
                           identifier
  queue sim                random programs on a simulated disk: exit status 1 and the program if a promise is broken
    --seeds N, --from N    how many [100000], and the first [0]
    --steps N              the most steps of a program [160]
    --failures N           stop after so many seeds that fail [1]
    --without FAULT        leave out read, write, write-space, sync, space, allocate, directory or power; may be repeated
  envelope keygen SECRET PUBLIC   a new key, as two COSE_Key files, which must not exist; prints its thumbprint
    --kind KIND            ed25519, p256 (both sign), x25519 or x-wing (to seal to; the latter experimental) [ed25519]
    --password FILE        lock the secret with the first line of FILE; the commands below unlock with it
  envelope sign --key SECRET FILE          the content of FILE, signed
  envelope verify --key PUBLIC FILE        the content that was signed, or exit status 1 and the reason
    --external-aad HEX     what the signature covers besides
    --raw                  plain COSE for other tools, without the binding to this one
    --alg N                sign --raw: the algorithm's number, -19 or -8 (ed25519), -9 or -7 (p256)
  envelope bundle --key SECRET AGREEMENT   says to which x25519 key others seal, signed
    --days N, --sequence N, --next PUBLIC  until when [30], its number [1], the signing key that comes next
    --x-wing PUBLIC        to which X-Wing key, besides
  envelope seal --key SECRET --to BUNDLE --device HEX --topic TOPIC FILE    the content of FILE as a sealed message
    --stream N, --sequence N, --incarnation HEX    its position [0, 0, drawn]
    --succession FILE, --to-succession FILE        how the keys of either end followed from their first ones
    --x-wing PUBLIC        to the reader's X-Wing key, which its bundle names
  envelope open --key SECRET --from PUBLIC FILE      what was sealed to the key, or exit status 1 and the reason
    --topic TOPIC          which it must have
    --succession FILE      how the sender's key followed from its first one
    --state FILE           remember in FILE what was opened, and refuse it from then on; else nothing is remembered
  envelope seal --raw --to PUBLIC FILE     plain COSE for other tools: encrypted to an x25519 key, signed by nobody
  envelope open --raw --key SECRET FILE    what was so encrypted, to this key or to several
    --external-aad HEX     what the cipher covers besides
  envelope inspect FILE    what stands in a key, a signed file or a message, without keys and without proof
    --out FILE             where sign, verify, bundle, seal and open write, instead of standard output

FILE may be '-', which is standard input. What is wrong with the arguments ends with exit status 2, what is wrong
with the input with 1. Whose output nobody reads any more ends with 141, and says nothing.";

/// Why a command did not do what was asked.
#[derive(Debug)]
pub enum Failure {
    /// The arguments are at fault.
    Usage(String),
    /// The input is.
    Input(String),
}

impl From<lexopt::Error> for Failure {
    fn from(error: lexopt::Error) -> Self {
        Self::Usage(error.to_string())
    }
}

/// What `HELP` says of the command that `words` begin with, be it one of several words; all of it where there is none.
fn help(words: &[String]) -> String {
    let is_command = |line: &str| line.starts_with("  ") && !line.starts_with("   ");
    for len in (1..=words.len().min(3)).rev() {
        let mut wanted = false;
        let lines = HELP.lines().skip_while(|line| !is_command(line)).take_while(|line| !line.is_empty());
        let chosen = lines.filter(|line| {
            if is_command(line) {
                wanted = line.split_whitespace().zip(&words[..len]).all(|(there, word)| there == word);
            }
            wanted
        });
        let chosen: Vec<_> = chosen.collect();
        if !chosen.is_empty() {
            return chosen.join("\n");
        }
    }
    HELP.to_owned()
}

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    if let Some(end) = arguments.iter().position(|word| word == "--help" || word == "-h") {
        say!("{}", help(&arguments[..end]));
        return ExitCode::SUCCESS;
    }
    match run(Parser::from_env()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Usage(words)) => {
            eprintln!("iot: {words}; 'iot --help' explains");
            ExitCode::from(2)
        }
        Err(Failure::Input(words)) => {
            eprintln!("iot: {words}");
            ExitCode::FAILURE
        }
    }
}

fn run(mut parser: Parser) -> Result<(), Failure> {
    let command = match parser.next()? {
        None => {
            say!("{HELP}");
            return Ok(());
        }
        Some(Value(command)) => command.string()?,
        Some(other) => return Err(other.unexpected().into()),
    };
    match command.as_str() {
        "cbor" => cbor::run(parser),
        "dht" => dht::run(parser),
        "envelope" => envelope::run(parser),
        "series" => series::run(parser),
        "fragment" => fragment::run(parser),
        "queue" => queue::run(parser),
        other => Err(Failure::Usage(format!("there is no command {other:?}"))),
    }
}
