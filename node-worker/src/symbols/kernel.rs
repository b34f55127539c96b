//! Functions of the kernel, as `/proc/kallsyms` lists them.

use super::{Frame, within_call};
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// The list is as old as this at most: modules come and go.
const KEPT: Duration = Duration::from_mins(1);

/// Functions kept at most, four times those of a kernel with many modules: some 12 MiB with their names.
const FUNCTIONS_MAX: usize = 400_000;

/// Longest line; the kernel's names have 512 bytes.
const LINE_BYTES_MAX: usize = 1024;

/// No function is larger. The list tells where functions begin, and not where the last one of a region ends.
const FUNCTION_BYTES_MAX: u64 = 1 << 20;

/// What BPF programs and their trampolines are listed under.
const BPF: &str = "bpf";

/// The functions.
#[derive(Debug)]
pub(super) struct KernelSymbols {
    path: PathBuf,
    functions: Functions,
    /// When the list was read.
    read_at: Option<Instant>,
    told: bool,
}

impl KernelSymbols {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, functions: Functions::default(), read_at: None, told: false }
    }

    /// The frames of a stack. Those of our own programs, which are the innermost ones, are left out.
    pub(super) fn frames(&mut self, addresses: &[u64]) -> Vec<Frame> {
        if self.read_at.is_none() {
            self.read();
        }
        let frames = addresses.iter().enumerate().map(|(depth, address)| {
            let (symbol, module, begin) =
                self.functions.find(within_call(depth, *address)).unwrap_or_default();
            let offset = if symbol.is_empty() { 0 } else { address - begin };
            Frame { address: *address, offset, symbol: symbol.to_owned(), module: module.to_owned() }
        });
        let ours = |frame: &Frame| frame.module == BPF;
        frames.skip_while(ours).collect()
    }

    /// Reads the list again when it has been read and that is long ago.
    pub(super) fn read_when_old(&mut self) {
        if self.read_at.is_some_and(|time| time.elapsed() >= KEPT) {
            self.read();
        }
    }

    /// Reads the list.
    pub(super) fn read(&mut self) {
        self.read_at = Some(Instant::now());
        let read = File::open(&self.path).and_then(|file| Functions::read(BufReader::new(file)));
        let reason = match read {
            Ok(functions) if !functions.list.is_empty() => {
                self.functions = functions;
                return;
            }
            Ok(_) => "it hides the addresses (kernel.kptr_restrict)".to_owned(),
            Err(error) => error.to_string(),
        };
        if !std::mem::replace(&mut self.told, true) {
            let path = self.path.display();
            tracing::warn!(%path, reason, "kernel stacks are told without names: the list of functions cannot be used");
        }
    }
}

/// Functions in the order of their addresses.
#[derive(Debug, Default)]
struct Functions {
    /// Where each begins, and where its name does.
    list: Vec<(u64, u32)>,
    /// Name and module of each as they are in the list, ended by a line end.
    names: Vec<u8>,
}

impl Functions {
    fn read(mut lines: impl BufRead) -> io::Result<Self> {
        let mut functions = Self::default();
        let mut line = Vec::new();
        while functions.list.len() < FUNCTIONS_MAX {
            line.clear();
            if io::Read::take(&mut lines, LINE_BYTES_MAX as u64).read_until(b'\n', &mut line)? == 0 {
                break;
            }
            functions.add(&line);
        }
        functions.list.sort_unstable();
        functions.list.shrink_to_fit();
        functions.names.shrink_to_fit();
        Ok(functions)
    }

    /// Adds the function of a line: 16 digits, a type, a name, and perhaps a module in brackets behind a tabulator. There are
    /// hundreds of thousands of lines, and events wait.
    fn add(&mut self, line: &[u8]) {
        let Some((digits, [b' ', b't' | b'T' | b'w' | b'W', b' ', name @ ..])) =
            line.split_first_chunk::<16>()
        else {
            return;
        };
        let (Some(begin @ 1..), Ok(at)) = (hexadecimal(*digits), u32::try_from(self.names.len())) else {
            return;
        };
        self.list.push((begin, at));
        self.names.extend_from_slice(name.strip_suffix(b"\n").unwrap_or(name));
        self.names.push(b'\n');
    }

