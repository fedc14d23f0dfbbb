//! The `keyfold` binary.

use std::ffi::{c_int, c_long};
use std::process::ExitCode;
use std::thread;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How long freed memory is kept before it goes back to the system. With the library's 10 ms the buffers of a batch are
/// given back, and taken anew page by page, between one batch and the next: a fifth of the time that reading a file takes.
const PURGE_DELAY_MS: c_long = 1_000;
/// `mi_option_purge_delay` of `mimalloc.h`, of which the bindings have no name.
const PURGE_DELAY: c_int = 15;

fn main() -> ExitCode {
    // SAFETY: the option exists and takes any number; it is read atomically.
    unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, PURGE_DELAY_MS) };
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
