//! Credentials and user namespaces in event lines.

use super::text;
use crate::enrich::image::{Credentials, push_capabilities, push_ids};
use lictor_node_worker_ebpf::{lictor_credentials, lictor_user_namespace};

/// Appends the member of an argument that shows credentials.
pub(super) fn push(out: &mut Vec<u8>, found: &lictor_credentials) {
    out.extend_from_slice(b"\"process_credentials_arg\":{");
    let ids = Credentials {
        users: [found.uid, found.euid, found.suid, found.fsuid],
        groups: [found.gid, found.egid, found.sgid, found.fsgid],
        secure_bits: found.secure_bits,
    };
    push_ids(out, &ids);
    out.extend_from_slice(b",\"caps\":{");
    push_capabilities(out, "permitted", found.cap_permitted);
    push_capabilities(out, "effective", found.cap_effective);
    push_capabilities(out, "inheritable", found.cap_inheritable);
    out.extend_from_slice(b"},\"user_ns\":");
    push_user_namespace(out, &found.user_namespace);
    out.push(b'}');
}

/// Appends a user namespace. The outermost one is the node's.
pub(super) fn push_user_namespace(out: &mut Vec<u8>, found: &lictor_user_namespace) {
    let ids = [("\"level\":", found.level), (",\"uid\":", found.owner), (",\"gid\":", found.group)];
    out.push(b'{');
    for (name, value) in ids {
        out.extend_from_slice(name.as_bytes());
        text::push_unsigned(out, value.into());
    }
    out.extend_from_slice(b",\"ns\":{\"inum\":");
    text::push_unsigned(out, found.inode.into());
    if found.level == 0 {
        out.extend_from_slice(b",\"is_host\":true");
    }
    out.extend_from_slice(b"}}");
}
