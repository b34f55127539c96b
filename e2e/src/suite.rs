//! The tests that run in the lab, and those that need a cluster.

use anyhow::Result;

use crate::bad_input;
use crate::bench::gate;
use crate::cluster::{self, ClusterTest};
use crate::differential;
use crate::engine;
use crate::established;
use crate::lab::{CASE_FUNCTIONS, CaseResult, KernelName, LabContext, LabTest, recorded_cases};
use crate::tour;
use crate::workloads;

/// Every test, in the order in which they are run.
pub fn suite() -> Vec<LabTest> {
    let lab = LabTest { name: "lab", kernels: KernelName::ALL, run: the_lab_itself };
    [
        &[lab],
        engine::TESTS,
        tour::TESTS,
        workloads::TESTS,
        bad_input::TESTS,
        established::TESTS,
        differential::TESTS,
        gate::TESTS,
    ]
    .concat()
}

/// Every test that needs a cluster, in the order in which they are run.
pub fn cluster_suite() -> Vec<ClusterTest> {
    cluster::tests()
}

/// The guest is what the other tests take it for.
fn the_lab_itself(context: &LabContext) -> Result<Vec<CaseResult>> {
    let script = r#"
        contains bpf-lsm bpf cat /sys/kernel/security/lsm
        check btf test -s /sys/kernel/btf/vmlinux
        for path in proc sys dev dev/pts dev/shm tmp run sys/kernel/security sys/kernel/debug sys/kernel/tracing \
            sys/fs/bpf sys/fs/cgroup; do
            check "mount-$path" grep -q " /$path " /proc/mounts
        done
        expect binary /usr/bin/cat readlink -f /bin/cat
        expect applet /usr/bin/busybox readlink -f /usr/bin/vi
        check loopback ping -c 1 127.0.0.1
        mkdir -p /tmp/root/old
        mount -t tmpfs tmpfs /tmp/root
        mkdir /tmp/root/old
        check pivot-root unshare -m sh -c 'cd /tmp/root && pivot_root . old'
        dd if=/dev/urandom of=$LAB_OUT/random bs=64k count=16 2>/dev/null
        for byte in $(seq 0 255); do printf "\\x$(printf %02x $byte)"; done >$LAB_OUT/bytes
    "#;
    let outcome = context.bare().run(&format!("{CASE_FUNCTIONS}{script}"))?;
    let mut cases = recorded_cases(&outcome);
    let size = outcome.files.get("random").map(Vec::len);
    cases.push(CaseResult::equal("file-size", &size, &Some(1 << 20)));
    let bytes: Vec<u8> = (0..=255).collect();
    cases.push(CaseResult::equal("file-bytes", &outcome.files.get("bytes"), &Some(&bytes)));
    cases.push(CaseResult::new("kernel-is-quiet", !outcome.console.contains("Call Trace"), || {
        outcome.console.clone()
    }));

    let failing = context.bare().run("printf 'a\\0\\377\\n\\r\\n'; exit 7")?;
    cases.push(CaseResult::equal("exit-code", &failing.exit_code, &7));
    cases.push(CaseResult::equal("binary-output", &failing.output, &b"a\0\xff\n\r\n".to_vec()));
    Ok(cases)
}
