//! Bytes from the ring to typed records. Total: any input gives a record or an error, and never more than the input.

use lictor_node_worker_ebpf as wire;
use wire::{
    lictor_bpf_attr, lictor_bpf_map, lictor_cgroup_record, lictor_credentials, lictor_data,
    lictor_data_record, lictor_endpoints, lictor_exec_record, lictor_exit_record, lictor_field,
    lictor_field_kind, lictor_field_status, lictor_file, lictor_fired, lictor_fork_record,
    lictor_hash_record, lictor_hook_record, lictor_module, lictor_perf_event, lictor_record,
    lictor_record_kind, lictor_unix_address, lictor_user_namespace,
};

/// One record, borrowing its texts from the ring.
#[allow(
    clippy::large_enum_variant,
    reason = "lives on the stack for one record; a box would be an allocation each"
)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Record<'a> {
    /// A process began to run another program.
    Exec(ExecRecord<'a>),
    /// A process ended.
    Exit(lictor_exit_record),
    /// A process was made.
    Fork(lictor_fork_record),
    /// Rules fired at a hook point.
    Hook(HookRecord<'a>),
    /// A cgroup was made or removed.
    Cgroup(CgroupRecord<'a>),
    /// A piece of a value whose hook record is still to come.
    Data(DataRecord<'a>),
    /// The hash of a file whose hook record has come.
    Hash(lictor_hash_record),
}

/// A piece of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DataRecord<'a> {
    /// The fixed part.
    pub fixed: lictor_data_record,
    /// The piece.
    pub bytes: &'a [u8],
}

/// A cgroup that was made or removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CgroupRecord<'a> {
    /// The fixed part.
    pub fixed: lictor_cgroup_record,
    /// Its name, perhaps cut short.
    pub name: &'a [u8],
}

/// An exec record and its texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExecRecord<'a> {
    /// The fixed part.
    pub fixed: lictor_exec_record,
    /// File name as it was given to execve.
    pub filename: &'a [u8],
    /// Working directory.
    pub cwd: &'a [u8],
    /// Arguments behind argv[0], each ended by a NUL (the last one perhaps not).
    pub arguments: &'a [u8],
    /// The executable's own path.
    pub executable: &'a [u8],
}

/// A hook record, its rules and its fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HookRecord<'a> {
    /// The fixed part.
    pub fixed: lictor_hook_record,
    /// The kernel's stack.
    pub kernel_stack: StackRecord<'a>,
    /// The stack of the process that ran, and its id: the head may name another one.
    pub user_stack: StackRecord<'a>,
    /// The process whose the user stack is.
    pub user_stack_of: u32,
    fired: &'a [u8],
    fields: [Field<'a>; FIELDS],
}

/// A stack of a hook record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StackRecord<'a> {
    /// No rule that fired wants it.
    #[default]
    NotWanted,
    /// It could not be taken.
    Failed,
    /// Its addresses, the innermost first.
    Taken(StackAddresses<'a>),
}

/// Addresses of a stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StackAddresses<'a>(&'a [[u8; 8]]);

impl<'a> StackAddresses<'a> {
    /// The addresses, the innermost first.
    pub fn iter(self) -> impl ExactSizeIterator<Item = u64> + use<'a> {
        self.0.iter().map(|bytes| u64::from_ne_bytes(*bytes))
    }
}

const FIELDS: usize = wire::LICTOR_MAX_FIELDS as usize;

impl<'a> HookRecord<'a> {
    /// Whether a hash of the file follows, in a record of its own.
    pub fn awaits_hash(&self) -> bool {
        self.fired().next().is_some_and(|fired| u32::from(fired.flags) & wire::LICTOR_FIRED_HASH != 0)
    }

    /// The rules that fired.
    pub fn fired(&self) -> impl Iterator<Item = lictor_fired> + use<'a> {
        self.fired.chunks_exact(size_of::<lictor_fired>()).filter_map(wire::read::<lictor_fired>)
    }

    /// Gives the field at `index` another value.
    pub fn set_field(&mut self, index: usize, field: Field<'a>) {
        if let Some(place) = self.fields.get_mut(index) {
            *place = field;
        }
    }

    /// The values that were read, in the order of the program's fields.
    pub fn fields(&self) -> &[Field<'a>] {
        &self.fields[..usize::from(self.fixed.field_count).min(FIELDS)]
    }
}

