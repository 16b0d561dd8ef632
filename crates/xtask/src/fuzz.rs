//! `cargo xtask fuzz`: the searches for wrong answers that a test run makes briefly, for as long as one likes.

use crate::run::{cargo, run};

/// How many workers help when they are to.
const WORKERS: u64 = 3;

/// What to search, and how long.
#[derive(Debug, PartialEq, Eq)]
enum Search {
    /// Generated queries, compared with a plain engine over the permitted rows.
    Queries {
        minutes: u64,
        seed: u64,
        workers: u64,
    },
    /// Withdrawals, each asked for at once, while others decide.
    Barrier { trials: u64 },
}

/// Runs the search named in `args`; a difference is a failure that names its seed.
pub fn run_command(args: &[String]) -> Result<(), String> {
    let (test, env) = match parse(args)? {
        Search::Queries {
            minutes,
            seed,
            workers,
        } => (
            "tests::differential::fuzz",
            vec![
                ("ASSENT_FUZZ_MINUTES", minutes.to_string()),
                ("ASSENT_FUZZ_SEED", seed.to_string()),
                ("ASSENT_FUZZ_WORKERS", workers.to_string()),
            ],
        ),
        Search::Barrier { trials } => (
            "tests::barrier::barrier",
            vec![("ASSENT_BARRIER_TRIALS", trials.to_string())],
        ),
    };
    // The whole workspace is selected so that dependencies have the features they have everywhere else.
    let args = [
        "test",
        "--workspace",
        "--locked",
        "--lib",
        "--",
        "--ignored",
        "--exact",
        "--nocapture",
        test,
    ];
    run(&cargo(), &args, &env)
}

fn parse(args: &[String]) -> Result<Search, String> {
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args.as_slice() {
        ["barrier"] => Ok(Search::Barrier { trials: 100_000 }),
        ["barrier", trials] => Ok(Search::Barrier {
            trials: number("TRIALS", trials)?,
        }),
        ["workers", rest @ ..] => queries(rest, WORKERS),
        rest => queries(rest, 0),
    }
}

fn queries(args: &[&str], workers: u64) -> Result<Search, String> {
    let (minutes, seed) = match args {
        [] => (60, 1_000),
        [minutes] => (number("MINUTES", minutes)?, 1_000),
        [minutes, seed] => (number("MINUTES", minutes)?, number("SEED", seed)?),
        [_, _, extra, ..] => return Err(format!("`{extra}` is one argument too many")),
    };
    Ok(Search::Queries {
        minutes,
        seed,
        workers,
    })
}

fn number(what: &str, text: &str) -> Result<u64, String> {
    text.parse()
        .map_err(|_| format!("{what} is a whole number, not `{text}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Search, String> {
        let args: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        parse(&args)
    }

    #[test]
    fn a_search_is_told_how_long() {
        let queries = |minutes, seed, workers| {
            Ok(Search::Queries {
                minutes,
                seed,
                workers,
            })
        };
        assert_eq!(parsed(""), queries(60, 1_000, 0));
        assert_eq!(parsed("5"), queries(5, 1_000, 0));
        assert_eq!(parsed("5 7"), queries(5, 7, 0));
        assert_eq!(parsed("workers 5 7"), queries(5, 7, 3));
        assert_eq!(parsed("workers"), queries(60, 1_000, 3));
        let barrier = |trials| Ok(Search::Barrier { trials });
        assert_eq!(parsed("barrier"), barrier(100_000));
        assert_eq!(parsed("barrier 9"), barrier(9));
        for wrong in ["soon", "5 x", "5 7 9", "barrier all"] {
            assert!(parsed(wrong).is_err(), "{wrong}");
        }
    }
}
