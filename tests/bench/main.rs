//! The benchmarks of docs/benchmarks.md: each figure a ratio of two things measured in turn in one run, so that a noisy
//! machine disturbs both alike. `cargo xtask bench [NAME]` runs them in release, each in a process of its own, so that
//! peak memory is its own, too.

use assent_tests::house;

mod client;
mod consented;
mod fleet;
mod gate;
mod intake;
mod kafka;
mod measure;
mod ordinary;
mod over_http;
mod peer;
mod population;
mod projection;
mod segments;
mod shards;

use std::process::{Command, ExitCode};

/// Those that need nothing but this process.
const NAMES: [&str; 4] = ["intake", "projection", "gate", "segments"];
/// Those that need servers, which `cargo xtask bench kafka` starts: the first also a process for each role.
const ON_SERVERS: [&str; 2] = ["kafka", "shards"];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.as_slice() {
        [flag, name] if flag == "--only" => one(name),
        [] => all(&NAMES),
        names => {
            let wanted: Vec<&str> = names.iter().map(String::as_str).collect();
            let known = |name: &&&str| NAMES.iter().chain(&ON_SERVERS).any(|known| known == *name);
            if let Some(unknown) = wanted.iter().find(|name| !known(name)) {
                eprintln!(
                    "no benchmark {unknown}; there are: {}",
                    [&NAMES[..], &ON_SERVERS].concat().join(", ")
                );
                return ExitCode::from(2);
            }
            all(&wanted)
        }
    }
}

/// Each in its own process.
fn all(names: &[&str]) -> ExitCode {
    let Ok(this) = std::env::current_exe() else {
        eprintln!("cannot find the benchmark's own file");
        return ExitCode::FAILURE;
    };
    measure::machine();
    for name in names {
        let ended = Command::new(&this).args(["--only", name]).status();
        if !ended.is_ok_and(|status| status.success()) {
            eprintln!("the benchmark {name} failed");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn one(name: &str) -> ExitCode {
    let Ok(runtime) = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    else {
        eprintln!("cannot start");
        return ExitCode::FAILURE;
    };
    println!("\n## {name}\n");
    runtime.block_on(async {
        match name {
            "intake" => intake::run().await,
            "projection" => projection::run().await,
            "gate" => gate::run().await,
            "segments" => segments::run().await,
            "kafka" => kafka::run().await,
            "shards" => shards::run().await,
            unknown => panic!("no benchmark {unknown}"),
        }
    });
    println!(
        "\npeak memory of this process: {} MiB",
        measure::Process::of(std::process::id()).peak_memory_mib()
    );
    ExitCode::SUCCESS
}
