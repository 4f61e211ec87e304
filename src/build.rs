//! The build script: generates the wire types of the agent's RPC, and tells the program which
//! revision it is and which compiler made it, for `gravimeter_build_info`.
//!
//! The latter two are optional: a source archive without its history builds all the same and says
//! `unknown`. Their names do not begin with `GRAVIMETER_`: cargo hands them to what it runs, and
//! there the configuration would take them for keys.

#![allow(
    clippy::print_stdout,
    reason = "standard output is how a build script speaks to cargo"
)]

use std::process::Command;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    tell(
        "BUILT_FROM_REVISION",
        Command::new("git").args(["rev-parse", "--short=12", "HEAD"]),
    );
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    tell("BUILT_BY_RUSTC", Command::new(rustc).arg("--version"));
    println!("cargo::rerun-if-changed=.git/HEAD");
    println!("cargo::rerun-if-changed=src/build.rs");
    generate_wire_types()
}

/// The messages of the agent's RPC. protox reads the files in Rust, so that nobody needs `protoc`.
fn generate_wire_types() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed={PROTO_FOLDER}");
    let files = protox::compile(["language_server.proto"], [PROTO_FOLDER])?;
    tonic_prost_build::configure()
        .build_server(false)
        .build_transport(false)
        .compile_fds(files)?;
    Ok(())
}

const PROTO_FOLDER: &str = "src/cascade/proto";

fn tell(variable: &str, question: &mut Command) {
    let Ok(answer) = question.output() else {
        return;
    };
    let text = String::from_utf8_lossy(&answer.stdout);
    if answer.status.success() && !text.trim().is_empty() {
        println!("cargo::rustc-env={variable}={}", text.trim());
    }
}
