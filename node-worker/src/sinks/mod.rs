//! Where events go: JSON lines to standard output, to a file and to clients of the socket.

mod action;
mod credentials;
mod endpoints;
pub mod file;
pub mod hub;
pub mod json;
mod kind;
mod loader;
pub mod note;
mod object;
mod objects;
pub mod output;
mod stacks;
pub mod text;
