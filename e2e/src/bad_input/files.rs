//! Policy files that are wrong, each in one way, and what must be said of them.

/// A file of the folder.
pub(super) struct BadFile {
    /// Name without `.yaml`; also the name of the case.
    pub(super) name: &'static str,
    pub(super) text: String,
    /// What the message must hold, in this order.
    pub(super) said: Vec<&'static str>,
}

fn policy(name: &str, spec: &str) -> String {
    format!("apiVersion: lictor.io/v1alpha1\nkind: TracingPolicy\nmetadata:\n  name: {name}\nspec:\n{spec}")
}

/// A policy on `file_open` with one selector for argument 0 of this type.
fn selector(name: &str, kind: &str, operator: &str, value: &str) -> String {
    policy(
        name,
        &format!(
            "  lsmhooks:\n  - hook: file_open\n    args: [{{index: 0, type: {kind}}}]\n    selectors:\n    \
             - matchArgs: [{{index: 0, operator: {operator}, values: [\"{value}\"]}}]\n"
        ),
    )
}

fn kprobe(name: &str, call: &str, args: &str) -> String {
    policy(name, &format!("  kprobes:\n  - call: {call}\n    syscall: false\n    args: [{args}]\n"))
}

fn bad(name: &'static str, text: impl Into<String>, said: &[&'static str]) -> BadFile {
    BadFile { name, text: text.into(), said: said.to_vec() }
}

/// What is wrong wherever it is read.
fn malformed() -> Vec<BadFile> {
    let good = policy("twice", "  lsmhooks:\n  - hook: file_open\n");
    vec![
        bad("empty", "", &["empty document", "a TracingPolicy"]),
        bad("not-yaml", "a: b: c\n", &["not YAML"]),
        bad("two-documents", format!("{good}---\n{good}"), &["second document", "one policy per file"]),
        bad(
            "duplicate-keys",
            format!("{good}  lsmhooks:\n  - hook: file_open\n"),
            &["spec: found the key `lsmhooks` a second time"],
        ),
        bad(
            "wrong-kind",
            good.replace("TracingPolicy", "TracingPolcy"),
            &["kind: found `TracingPolcy`", "did you mean `TracingPolicy`?"],
        ),
        bad(
            "wrong-api-version",
            good.replace("v1alpha1", "v1"),
            &["apiVersion: found `lictor.io/v1`", "lictor.io/v1alpha1"],
        ),
        bad(
            "unknown-field",
            policy("unknown-field", "  lsmhooks:\n  - hook: file_open\n    selector: []\n"),
            &["spec.lsmhooks[0].selector: found the unknown field `selector`", "did you mean `selectors`?"],
        ),
        bad(
            "operator",
            selector("operator", "file", "GreaterThan", "7"),
            &["matchArgs[0].operator: found `GreaterThan`"],
        ),
        bad(
            "number-out-of-range",
            kprobe("number-out-of-range", "fd_install", "{index: 0, type: int}")
                + "    selectors:\n    - matchArgs: [{index: 0, operator: Equal, values: [2147483648]}]\n",
            &["matchArgs[0].values[0]: found ", "2147483648", "out of range"],
        ),
        bad(
            "long-path",
            selector("long-path", "file", "Equal", &format!("/{}", "x".repeat(4095))),
            &["matchArgs[0].values[0]: found ", "4096 bytes", "4095 bytes"],
        ),
        bad(
            "ten-megabytes",
            good.replace("twice", "ten-megabytes") + &"# filler\n".repeat((10 << 20) / 9),
            &["1048576 bytes"],
        ),
    ]
}

/// What is wrong on a kernel.
fn unfitting() -> Vec<BadFile> {
    vec![
        bad(
            "unknown-function",
            kprobe("unknown-function", "security_file_permision", ""),
            &[
                "spec.kprobes[0]: found function `security_file_permision`",
                "did you mean `security_file_permission`",
            ],
        ),
        bad(
            "argument-index",
            kprobe("argument-index", "fd_install", "{index: 2, type: int}"),
            &[
                "spec.kprobes[0].args[0]: found index 2",
                "fd_install(unsigned int fd, struct file *",
                "has 2 arguments",
            ],
        ),
        bad(
            "argument-type",
            kprobe("argument-type", "fd_install", "{index: 1, type: string}"),
            &["spec.kprobes[0].args[0]: found type string for struct file *", "file"],
        ),
    ]
}

/// Files whose policy has the good one's name; the first sorts before it. Alone they are right.
pub(super) const SAME_NAME: [&str; 2] = ["a-same-name", "same-name"];

/// All of them, and a policy whose name another file has already.
pub(super) fn all() -> Vec<BadFile> {
    let mut all = malformed();
    all.extend(unfitting());
    let again = policy("good", "  lsmhooks:\n  - hook: bprm_check_security\n");
    for name in SAME_NAME {
        all.push(bad(
            name,
            again.clone(),
            &["metadata.name: found `good` a second time", "aa-good.yaml has the same name"],
        ));
    }
    all
}

/// The good policy beside them, by file name the first.
pub(super) fn good() -> String {
    selector("good", "file", "Equal", "/etc/shadow")
        + "      matchActions: [{action: Override, argError: -1}]\n"
}
