//! What rules do.

use super::{Enforcement, NotifyAction, RegistersAction};

/// What happens when a rule matches, folded from its list of actions.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Actions {
    /// Report the event. Off only by `NoPost`.
    pub post: bool,
    /// At most one report in this time.
    pub rate_limit: Option<RateLimit>,
    /// Which stacks the report shows.
    pub stacks: Stacks,
    /// The report shows the hash of the file that the hook is asked about.
    pub hash: bool,
    /// Signal to send to the current process.
    pub signal: Option<u8>,
    /// Return this errno (negative, -4095 to -1) instead of performing the operation.
    pub deny: Option<i16>,
    /// Calls to make, in order.
    pub calls: Vec<Call>,
    /// What is done with a socket.
    pub socket: Option<SocketAction>,
    /// What is written into the program.
    pub set: Option<ProgramWrite>,
    /// What becomes of the notification for the policy's enforcer.
    pub notify: Option<NotifyAction>,
    /// The signal is sent, or the enforcer notified, for what the function returned (`matchReturnActions`): never before its end.
    pub late: bool,
    /// The last action as the document names it: `KPROBE_ACTION_*` of the event.
    pub shown: ShownAction,
    /// The same of `matchReturnActions`.
    pub shown_return: ShownAction,
}

impl Actions {
    /// Whether the rule changes what the workload can do.
    pub fn enforces(&self) -> bool {
        self.acts() || self.enforcement().is_some()
    }

    /// Whether it does so to the operation that it matches, or to the process at once.
    pub fn acts(&self) -> bool {
        self.signal.is_some() || self.deny.is_some() || self.set.is_some()
    }

    /// Its errno and its signal where what it leaves, `at_once`, is carried out at once. SIGKILL outdoes other signals, else its
    /// own count.
    pub(crate) fn with(&self, at_once: Option<Enforcement>) -> Enforcement {
        const SIGKILL: u8 = 9;
        let signal = at_once.and_then(|enforcement| enforcement.signal);
        Enforcement {
            deny: self.deny.or(at_once.and_then(|enforcement| enforcement.deny)),
            signal: signal.filter(|signal| *signal == SIGKILL).or(self.signal).or(signal),
        }
    }

    /// What it leaves for the policy's enforcer.
    pub fn enforcement(&self) -> Option<Enforcement> {
        match self.notify? {
            NotifyAction::Leave(enforcement) => Some(enforcement),
            NotifyAction::Cleanup => None,
        }
    }

    /// Whether registers of a program are written.
    pub fn writes_registers(&self) -> bool {
        matches!(self.set, Some(ProgramWrite::Registers(_)))
    }
}

/// What is done with a socket that a hook reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SocketAction {
    /// Which argument it is, by its place in [`Hook::args`]; `None` = the returned value.
    pub arg: Option<usize>,
    /// It is remembered whose it is; otherwise that is forgotten.
    pub track: bool,
}

/// What is written into a program.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ProgramWrite {
    /// An argument of a probe.
    Argument(SetAction),
    /// The registers.
    Registers(RegistersAction),
}

/// A number that is written over an argument of a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SetAction {
    /// Which argument, by its place in [`Hook::args`].
    pub arg: usize,
    /// Its 32 bits.
    pub value: u32,
}

/// What user space asks others for when a rule matches. The process does not wait for it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Call {
    /// `GetUrl`: a GET of this URL.
    Url(String),
    /// `DnsLookup`: the addresses of this name, from the resolver that the node has.
    Name(String),
}

/// The action that the event names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ShownAction {
    /// `KPROBE_ACTION_POST`
    #[default]
    Post,
    /// `KPROBE_ACTION_NOPOST`
    NoPost,
    /// `KPROBE_ACTION_SIGKILL`
    Sigkill,
    /// `KPROBE_ACTION_SIGNAL`
    Signal,
    /// `KPROBE_ACTION_OVERRIDE`
    Override,
    /// `KPROBE_ACTION_GETURL`
    GetUrl,
    /// `KPROBE_ACTION_DNSLOOKUP`
    DnsLookup,
    /// `KPROBE_ACTION_TRACKSOCK`
    TrackSock,
    /// `KPROBE_ACTION_UNTRACKSOCK`
    UntrackSock,
    /// `KPROBE_ACTION_NOTIFYENFORCER`
    NotifyEnforcer,
    /// `KPROBE_ACTION_CLEANUPENFORCERNOTIFICATION`
    CleanupEnforcerNotification,
    /// `KPROBE_ACTION_SET`
    Set,
}

/// Which stacks a report shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stacks {
    /// That of the kernel.
    pub kernel: bool,
    /// That of the program.
    pub user: bool,
}

/// At most one report per interval and key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// Nanoseconds, not 0.
    pub interval_ns: u64,
    /// What the limit counts apart.
    pub scope: RateLimitScope,
}

/// What a rate limit counts apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RateLimitScope {
    /// Each thread by itself.
    #[default]
    Thread,
    /// Each process by itself.
    Process,
    /// All together.
    Global,
}
