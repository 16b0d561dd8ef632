//! What tests are made with: oracles, generators, fault injection. No product crate imports it.
//!
//! [`oracle`] is a second, naive consent evaluator, written from the rules alone, against which the
//! real one is tested. [`generate`] makes registries and histories from a seed.

pub mod events;
pub mod generate;
pub mod interrupted;
pub mod oracle;
pub mod seeded;
