//! The binary as its users meet it: started, spoken to, killed, started again.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod apart;
mod cluster;
mod command_line;
mod commits;
mod delayed;
mod demo;
mod deployed;
mod deployment;
mod doctor;
mod explaining;
mod faults;
mod full_disk;
mod golden;
mod importing;
mod kept;
mod kill;
mod numbers;
mod orders;
mod proxies;
mod roles;
mod running;
mod settings;
mod steps;
mod stopping;
mod traces;
mod workers;
