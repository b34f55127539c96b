//! Reads `/proc`: the processes that ran before the first record, and those that a record was lost of.

use super::image::{Credentials, SecurityIds};
use super::names;
use super::process::{ProcessFacts, ProcessReader, TICK_NS};
use crate::port::ImageTable;
use lictor_node_worker_ebpf::LICTOR_MAX_EXEC_ARGS;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where the default cgroup hierarchy is, unless told otherwise.
pub const CGROUP_ROOT: &str = "/sys/fs/cgroup";

/// `PF_KTHREAD` of `task_struct.flags`.
const KERNEL_THREAD: u64 = 0x0020_0000;

/// Bytes of one status file read at most; the longest have 2 KiB.
const FILE_BYTES_MAX: u64 = 16 * 1024;

/// A mounted proc file system.
#[derive(Debug, Clone)]
pub struct ProcFs {
    root: PathBuf,
    images: Option<Arc<dyn ImageTable>>,
    /// The default cgroup hierarchy.
    cgroups: PathBuf,
}

impl ProcFs {
    /// The proc file system mounted at `root`, which must show the node's first PID namespace.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), cgroups: PathBuf::from(CGROUP_ROOT), images: None }
    }

    /// The same, asking `images` for what `/proc` does not tell: since when a process runs its program.
    #[must_use]
    pub fn with_images(self, images: Option<Arc<dyn ImageTable>>) -> Self {
        Self { images, ..self }
    }

    /// The same, with the default cgroup hierarchy mounted at `cgroups`.
    #[must_use]
    pub fn with_cgroups(self, cgroups: impl Into<PathBuf>) -> Self {
        Self { cgroups: cgroups.into(), ..self }
    }

    /// The id of a process's cgroup in the default hierarchy: the inode number of its directory.
    fn cgroup(&self, directory: &Path) -> u64 {
        use std::os::unix::fs::MetadataExt as _;
        let text = read_some(&directory.join("cgroup")).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let path = text.lines().find_map(|line| line.strip_prefix("0::/"));
        let metadata = path.and_then(|path| std::fs::metadata(self.cgroups.join(path)).ok());
        metadata.map_or(0, |metadata| metadata.ino())
    }

    /// All processes, in no order. Those that end while they are read are left out.
    pub fn scan(&self) -> io::Result<Vec<ProcessFacts>> {
        Ok(self.pids()?.into_iter().filter_map(|pid| self.process(pid)).collect())
    }

    /// The ids of all processes.
    pub fn pids(&self) -> io::Result<Vec<u32>> {
        let mut pids = Vec::new();
        for entry in std::fs::read_dir(&self.root)? {
            if let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) {
                pids.push(pid);
            }
        }
        Ok(pids)
    }

    /// The namespaces of process 1, in the order of `LICTOR_FROM_NS_*`; 0 = unreadable.
    pub fn host_namespaces(&self) -> [u32; 10] {
        namespaces(&self.root.join("1"))
    }

    /// One process.
    pub fn process(&self, pid: u32) -> Option<ProcessFacts> {
        let directory = self.root.join(pid.to_string());
        let stat = Stat::parse(&read_some(&directory.join("stat"))?)?;
        let status = Status::parse(&read_some(&directory.join("status"))?);
        if status.tgid.is_some_and(|tgid| tgid != pid) {
            // The name of a thread: it can be opened, but is no process.
            return None;
        }
        Some(ProcessFacts {
            pid,
            parent_pid: stat.parent_pid,
            start_ticks: stat.start_ticks,
            image_boot_ns: self.image_boot_ns(pid, stat.start_ticks),
            kernel_thread: stat.flags & KERNEL_THREAD != 0,
            name: stat.name,
            executable: link(&directory.join("exe")),
            cwd: link(&directory.join("cwd")),
            argv: read_bounded(&directory.join("cmdline"), u64::from(LICTOR_MAX_EXEC_ARGS))
                .unwrap_or_default(),
            credentials: status.credentials,
            login_uid: login_uid(&directory),
            security: SecurityIds { namespaces: namespaces(&directory), ..status.capabilities },
            namespace_pid: status.namespace_pid.unwrap_or(pid),
            cgroup: self.cgroup(&directory),
        })
    }
}