/// One value that was read at a hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Field<'a> {
    /// Whether and how it could be read.
    pub status: FieldStatus,
    /// Bytes of the value before it was cut.
    pub original_length: u32,
    /// The value.
    pub value: FieldValue<'a>,
}

/// Whether and how a value could be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FieldStatus {
    /// Whole.
    #[default]
    Read,
    /// Its beginning.
    Truncated,
    /// Not at all: an address fault, a path too long or too deep.
    Unresolved,
    /// There is no such thing: a NULL pointer, a file without a path.
    Absent,
    /// In records of its own; see [`super::pieces`].
    Elsewhere,
}

/// A value, by how its bytes are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FieldValue<'a> {
    /// No bytes came with it.
    #[default]
    Nothing,
    /// Two's complement, widened.
    Number(u64),
    /// A string or a file name, without NUL.
    Text(&'a [u8]),
    /// A buffer.
    Bytes(&'a [u8]),
    /// A file and its path.
    File {
        /// What the inode says.
        file: lictor_file,
        /// Without NUL; empty when the file has none.
        path: &'a [u8],
    },
    /// A socket, a packet or a socket address.
    Endpoints(lictor_endpoints),
    /// Credentials.
    Credentials(lictor_credentials),
    /// A user namespace.
    UserNamespace(lictor_user_namespace),
    /// A module of the kernel and its name.
    Module(lictor_module, &'a [u8]),
    /// What a BPF program is loaded with, and its name.
    BpfAttr(lictor_bpf_attr, &'a [u8]),
    /// A BPF map and its name.
    BpfMap(lictor_bpf_map, &'a [u8]),
    /// A perf event and what it probes.
    PerfEvent(lictor_perf_event, &'a [u8]),
    /// The address of a Unix socket and its path.
    UnixAddress(lictor_unix_address, &'a [u8]),
    /// What data records have.
    Elsewhere(lictor_data),
}

/// Why bytes are not a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes end before the fixed part does.
    #[error("{got} bytes are too few for a record of kind {kind}")]
    Short {
        /// Kind claimed, 0 when not even the head is there.
        kind: u16,
        /// Bytes that came.
        got: usize,
    },
    /// The record claims another length than its parts have.
    #[error("the record claims {claimed} bytes, {got} came")]
    Length {
        /// Bytes claimed.
        claimed: usize,
        /// Bytes there.
        got: usize,
    },
    /// No such kind of record.
    #[error("unknown record kind {0}")]
    Kind(u16),
    /// A count is over its limit.
    #[error("the record claims {claimed} {what}, the limit is {limit}")]
    Count {
        /// What is counted, plural.
        what: &'static str,
        /// How many are claimed.
        claimed: u16,
        /// How many there may be.
        limit: u32,
    },
    /// No such kind or status of field.
    #[error("field {index} has the unknown kind {kind} or status {status}")]
    Field {
        /// Position of the field.
        index: usize,
        /// Kind claimed.
        kind: u8,
        /// Status claimed.
        status: u8,
    },
}

impl DecodeError {
    /// Name of the class of error, for metrics.
    pub fn class(self) -> &'static str {
        match self {
            Self::Short { .. } => "short",
            Self::Length { .. } => "length",
            Self::Kind(_) => "kind",
            Self::Count { .. } => "count",
            Self::Field { .. } => "field",
        }
    }
}

/// The record in `bytes`. Bytes after the length that the record claims are padding of the ring.
pub fn decode(bytes: &[u8]) -> Result<Record<'_>, DecodeError> {
    let Some(head) = wire::read::<lictor_record>(bytes) else {
        return Err(DecodeError::Short { kind: 0, got: bytes.len() });
    };
    let claimed = usize::try_from(head.length).unwrap_or(usize::MAX);
    let Some(bytes) = bytes.get(..claimed) else {
        return Err(DecodeError::Length { claimed, got: bytes.len() });
    };
    match u32::from(head.kind) {
        lictor_record_kind::LICTOR_RECORD_EXEC => decode_exec(bytes),
        lictor_record_kind::LICTOR_RECORD_EXIT => Ok(Record::Exit(fixed(bytes, head.kind)?)),
        lictor_record_kind::LICTOR_RECORD_FORK => Ok(Record::Fork(fixed(bytes, head.kind)?)),
        lictor_record_kind::LICTOR_RECORD_HOOK => decode_hook(bytes),
        lictor_record_kind::LICTOR_RECORD_CGROUP => decode_cgroup(bytes),
        lictor_record_kind::LICTOR_RECORD_DATA => {
            let fixed = fixed(bytes, head.kind)?;
            Ok(Record::Data(DataRecord { fixed, bytes: &bytes[size_of::<lictor_data_record>()..] }))
        }
        lictor_record_kind::LICTOR_RECORD_HASH => Ok(Record::Hash(fixed(bytes, head.kind)?)),
        _ => Err(DecodeError::Kind(head.kind)),
    }
}

fn fixed<T: wire::Wire>(bytes: &[u8], kind: u16) -> Result<T, DecodeError> {
    wire::read::<T>(bytes).ok_or(DecodeError::Short { kind, got: bytes.len() })
}

/// Takes texts of given lengths off the end of a record.
struct Rest<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Rest<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], DecodeError> {
        let end = self.at.saturating_add(length);
        let Some(taken) = self.bytes.get(self.at..end) else {
            return Err(DecodeError::Length { claimed: end, got: self.bytes.len() });
        };
        self.at = end;
        Ok(taken)
    }

    /// Passes over the padding up to the next multiple of 8; the record's end may lack it.
    fn align(&mut self) {
        self.at = self.at.next_multiple_of(8).min(self.bytes.len());
    }
}

fn decode_exec(bytes: &[u8]) -> Result<Record<'_>, DecodeError> {
    let fixed: lictor_exec_record = fixed(bytes, lictor_record_kind::LICTOR_RECORD_EXEC as u16)?;
    let mut rest = Rest { bytes, at: size_of::<lictor_exec_record>() };
    let filename = rest.take(usize::from(fixed.filename_length))?;
    let cwd = rest.take(usize::from(fixed.cwd_length))?;
    let arguments = rest.take(usize::from(fixed.args_length))?;
    let executable = rest.take(usize::from(fixed.exe_length))?;
    Ok(Record::Exec(ExecRecord {
        fixed,
        filename: before_nul(filename),
        cwd: before_nul(cwd),
        arguments,
        executable: before_nul(executable),
    }))
}

