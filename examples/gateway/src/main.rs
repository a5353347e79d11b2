//! The gateway; see its library.

use std::process::ExitCode;

fn main() -> ExitCode {
    gateway::main()
}
