//! Prints the scoreboard; see `--help`.

use std::process::ExitCode;

use iot_benches::cli::{self, Command};
use iot_benches::codec::hostile;
use iot_benches::dht::large;
use iot_benches::measure::Effort;
use iot_benches::queue::child;
use iot_benches::report::{Line, RowSpec, Verdict};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let as_child = match arguments.split_first().map(|(first, rest)| (first.as_str(), rest)) {
        Some((child::ARGUMENT, rest)) => Some(child::main(rest)),
        Some((hostile::ARGUMENT, rest)) => Some(hostile::main(rest)),
        Some((large::ARGUMENT, rest)) => Some(large::main(rest)),
        _ => None,
    };
    if let Some(ended) = as_child {
        return match ended {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("scoreboard: {error}");
                ExitCode::FAILURE
            }
        };
    }
    match cli::parse(arguments) {
        Ok(Command::Help) => {
            print!("{}", cli::HELP);
            ExitCode::SUCCESS
        }
        Ok(Command::Run { rows, effort }) => run(&rows, effort),
        Err(error) => {
            eprintln!("scoreboard: {error}\n\n{}", cli::HELP);
            ExitCode::from(2)
        }
    }
}

fn run(rows: &[RowSpec], effort: Effort) -> ExitCode {
    let (mut failed, mut short) = (0_usize, 0_usize);
    for row in rows {
        match (row.measure)(effort) {
            Ok(measured) => {
                let measured = effort.choose(measured.clone(), measured.unjudged());
                println!("{}", Line(row.name, &measured));
                short += usize::from(measured.verdict() == Verdict::Short);
            }
            Err(error) => {
                eprintln!("scoreboard: {} could not be measured: {error}", row.name);
                failed += 1;
            }
        }
    }
    if failed > 0 || (short > 0 && effort == Effort::Full) { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