fn decode_cgroup(bytes: &[u8]) -> Result<Record<'_>, DecodeError> {
    let fixed: lictor_cgroup_record = fixed(bytes, lictor_record_kind::LICTOR_RECORD_CGROUP as u16)?;
    let mut rest = Rest { bytes, at: size_of::<lictor_cgroup_record>() };
    let name = before_nul(rest.take(usize::from(fixed.name_length))?);
    Ok(Record::Cgroup(CgroupRecord { fixed, name }))
}

fn decode_hook(bytes: &[u8]) -> Result<Record<'_>, DecodeError> {
    let hook: lictor_hook_record = fixed(bytes, lictor_record_kind::LICTOR_RECORD_HOOK as u16)?;
    within("rules", hook.fired_count, wire::LICTOR_MAX_FIRED)?;
    within("fields", hook.field_count, wire::LICTOR_MAX_FIELDS)?;
    let mut rest = Rest { bytes, at: size_of::<lictor_hook_record>() };
    let fired = rest.take(usize::from(hook.fired_count) * size_of::<lictor_fired>())?;
    rest.align();
    let kernel_stack = decode_stack(&mut rest, hook.kernel_stack)?;
    let user_stack = decode_stack(&mut rest, hook.user_stack)?;
    let (user_stack, user_stack_of) = match user_stack {
        StackRecord::Taken(StackAddresses([process, addresses @ ..])) => {
            let process = u32::try_from(u64::from_ne_bytes(*process)).unwrap_or(0);
            (StackRecord::Taken(StackAddresses(addresses)), process)
        }
        StackRecord::Taken(_) | StackRecord::Failed => (StackRecord::Failed, 0),
        StackRecord::NotWanted => (StackRecord::NotWanted, 0),
    };
    let mut fields = [Field::default(); FIELDS];
    for (index, field) in fields.iter_mut().enumerate().take(usize::from(hook.field_count)) {
        *field = decode_field(&mut rest, index)?;
    }
    Ok(Record::Hook(HookRecord { fixed: hook, kernel_stack, user_stack, user_stack_of, fired, fields }))
}

/// A stack of `bytes` bytes; negative: why it could not be taken.
fn decode_stack<'a>(rest: &mut Rest<'a>, bytes: i16) -> Result<StackRecord<'a>, DecodeError> {
    match usize::try_from(bytes) {
        Ok(0) => Ok(StackRecord::NotWanted),
        Ok(length) => Ok(StackRecord::Taken(StackAddresses(rest.take(length)?.as_chunks().0))),
        Err(_) => Ok(StackRecord::Failed),
    }
}

