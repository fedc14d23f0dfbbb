//! The mutation list: servers with one broken operator each, all of which the differential test must catch.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, ensure};

use crate::differential::{DifferentialOptions, Subjects, VIEWS_PER_PROGRAM, WRONG_ANSWER, run as compare};
use crate::keyfold::repository_root;

/// Where the server's list is.
const LIST: &str = "crates/dataflow/src/runtime/fault.rs";

/// The names of the server's faults, read from its source: nothing of the engine is linked in.
///
/// # Errors
/// If the list can't be read.
pub fn faults() -> Result<Vec<String>> {
    let text = std::fs::read_to_string(repository_root().join(LIST)).context(LIST)?;
    let listed =
        text.lines().filter_map(|line| line.trim().strip_prefix("(\"")?.split_once("\", \"").map(|(name, _)| name));
    let mut names: Vec<String> = listed.map(str::to_owned).collect();
    let apart = text.lines().find_map(|line| line.strip_prefix("const MISPLACES: &str = \"")?.strip_suffix("\";"));
    names.extend(apart.map(str::to_owned));
    ensure!(names.len() >= 30, "only {} faults in {LIST}", names.len());
    Ok(names)
}

/// Runs programs against each fault until one catches it, prints a line for each, and then the same programs without
/// a fault. How many faults there were.
///
/// # Errors
/// The faults that were not caught by a wrong answer, or what a server without a fault answered wrong.
pub fn run(faults: &[String], seed: u64, programs: usize, jobs: usize) -> Result<usize> {
    let next = AtomicUsize::new(0);
    let (missed, catching) = (Mutex::new(Vec::new()), Mutex::new(BTreeSet::new()));
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                while let Some(fault) = faults.get(next.fetch_add(1, Ordering::Relaxed)) {
                    match catch(fault, seed, programs) {
                        Ok(program) => {
                            println!("{fault:42} caught by program {program}");
                            catching.lock().unwrap_or_else(|e| e.into_inner()).insert(program);
                        }
                        Err(why) => {
                            println!("{fault:42} not caught: {why}");
                            missed.lock().unwrap_or_else(|e| e.into_inner()).push(fault.as_str());
                        }
                    }
                }
            });
        }
    });
    let missed = missed.into_inner().unwrap_or_else(|e| e.into_inner());
    ensure!(missed.is_empty(), "not caught: {}", missed.join(", "));
    for program in catching.into_inner().unwrap_or_else(|e| e.into_inner()) {
        let tally = compare(&DifferentialOptions { keeps_going: true, ..options(program, None) })?;
        ensure!(tally.mismatches.is_empty(), "without a fault: {}", tally.mismatches.join("\n"));
        println!("{:42} program {program} finds nothing", "no fault");
    }
    Ok(faults.len())
}

/// One program.
fn options(seed: u64, fault: Option<&str>) -> DifferentialOptions {
    DifferentialOptions {
        seed,
        queries: VIEWS_PER_PROGRAM,
        epochs: 20,
        subjects: Subjects::Keyfold,
        fault: fault.map(str::to_owned),
        jobs: 1,
        until: None,
        keeps_going: false,
    }
}

/// The first program that catches a fault; or what the last one said.
fn catch(fault: &str, seed: u64, programs: usize) -> Result<u64, String> {
    let mut last = "there was no program".to_owned();
    for program in seed..seed + programs as u64 {
        match compare(&options(program, Some(fault))) {
            Ok(_) => last = format!("program {program} agrees"),
            Err(e) => {
                let message = format!("{e:#}");
                if message.contains(WRONG_ANSWER) {
                    return Ok(program);
                }
                // A floor that is missed, or an error; another program may say more.
                last = message.lines().last().unwrap_or_default().to_owned();
            }
        }
    }
    Err(last)
}
