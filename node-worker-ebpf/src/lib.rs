//! BPF objects and the wire types.
