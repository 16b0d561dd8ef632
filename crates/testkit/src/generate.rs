//! Registries and histories from a seed, made to be near the edges of the rules.
//!
//! Histories are biased so that a good share of verdicts is lawful: a test of an evaluator that
//! sees denials only passes for one that always denies.

mod history;
mod registry;

pub use history::{Question, Story, a_use, story, story_in, story_of};
pub use registry::{CATEGORIES, CHANNELS, NOTICES, PURPOSES, RECIPIENTS, day_zero, registry};
