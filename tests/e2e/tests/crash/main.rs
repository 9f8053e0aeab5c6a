//! What killed commands leave, and what happens when two commands work on one container at once.

#![expect(clippy::print_stdout, reason = "the seed and the figures of a run are for people")]

mod doctor;
mod events;
mod kills;
mod pairs;
mod random;
mod victim;
