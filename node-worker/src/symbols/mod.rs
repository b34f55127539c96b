//! What events tell of files: functions that the addresses of stacks lie in, build ids of what was mapped.
//!
//! The kernel's symbols are read from the node's `/proc/kallsyms`, which takes the kernel a while to write. Those of a program
//! are in files that belong to whoever runs it. So a thread of its own reads both, with bounds, and the pipeline does not wait
//! for it longer than it can afford.

mod allowance;
mod elf;
mod kernel;
mod mapped;
mod program;

use crate::events::decode::{FieldValue, HookRecord, StackRecord};
use crate::port::ImageTable;
use allowance::Allowance;
pub(crate) use elf::build_id;
#[cfg(test)]
pub(crate) use elf::tests::with_build_id as tests_with_build_id;
use kernel::KernelSymbols;
use lictor_policy::plan::{EventKind, GroupPlan};
use mapped::BuildIds;
pub use mapped::MappedFile;
use program::{Process, Programs};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Instant;

/// A function that is being executed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Frame {
    /// Where; 0 = addresses are not shown.
    pub address: u64,
    /// Bytes from the beginning of the symbol, or of the file when the symbol is not known.
    pub offset: u64,
    /// The function's name; empty = not known.
    pub symbol: String,
    /// Module of the kernel, or the file that is mapped there; empty = none, or not known.
    pub module: String,
}

/// A stack as events show it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Stack {
    /// No rule that fired wants it.
    #[default]
    NotWanted,
    /// It could not be taken.
    Failed,
    /// The innermost frame first.
    Taken(Vec<Frame>),
}

/// The stacks of a record.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stacks {
    /// The kernel's.
    pub kernel: Stack,
    /// The program's.
    pub user: Stack,
}

/// Knows functions by addresses, and files.
pub trait Symbols: Send {
    /// Frames of the kernel will be asked for, or programs were loaded into it since they were; `false` = not now.
    fn prepare(&mut self) -> bool;

    /// The frames of these addresses of the kernel.
    fn kernel(&mut self, addresses: &[u64]) -> Vec<Frame>;

    /// The frames of these addresses of a process, which had them at this time of the boot clock.
    fn program(&mut self, process: u32, boot_ns: u64, addresses: &[u64]) -> Vec<Frame>;

    /// The build id of a file; empty = it has none, or cannot be had.
    fn build_id(&mut self, file: MappedFile) -> Vec<u8>;
}

/// The stacks of a record.
pub fn stacks(record: &HookRecord<'_>, symbols: &mut dyn Symbols) -> Stacks {
    let head = &record.fixed.head;
    let kernel = match record.kernel_stack {
        StackRecord::NotWanted => Stack::NotWanted,
        StackRecord::Failed => Stack::Failed,
        StackRecord::Taken(addresses) => {
            Stack::Taken(symbols.kernel(&addresses.iter().collect::<Vec<u64>>()))
        }
    };
    let user = match record.user_stack {
        StackRecord::NotWanted => Stack::NotWanted,
        StackRecord::Failed => Stack::Failed,
        StackRecord::Taken(addresses) => {
            let addresses: Vec<u64> = addresses.iter().collect();
            Stack::Taken(symbols.program(record.user_stack_of, head.boot_ns, &addresses))
        }
    };
    Stacks { kernel, user }
}

/// The file whose build id an event tells: what the rule of `spec.loader` was asked about, if `group` is one. `parent` is
/// the parent of the process.
pub fn mapped_file(record: &HookRecord<'_>, group: &GroupPlan, parent: u32) -> Option<MappedFile> {
    if group.event != EventKind::Loader {
        return None;
    }
    let field = record.fields().get(usize::from(group.args.first()?.field?))?;
    let FieldValue::File { file, path } = field.value else { return None };
    let processes = [record.fixed.head.tgid, parent];
    Some(MappedFile { processes, path: path.to_vec(), device: file.device, inode: file.inode })
}

/// Where to look for the function of frame `depth`: of all but the innermost one the address is where the call returns to,
/// and a call that never returns may be the last instruction of its function.
fn within_call(depth: usize, address: u64) -> u64 {
    if depth == 0 { address } else { address.saturating_sub(1) }
}

/// Knows those of this node.
#[derive(Debug)]
pub struct NodeSymbols {
    /// Until the first stack is to be told.
    readers: Option<Readers>,
    asking: Option<Asking>,
    show_addresses: bool,
    without: Without,
}

/// What was told without the names or the build id that it has, or may have.
#[derive(Debug, Clone, Default)]
pub struct Without {
    /// Stacks that could not be looked up in time.
    pub names: Arc<AtomicU64>,
    /// Files that were gone, could not be opened, or not in time.
    pub build_ids: Arc<AtomicU64>,
}

