//! `lictor policy`: what can be said about policies without loading them.

mod btf_file;
mod check;
mod explain;
mod input;
mod junit;
mod machine;
mod rewrite;
mod sarif;
mod sizes;
mod trial;
mod words;

use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;

/// What to do with policies.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Check policies: prints everything that is wrong with them, and ends with exit code 1 if anything is.
    Check(CheckOptions),
    /// Explain policies: where each hook attaches and why, what it reads, its rules, and what it costs.
    Explain(Options),
    /// Test policies: runs the cases of *.test.yaml files beside them, without a kernel.
    Test(TestOptions),
    /// Replay recorded events through policies: what would they have reported, denied?
    Replay(ReplayOptions),
    /// Generate a policy from recorded events: it allows a program what it was seen doing, and nothing else.
    Generate(GenerateOptions),
    /// Convert policies of the established implementation: API group and names of fields. Comments stay.
    Convert(ConvertOptions),
    /// Format policies: indentation, blank lines, ends of lines, spelling of fields. Comments and order stay.
    Fmt(FmtOptions),
}

/// How directories are read.
#[derive(Debug, Args)]
pub(crate) struct Directories {
    /// Read the directories within directories, too, but for those whose names begin with a dot. (`lictor-node` does not: its
    /// directory has the policies themselves.)
    #[arg(short = 'R', long)]
    recursive: bool,
}

/// What `check` takes.
#[derive(Debug, Args)]
pub(crate) struct CheckOptions {
    /// Policy files, directories of them (*.yaml, *.yml, *.json), or `-` for standard input.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    directories: Directories,
    /// Form of the output.
    #[arg(short, long, value_enum, default_value_t = CheckOutput::Text)]
    output: CheckOutput,
    /// Whether policies are also tried against the kernel of this machine.
    #[arg(long, value_enum, default_value_t = FactsFrom::Auto)]
    facts: FactsFrom,
    /// Try policies against the kernel that this BTF describes: a copy of its /sys/kernel/btf/vmlinux. Needs no root.
    #[arg(long, value_name = "FILE", conflicts_with = "facts")]
    btf: Option<PathBuf>,
    /// Types of a module of that kernel, for policies that name it in `btfTypeModule`: a copy of its file under
    /// /sys/kernel/btf. May be given several times.
    #[arg(long, value_name = "MODULE=FILE", requires = "btf", value_parser = btf_file::module)]
    btf_module: Vec<(String, PathBuf)>,
}

/// Form of the output of `check`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum CheckOutput {
    /// For people.
    Text,
    /// For programs.
    Json,
    /// For code hosts: SARIF 2.1.0.
    Sarif,
}

/// What `test` takes.
#[derive(Debug, Args)]
pub(crate) struct TestOptions {
    /// Files of test cases, or directories of them (*.test.yaml, *.test.yml, *.test.json).
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    directories: Directories,
    /// Also write the outcome as `JUnit` XML to this file.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
}

/// What `replay` takes.
#[derive(Debug, Args)]
pub(crate) struct ReplayOptions {
    /// Policies to replay through: files, directories of them, or `-` for standard input.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Recorded events, one JSON object a line; `-` = standard input.
    #[arg(long, value_name = "FILE")]
    events: PathBuf,
    /// The policy that reported the events, or a directory of them: it tells which arguments their values are. Without
    /// it they are taken to be those of the replayed policies.
    #[arg(long, value_name = "FILE")]
    recorded_with: Vec<PathBuf>,
    /// Form of the output.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

/// What `generate` takes.
#[derive(Debug, Args)]
pub(crate) struct GenerateOptions {
    /// Recorded events, one JSON object a line; `-` = standard input.
    #[arg(long, value_name = "FILE")]
    events: PathBuf,
    /// The program whose events count, by the path that they show.
    #[arg(long, value_name = "PATH")]
    binary: String,
    /// The policy that reported the events, or a directory of them. Without it only the programs that the program ran
    /// are known.
    #[arg(long, value_name = "FILE")]
    recorded_with: Vec<PathBuf>,
    /// Name of the new policy; `allow-` and the program's name when left out.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Allow a directory as a whole when more different paths of it than this were met.
    #[arg(long, value_name = "COUNT", default_value_t = 20)]
    fold: usize,
}

/// What `convert` takes.
#[derive(Debug, Args)]
pub(crate) struct ConvertOptions {
    /// A policy file, or `-` for standard input; several with `--write`.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Change the files instead of printing.
    #[arg(long)]
    write: bool,
}

/// What `fmt` takes.
#[derive(Debug, Args)]
pub(crate) struct FmtOptions {
    /// A policy file, or `-` for standard input; several files, or directories of them, with `--write` or `--check`.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    directories: Directories,
    /// Change the files instead of printing.
    #[arg(long, conflicts_with = "check")]
    write: bool,
    /// Change nothing: name the files that are laid out otherwise, and end with exit code 1 if there are any.
    #[arg(long)]
    check: bool,
}

/// What `explain` takes.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Policy files, directories of them (*.yaml, *.yml, *.json), or `-` for standard input.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    directories: Directories,
    /// Form of the output.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
    /// Whether policies are also tried against the kernel of this machine.
    #[arg(long, value_enum, default_value_t = FactsFrom::Auto)]
    facts: FactsFrom,
}

/// Form of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// Whose kernel policies are tried against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FactsFrom {
    /// This machine's, when all of its facts can be read (for which one has to be root).
    Auto,
    /// None: only what holds on every kernel is checked.
    None,
    /// This machine's; what cannot be read counts as not there.
    System,
}

/// Runs a command; `false` = something was refused.
pub(crate) fn run(command: &Command) -> anyhow::Result<bool> {
    let (out, err) = (&mut std::io::stdout().lock(), &mut std::io::stderr().lock());
    match command {
        Command::Check(options) => check::run(options, out, err),
        Command::Explain(options) => explain::run(options, out, err),
        Command::Test(options) => trial::test(options, out, err),
        Command::Replay(options) => trial::replay(options, out, err),
        Command::Generate(options) => trial::generate(options, out, err),
        Command::Convert(options) => rewrite::convert_files(options, out, err),
        Command::Fmt(options) => rewrite::fmt_files(options, out, err),
    }
}
