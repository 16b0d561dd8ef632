//! The way of a query's text: a single `SELECT` and nothing else reaches the planner, and what the planner made of it
//! is looked at once more before it may run.
//!
//! [`statement`] judges the syntax tree, [`plan`] the logical plan, [`functions`] holds the closed list of functions,
//! [`in_segment`] is our own, `size` and `tables` bound the text and its tree, `growth` what texts can grow to, `state` builds the engine from it and [`faults`] turns the engine's errors into texts that may leave.

pub(crate) mod faults;
pub(crate) mod functions;
mod growth;
pub(crate) mod in_segment;
pub(crate) mod plan;
mod size;
pub(crate) mod state;
pub(crate) mod statement;
mod tables;