impl ProcFs {
    fn image_boot_ns(&self, pid: u32, start_ticks: u64) -> Option<u64> {
        let begin = self.images.as_ref()?.began(pid)?;
        // An entry that outlived its process is of another one.
        (begin.start_boot_ns / TICK_NS == start_ticks).then_some(begin.boot_ns)
    }
}

impl ProcessReader for ProcFs {
    fn read(&mut self, pid: u32) -> Option<ProcessFacts> {
        self.process(pid)
    }
}

fn read_some(path: &Path) -> Option<Vec<u8>> {
    read_bounded(path, FILE_BYTES_MAX)
}

fn read_bounded(path: &Path, limit: u64) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(limit).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

fn link(path: &Path) -> Vec<u8> {
    std::fs::read_link(path).map(|target| target.into_os_string().into_vec()).unwrap_or_default()
}

fn login_uid(directory: &Path) -> u32 {
    let text = read_some(&directory.join("loginuid")).unwrap_or_default();
    String::from_utf8_lossy(&text).trim().parse().unwrap_or(u32::MAX)
}

fn namespaces(directory: &Path) -> [u32; 10] {
    names::NAMESPACES.map(|name| namespace_inode(&link(&directory.join("ns").join(name))).unwrap_or(0))
}

/// The inode number in `mnt:[4026531841]`.
fn namespace_inode(link: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(link).ok()?;
    text.split_once('[')?.1.strip_suffix(']')?.parse().ok()
}

/// What `/proc/PID/stat` says.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    name: Vec<u8>,
    parent_pid: u32,
    flags: u64,
    start_ticks: u64,
}

impl Stat {
    /// The name stands in parentheses and may itself hold spaces and parentheses, so it ends at the last one.
    fn parse(text: &[u8]) -> Option<Self> {
        let begin = text.iter().position(|&byte| byte == b'(')? + 1;
        let end = text.iter().rposition(|&byte| byte == b')')?;
        let name = text.get(begin..end)?.to_vec();
        let rest = std::str::from_utf8(text.get(end + 1..)?).ok()?;
        // Fields are numbered from 1 in proc(5); the first one here is number 3, the state.
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
        Some(Self {
            name,
            parent_pid: u32::try_from(number(4)?).ok()?,
            flags: number(9)?,
            start_ticks: number(22)?,
        })
    }
}

/// What `/proc/PID/status` says.
#[derive(Debug, PartialEq, Eq, Default)]
struct Status {
    tgid: Option<u32>,
    credentials: Credentials,
    capabilities: SecurityIds,
    namespace_pid: Option<u32>,
}

impl Status {
    fn parse(text: &[u8]) -> Self {
        let mut status = Self::default();
        for line in String::from_utf8_lossy(text).lines() {
            let Some((name, value)) = line.split_once(':') else { continue };
            let value = value.trim();
            match name {
                "Tgid" => status.tgid = value.parse().ok(),
                "Uid" => status.credentials.users = four(value),
                "Gid" => status.credentials.groups = four(value),
                "CapInh" => status.capabilities.inheritable = hexadecimal(value),
                "CapPrm" => status.capabilities.permitted = hexadecimal(value),
                "CapEff" => status.capabilities.effective = hexadecimal(value),
                // From the reader's namespace inwards: the last one is the process's own.
                "NSpid" => {
                    status.namespace_pid =
                        value.split_ascii_whitespace().last().and_then(|id| id.parse().ok());
                }
                _ => {}
            }
        }
        status
    }
}

