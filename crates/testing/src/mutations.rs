//! The mutation list: servers with one broken operator each, all of which the differential test must catch.

use anyhow::{Context, Result, bail, ensure};

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

/// Runs programs against each fault until one catches it; prints a line for each. How many there were.
///
/// # Errors
/// The faults that were not caught by a wrong answer.
pub fn run(faults: &[String], seed: u64, programs: usize) -> Result<usize> {
    let mut missed = Vec::new();
    for fault in faults {
        let caught = catch(fault, seed, programs)?;
        println!("{fault:42} {caught}");
        if !caught.starts_with(CAUGHT) {
            missed.push(fault.as_str());
        }
    }
    if missed.is_empty() { Ok(faults.len()) } else { bail!("not caught: {}", missed.join(", ")) }
}

const CAUGHT: &str = "caught";

fn catch(fault: &str, seed: u64, programs: usize) -> Result<String> {
    let mut last = "not caught".to_owned();
    for place in 0..programs as u64 {
        let options = DifferentialOptions {
            seed: seed + place,
            queries: VIEWS_PER_PROGRAM,
            epochs: 20,
            subjects: Subjects::Keyfold,
            fault: Some(fault.to_owned()),
            jobs: 1,
            until: None,
            keeps_going: false,
        };
        match compare(&options) {
            Ok(_) => {}
            Err(e) => {
                let message = format!("{e:#}");
                if message.contains(WRONG_ANSWER) {
                    return Ok(format!("{CAUGHT} by program {}", options.seed));
                }
                // A floor that is missed, or an error; another program may say more.
                last = format!("not caught by an answer: {}", message.lines().last().unwrap_or_default());
            }
        }
    }
    Ok(last)
}