    /// Name and module of the function at an address, and where it begins.
    fn find(&self, address: u64) -> Option<(&str, &str, u64)> {
        let behind = self.list.partition_point(|(begin, _)| *begin <= address);
        let (begin, at) = *self.list.get(behind.checked_sub(1)?)?;
        if address - begin >= FUNCTION_BYTES_MAX {
            return None;
        }
        let line = self.names.get(usize::try_from(at).ok()?..)?;
        let line = std::str::from_utf8(line.split(|byte| *byte == b'\n').next()?).ok()?;
        let (name, module) = line.split_once('\t').unwrap_or((line, ""));
        Some((name, module.trim_matches(['[', ']']), begin))
    }
}

fn hexadecimal(digits: [u8; 16]) -> Option<u64> {
    digits.iter().try_fold(0, |number, digit| Some(number << 4 | u64::from(char::from(*digit).to_digit(16)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "ffffffff81000000 T _stext
ffffffff81000100 t do_it
ffffffff81000200 D not_code
ffffffff81000300 W weak_one
ffffffffc0100000 t inner\t[tun]
ffffffffc0200000 t bpf_prog_1f_lictor_fentry\t[bpf]
broken
ffffffffc0200100 t bpf_trampoline_7\t[bpf]
";

    fn symbols(text: &str) -> (tempfile::TempDir, KernelSymbols) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("kallsyms");
        std::fs::write(&path, text).unwrap();
        (directory, KernelSymbols::new(path))
    }

    fn texts(frames: &[Frame]) -> Vec<String> {
        frames.iter().map(|frame| format!("{}+{}@{}", frame.symbol, frame.offset, frame.module)).collect()
    }

    #[test]
    fn functions_are_found_by_where_they_begin() {
        let (_directory, mut symbols) = symbols(LIST);
        let frames = symbols.frames(&[
            0xffff_ffff_8100_0100,
            0xffff_ffff_8100_0300,
            0xffff_ffff_c010_0010,
            0xffff_ffff_ffff_0000,
            7,
        ]);
        // The second one returns to the end of the function before.
        assert_eq!(texts(&frames), ["do_it+0@", "do_it+512@", "inner+16@tun", "+0@", "+0@"]);
    }

    #[test]
    fn our_own_programs_are_left_out() {
        let (_directory, mut symbols) = symbols(LIST);
        let stack =
            [0xffff_ffff_c020_0008, 0xffff_ffff_c020_0108, 0xffff_ffff_8100_0108, 0xffff_ffff_c020_0008];
        let names = ["do_it+8@", "bpf_prog_1f_lictor_fentry+8@bpf"];
        assert_eq!(texts(&symbols.frames(&stack)), names);
    }

    #[test]
    fn a_list_is_read_again_when_that_is_asked_for() {
        let (directory, mut symbols) = symbols(LIST);
        assert_eq!(symbols.frames(&[0xffff_ffff_8100_0000])[0].symbol, "_stext");
        std::fs::write(directory.path().join("kallsyms"), "ffffffff81000000 T other\n").unwrap();
        symbols.read_when_old();
        assert_eq!(symbols.frames(&[0xffff_ffff_8100_0000])[0].symbol, "_stext");
        symbols.read();
        assert_eq!(symbols.frames(&[0xffff_ffff_8100_0000])[0].symbol, "other");
    }

    #[test]
    fn hidden_addresses_leave_frames_without_names() {
        for text in ["0000000000000000 T _stext\n0000000000000000 t do_it\n", ""] {
            let (_directory, mut symbols) = symbols(text);
            let address = 0xffff_ffff_8100_0000;
            assert_eq!(symbols.frames(&[address]), [Frame { address, ..Frame::default() }]);
            assert!(symbols.told);
        }
    }
}