/// Real, effective, saved and file system id.
fn four(value: &str) -> [u32; 4] {
    let mut ids = [0; 4];
    for (id, word) in ids.iter_mut().zip(value.split_ascii_whitespace()) {
        *id = word.parse().unwrap_or(0);
    }
    ids
}

fn hexadecimal(value: &str) -> u64 {
    u64::from_str_radix(value, 16).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_is_read_whole() {
        let text = b"77 (a) b (c) S 12 77 77 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 4242 10 20\n";
        let stat = Stat::parse(text).unwrap();
        assert_eq!(
            stat,
            Stat { name: b"a) b (c".to_vec(), parent_pid: 12, flags: 4_194_304, start_ticks: 4242 }
        );
    }

    #[test]
    fn damaged_stat_is_no_process() {
        for text in
            [&b""[..], b"1 (", b"1 )(", b"1 (x) S", b"1 (x) S a b c d e f g h i j k l m n o p q r s t"]
        {
            assert_eq!(Stat::parse(text), None, "{}", String::from_utf8_lossy(text));
        }
    }

    #[test]
    fn status_names_ids_capabilities_and_the_inner_pid() {
        let status = Status::parse(
            b"Name:\tx\nTgid:\t9\nUid:\t1\t2\t3\t4\nGid:\t5\t6\t7\t8\nNSpid:\t9\t4\t1\nCapInh:\t0000000000000001\n\
              CapPrm:\t000001ffffffffff\nCapEff:\t0000000000200000\n",
        );
        assert_eq!(status.tgid, Some(9));
        assert_eq!(status.credentials.users, [1, 2, 3, 4]);
        assert_eq!(status.credentials.groups, [5, 6, 7, 8]);
        assert_eq!(status.namespace_pid, Some(1));
        assert_eq!(status.capabilities.permitted, 0x1ff_ffff_ffff);
        assert_eq!((status.capabilities.effective, status.capabilities.inheritable), (1 << 21, 1));
    }

    #[test]
    fn this_process_is_found() {
        let facts = ProcFs::new("/proc").process(std::process::id()).unwrap();
        assert_eq!(
            facts.parent_pid,
            rustix::process::getppid().unwrap().as_raw_nonzero().get().cast_unsigned()
        );
        assert_eq!(Some(&facts.executable[..]), std::env::current_exe().unwrap().to_str().map(str::as_bytes));
        assert!(facts.start_ticks > 0);
        assert_eq!(facts.image_boot_ns, None);
        assert!(!facts.kernel_thread);
        assert_ne!(facts.security.namespaces[2], 0);
        assert!(ProcFs::new("/proc").scan().unwrap().iter().any(|other| other.pid == facts.pid));
    }

    #[derive(Debug)]
    struct Clock(u64);

    impl ImageTable for Clock {
        fn began(&self, _: u32) -> Option<crate::port::ImageBegin> {
            Some(crate::port::ImageBegin { start_boot_ns: self.0, boot_ns: 77 })
        }

        fn remember(&self, _: &crate::port::OlderProcess) -> io::Result<bool> {
            Ok(false)
        }
    }

    #[test]
    fn an_image_is_of_the_process_that_started_then() {
        let pid = std::process::id();
        let ticks = ProcFs::new("/proc").process(pid).unwrap().start_ticks;
        let image = |start_boot_ns: u64| {
            let proc = ProcFs::new("/proc").with_images(Some(Arc::new(Clock(start_boot_ns))));
            proc.process(pid).unwrap().image_boot_ns
        };
        assert_eq!(image(ticks * TICK_NS + 9), Some(77));
        assert_eq!(image((ticks + 1) * TICK_NS), None);
    }

    #[test]
    fn namespaces_are_read_from_their_links() {
        assert_eq!(namespace_inode(b"mnt:[4026531841]"), Some(4_026_531_841));
        assert_eq!(namespace_inode(b"mnt:[x]"), None);
        assert_eq!(namespace_inode(b""), None);
    }
}
