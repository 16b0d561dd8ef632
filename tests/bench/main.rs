//! The benchmarks of docs/benchmarks.md: each figure a ratio of two things measured in one run.

fn main() {}
