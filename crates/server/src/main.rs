//! The `keyfold` binary.

use std::process::ExitCode;
use std::thread;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Views are planned here again when a database is opened.
    let main = thread::Builder::new().name("keyfold".to_owned()).stack_size(database::STACK_BYTES);
    match main.spawn(server::command::main).map(thread::JoinHandle::join) {
        Ok(Ok(code)) => code,
        // The panic has been reported.
        Ok(Err(_)) => ExitCode::from(101),
        Err(error) => {
            eprintln!("keyfold: no thread can be started: {error}");
            ExitCode::FAILURE
        }
    }
}
