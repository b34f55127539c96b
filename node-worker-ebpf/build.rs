//! Compiles the BPF programs with clang when the feature `objects` asks for them.

use object::{LittleEndian, Object as _, ObjectSection as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// One object per program type.
const PROGRAMS: &[&str] = &[
    "lsm",
    "tracing",
    "kprobe",
    "uprobe",
    "uretprobe",
    "tracepoint",
    "raw_tracepoint",
    "process",
    "cgroup",
    "invalidate",
    "hash",
    "empty",
];

/// Names under which distributions install the tools; the plain one first.
const CLANG: &[&str] = &["clang", "clang-19", "clang-18", "clang-17", "clang-16", "clang-15", "clang-14"];
const STRIP: &[&str] = &[
    "llvm-strip",
    "llvm-strip-19",
    "llvm-strip-18",
    "llvm-strip-17",
    "llvm-strip-16",
    "llvm-strip-15",
    "llvm-strip-14",
];

fn main() {
    println!("cargo::rerun-if-changed=bpf");
    println!("cargo::rerun-if-changed=abi");
    if env::var_os("CARGO_FEATURE_OBJECTS").is_none() {
        return;
    }
    if let Err(message) = build() {
        println!("cargo::error={message}");
    }
}

fn build() -> Result<(), String> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR").map_err(|error| error.to_string())?);
    let out = PathBuf::from(env::var("OUT_DIR").map_err(|error| error.to_string())?);
    let clang = find(CLANG)?;
    let strip = find(STRIP)?;
    for program in PROGRAMS {
        let object = out.join(format!("{program}.o"));
        compile(&clang, &root, program, &object)?;
        // DWARF is of no use to the kernel and ten times the size of what is.
        run(Command::new(&strip).arg("-g").arg(&object))?;
        if !object.exists() {
            return Err(format!("{} was not written", object.display()));
        }
        drop_lines(&object).map_err(|error| format!("{}: {error}", object.display()))?;
    }
    check_padding(&clang, &root, &out)
}

fn compile(clang: &str, root: &Path, program: &str, object: &Path) -> Result<(), String> {
    let arch = match env::var("CARGO_CFG_TARGET_ARCH").as_deref() {
        Ok("x86_64") => "x86",
        Ok(other) => return Err(format!("the BPF programs are written for x86_64, not for {other}")),
        Err(error) => return Err(error.to_string()),
    };
    run(Command::new(clang)
        .args(["-O2", "-g", "-target", "bpf", "-mcpu=v3", "-Wall", "-Wextra", "-Werror"])
        .args(["-Wno-unused-parameter", "-Wno-unused-function", "-Wno-missing-declarations"])
        .arg(format!("-D__TARGET_ARCH_{arch}"))
        // A reproducible object: no path of the building machine in it.
        .arg(format!("-ffile-prefix-map={}=.", root.display()))
        .arg("-I")
        .arg(root.join("bpf/lib"))
        .arg("-I")
        .arg(root.join("abi/include"))
        .arg("-c")
        .arg(root.join(format!("bpf/programs/{program}.bpf.c")))
        .arg("-o")
        .arg(object))
}

/// Has the object say that it knows no lines of its source. They are never loaded, and the node worker would take five times as
/// long to read the object, at each start. (`struct btf_ext_header`, `linux/btf.h` of libbpf.)
fn drop_lines(path: &Path) -> Result<(), String> {
    const LINE_INFO_LENGTH: usize = 20;
    let mut bytes = fs::read(path).map_err(|error| error.to_string())?;
    let file =
        object::read::elf::ElfFile64::<LittleEndian>::parse(&*bytes).map_err(|error| error.to_string())?;
    let Some(section) = file.section_by_name(".BTF.ext") else { return Ok(()) };
    let (offset, _) = section.file_range().ok_or("an empty section .BTF.ext")?;
    let at = usize::try_from(offset).map_err(|error| error.to_string())? + LINE_INFO_LENGTH;
    bytes.get_mut(at..at + size_of::<u32>()).ok_or("a short section .BTF.ext")?.fill(0);
    fs::write(path, bytes).map_err(|error| error.to_string())
}

/// The wire contract must not have implicit padding: its structs travel as bytes.
fn check_padding(clang: &str, root: &Path, out: &Path) -> Result<(), String> {
    let source = out.join("padding.c");
    fs::write(&source, "#include <wire.h>\n").map_err(|error| error.to_string())?;
    run(Command::new(clang)
        .args(["-Wpadded", "-Werror", "-fsyntax-only", "-I"])
        .arg(root.join("abi/include"))
        .arg(&source))
}

fn find(names: &[&'static str]) -> Result<String, String> {
    names
        .iter()
        .find(|name| Command::new(name).arg("--version").output().is_ok_and(|output| output.status.success()))
        .map(|name| (*name).to_owned())
        .ok_or_else(|| {
            format!("{} was not found; `cargo xtask setup` installs what the build needs", names[0])
        })
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    for line in String::from_utf8_lossy(&output.stderr).lines().take(40) {
        println!("cargo::warning={line}");
    }
    Err(format!("{} failed; its first messages are above", command.get_program().to_string_lossy()))
}
