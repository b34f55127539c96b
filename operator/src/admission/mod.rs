//! The admission webhook: a policy that makes no sense does not get in.

mod authority;
mod certificate;
mod review;
mod server;

pub use authority::{Authority, AuthorityStep, CertificatePair};
pub use certificate::{CertificateError, CertificateFiles, CertificateSlot};
pub use review::answer;
pub use server::{Webhook, serve};
