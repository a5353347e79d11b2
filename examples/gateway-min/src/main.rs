//! The gateway with one door, one mirror and a node of the hash table, for machines with little of everything.

use std::process::ExitCode;

fn main() -> ExitCode {
    gateway::main()
}
