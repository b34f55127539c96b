//! What rules did, in the words of events.

use lictor_policy::model::ShownAction;

/// Appends the member `name`: `action`, or `return_action` for what was done at the function's end.
pub(super) fn push_action(out: &mut Vec<u8>, name: &str, shown: ShownAction) {
    let action = match shown {
        ShownAction::Post => "POST",
        ShownAction::NoPost => "NOPOST",
        ShownAction::Sigkill => "SIGKILL",
        ShownAction::Signal => "SIGNAL",
        ShownAction::Override => "OVERRIDE",
        ShownAction::GetUrl => "GETURL",
        ShownAction::DnsLookup => "DNSLOOKUP",
        ShownAction::TrackSock => "TRACKSOCK",
        ShownAction::UntrackSock => "UNTRACKSOCK",
        ShownAction::NotifyEnforcer => "NOTIFYENFORCER",
        ShownAction::CleanupEnforcerNotification => "CLEANUPENFORCERNOTIFICATION",
        ShownAction::Set => "SET",
    };
    for part in [",\"", name, "\":\"KPROBE_ACTION_", action, "\""] {
        out.extend_from_slice(part.as_bytes());
    }
}
