//! The API of a standalone node, as clients see it.

#![allow(clippy::unwrap_used, reason = "a failing helper fails the test")]

mod asker;
mod attacks;
mod clients;
mod lifecycle;
mod limits;
mod raw;
mod shapes;
