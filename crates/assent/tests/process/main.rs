//! The binary as its users meet it: started, spoken to, killed, started again.

mod command_line;
mod golden;
mod importing;
mod kill;
mod operations;
mod running;
mod traces;
