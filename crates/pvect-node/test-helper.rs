//! The helper of this crate's tests: the verbs that the node runs in processes of their own. Of the product, the command
//! `pvect` is its own helper.

use std::process::ExitCode;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.split_first() {
        Some((first, words)) if first == "__node" => pvect_node::internal::run(words).into(),
        _ => ExitCode::FAILURE,
    }
}