/// What the thread reads with.
#[derive(Debug)]
struct Readers {
    kernel: KernelSymbols,
    programs: Programs,
    build_ids: BuildIds,
}

/// What the thread is asked.
#[derive(Debug)]
enum Question {
    /// To read the kernel's list; there is no answer.
    Prepare,
    /// Frames of the kernel.
    Kernel(Vec<u64>),
    /// Frames of a process.
    Program(Process),
    /// The build id of a file.
    BuildId(MappedFile),
}

/// What it answers.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Frames(Vec<Frame>),
    /// `None` = the file cannot be had.
    BuildId(Option<Vec<u8>>),
}

/// The thread that reads symbols, seen from the pipeline.
#[derive(Debug)]
struct Asking {
    questions: mpsc::SyncSender<Question>,
    answers: mpsc::Receiver<Answer>,
    /// An answer to an old question is still to come.
    waiting: bool,
    allowance: Allowance,
}

impl NodeSymbols {
    /// The node whose proc file system is mounted at `procfs`. `images` tells when processes began their programs; `without`
    /// counts what was told without.
    pub fn new(
        procfs: &Path,
        images: Option<Arc<dyn ImageTable>>,
        show_addresses: bool,
        without: Without,
    ) -> Self {
        let kernel = KernelSymbols::new(procfs.join("kallsyms"));
        let programs = Programs::new(procfs.to_owned(), images);
        let build_ids = BuildIds::new(procfs.to_owned());
        Self { readers: Some(Readers { kernel, programs, build_ids }), asking: None, show_addresses, without }
    }

    fn asking(&mut self) -> Option<&mut Asking> {
        if let Some(readers) = self.readers.take() {
            self.asking = Asking::start(readers);
        }
        self.asking.as_mut()
    }

    fn frames(&mut self, question: Question, addresses: &[u64]) -> Vec<Frame> {
        let answer = self.asking().and_then(|asking| asking.ask(question));
        let mut frames = if let Some(Answer::Frames(frames)) = answer {
            frames
        } else {
            self.without.names.fetch_add(1, Ordering::Relaxed);
            bare(addresses)
        };
        if !self.show_addresses {
            for frame in &mut frames {
                frame.address = 0;
            }
        }
        frames
    }
}

impl Symbols for NodeSymbols {
    fn prepare(&mut self) -> bool {
        self.asking().is_none_or(|asking| {
            !matches!(asking.questions.try_send(Question::Prepare), Err(mpsc::TrySendError::Full(_)))
        })
    }

    fn kernel(&mut self, addresses: &[u64]) -> Vec<Frame> {
        self.frames(Question::Kernel(addresses.to_vec()), addresses)
    }

    fn program(&mut self, process: u32, boot_ns: u64, addresses: &[u64]) -> Vec<Frame> {
        let process = Process { pid: process, boot_ns, addresses: addresses.to_vec() };
        self.frames(Question::Program(process), addresses)
    }

    fn build_id(&mut self, file: MappedFile) -> Vec<u8> {
        let answer = self.asking().and_then(|asking| asking.ask(Question::BuildId(file)));
        if let Some(Answer::BuildId(Some(found))) = answer {
            return found;
        }
        self.without.build_ids.fetch_add(1, Ordering::Relaxed);
        Vec::new()
    }
}

/// Frames of which nothing but the address is known.
fn bare(addresses: &[u64]) -> Vec<Frame> {
    addresses.iter().map(|address| Frame { address: *address, ..Frame::default() }).collect()
}

impl Asking {
    fn start(mut readers: Readers) -> Option<Self> {
        // One question at a time: whoever asks waits, or gives up until the answer is there.
        let (questions, asked) = mpsc::sync_channel::<Question>(1);
        let (answer, answers) = mpsc::sync_channel(1);
        let work = move || {
            while let Ok(question) = asked.recv() {
                let found = match question {
                    Question::Prepare => {
                        readers.kernel.read();
                        continue;
                    }
                    Question::Kernel(addresses) => Answer::Frames(readers.kernel.frames(&addresses)),
                    Question::Program(process) => Answer::Frames(readers.programs.frames(&process)),
                    Question::BuildId(file) => Answer::BuildId(readers.build_ids.of(&file)),
                };
                let is_stack = matches!(found, Answer::Frames(_));
                if answer.send(found).is_err() {
                    return;
                }
                if is_stack {
                    // Only now, so that nobody waits for it.
                    readers.kernel.read_when_old();
                }
            }
        };
        if let Err(error) = std::thread::Builder::new().name("lictor-symbols".to_owned()).spawn(work) {
            tracing::error!(%error, "stacks and files are told without names and build ids: no thread can be started");
            return None;
        }
        Some(Self { questions, answers, waiting: false, allowance: Allowance::new(Instant::now()) })
    }