fn within(what: &'static str, claimed: u16, limit: u32) -> Result<(), DecodeError> {
    if u32::from(claimed) > limit { Err(DecodeError::Count { what, claimed, limit }) } else { Ok(()) }
}

fn decode_field<'a>(rest: &mut Rest<'a>, index: usize) -> Result<Field<'a>, DecodeError> {
    let head = rest.take(size_of::<lictor_field>())?;
    let head: lictor_field = wire::read(head).unwrap_or_default();
    let data = rest.take(usize::from(head.length))?;
    rest.align();
    let unknown = DecodeError::Field { index, kind: head.kind, status: head.status };
    let status = match u32::from(head.status) {
        lictor_field_status::LICTOR_FIELD_OK => FieldStatus::Read,
        lictor_field_status::LICTOR_FIELD_TRUNCATED => FieldStatus::Truncated,
        lictor_field_status::LICTOR_FIELD_UNRESOLVED => FieldStatus::Unresolved,
        lictor_field_status::LICTOR_FIELD_ABSENT => FieldStatus::Absent,
        lictor_field_status::LICTOR_FIELD_ELSEWHERE => FieldStatus::Elsewhere,
        _ => return Err(unknown),
    };
    let value = match u32::from(head.kind) {
        _ if status == FieldStatus::Elsewhere => {
            FieldValue::Elsewhere(wire::read::<lictor_data>(data).ok_or(unknown)?)
        }
        lictor_field_kind::LICTOR_FIELD_NONE | lictor_field_kind::LICTOR_FIELD_NOP => FieldValue::Nothing,
        lictor_field_kind::LICTOR_FIELD_NUMBER => match data.first_chunk::<8>() {
            Some(number) => FieldValue::Number(u64::from_ne_bytes(*number)),
            None => FieldValue::Nothing,
        },
        lictor_field_kind::LICTOR_FIELD_STRING
        | lictor_field_kind::LICTOR_FIELD_FILENAME
        | lictor_field_kind::LICTOR_FIELD_NET_DEVICE => FieldValue::Text(before_nul(data)),
        lictor_field_kind::LICTOR_FIELD_CHAR_BUF
        | lictor_field_kind::LICTOR_FIELD_CHAR_IOVEC
        | lictor_field_kind::LICTOR_FIELD_IOV_ITER => FieldValue::Bytes(data),
        kind => decode_structure(kind, data).ok_or(unknown)?,
    };
    Ok(Field { status, original_length: head.original_length, value })
}

/// A structure, with the text behind it where there is one; `None` for kinds that have none.
fn decode_structure(kind: u32, data: &[u8]) -> Option<FieldValue<'_>> {
    let value = match kind {
        lictor_field_kind::LICTOR_FIELD_FILE
        | lictor_field_kind::LICTOR_FIELD_FD
        | lictor_field_kind::LICTOR_FIELD_PATH
        | lictor_field_kind::LICTOR_FIELD_DENTRY
        | lictor_field_kind::LICTOR_FIELD_BINPRM => named(data, |file, path| FieldValue::File { file, path }),
        lictor_field_kind::LICTOR_FIELD_SOCK
        | lictor_field_kind::LICTOR_FIELD_SOCKET
        | lictor_field_kind::LICTOR_FIELD_SKB
        | lictor_field_kind::LICTOR_FIELD_SOCKADDR => {
            wire::read::<lictor_endpoints>(data).map(FieldValue::Endpoints)
        }
        lictor_field_kind::LICTOR_FIELD_CRED => {
            wire::read::<lictor_credentials>(data).map(FieldValue::Credentials)
        }
        lictor_field_kind::LICTOR_FIELD_USER_NAMESPACE => {
            wire::read::<lictor_user_namespace>(data).map(FieldValue::UserNamespace)
        }
        lictor_field_kind::LICTOR_FIELD_MODULE | lictor_field_kind::LICTOR_FIELD_LOAD_INFO => {
            named(data, FieldValue::Module)
        }
        lictor_field_kind::LICTOR_FIELD_BPF_ATTR | lictor_field_kind::LICTOR_FIELD_BPF_PROG => {
            named(data, FieldValue::BpfAttr)
        }
        lictor_field_kind::LICTOR_FIELD_BPF_MAP => named(data, FieldValue::BpfMap),
        lictor_field_kind::LICTOR_FIELD_PERF_EVENT => named(data, FieldValue::PerfEvent),
        lictor_field_kind::LICTOR_FIELD_SOCKADDR_UN => named(data, FieldValue::UnixAddress),
        _ => return None,
    };
    Some(value.unwrap_or(FieldValue::Nothing))
}

