//! `lictor node`: the node worker of this machine.

use anyhow::Context as _;
use clap::{Args, Subcommand, ValueEnum};
use lictor_node_worker::kernel;
use lictor_node_worker::port::error_chain;
use lictor_node_worker::socket::SOCKET_PATH;
use lictor_node_worker::socket::client::{self, ClientError};
use lictor_node_worker::source::set::FileState;
use lictor_node_worker::state::StateDir;
use lictor_node_worker::status::{CallStatus, HookStatus, PolicyStatus, Status};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;

/// Reasons of one policy that the table shows; `-o json` has them all.
const REASONS_SHOWN: usize = 5;

/// What to do with the node worker.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show what is live in the kernel, what is not and why, and what was counted.
    Status(StatusArgs),
    /// End all enforcement: detach every program and remove every pin. Works without a running node worker too.
    Release(ReleaseArgs),
}

/// Where the node worker listens.
#[derive(Debug, Args)]
pub(crate) struct SocketArgs {
    /// Socket of the node worker.
    #[arg(long, env = "LICTOR_SOCKET", value_name = "PATH", default_value = SOCKET_PATH)]
    pub(crate) socket: PathBuf,
}

/// Options of `lictor node status`.
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    socket: SocketArgs,
    /// Form of the output.
    #[arg(short, long, value_name = "FORM", default_value = "text")]
    output: Form,
}

/// Form of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    /// Tables for people.
    Text,
    /// One JSON document.
    Json,
}

/// Options of `lictor node release`.
#[derive(Debug, Args)]
pub(crate) struct ReleaseArgs {
    #[command(flatten)]
    socket: SocketArgs,
    /// Folder of the pins, for when no node worker runs.
    #[arg(long, env = "LICTOR_PIN_DIR", value_name = "DIR", default_value = kernel::PIN_ROOT)]
    pin_dir: PathBuf,
    /// State folder, for when no node worker runs.
    #[arg(long, env = "LICTOR_STATE_DIR", value_name = "DIR", default_value = "/var/lib/lictor")]
    state_dir: PathBuf,
}

/// Runs the command; `false` = it was done, and the news are bad.
pub(crate) fn run(command: &Command) -> anyhow::Result<bool> {
    match command {
        Command::Status(args) => show_status(args),
        Command::Release(args) => release(args),
    }
}

fn show_status(args: &StatusArgs) -> anyhow::Result<bool> {
    let status = match client::status(&args.socket.socket) {
        Err(error @ ClientError::Absent { .. }) => anyhow::bail!(
            "{}; what an earlier one left in the kernel is enforced until `lictor node release` or a reboot",
            error_chain(&error)
        ),
        other => other?,
    };
    let text = match args.output {
        Form::Json => format!("{}\n", serde_json::to_string_pretty(&status)?),
        Form::Text => status_text(&status),
    };
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(true)
}

fn release(args: &ReleaseArgs) -> anyhow::Result<bool> {
    let by = match client::release(&args.socket.socket) {
        Ok(()) => "the node worker has released the kernel and ends",
        Err(ClientError::Absent { .. }) => {
            kernel::release(&args.pin_dir)?;
            StateDir::new(&args.state_dir)
                .forget()
                .context("the kernel is released; the state folder is not")?;
            "no node worker runs; what one left in the kernel is removed"
        }
        Err(error) => return Err(error.into()),
    };
    writeln!(std::io::stdout(), "released: {by}; nothing is enforced now")?;
    Ok(true)
}

/// The status for people.
fn status_text(status: &Status) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write_head(&mut out, status);
    out.push('\n');
    push_policies(&mut out, &status.policies);
    push_hooks(&mut out, &status.hooks);
    let _ = write_events(&mut out, status);
    push_list(&mut out, "Problems", status.problems.iter().chain(&status.kernel.notes));
    out
}