    /// `None` = the answer does not come in time.
    fn ask(&mut self, question: Question) -> Option<Answer> {
        if self.waiting {
            self.answers.try_recv().ok()?;
            self.waiting = false;
        }
        let begin = Instant::now();
        let patience = self.allowance.left(begin)?;
        self.questions.try_send(question).ok()?;
        let answer = self.answers.recv_timeout(patience).ok();
        self.waiting = answer.is_none();
        self.allowance.spend(begin.elapsed());
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A node with this test as its one process, and the kernel function `f`.
    fn node(directory: &Path) -> NodeSymbols {
        std::fs::write(directory.join("kallsyms"), "ffffffff81000000 T f\n").unwrap();
        std::os::unix::fs::symlink(format!("/proc/{}", std::process::id()), directory.join("7")).unwrap();
        NodeSymbols::new(directory, None, false, Without::default())
    }

    #[test]
    fn functions_of_kernel_and_program_are_named() {
        let directory = tempfile::tempdir().unwrap();
        let mut node = node(directory.path());
        let frames = node.kernel(&[0xffff_ffff_8100_0004]);
        assert_eq!((frames[0].symbol.as_str(), frames[0].offset, frames[0].address), ("f", 4, 0));
        let here = functions_of_kernel_and_program_are_named as fn() as usize as u64;
        let frames = node.program(7, 0, &[here, here + 1, 3]);
        let name = "functions_of_kernel_and_program_are_named";
        assert!(frames[0].symbol.contains(name) && frames[0].offset == 0, "{frames:?}");
        assert!(frames[1].symbol.contains(name) && frames[1].offset == 1, "{frames:?}");
        assert_eq!(frames[0].module, std::env::current_exe().unwrap().to_str().unwrap());
        assert_eq!(frames[2], Frame::default());
        assert_eq!(node.without.names.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_process_that_is_gone_leaves_frames_without_names() {
        let directory = tempfile::tempdir().unwrap();
        let mut node = node(directory.path());
        node.show_addresses = true;
        let frames = node.program(8, 0, &[1, 2]);
        assert_eq!(frames.iter().map(|frame| frame.address).collect::<Vec<_>>(), [1, 2]);
        assert!(frames.iter().all(|frame| frame.symbol.is_empty() && frame.module.is_empty()));
    }

    #[test]
    fn build_ids_that_cannot_be_had_are_counted() {
        use std::os::unix::fs::MetadataExt as _;
        let directory = tempfile::tempdir().unwrap();
        let mut node = node(directory.path());
        let path = directory.path().join("program");
        std::fs::write(&path, elf::tests::with_build_id(b"12345678")).unwrap();
        let metadata = std::fs::metadata(&path).unwrap();
        let (major, minor) = (rustix::fs::major(metadata.dev()), rustix::fs::minor(metadata.dev()));
        let path = path.to_str().unwrap().as_bytes().to_vec();
        let file = MappedFile { processes: [7, 0], path, device: major << 20 | minor, inode: metadata.ino() };
        assert_eq!(node.build_id(file.clone()), b"12345678");
        assert_eq!(node.without.build_ids.load(Ordering::Relaxed), 0);
        assert_eq!(node.build_id(MappedFile { inode: file.inode + 1, ..file }), b"");
        assert_eq!(node.without.build_ids.load(Ordering::Relaxed), 1);
        assert_eq!(node.without.names.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn what_takes_too_long_is_not_waited_for() {
        let (questions, asked) = mpsc::sync_channel::<Question>(1);
        let (answer, answers) = mpsc::sync_channel(1);
        let allowance = Allowance::new(Instant::now());
        let mut asking = Asking { questions, answers, waiting: false, allowance };
        let question = || Question::Kernel(vec![1]);
        assert_eq!(asking.ask(question()), None);
        let begin = Instant::now();
        assert_eq!(asking.ask(question()), None, "the first answer is still to come");
        assert!(begin.elapsed() < allowance::BURST / 2);
        asked.recv().unwrap();
        answer.send(Answer::Frames(bare(&[1]))).unwrap();
        asking.allowance = Allowance::new(Instant::now());
        let work = std::thread::spawn(move || {
            asked.recv().unwrap();
            answer.send(Answer::Frames(bare(&[2]))).unwrap();
        });
        assert_eq!(
            asking.ask(question()),
            Some(Answer::Frames(bare(&[2]))),
            "the first answer belongs to nobody any more"
        );
        work.join().unwrap();
    }
}
