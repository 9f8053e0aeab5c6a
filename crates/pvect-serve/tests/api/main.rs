//! The API of a standalone node, as clients see it.

mod clients;
mod lifecycle;
mod limits;
mod raw;
mod shapes;