fn write_head(out: &mut String, status: &Status) -> std::fmt::Result {
    let yes = |value| if value { "yes" } else { "no" };
    let (agent, kernel) = (&status.agent, &status.kernel);
    writeln!(
        out,
        "Node      {}: kernel {}, BPF LSM {}, BTF {}",
        status.node,
        kernel.release,
        yes(kernel.bpf_lsm),
        yes(kernel.btf)
    )?;
    writeln!(
        out,
        "Worker    {} (process {}), up {}, memory {}; policies from {}",
        agent.version,
        agent.pid,
        duration(agent.uptime_seconds),
        bytes(agent.resident_bytes),
        agent.policy_dir
    )?;
    match &status.revision {
        None => writeln!(out, "Revision  none: nothing is enforced")?,
        Some(revision) => writeln!(
            out,
            "Revision  {} ({}): {} {}, live for {}, kernel memory {}",
            revision.number,
            revision.digest.get(..12).unwrap_or(&revision.digest),
            revision.policies,
            if revision.policies == 1 { "policy" } else { "policies" },
            duration(revision.age_seconds),
            bytes(status.kernel_memory_bytes)
        )?,
    }
    write_scopes(out, status)
}

/// What only nodes with a cluster, or with policies that select, have.
fn write_scopes(out: &mut String, status: &Status) -> std::fmt::Result {
    if let Some(assignment) = &status.assignment {
        let digest = assignment.digest.get(..12).unwrap_or(&assignment.digest);
        writeln!(out, "Assigned  serial {} ({digest})", assignment.serial)?;
    }
    let scopes = &status.scopes;
    if !scopes.cluster && scopes.scopes == 0 {
        return Ok(());
    }
    write!(
        out,
        "Scopes    {} of policies, {} classes; {} pods ({} ending), {} containers, {} cgroups ({} made by pods)",
        scopes.scopes,
        scopes.classes,
        scopes.pods,
        scopes.pods_ending,
        scopes.containers,
        scopes.cgroups,
        scopes.nested_cgroups
    )?;
    if scopes.pods_refused > 0 {
        write!(out, "; {} pods or containers too many, judged as unknown ones", scopes.pods_refused)?;
    }
    writeln!(out)
}

fn push_policies(out: &mut String, policies: &[PolicyStatus]) {
    if policies.is_empty() {
        out.push_str("No policy files.\n\n");
        return;
    }
    let header =
        ["POLICY", "STATE", "MODE", "MATCHED", "POSTED", "DENIED", "SIGNALLED", "MONITORED", "LOST", "FILE"];
    let rows = policies.iter().map(|policy| {
        let count = |name| number(&policy.counts, name);
        vec![
            policy.policy.clone().unwrap_or_else(|| "?".into()),
            policy.state.name().into(),
            match &policy.mode {
                Some(mode) if policy.enforces => mode.clone(),
                Some(_) => "report".into(),
                None => "-".into(),
            },
            count("matched"),
            count("posted"),
            count("denied"),
            count("signalled"),
            count("monitored"),
            count("lost"),
            policy.file.clone(),
        ]
    });
    push_table(out, &header, rows);
    for policy in policies {
        let mut said = policy.reasons.iter().map(|reason| ("not live", reason)).collect::<Vec<_>>();
        if policy.state == FileState::Stale {
            for (what, _) in &mut said {
                *what = "an earlier version is live";
            }
        }
        said.extend(policy.warnings.iter().map(|warning| ("warning", warning)));
        for (what, text) in said.iter().take(REASONS_SHOWN) {
            push_line(out, &format!("  {}: {what}: {text}", policy.file));
        }
        if said.len() > REASONS_SHOWN {
            push_line(out, &format!("  {}: and {} more", policy.file, said.len() - REASONS_SHOWN));
        }
    }
    out.push('\n');
}

fn push_hooks(out: &mut String, hooks: &[HookStatus]) {
    if hooks.is_empty() {
        return;
    }
    let header = ["HOOK POINT", "ATTACHED", "RULES", "MATCHED", "EMITTED", "LOST", "MISSED", "WHY"];
    let rows = hooks.iter().map(|hook| {
        vec![
            hook.point.clone(),
            if hook.attached { "yes".into() } else { "NO".into() },
            hook.rules.to_string(),
            number(&hook.counts, "matched"),
            number(&hook.counts, "emitted"),
            number(&hook.counts, "lost"),
            hook.missed_runs.to_string(),
            hook.reason.clone(),
        ]
    });
    push_table(out, &header, rows);
    out.push('\n');
}

