//! `lictor-node`: the node worker.

fn main() {}
