//! Records of the kernel: decoding, the revisions they belong to, and what was lost on the way.

pub mod decode;
pub mod decoders;
pub mod hashes;
pub mod loss;
pub mod pieces;
pub mod pipeline;
#[cfg(test)]
pub(crate) mod testing;