fn write_events(out: &mut String, status: &Status) -> std::fmt::Result {
    let events = &status.events;
    let lines: Vec<String> = not_zero(&events.lines);
    writeln!(out, "Events    {} records read: {}", events.records, or_none(&lines))?;
    let mut lost = not_zero(&events.lost);
    lost.extend(not_zero(&events.sinks_lost));
    writeln!(out, "Lost      {}", or_none(&lost))?;
    let mut failures = not_zero(&status.failures);
    failures.extend(not_zero(&events.undecodable).iter().map(|text| format!("undecodable {text}")));
    for (name, count) in [("unknown_revision", events.unknown_revision), ("read_errors", events.read_errors)]
    {
        if count > 0 {
            failures.push(format!("{name} {count}"));
        }
    }
    writeln!(out, "Failures  {}", or_none(&failures))?;
    for (title, done, calls) in [("URLs", "called", &status.urls), ("Names", "looked up", &status.names)] {
        if calls.ok + calls.failed + calls.dropped + calls.waiting > 0 {
            let CallStatus { ok, failed, dropped, waiting, retried: _ } = calls;
            let counts = format!("{ok} {done}, {failed} failed, {dropped} dropped, {waiting} waiting");
            writeln!(out, "{title:<10}{counts}")?;
        }
    }
    Ok(())
}

fn push_list<'a>(out: &mut String, title: &str, lines: impl Iterator<Item = &'a String>) {
    for (position, line) in lines.enumerate() {
        if position == 0 {
            push_line(out, "");
            push_line(out, &format!("{title}:"));
        }
        push_line(out, &format!("  {line}"));
    }
}

/// Appends a line that comes from files and the kernel: no control character reaches the terminal.
fn push_line(out: &mut String, line: &str) {
    out.push_str(&crate::events::printable(line));
    out.push('\n');
}

