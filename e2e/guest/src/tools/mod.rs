//! Operations that no ordinary program does, or not fast enough.

mod files;
mod load;
mod names;

use anyhow::Result;
use clap::Subcommand;
use std::path::PathBuf;

#[derive(Subcommand)]
pub(crate) enum Tool {
    /// Exchange two names by one rename.
    Exchange { one: PathBuf, other: PathBuf },
    /// Write all parts to a file by one `writev`.
    WriteParts { file: PathBuf, parts: Vec<String> },
    /// Open a file so many times in each of several threads.
    Threads {
        #[arg(long)]
        threads: u32,
        #[arg(long)]
        times: u32,
        file: PathBuf,
    },
    /// Run a copy of a program from memory, under a name.
    Memfd { name: String, program: PathBuf, arguments: Vec<String> },
    /// Make directories of this name, one in the other, below a directory; print whether a file at the bottom can be
    /// opened by a relative name.
    Deep { root: PathBuf, name: String, depth: u32, file: String },
    /// Open files over and over, each known to be denied or not, in several processes until a file appears. Prints what
    /// came of it.
    Hammer(load::Hammer),
    /// Open files whose path nobody remembers, in several processes. Prints what came of it.
    Walk(load::Walk),
    /// Tell whoever asks port 53 that there is no such name, and append the name to a file.
    Names { file: PathBuf },
    /// Rename a file to and fro while another process opens it at both names; check each time that it came to rest.
    RenameRace(load::Race),
}

/// Does it.
pub(crate) fn run(tool: Tool) -> Result<()> {
    match tool {
        Tool::Exchange { one, other } => files::exchange(&one, &other),
        Tool::WriteParts { file, parts } => files::write_parts(&file, &parts),
        Tool::Threads { threads, times, file } => files::threads(threads, times, &file),
        Tool::Memfd { name, program, arguments } => files::memfd(&name, &program, &arguments),
        Tool::Deep { root, name, depth, file } => files::deep(&root, &name, depth, &file),
        Tool::Hammer(hammer) => load::hammer(&hammer),
        Tool::Walk(walk) => load::walk(&walk),
        Tool::Names { file } => names::serve(&file),
        Tool::RenameRace(race) => load::race(&race),
    }
}