/// A structure and the text behind it.
fn named<'a, T: wire::Wire>(
    data: &'a [u8],
    make: impl FnOnce(T, &'a [u8]) -> FieldValue<'a>,
) -> Option<FieldValue<'a>> {
    Some(make(wire::read::<T>(data)?, before_nul(data.get(size_of::<T>()..)?)))
}

/// What stands before the first NUL.
fn before_nul(bytes: &[u8]) -> &[u8] {
    match bytes.iter().position(|&byte| byte == 0) {
        Some(end) => &bytes[..end],
        None => bytes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::testing::{self, Hook, Task};
    use proptest::prelude::*;

    const SHELL: Task = Task { pid: 7, start_boot_ns: 70, exec_id: 2 };
    const PARENT: Task = Task { pid: 1, start_boot_ns: 10, exec_id: 1 };

    fn hook() -> Vec<u8> {
        Hook::new(SHELL, 99, 3, 5, 11)
            .verdict(-1, 9)
            .fired(0, wire::LICTOR_FIRED_POST)
            .fired(4, wire::LICTOR_FIRED_POST | wire::LICTOR_FIRED_UNRESOLVED)
            .fired(9, 0)
            .number(42)
            .file(lictor_field_kind::LICTOR_FIELD_FILE, 0o100_644, "/etc/passwd")
            .text(lictor_field_kind::LICTOR_FIELD_STRING, b"text\0")
            .field(
                lictor_field_kind::LICTOR_FIELD_CHAR_BUF,
                lictor_field_status::LICTOR_FIELD_TRUNCATED,
                900,
                b"a\0b",
            )
            .bytes()
    }

    #[test]
    fn exec_texts_follow_their_lengths() {
        let bytes = testing::exec(SHELL, 99, PARENT, "/bin/sh", &["sh", "-c", "true"], "/root");
        let Ok(Record::Exec(exec)) = decode(&bytes) else { panic!("not an exec record") };
        assert_eq!(exec.filename, b"/bin/sh");
        assert_eq!(exec.cwd, b"/root");
        assert_eq!(exec.arguments, b"-c\0true\0");
        assert_eq!(exec.executable, b"/usr/bin/busybox");
        assert_eq!((exec.fixed.head.tgid, exec.fixed.parent_tgid), (7, 1));
    }

    #[test]
    fn stacks_stand_before_the_fields() {
        let bytes = Hook::new(SHELL, 99, 3, 5, 11)
            .fired(0, wire::LICTOR_FIRED_POST)
            .kernel_stack(&[1, 2, u64::MAX])
            .user_stack(9, &[4])
            .number(42)
            .bytes();
        let Ok(Record::Hook(record)) = decode(&bytes) else { panic!("not a hook record") };
        let addresses = |stack| match stack {
            StackRecord::Taken(addresses) => addresses.iter().collect::<Vec<u64>>(),
            StackRecord::NotWanted | StackRecord::Failed => panic!("{stack:?}"),
        };
        assert_eq!(addresses(record.kernel_stack), [1, 2, u64::MAX]);
        assert_eq!((addresses(record.user_stack), record.user_stack_of), (vec![4], 9));
        assert_eq!(record.fields()[0].value, FieldValue::Number(42));
    }

    #[test]
    fn stacks_that_could_not_be_taken_are_told_apart() {
        let bytes = Hook::new(SHELL, 99, 3, 5, 11).no_stacks(-14, 0).number(42).bytes();
        let Ok(Record::Hook(record)) = decode(&bytes) else { panic!("not a hook record") };
        assert_eq!((record.kernel_stack, record.user_stack), (StackRecord::Failed, StackRecord::NotWanted));
        assert_eq!(record.fields()[0].value, FieldValue::Number(42));
        let bytes = Hook::new(SHELL, 99, 3, 5, 11).no_stacks(0, 512).number(42).bytes();
        assert!(matches!(decode(&bytes), Err(DecodeError::Length { .. })));
    }

    #[test]
    fn hook_fields_keep_status_and_length() {
        let bytes = hook();
        let Ok(Record::Hook(record)) = decode(&bytes) else { panic!("not a hook record") };
        let rules: Vec<_> = record.fired().map(|fired| (fired.rule, fired.flags)).collect();
        assert_eq!(rules, [(0, 1), (4, 3), (9, 0)]);
        let fields = record.fields();
        assert_eq!(fields.len(), 4);
        assert_eq!(fields[0].value, FieldValue::Number(42));
        let FieldValue::File { file, path } = fields[1].value else { panic!("not a file") };
        assert_eq!((file.mode, path), (0o100_644, &b"/etc/passwd"[..]));
        assert_eq!(fields[2].value, FieldValue::Text(b"text"));
        assert_eq!(fields[3].value, FieldValue::Bytes(b"a\0b"));
        assert_eq!((fields[3].status, fields[3].original_length), (FieldStatus::Truncated, 900));
    }

    #[test]
    fn padding_of_the_ring_is_passed_over() {
        let mut bytes = testing::exit(SHELL, 5, 9);
        bytes.extend_from_slice(&[0xff; 16]);
        let Ok(Record::Exit(exit)) = decode(&bytes) else { panic!("not an exit record") };
        assert_eq!(exit.status, 9);
    }

    #[test]
    fn every_shortened_record_is_an_error() {
        for whole in
            [hook(), testing::exec(SHELL, 9, PARENT, "a", &["a"], "/"), testing::fork(SHELL, 1, PARENT)]
        {
            for length in 0..whole.len() {
                assert!(decode(&whole[..length]).is_err(), "{length} of {} bytes were accepted", whole.len());
                // The same when the record itself claims the shorter length; only trailing padding may be missing.
                let mut cut = whole[..length].to_vec();
                if length >= 8 {
                    cut[4..8].copy_from_slice(&(length as u32).to_ne_bytes());
                    assert!(decode(&cut).is_err() || whole.len() - length < 8, "{length} of {}", whole.len());
                }
            }
        }
    }

    #[test]
    fn counts_over_their_limits_are_refused() {
        let mut bytes = hook();
        bytes[50..52].copy_from_slice(&129_u16.to_ne_bytes());
        assert_eq!(decode(&bytes), Err(DecodeError::Count { what: "rules", claimed: 129, limit: 128 }));
        let mut bytes = hook();
        bytes[52..54].copy_from_slice(&9_u16.to_ne_bytes());
        assert_eq!(decode(&bytes), Err(DecodeError::Count { what: "fields", claimed: 9, limit: 8 }));
    }

    #[test]
    fn unknown_kinds_are_refused() {
        let mut bytes = testing::exit(SHELL, 5, 9);
        bytes[0] = 77;
        assert_eq!(decode(&bytes), Err(DecodeError::Kind(77)));
        let bytes = Hook::new(SHELL, 1, 1, 1, 1).field(40, 0, 0, b"").bytes();
        assert_eq!(decode(&bytes), Err(DecodeError::Field { index: 0, kind: 40, status: 0 }));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2048))]

        #[test]
        fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
            let _ = decode(&bytes);
        }

        #[test]
        fn damaged_records_never_panic(at in 0_usize..256, value: u8, which in 0_usize..3) {
            let mut bytes = match which {
                0 => hook(),
                1 => testing::exec(SHELL, 9, PARENT, "/bin/true", &["true"], "/"),
                _ => testing::fork(SHELL, 1, PARENT),
            };
            let at = at % bytes.len();
            bytes[at] = value;
            if let Ok(Record::Hook(record)) = decode(&bytes) {
                let total: usize = record.fields().iter().map(|field| match field.value {
                    FieldValue::Text(text)
                    | FieldValue::Bytes(text)
                    | FieldValue::File { path: text, .. }
                    | FieldValue::Module(_, text)
                    | FieldValue::BpfAttr(_, text)
                    | FieldValue::BpfMap(_, text)
                    | FieldValue::PerfEvent(_, text)
                    | FieldValue::UnixAddress(_, text) => text.len(),
                    FieldValue::Nothing
                    | FieldValue::Elsewhere(_)
                    | FieldValue::Number(_)
                    | FieldValue::Endpoints(_)
                    | FieldValue::Credentials(_)
                    | FieldValue::UserNamespace(_) => 0,
                }).sum();
                prop_assert!(total <= bytes.len());
                prop_assert!(record.fired().count() <= 128);
            }
        }
    }
}
