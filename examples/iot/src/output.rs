//! Standard output, for all commands.

use std::fmt;
use std::io::{self, ErrorKind, Stdout, Write};
use std::process;

/// How a command ends whose output nobody reads any more: what shells say of a program that SIGPIPE has ended.
const UNREAD: i32 = 128 + 13;

/// Standard output. Where it takes nothing more, the process ends: without a word if whoever read it has seen enough, as
/// programs on a pipe do. What a command has made durable by then stays so.
pub struct Output(Stdout);

/// Where commands print.
pub fn standard() -> Output {
    Output(io::stdout())
}

impl Write for Output {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        go_on(self.0.write(octets))
    }

    fn flush(&mut self) -> io::Result<()> {
        go_on(self.0.flush())
    }
}

/// What became of a write, unless there is no sense in another one.
fn go_on<T>(outcome: io::Result<T>) -> io::Result<T> {
    outcome.inspect_err(|error| match error.kind() {
        ErrorKind::Interrupted => {}
        ErrorKind::BrokenPipe => process::exit(UNREAD),
        _ => {
            eprintln!("iot: standard output: {error}");
            process::exit(1);
        }
    })
}

/// Prints a line, by way of `say!`.
pub fn print_line(line: fmt::Arguments<'_>) {
    // What fails has ended the process.
    let _ = writeln!(standard(), "{line}");
}

/// Prints a line on standard output, as `println!` does it, but for what [`Output`] does where nobody reads it.
macro_rules! say {
    ($($line:tt)*) => {
        $crate::output::print_line(format_args!($($line)*))
    };
}
