//! The lines: what they are about, what is checked, and how it is here.

/// How a line is answered.
pub(super) enum Answer {
    /// It is so; cases of a file show it.
    Cases(&'static str, &'static [&'static str]),
    /// It is so; the test of that name shows it: file and what stands in it.
    Test(&'static str, &'static str),
    /// It is otherwise, for a reason.
    Otherwise(&'static str),
}

use Answer::{Cases, Otherwise, Test};

pub(super) const LINES: [(&str, &str, Answer); 91] = [
    (
        "values",
        "`Equal`: any one of its values",
        Cases(
            "values",
            &["the first of several values", "the last of several values", "no value of the list"],
        ),
    ),
    (
        "values",
        "`InMap`: any number or range of the list",
        Cases("values", &["a number of InMap", "a range of InMap", "between the numbers of InMap"]),
    ),
    (
        "values",
        "selectors: the first that holds",
        Cases(
            "values",
            &[
                "a later selector holds where earlier ones do not",
                "a selector that holds quietly stops the later ones",
            ],
        ),
    ),
    (
        "values",
        "`NotEqual` with several values: none of them",
        Cases("values", &["one value of NotEqual is enough to fail"]),
    ),
    (
        "matchArgs",
        "entries are ANDed",
        Cases("entries", &["all entries must hold", "one entry is not enough"]),
    ),
    (
        "matchArgs",
        "the order of `args` does not change what `index` means",
        Cases("entries", &["index is the number of the argument, however args are ordered"]),
    ),
    ("matchArgs", "the form `args: [place]`", Cases("entries", &["args counts places of the list"])),
    (
        "numbers",
        "`InRange`, `NotInRange`",
        Cases(
            "numbers",
            &[
                "the ends of a range are within it",
                "a second range",
                "between two ranges",
                "outside of all ranges",
                "inside of one range",
            ],
        ),
    ),
    ("numbers", "`GT`, `LT`", Cases("numbers", &["greater", "not greater than itself", "less"])),
    (
        "numbers",
        "`LT` on a returned value",
        Cases("numbers", &["a returned value that is less", "a returned value that is not"]),
    ),
    (
        "numbers",
        "`Mask` in decimal, hexadecimal and octal",
        Cases("numbers", &["a bit in decimal", "a bit in hexadecimal", "a bit in octal", "no bit"]),
    ),
    (
        "numbers",
        "`CelExpr` over several arguments, and what it comes to: comparisons, `&&`, `||`, `!`, bits, sums that wrap",
        Cases(
            "expressions",
            &[
                "two arguments that are equal",
                "two arguments that differ",
                "one of two conditions",
                "the other one, named by its index",
                "bits that are set and others that are not",
                "bits of which one is not set",
                "sums that wrap",
                "sums of a wider type",
                "a number of the list",
                "a number beside the list",
                "no number of the list",
                "a returned value",
                "a returned value that is left out",
                "data that differ",
                "data that are the same",
            ],
        ),
    ),
    (
        "numbers",
        "`matchCEL` over arguments and data",
        Cases(
            "expressions",
            &[
                "an argument and data that are the same",
                "an argument and data that are the same, but other data are not",
            ],
        ),
    ),
    (
        "numbers",
        "`CelExpr`: what compiles, any text, programs against what the text means",
        Test("policy/src/expression/tests.rs", "fn made_up_expressions_come_to_what_they_mean("),
    ),
    (
        "texts",
        "`Equal` on texts of every length",
        Cases(
            "texts",
            &[
                "the same text",
                "a text of 1 bytes",
                "a text of 145 bytes",
                "a text of 4095 bytes",
                "a text of another length",
            ],
        ),
    ),
    ("texts", "a NULL text", Cases("texts", &["no text", "no text has no beginning"])),
    ("texts", "`char_buf`", Cases("texts", &["a buffer", "another buffer"])),
    (
        "texts",
        "`Prefix`: the same, below, beside, very long",
        Cases(
            "texts",
            &[
                "a text that is the beginning",
                "a text in a directory below",
                "a text that begins otherwise",
                "a very long beginning",
                "a text shorter than the long beginning",
            ],
        ),
    ),
    (
        "texts",
        "`Postfix`: with NUL, very long",
        Cases(
            "texts",
            &[
                "a text that ends so",
                "an ending before a zero byte",
                "a very long text that ends so",
                "a text that ends otherwise",
            ],
        ),
    ),
    (
        "texts",
        "`NotPrefix`",
        Cases("texts", &["a text with none of the beginnings", "a text with one of the beginnings"]),
    ),
    (
        "texts",
        "`SubString`",
        Cases(
            "texts",
            &[
                "a part in the middle",
                "a part at the end",
                "a part after what looked like it",
                "a part in capitals",
                "a part in capitals or not",
                "a part with another letter beyond A to Z",
                "a text that has no part",
                "a very long text with a part",
            ],
        ),
    ),
    (
        "paths",
        "paths through mounts, chroots, renames and overlays",
        Test("e2e/src/engine/mod.rs", "fn staleness("),
    ),
    (
        "paths",
        "paths longer than the matcher sees",
        Otherwise(
            "never cut: up to 4,095 bytes are compared whole, longer ones are *unresolved*, which `onUnresolved` decides",
        ),
    ),
    ("files", "`FileType`", Cases("files", &["a regular file", "a pipe", "a socket", "a device", "no file"])),
    (
        "files",
        "`NotFileType`",
        Cases("files", &["not a regular file", "a regular file after all", "no file is not regular"]),
    ),
    (
        "members",
        "`resolve` on arguments",
        Cases(
            "members",
            &[
                "a member behind an argument",
                "a member behind an argument that is another",
                "a member that cannot be reached",
            ],
        ),
    ),
    (
        "members",
        "`btfTypeModule`: from a module's structure into the kernel's",
        Test("e2e/src/workloads/members.sh", "policy member-of-module"),
    ),
    (
        "members",
        "`data` of the current task, `matchData`",
        Cases("members", &["data by a number", "data by a text", "an event line with data"]),
    ),
    (
        "objects",
        "`net_device` is compared as a text, its name; here `module` is, too",
        Cases(
            "objects",
            &[
                "a network interface by its name",
                "another network interface",
                "a module by its name",
                "a module that is named",
                "an event line of a module",
                "an event line of a network interface",
            ],
        ),
    ),
    (
        "network",
        "`SAddr`, `DAddr`, `NotSAddr`, `NotDAddr`",
        Cases(
            "endpoints",
            &[
                "a destination within a network",
                "a destination within an IPv6 network",
                "an IPv4 destination of an IPv6 socket",
                "a destination outside all networks",
                "a destination within one of the networks",
                "a socket address",
                "a socket address outside",
            ],
        ),
    ),
    (
        "network",
        "`SPort`, `DPort` and their `Not` and `Priv` forms",
        Cases(
            "endpoints",
            &[
                "a destination port",
                "a destination port within a range",
                "a destination port that is not privileged",
                "a source port that is not privileged",
                "a packet without ports",
            ],
        ),
    ),
    (
        "network",
        "`Protocol`, `Family`, `State`",
        Cases("endpoints", &["a protocol", "another protocol", "a state", "another state", "another family"]),
    ),
    (
        "network",
        "address filters on another family, `Not*` included",
        Cases("endpoints", &["an address of another family is in no network"]),
    ),
    (
        "network",
        "`sockaddr_un`: paths and abstract names",
        Cases(
            "unix-addresses",
            &[
                "a path",
                "a path that begins alike",
                "an abstract name",
                "another abstract name",
                "a part, in any case",
                "no address",
                "the path that may be connected to",
                "another path",
                "an abstract name is no path",
                "an address that cannot be read, where rules deny",
            ],
        ),
    ),
    (
        "network",
        "`sockaddr_un` of another family, `Not*` included",
        Cases(
            "unix-addresses",
            &[
                "another family has no path, and is asked for by its name",
                "another family begins with no path",
            ],
        ),
    ),
    (
        "network",
        "`sockaddr_un`: addresses without a zero byte, with others behind them",
        Test("e2e/src/workloads/unix.sh", "on_socket denied"),
    ),
    (
        "network",
        "addresses that cannot be read",
        Cases("endpoints", &["an address that cannot be read, where rules deny"]),
    ),
    (
        "network",
        "socket tracking: the process of packets that arrive",
        Test("e2e/src/workloads/network.sh", "policy sock-owner"),
    ),
    ("matchBinaries", "`In`, `NotIn`", Cases("binaries", &["In", "not In", "NotIn", "NotIn, and listed"])),
    (
        "matchBinaries",
        "`Prefix`, `NotPrefix`, `Postfix`, `NotPostfix`",
        Cases(
            "binaries",
            &[
                "Prefix of a binary",
                "Postfix of a binary",
                "NotPrefix of a binary",
                "NotPrefix, and within",
                "NotPostfix of a binary",
                "NotPostfix, and at the end",
            ],
        ),
    ),
    ("matchBinaries", "long paths", Cases("binaries", &["In a very long path"])),
    (
        "matchBinaries",
        "several entries",
        Cases("binaries", &["several entries hold", "one of several entries fails"]),
    ),
    (
        "matchBinaries",
        "processes older than the policy",
        Otherwise(
            "nothing to remember: the kernel is asked for the executable at each event, so there is no difference between old and new processes",
        ),
    ),
    (
        "matchBinaries",
        "`followChildren`",
        Cases(
            "lineage",
            &[
                "the program itself",
                "a child of it",
                "a grandchild whose parent runs something else by now",
                "a process that was the program before its second execve",
                "a stranger to the program",
                "NotIn of a line",
                "NotIn of a line, and a child of it",
                "several entries on a line hold",
                "one of several entries on a line fails",
            ],
        ),
    ),
    (
        "matchBinaries",
        "`followChildren` of processes that began before the policy, or before the engine",
        Test("e2e/src/workloads/lineage.sh", "on_open line-old"),
    ),
    (
        "matchBinaries",
        "`followChildren` without numbers that run out or are used again",
        Otherwise(
            "no numbers are given out: each process carries the hashes of up to 32 programs of its line; of a longer line, what is not found is *unresolved*, which `onUnresolved` decides",
        ),
    ),
    (
        "matchBinaries",
        "`matchParentBinaries`",
        Cases(
            "parents",
            &[
                "a parent of the list",
                "a parent that ends so",
                "another parent",
                "a parent not of the list",
                "a parent of the excluded list",
            ],
        ),
    ),
    (
        "matchPIDs",
        "process ids, more than four",
        Cases("pids", &["a process id", "the fifth process id", "another process id"]),
    ),
    (
        "matchPIDs",
        "`isNamespacePID`",
        Cases("pids", &["an id in the own namespace", "an excluded id in the own namespace"]),
    ),
    ("matchPIDs", "`followForks`", Cases("pids", &["the process itself", "a grandchild", "a stranger"])),
    ("matchPIDs", "several entries", Cases("pids", &["a second entry counts"])),
    (
        "namespaces",
        "`host_ns`",
        Cases("privileges", &["in a namespace of its own", "in the namespace of the node"]),
    ),
    (
        "namespaces",
        "`matchNamespaceChanges`",
        Cases(
            "changes",
            &[
                "a namespace that has changed",
                "a namespace of its own from the beginning",
                "another namespace has changed",
                "NotIn, and one that is not listed has changed",
                "NotIn, and nothing but the listed one has changed",
            ],
        ),
    ),
    (
        "namespaces",
        "a change is reported once",
        Otherwise(
            "each event counts as long as the process has something else than when its program began: otherwise the report of one policy, or of something harmless, would hide it from the next; `rateLimit` makes them fewer",
        ),
    ),
    (
        "capabilities",
        "`In`, `NotIn`, several entries",
        Cases(
            "privileges",
            &[
                "one of the capabilities",
                "none of the capabilities",
                "a second entry on capabilities counts",
                "without a capability",
                "with it",
            ],
        ),
    ),
    (
        "capabilities",
        "`matchCapabilityChanges`",
        Cases(
            "changes",
            &[
                "a capability gained",
                "a capability lost",
                "a capability kept",
                "NotIn, and another capability has changed",
                "NotIn, and the listed capability has changed, too",
                "a capability gained in a user namespace of its own",
                "a capability gained in the node's user namespace",
            ],
        ),
    ),
    (
        "capabilities",
        "`CapabilitiesGained`",
        Cases(
            "capabilities",
            &[
                "a listed capability is gained",
                "another capability is gained",
                "a set with the capability of a mask",
                "capabilities are lost",
            ],
        ),
    ),
    (
        "hooks",
        "system calls of 32-bit programs; lists of every system call",
        Cases(
            "calls",
            &[
                "a system call of a 32-bit program",
                "the same of a 64-bit program",
                "a system call of a program whose every call counts",
                "a 32-bit one of it",
            ],
        ),
    ),
    ("actions", "`Set`", Test("e2e/src/workloads/programs.sh", "usdt usdt-set answer")),
    ("events", "`maxData`", Test("e2e/src/workloads/arguments.sh", "policy long-read")),
    (
        "actions",
        "`Override` at LSM hooks and `security_` functions",
        Cases("actions", &["Override", "Override of a security function"]),
    ),
    (
        "actions",
        "`Override` on system calls",
        Otherwise(
            "refused by name: kernels without function error injection, as Debian's, cannot do it; the LSM hook that the operation passes can",
        ),
    ),
    (
        "actions",
        "`Override` with `NoPost`, in any order",
        Cases("actions", &["Override after NoPost", "Override before NoPost"]),
    ),
    (
        "actions",
        "`Override` with `Signal`, in any order",
        Cases("actions", &["Override after Signal", "Override before Signal"]),
    ),
    ("actions", "`Sigkill`", Cases("actions", &["Sigkill where it can deny"])),
    ("actions", "`Signal`", Cases("actions", &["Signal"])),
    (
        "actions",
        "`Sigkill` by what a function returned",
        Cases("actions", &["Sigkill for what was returned", "no Sigkill for another returned value"]),
    ),
    (
        "actions",
        "`matchReturnActions`",
        Cases(
            "actions",
            &["an action at the end of a function", "no action at the end for another returned value"],
        ),
    ),
    ("actions", "two hooks of one place", Cases("actions", &["two hooks of one place"])),
    (
        "hooks",
        "uprobes: `args` beside `return: true`, one event at the function's end",
        Test("e2e/src/workloads/programs.sh", "on_program uprobe-both"),
    ),
    ("hooks", "uprobes: `returnCopy`", Test("e2e/src/workloads/programs.sh", "on_program uprobe-filled")),
    (
        "hooks",
        "uprobes, usdts: `btfPath`",
        Test("e2e/src/workloads/programs.sh", "on_program uprobe-members"),
    ),
    ("actions", "stack traces", Test("e2e/src/workloads/programs.sh", "policy stacks-raw-tracepoint")),
    ("actions", "`imaHash` at LSM hooks", Test("e2e/src/workloads/hashes.sh", "hash-of-a-file")),
    (
        "actions",
        "`imaHash` of what a rule denies",
        Otherwise(
            "such events have no hash, which `check` tells: the kernel computes it behind the verdict, which waits for nothing",
        ),
    ),
    (
        "actions",
        "enforcers: an error, a signal, both, at `security_` functions",
        Cases(
            "notifications",
            &[
                "nobody has notified",
                "the next call fails",
                "and none after it",
                "a signal with an error",
                "a signal alone",
            ],
        ),
    ),
    (
        "actions",
        "a notification that is replaced or cleaned up",
        Cases("notifications", &["the last notification counts", "what is cleaned up is not carried out"]),
    ),
    (
        "actions",
        "a notification at the call itself",
        Cases("notifications", &["a notification at the call itself"]),
    ),
    ("actions", "enforcers: signals at system calls", Test("e2e/src/workloads/enforcers.sh", "ntf-kill")),
    (
        "actions",
        "enforcers: errors of system calls",
        Otherwise(
            "refused by name, as `Override` there is: kernels without error injection let no program make a system call fail",
        ),
    ),
    (
        "lifecycle",
        "policies of a namespace, labels that change",
        Cases(
            "pods",
            &[
                "a pod of the namespace",
                "a pod whose label changed",
                "a pod of another namespace",
                "a process of the node",
            ],
        ),
    ),
    (
        "lifecycle",
        "`containerSelector` by name and image, in pods that `podSelector` selects",
        Cases(
            "containers",
            &[
                "a container of the image",
                "a container of the other image, by digest",
                "a container of another image",
                "a container of that name",
                "a container of another pod",
                "a container that nobody has told of yet",
                "a process of the node where containers are selected",
            ],
        ),
    ),
    (
        "lifecycle",
        "`matchWorkloads`: selectors for some of a policy's workloads",
        Cases(
            "workloads",
            &[
                "a container that a selector is for",
                "another container, which a later selector is for",
                "a selector's other filters count as well",
                "a process of the node that a selector is for",
                "a pod of the namespace that a selector is for",
                "a pod that no selector is for",
            ],
        ),
    ),
    (
        "lifecycle",
        "containers and `matchWorkloads` in the kernel",
        Test("e2e/src/engine/scopes.sh", "container-of-a-pod"),
    ),
    ("lifecycle", "`hostSelector`", Cases("host", &["a process of the node is selected", "a pod is not"])),
    (
        "misc",
        "functions of modules, with what they return",
        Test("e2e/src/workloads/members.sh", "policy member-module-returned"),
    ),
    (
        "misc",
        "modules that are loaded later, removed, and loaded anew",
        Test("e2e/src/workloads/modules.sh", "check begins-tells-of-the-new-one"),
    ),
    (
        "misc",
        "`ignore.callNotFound`",
        Test("policy/src/plan/tests/attachment.rs", "which this kernel lacks; the hook is passed over"),
    ),
    (
        "loader",
        "`loader: true`: an event for each file that is mapped as code, programs and libraries",
        Cases(
            "loader",
            &[
                "a library is loaded",
                "a file is mapped as code",
                "a file is mapped to be read",
                "memory without a file is made code",
                "a device is mapped as code",
            ],
        ),
    ),
    (
        "loader",
        "`loader` beside other hooks of the policy",
        Cases("loader", &["another hook at the same place has its own event"]),
    ),
    (
        "loader",
        "`loader` is of the whole node: pods are not asked for",
        Otherwise("`podSelector`, `hostSelector` and the policy's namespace count for it as for every hook"),
    ),
];
