//! The binary as its users meet it: started, spoken to, killed, started again.

mod command_line;
mod kill;
mod running;
