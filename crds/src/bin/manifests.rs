//! Writes `crds/*.yaml`, and the copies that the chart installs. Run by `cargo xtask codegen`; with `--check` it only looks whether they are fresh.

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
    let crds = Path::new(env!("CARGO_MANIFEST_DIR"));
    // A chart's files cannot be links to files outside of it.
    let directories = [crds.to_path_buf(), crds.join(lictor_crds::manifest::CHART_FILES)];
    let manifests = lictor_crds::manifest::all();
    let files = directories
        .iter()
        .flat_map(|directory| manifests.iter().map(|manifest| (directory.join(&manifest.file), manifest)));
    for (path, manifest) in files {
        if std::fs::read_to_string(&path).is_ok_and(|committed| committed == manifest.text) {
            continue;
        }
        if check {
            eprintln!("error: {} is stale: run `cargo xtask codegen` and commit the result", path.display());
            return ExitCode::FAILURE;
        }
        if let Err(error) = std::fs::write(&path, &manifest.text) {
            eprintln!("error: cannot write {}: {error}", path.display());
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
