//! The policy language: pure, no I/O.
