//! `docs/security.md` keeps its word: each test that it names exists, and the tests of its table pass, and fail when
//! what they show the need of is switched off.
//!
//! That exists only under `--cfg iot_fault`, so this builds the tests once more with that configuration.
//! `iot_crypto::fault` says what can be switched off.

// The compiler is started by a script for `sh`.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const CRATE: &str = env!("CARGO_MANIFEST_DIR");

/// A line of the table of attacks.
struct Row {
    attack: String,
    tests: Vec<Test>,
    /// What is switched off, as `iot_crypto::fault` takes it.
    without: String,
}

/// A test, by its whole name, and the file where it stands, from the root of the workspace.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Test {
    name: String,
    file: String,
}

impl Test {
    /// The program that holds it, by the name of its target.
    fn target(&self) -> String {
        let library = env!("CARGO_PKG_NAME").replace('-', "_");
        let (_, path) = self.file.split_once('/').unwrap();
        let (folder, path) = path.split_once('/').unwrap();
        let target = path.split('/').next().unwrap().trim_end_matches(".rs");
        if folder == "tests" { target.to_owned() } else { library }
    }
}

fn page() -> String {
    std::fs::read_to_string(Path::new(CRATE).join("../docs/security.md")).unwrap()
}

/// Every test that a text links: ``[`name`](../file.rs)``.
fn tests_of(text: &str) -> Vec<Test> {
    let links = text.split("[`").skip(1).filter_map(|link| link.split_once("`](../"));
    let links = links.filter_map(|(name, rest)| Some((name, rest.split_once(')')?.0)));
    let tests = links.filter(|(_, file)| file.ends_with(".rs"));
    tests.map(|(name, file)| Test { name: name.to_owned(), file: file.to_owned() }).collect()
}

/// The lines of the table whose last column says what is switched off.
fn rows(page: &str) -> Vec<Row> {
    let lines = page.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
    let columns = lines.map(|line| line.split(" | ").collect::<Vec<_>>()).filter(|columns| columns.len() == 4);
    let rows = columns.filter(|columns| columns[3].starts_with('`'));
    rows.map(|columns| Row {
        attack: columns[0].to_owned(),
        tests: tests_of(columns[2]),
        without: columns[3].replace(['`', ' '], ""),
    })
    .collect()
}

#[test]
fn every_test_that_the_page_names_exists() {
    let tests = tests_of(&page());
    assert!(tests.len() >= 30, "the page names {} tests", tests.len());
    for Test { name, file } in tests {
        let code = std::fs::read_to_string(Path::new(CRATE).join("..").join(&file));
        let code = code.unwrap_or_else(|error| panic!("{file}: {error}"));
        let function = name.rsplit("::").next().unwrap();
        let stands_there = code.contains(&format!("fn {function}("));
        assert!(stands_there, "{file} has no test {name}");
    }
}

#[test]
fn every_line_of_the_table_has_a_test() {
    let page = page();
    let lines = page.lines().filter(|line| line.starts_with("| ")).count();
    // The head and the line below it are the other two.
    assert_eq!(rows(&page).len() + 2, lines);
}

#[test]
fn every_attack_is_refused_and_succeeds_without_its_defence() {
    let rows = rows(&page());
    assert!(rows.len() >= 20, "the table has {} rows", rows.len());
    let mut targets: BTreeMap<String, BTreeSet<Test>> = BTreeMap::new();
    for test in rows.iter().flat_map(|row| &row.tests) {
        targets.entry(test.target()).or_default().insert(test.clone());
    }
    let programs = build_with_faults(targets.keys());
    for (target, tests) in &targets {
        let output = run(&programs[target], tests, "");
        let summary = format!("{} passed; 0 failed", tests.len());
        assert!(text(&output).contains(&summary), "{target}: {}", text(&output));
    }
    for Row { attack, tests, without } in &rows {
        assert!(!tests.is_empty(), "no test shows the defence: {attack}");
        for test in tests {
            let output = run(&programs[&test.target()], [test], without);
            let text = text(&output);
            // It must be the test itself that notices, and not what prepares it.
            let is_noticed =
                text.contains("0 passed; 1 failed") && text.contains(&format!("panicked at {}", test.file));
            assert!(is_noticed, "{attack}: without {without}, {} ends so: {}, {text}", test.name, output.status);
        }
    }
}

/// The programs that hold the tests, by their targets.
fn build_with_faults<'t>(targets: impl Iterator<Item = &'t String>) -> BTreeMap<String, PathBuf> {
    let library = env!("CARGO_PKG_NAME").replace('-', "_");
    let targets = targets.flat_map(|target| {
        if *target == library { vec!["--lib".to_owned()] } else { vec!["--test".to_owned(), target.clone()] }
    });
    let output = Command::new(env!("CARGO"))
        .args(["test", "--no-run", "--quiet", "--locked", "--features", "keyfile,session", "--message-format", "json"])
        .args(targets)
        // Built once and run once, so the compiler's time counts.
        .args(["--config", "profile.dev.opt-level=0", "--config", "profile.dev.debug=false"])
        .arg("--target-dir")
        .arg(Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap())
        .env("RUSTC_WORKSPACE_WRAPPER", compiler_with_faults())
        .current_dir(CRATE)
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(output.status.success(), "the build with faults failed");
    let lines = String::from_utf8(output.stdout).unwrap();
    let programs = lines.lines().filter_map(|line| line.split_once(r#""executable":""#)?.1.split('"').next());
    let of_target = programs.filter_map(|program| {
        let path = PathBuf::from(program);
        let target = path.file_name()?.to_str()?.rsplit_once('-')?.0.to_owned();
        Some((target, path))
    });
    of_target.collect()
}

/// The compiler, with the configuration added. Cargo starts it so for the crates of the workspace alone, and keeps what
/// it builds apart; everything from outside is built already, in the same target directory.
fn compiler_with_faults() -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("rustc-with-faults");
    std::fs::write(&path, "#!/bin/sh\nexec \"$@\" --cfg iot_fault\n").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

fn run<'t>(program: &Path, tests: impl IntoIterator<Item = &'t Test>, without: &str) -> Output {
    Command::new(program)
        .arg("--exact")
        .args(tests.into_iter().map(|test| &test.name))
        .env("IOT_CRYPTO_FAULT", without)
        .current_dir(CRATE)
        .output()
        .unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}
