//! What a package of this program brings besides it: completions for shells, manual pages.

use anyhow::Context as _;
use clap::{Args, Command};
use clap_complete::Shell;
use std::io::Write;
use std::path::{Path, PathBuf};

/// What `completions` takes.
#[derive(Debug, Args)]
pub(crate) struct CompletionsOptions {
    /// The shell.
    #[arg(value_enum)]
    shell: Shell,
}

/// What `man` takes.
#[derive(Debug, Args)]
pub(crate) struct ManOptions {
    /// Existing directory to write lictor.1 and a page for each subcommand to; without it, lictor.1 is printed.
    #[arg(value_name = "DIRECTORY")]
    directory: Option<PathBuf>,
}

/// Prints the completions of `command`.
pub(crate) fn completions(options: &CompletionsOptions, mut command: Command) -> anyhow::Result<bool> {
    let mut script = Vec::new();
    clap_complete::generate(options.shell, &mut command, "lictor", &mut script);
    std::io::stdout().lock().write_all(&script)?;
    Ok(true)
}

/// Prints or writes the manual pages of `command`.
pub(crate) fn man(options: &ManOptions, command: Command) -> anyhow::Result<bool> {
    let Some(directory) = &options.directory else {
        clap_mangen::Man::new(command).render(&mut std::io::stdout().lock())?;
        return Ok(true);
    };
    let mut command = command.disable_help_subcommand(true);
    command.build();
    pages(&command, directory)?;
    Ok(true)
}

/// A page for `command` and for each of its subcommands.
fn pages(command: &Command, directory: &Path) -> anyhow::Result<()> {
    let page = clap_mangen::Man::new(command.clone());
    let path = directory.join(page.get_filename());
    let mut text = Vec::new();
    page.render(&mut text)?;
    std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    command.get_subcommands().try_for_each(|command| pages(command, directory))
}
