//! Actions: what is done when a selector matches.

use super::hook::PLACE;
use super::shape::TextOrInteger;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Most registers that one action writes.
pub(crate) const ASSIGNMENTS_MAX: usize = lictor_node_worker_ebpf::LICTOR_MAX_ASSIGNMENTS as usize;

/// Longest URL, bytes: what web servers take.
pub(crate) const URL_BYTES_MAX: usize = 2048;

/// What is called: http or https, a host, printable ASCII.
const URL: &str = r#"^[hH][tT][tT][pP][sS]?://[!"$-.0-9;<=>@-~][!-~]*$"#;

/// Longest name that can be looked up, bytes without the dot at its end (RFC 1035, 2.3.4).
pub(crate) const DNS_NAME_BYTES_MAX: usize = 253;

/// Longest label of a name, bytes (RFC 1035, 2.3.4).
pub(crate) const DNS_LABEL_BYTES_MAX: usize = 63;

/// What is looked up: labels, each without a hyphen at its ends, and maybe the dot of the root.
const NAME: &str =
    r"^([0-9A-Za-z_]([0-9A-Za-z_-]{0,61}[0-9A-Za-z_])?\.)*[0-9A-Za-z_]([0-9A-Za-z_-]{0,61}[0-9A-Za-z_])?\.?$";

/// One action and its arguments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ActionSpec {
    /// What to do.
    pub action: ActionName,
    /// `Override`: the error to return instead of performing the operation, as a negative errno: -1 is EPERM, -13 is
    /// EACCES. Under `uprobes` any number of 32 bits, which the function returns at once. `NotifyEnforcer`: the same of the
    /// enforcer's call; 0 is as good as none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = i32::MIN, max = i32::MAX))]
    pub arg_error: Option<i64>,
    /// `Override` under `uprobes`: registers to write before the program goes on, as `rax=1`, `rdi=%rsi`, `rbp=8%rsp` or
    /// `rip=8(%rsp)`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = ASSIGNMENTS_MAX))]
    pub arg_regs: Vec<String>,
    /// `Override` under `uprobes`: a function of the same file that is executed instead, by its symbol.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = PLACE))]
    pub arg_new_symbol: Option<String>,
    /// The same by the address that the file gives it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<TextOrInteger>")]
    pub arg_new_addr: Option<String>,
    /// The same by its number of bytes from the beginning of the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<TextOrInteger>")]
    pub arg_new_offset: Option<String>,
    /// `Signal`: number of the signal, 1 to 64. `NotifyEnforcer`: the same, sent when the thread comes to the enforcer's call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 64))]
    pub arg_sig: Option<i64>,
    /// `GetUrl`: the URL to call, http or https, at most 2048 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = URL_BYTES_MAX), regex(pattern = URL))]
    pub arg_url: Option<String>,
    /// `DnsLookup`: the name to look up, at most 253 bytes: labels of letters, digits, `-` and `_`, with dots between.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = DNS_NAME_BYTES_MAX + 1), regex(pattern = NAME))]
    pub arg_fqdn: Option<String>,
    /// `TrackSock`, `UntrackSock`: which argument is the socket, by its place in `args`, from 0. Without it the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 7))]
    pub arg_sock: Option<i64>,
    /// `Set`: which argument is set, by its place in `args`, from 0. Without it the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 7))]
    pub arg_index: Option<i64>,
    /// `Set`: what it is set to, 32 bits. Without it 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -2_147_483_648_i64, max = 4_294_967_295_i64))]
    pub arg_value: Option<i64>,
    /// `Post`: at most one report in this time: seconds, or a number with `s`, `m` or `h`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<TextOrInteger>")]
    pub rate_limit: Option<String>,
    /// `Post`: what `rateLimit` counts apart: `thread` (the default), `process` or `global`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_limit_scope: Option<RateLimitScopeName>,
    /// `Post`: the event shows the functions of the kernel that were being executed, innermost first, at most 32.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub kernel_stack_trace: bool,
    /// `Post`: the event shows the functions of the program that were being executed, innermost first, at most 32.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub user_stack_trace: bool,
    /// `Post`: the event shows the hash of the file that the hook is asked about, computed by the kernel's IMA when the
    /// operation goes on. Only at the lsmhooks `bprm_check_security`, `bprm_creds_for_exec`, `bprm_creds_from_file`,
    /// `file_ioctl`, `file_lock`, `file_open` (only hashes that IMA has already: the file cannot be read yet),
    /// `file_post_open` (kernel 6.9), `file_receive`, `mmap_file`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ima_hash: bool,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ActionName {
    /// Report the event. The default; needed only to give it a rate limit.
    Post,
    /// Do not report the event.
    NoPost,
    /// Kill the process. Where the hook can deny the operation, it is denied too.
    Sigkill,
    /// Send a signal to the process. Signal 9 does what `Sigkill` does.
    Signal,
    /// Return an error instead of performing the operation; `uprobes`: write the program's registers.
    Override,
    /// Call a URL. The process does not wait for it.
    GetUrl,
    /// Look up the addresses of a name, by the resolver that the node has. The process does not wait for it.
    DnsLookup,
    /// Remember who has the socket: events that show it, or a packet of it, tell of this process from then on.
    TrackSock,
    /// Forget the socket.
    UntrackSock,
    /// Leave a notification for the thread: its next call of `enforcers` returns `argError` and sends it `argSig`.
    NotifyEnforcer,
    /// Take away the notification that the thread has from this policy.
    CleanupEnforcerNotification,
    /// `usdts`: write a number over an argument of 4 bytes that is in the program's memory, before the program goes on.
    Set,
}

/// What is done with the socket that a function returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SocketActionName {
    /// Remember who has it.
    TrackSock,
    /// Forget it.
    UntrackSock,
}

/// What a rate limit counts apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RateLimitScopeName {
    /// Each thread by itself.
    Thread,
    /// Each process by itself.
    Process,
    /// All together.
    Global,
}
