//! `sql-tests/`: each file in each weather.

use libtest_mimic::{Failed, Trial};
use testing::keyfold::repository_root;
use testing::slt::{WEATHERS, Weather, applies, files, run_file, update_file};

/// The place of the kill in the weather `killed`; `TESTING_SEED` sets another.
fn seed() -> u64 {
    std::env::var("TESTING_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(1)
}

pub fn trials() -> Vec<Trial> {
    let files = files().unwrap_or_default();
    let mut trials = vec![Trial::test("slt/there-are-files", {
        let count = files.len();
        move || if count < 40 { Err(Failed::from(format!("only {count} files"))) } else { Ok(()) }
    })];
    for file in files {
        let name = file.strip_prefix(repository_root().join("sql-tests")).unwrap_or(&file).with_extension("");
        for weather in WEATHERS.into_iter().filter(|w| applies(&file, *w)) {
            let file = file.clone();
            // Every file has its own place of the kill.
            let seed = seed() + if weather == Weather::Killed { name.as_os_str().len() as u64 } else { 0 };
            trials.push(Trial::test(format!("slt/{}/{}", name.display(), weather.name()), move || {
                if weather == Weather::Reference && std::env::var_os("TESTING_UPDATE").is_some() {
                    crate::block_on(update_file(&file))?;
                }
                crate::block_on(run_file(&file, weather, seed))
            }));
        }
    }
    trials
}
