//! The `hilum` binary: arguments to a command.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    match hilum::cli::run(hilum::cli::Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("hilum: {}", hilum::cli::told(&error));
            ExitCode::FAILURE
        }
    }
}
