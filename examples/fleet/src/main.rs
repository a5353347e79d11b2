//! The main job: the story of the whole workspace, told with real readings, and proved.
//!
//! `stage` sets it, `run` tells it and `day` is its middle. `device`, `gateway`, `server` and `recipients` are those whom it is about; `network` is the hash
//! table between them; `attacker` and `intruder` interfere. `audit` and `verdict` hold the end against the beginning.

mod attacker;
mod audit;
mod batch;
mod cast;
mod clock;
mod day;
mod device;
mod door;
#[cfg(iot_fault)]
mod fault;
mod gateway;
mod input;
mod intruder;
mod link;
mod network;
mod options;
mod process;
mod progress;
mod receipt;
mod recipients;
mod report;
mod run;
mod server;
mod stage;
mod verdict;
mod words;

use std::path::Path;
use std::process::ExitCode;

use crate::options::{Command, HELP};

fn main() -> ExitCode {
    #[cfg(iot_fault)]
    fault::apply();
    match Command::parse(std::env::args_os().skip(1)) {
        Ok(Command::Help) => {
            println!("{HELP}");
            ExitCode::SUCCESS
        }
        Ok(Command::Role { name, folder }) => play(&name, &folder),
        Ok(Command::Run(options)) => match stage::Stage::set(options) {
            Ok(stage) => tell(stage),
            Err(words) => refuse(&words),
        },
        Err(error) => refuse(&error.to_string()),
    }
}

/// Says why nothing was begun.
fn refuse(words: &str) -> ExitCode {
    eprintln!("fleet: {words}");
    ExitCode::from(2)
}

fn tell(stage: stage::Stage) -> ExitCode {
    println!("fleet: seed {}", stage.options.seed);
    let page = stage.page();
    let started = std::time::Instant::now();
    match run::run(stage) {
        Ok(findings) => {
            println!("\n{:<46} how much", "what");
            for (what, how_much) in findings.rows() {
                println!("{what:<46} {how_much}");
            }
            println!("\n{:<76} times", "refused by the server");
            for (what, count) in findings.refused() {
                println!("{what:<76} {count}");
            }
            if let Err(error) = std::fs::write(&page, findings.to_html()) {
                eprintln!("fleet: {}: {error}", page.display());
            } else {
                println!("\nplots: {}", page.display());
            }
            println!("{}", findings.last_line());
            if findings.faults().is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            println!("fleet: FAILED {error}; seconds={:.1}", started.elapsed().as_secs_f64());
            ExitCode::FAILURE
        }
    }
}

fn play(role: &str, folder: &Path) -> ExitCode {
    let played = match role {
        "gateway" => gateway::run(folder),
        "server" => server::run(folder),
        other => return refuse(&format!("there is no role {other:?}")),
    };
    match played {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("fleet {role}: {error}");
            ExitCode::FAILURE
        }
    }
}
