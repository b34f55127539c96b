//! Writes `crds/*.yaml`. Run by `cargo xtask codegen`; with `--check` it only looks whether they are fresh.

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let check = match std::env::args().nth(1).as_deref() {
        None => false,
        Some("--check") => true,
        Some(other) => {
            eprintln!("error: found the argument `{other}`; allowed: --check");
            return ExitCode::from(2);
        }
    };
    let directory = Path::new(env!("CARGO_MANIFEST_DIR"));
    for manifest in lictor_crds::manifest::all() {
        let path = directory.join(&manifest.file);
        if std::fs::read_to_string(&path).is_ok_and(|committed| committed == manifest.text) {
            continue;
        }
        if check {
            eprintln!(
                "error: crds/{} is stale: run `cargo xtask codegen` and commit the result",
                manifest.file
            );
            return ExitCode::FAILURE;
        }
        if let Err(error) = std::fs::write(&path, manifest.text) {
            eprintln!("error: cannot write {}: {error}", path.display());
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
