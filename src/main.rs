//! The program `gravimeter`. Everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    gravimeter::cli::run(std::env::args_os())
}
