//! Kinds of event lines.

/// Kind of an event line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EventType {
    /// `process_exec`
    Exec,
    /// `process_exit`
    Exit,
    /// `process_kprobe`
    Kprobe,
    /// `process_tracepoint`
    Tracepoint,
    /// `process_lsm`
    Lsm,
    /// `process_uprobe`
    Uprobe,
    /// `process_usdt`
    Usdt,
    /// `process_loader`
    Loader,
    /// `rate_limit_info`: a gap in the stream.
    Gap,
}

impl EventType {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Exec,
        Self::Exit,
        Self::Kprobe,
        Self::Tracepoint,
        Self::Lsm,
        Self::Uprobe,
        Self::Usdt,
        Self::Loader,
        Self::Gap,
    ];

    /// The name of the line's first member.
    pub fn name(self) -> &'static str {
        match self {
            Self::Exec => "process_exec",
            Self::Exit => "process_exit",
            Self::Kprobe => "process_kprobe",
            Self::Tracepoint => "process_tracepoint",
            Self::Lsm => "process_lsm",
            Self::Uprobe => "process_uprobe",
            Self::Usdt => "process_usdt",
            Self::Loader => "process_loader",
            Self::Gap => "rate_limit_info",
        }
    }
}
