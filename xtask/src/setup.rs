//! `cargo xtask setup`: what the other commands need beside Rust.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

use crate::progress;

/// Something that must be there, and the Debian package that brings it.
struct Need {
    package: &'static str,
    found: fn() -> bool,
}

const NEEDS: &[Need] = &[
    Need { package: "qemu-system-x86", found: || in_path("qemu-system-x86_64") },
    // The file is also what the busybox package brings, which needs libraries; the lab says so if it meets that one.
    Need { package: "busybox-static", found: || Path::new("/bin/busybox").exists() },
    Need { package: "clang", found: || in_path("clang") },
    Need { package: "llvm", found: || in_path("llvm-strip") },
    Need { package: "clang-format", found: || in_path("clang-format") },
    Need { package: "libclang-dev", found: libclang },
    Need { package: "libbpf-dev", found: || Path::new("/usr/include/bpf/bpf_helpers.h").exists() },
    Need { package: "linux-libc-dev", found: || Path::new("/usr/include/linux/bpf.h").exists() },
    Need { package: "binutils", found: || in_path("strip") },
    Need { package: "xz-utils", found: || in_path("xz") },
    Need { package: "e2fsprogs", found: || in_path("mke2fs") || Path::new("/sbin/mke2fs").exists() },
    // Brings the Go that compiles Kubernetes where there is none.
    Need { package: "python3-pip", found: lictor_e2e::cluster::go::available },
    Need { package: "ca-certificates", found: || Path::new("/etc/ssl/certs/ca-certificates.crt").exists() },
    Need {
        package: "debian-archive-keyring",
        found: || Path::new("/usr/share/keyrings/debian-archive-keyring.gpg").exists(),
    },
];

/// Installs what is missing.
///
/// # Errors
/// When something is missing and this is not root, with the line to run; when the installation fails.
pub(crate) fn run() -> Result<()> {
    let missing: Vec<&str> = NEEDS.iter().filter(|need| !(need.found)()).map(|need| need.package).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let packages = missing.join(" ");
    let line = format!("apt-get install -y --no-install-recommends {packages}");
    ensure!(
        in_path("apt-get"),
        "this is not a Debian machine; these Debian packages, or what they stand for, are missing: {packages}"
    );
    if !is_root()? {
        bail!("these Debian packages are missing; install them, then run this again:\n  sudo {line}");
    }
    progress::step(&format!("installing Debian packages: {packages}"), || {
        apt(&["update"])?;
        apt(&[&["install", "-y", "--no-install-recommends"], missing.as_slice()].concat())
    })?;
    let still: Vec<&str> = NEEDS.iter().filter(|need| !(need.found)()).map(|need| need.package).collect();
    ensure!(still.is_empty(), "installed, but something is still missing: {}", still.join(" "));
    progress::line("Debian packages are installed");
    Ok(())
}

fn apt(arguments: &[&str]) -> Result<()> {
    let mut command = Command::new("apt-get");
    // Another program may be installing at this moment, on a fresh machine often the system itself.
    command.args(["-q", "-o", "DPkg::Lock::Timeout=300"]).args(arguments);
    let output = command.env("DEBIAN_FRONTEND", "noninteractive").output().context("starting apt-get")?;
    if !output.status.success() {
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        let lines: Vec<&str> = text.lines().collect();
        let tail = lines[lines.len().saturating_sub(15)..].join("\n");
        bail!("apt-get {} failed:\n{tail}", arguments.join(" "));
    }
    Ok(())
}

fn in_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(program).is_file())
}

/// Whether the library that reads C headers is where it is looked for.
fn libclang() -> bool {
    let in_directory = |directory: &Path| {
        std::fs::read_dir(directory).is_ok_and(|entries| {
            entries.flatten().any(|entry| {
                let name = entry.file_name().to_string_lossy().into_owned();
                name.starts_with("libclang.so") || (name.starts_with("libclang-") && name.contains(".so"))
            })
        })
    };
    let versions = std::fs::read_dir("/usr/lib").into_iter().flatten().flatten().map(|entry| entry.path());
    let mut places: Vec<_> = versions
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("llvm-")))
        .map(|path| path.join("lib"))
        .collect();
    places.push(format!("/usr/lib/{}-linux-gnu", std::env::consts::ARCH).into());
    places.iter().any(|place| in_directory(place))
}

fn is_root() -> Result<bool> {
    let status = std::fs::read_to_string("/proc/self/status").context("reading /proc/self/status")?;
    let uid = status.lines().find_map(|line| line.strip_prefix("Uid:")?.split_whitespace().nth(1));
    Ok(uid == Some("0"))
}