/// Appends columns that are as wide as their widest cell; numbers stand to the right.
fn push_table(out: &mut String, header: &[&str], rows: impl Iterator<Item = Vec<String>>) {
    let rows: Vec<Vec<String>> =
        rows.map(|row| row.iter().map(|cell| crate::events::printable(cell)).collect()).collect();
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain([header[column].chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let is_number = |column: usize| {
        !rows.is_empty() && rows.iter().all(|row| row[column].bytes().all(|byte| byte.is_ascii_digit()))
    };
    let numeric: Vec<bool> = (0..header.len()).map(is_number).collect();
    let heads: Vec<String> = header.iter().map(|&head| head.to_owned()).collect();
    for row in std::iter::once(&heads).chain(&rows) {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let width = widths[column];
            let cell = if numeric[column] { format!("{cell:>width$}") } else { format!("{cell:<width$}") };
            line.push_str(&cell);
            line.push_str("  ");
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
}

fn number(counts: &BTreeMap<String, u64>, name: &str) -> String {
    counts.get(name).copied().unwrap_or(0).to_string()
}

fn not_zero(counts: &BTreeMap<String, u64>) -> Vec<String> {
    counts.iter().filter(|(_, count)| **count > 0).map(|(name, count)| format!("{name} {count}")).collect()
}

fn or_none(list: &[String]) -> String {
    if list.is_empty() { "none".into() } else { list.join(", ") }
}

fn duration(seconds: u64) -> String {
    match seconds {
        0..=59 => format!("{seconds}s"),
        60..=3599 => format!("{}m {}s", seconds / 60, seconds % 60),
        3600..=86_399 => format!("{}h {}m", seconds / 3600, seconds / 60 % 60),
        _ => format!("{}d {}h", seconds / 86_400, seconds / 3600 % 24),
    }
}

fn bytes(bytes: u64) -> String {
    match bytes {
        0 => "unknown".into(),
        1..=1_048_575 => format!("{} KiB", bytes.div_ceil(1024)),
        _ => format!("{}.{} MiB", bytes >> 20, (bytes >> 10 & 1023) * 10 / 1024),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lictor_node_worker::status::{
        AgentStatus, AssignmentStatus, EventStatus, KernelStatus, RevisionStatus, ScopeStatus,
    };

    fn policy(name: &str, state: FileState, reasons: &[&str]) -> PolicyStatus {
        PolicyStatus {
            file: format!("/p/{name}.yaml"),
            policy: Some(name.into()),
            state,
            mode: Some("enforce".into()),
            enforces: state == FileState::Live,
            cause: lictor_node_worker::status::PolicyCause::None,
            reasons: reasons.iter().map(|&reason| reason.to_owned()).collect(),
            warnings: Vec::new(),
            counts: BTreeMap::from([("matched".into(), 1200), ("denied".into(), 7)]),
        }
    }

    fn scopes() -> ScopeStatus {
        ScopeStatus {
            cluster: true,
            pods: 4,
            pods_ending: 1,
            containers: 6,
            cgroups: 60,
            nested_cgroups: 2,
            scopes: 3,
            classes: 5,
            ..Default::default()
        }
    }

    #[test]
    fn the_tables_read_well() {
        let status = Status {
            node: "n1".into(),
            agent: AgentStatus {
                version: "0.1.0".into(),
                pid: 12,
                policy_dir: "/p".into(),
                uptime_seconds: 61,
                resident_bytes: 9 << 19,
            },
            kernel: KernelStatus { release: "6.12.0".into(), btf: true, bpf_lsm: true, notes: Vec::new() },
            revision: Some(RevisionStatus {
                number: 3,
                digest: "ab".repeat(32),
                policies: 1,
                age_seconds: 4000,
            }),
            policies: vec![
                policy("deny", FileState::Live, &[]),
                policy("b", FileState::Rejected, &["line 3: found \u{1b}[31mx"]),
            ],
            hooks: vec![HookStatus {
                point: "lsm/file_open".into(),
                attached: true,
                reason: "a rule denies".into(),
                rules: 1,
                ..Default::default()
            }],
            events: EventStatus {
                records: 5,
                lines: BTreeMap::from([("process_lsm".into(), 5), ("process_exec".into(), 0)]),
                ..Default::default()
            },
            assignment: Some(AssignmentStatus { serial: 9, digest: "cd".repeat(32), plan: String::new() }),
            scopes: scopes(),
            kernel_memory_bytes: 300_000,
            problems: vec!["something".into()],
            ..Default::default()
        };
        let expected = "\
Node      n1: kernel 6.12.0, BPF LSM yes, BTF yes
Worker    0.1.0 (process 12), up 1m 1s, memory 4.5 MiB; policies from /p
Revision  3 (abababababab): 1 policy, live for 1h 6m, kernel memory 293 KiB
Assigned  serial 9 (cdcdcdcdcdcd)
Scopes    3 of policies, 5 classes; 4 pods (1 ending), 6 containers, 60 cgroups (2 made by pods)

POLICY  STATE     MODE     MATCHED  POSTED  DENIED  SIGNALLED  MONITORED  LOST  FILE
deny    live      enforce     1200       0       7          0          0     0  /p/deny.yaml
b       rejected  report      1200       0       7          0          0     0  /p/b.yaml
  /p/b.yaml: not live: line 3: found \\u{1b}[31mx

HOOK POINT     ATTACHED  RULES  MATCHED  EMITTED  LOST  MISSED  WHY
lsm/file_open  yes           1        0        0     0       0  a rule denies

Events    5 records read: process_lsm 5
Lost      none
Failures  none

Problems:
  something
";
        assert_eq!(status_text(&status), expected);
    }

    #[test]
    fn a_node_without_policies_says_so() {
        let text = status_text(&Status::default());
        assert!(text.contains("Revision  none: nothing is enforced"), "{text}");
        assert!(text.contains("No policy files."), "{text}");
    }

    #[test]
    fn release_without_a_node_worker_goes_to_the_kernel() {
        let folder = tempfile::tempdir().unwrap();
        let args = ReleaseArgs {
            socket: SocketArgs { socket: folder.path().join("no.sock") },
            pin_dir: folder.path().join("pins"),
            state_dir: folder.path().join("state"),
        };
        // There are no pins: nothing is left to remove.
        assert!(release(&args).unwrap());
    }
}
