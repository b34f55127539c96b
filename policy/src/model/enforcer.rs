//! What rules leave for their policy's enforcer.

/// What is to become of a thread's next call of the enforcer, and of the thread. At least one of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Enforcement {
    /// The call returns this errno (negative, -4095 to -1).
    pub deny: Option<i16>,
    /// The thread gets this signal.
    pub signal: Option<u8>,
}

/// Most different enforcements of one policy: each is told by a number of its own.
pub const ENFORCEMENTS_MAX: usize = 1 << lictor_node_worker_ebpf::LICTOR_NOTIFICATION_BITS;

/// What a rule does about the notification that its policy has for the current thread. There is one at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NotifyAction {
    /// `NotifyEnforcer`: leave this one, in place of another.
    Leave(Enforcement),
    /// `CleanupEnforcerNotification`: take it away.
    Cleanup,
}
