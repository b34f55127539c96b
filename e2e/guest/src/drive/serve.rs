//! The commands.
//!
//! Every answer ends with a line that holds a single dot; one that begins with `error` tells of a failure.

use super::journal::Event;
use super::session::{Session, one_line};
use anyhow::{Context as _, Result, anyhow, bail};
use clap::Args;
use lictor_node_worker::kernel;
use lictor_node_worker::port::{KernelPort, NamedCount, PodFacts, error_chain};
use lictor_node_worker_ebpf::{LICTOR_POD_HOST, LICTOR_POD_UNKNOWN};
use lictor_policy::model::{PodLabels, PolicyKey};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

#[derive(Args)]
pub(crate) struct Arguments {
    /// Count which way the engine takes.
    #[arg(long)]
    stats: bool,
    /// Leave out the programs that make remembered paths invalid.
    #[arg(long)]
    without_invalidation: bool,
    /// Compile as if the kernel had no BPF LSM.
    #[arg(long)]
    without_bpf_lsm: bool,
    /// Compile as if the kernel had no type information of this function.
    #[arg(long = "hide", value_name = "FUNCTION")]
    hidden: Vec<String>,
    /// Size of the ring of records.
    #[arg(long, default_value_t = kernel::RING_BYTES)]
    ring_bytes: u32,
    /// Directory of the pins.
    #[arg(long, default_value = kernel::PIN_ROOT)]
    pin_root: PathBuf,
}

/// Opens the engine and carries out commands until stdin ends. What is live then stays live.
pub(crate) fn run(arguments: Arguments) -> Result<()> {
    let options = kernel::Options {
        pin_root: arguments.pin_root,
        ring_bytes: arguments.ring_bytes,
        count_stats: arguments.stats,
        without_invalidation: arguments.without_invalidation,
    };
    let mut session = match Session::open(options) {
        Ok(session) => session,
        Err(error) => return answer(&format!("error: {error:#}")),
    };
    if arguments.without_bpf_lsm {
        session.without_bpf_lsm();
    }
    session.hide(arguments.hidden);
    answer("open")?;
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let text = execute(&mut session, &line)
            .unwrap_or_else(|error| format!("error: {}", one_line(&format!("{error:#}"))));
        answer(&text)?;
        if line == "quit" {
            break;
        }
    }
    session.close();
    Ok(())
}

fn answer(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}\n.", text.trim_end())?;
    out.flush()?;
    Ok(())
}

fn execute(session: &mut Session, line: &str) -> Result<String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    match words.as_slice() {
        ["apply", files @ ..] => apply(session, files),
        ["adopt", files @ ..] => adopt(session, files),
        ["switch", times, pause_ms, sets @ ..] => switch(session, times.parse()?, pause_ms.parse()?, sets),
        ["live"] => Ok(live(session)?.to_string()),
        ["hooks"] => hooks(session),
        ["verified"] => Ok(verified(session)),
        ["verified-base"] => {
            let programs =
                session.engine.base_instructions().map_err(|error| anyhow!(error_chain(&error)))?;
            let lines = programs.iter().map(|(name, instructions)| format!("{name} {instructions}"));
            Ok(lines.collect::<Vec<_>>().join("\n"))
        }
        ["get", kind, name] => counts(session)?
            .get(&format!("{kind} {name}"))
            .map(u64::to_string)
            .with_context(|| format!("there is no counter {kind} {name}")),
        ["counts"] => {
            let all = counts(session)?;
            Ok(all.iter().fold(String::new(), |mut text, (name, count)| {
                let _ = writeln!(text, "{name} {count}");
                text
            }))
        }
        ["busy"] => Ok(session.engine.scratch_in_use()?.to_string()),
        ["others"] => {
            session.settle()?;
            Ok(format!("{:?}", session.journal().others))
        }
        ["count", policy] => Ok(events_of(session, policy)?.len().to_string()),
        ["events", policy] => {
            let lines: Vec<String> = events_of(session, policy)?.iter().map(Event::line).collect();
            Ok(lines.join("\n"))
        }
        ["order", policy] => order(session, policy),
        ["clear"] => {
            session.settle()?;
            session.journal().events.clear();
            Ok("cleared".to_owned())
        }
        ["pods", pods @ ..] => pods_told(session, pods),
        ["place", path, owner] => place(session, path, owner),
        ["scopes"] => {
            let facts = session.engine.scope_facts()?;
            Ok(format!(
                "pods {} scopes {} classes {} cgroups {} nested {}",
                facts.pods, facts.scopes, facts.classes, facts.cgroups, facts.nested_cgroups
            ))
        }
        ["quit"] => Ok("ended".to_owned()),
        ["release"] => {
            session.engine.release()?;
            Ok("released".to_owned())
        }
        _ => bail!("no such command: {line}"),
    }
}

fn apply(session: &mut Session, files: &[&str]) -> Result<String> {
    let (plan, refusals) = session.plan(files)?;
    let begin = Instant::now();
    let applied = session.apply(&plan).map_err(|error| anyhow!(error_chain(&error)))?;
    let mut text =
        format!("revision {} unchanged {} in {:?}\n", applied.revision, applied.unchanged, begin.elapsed());
    for refusal in refusals {
        let _ = writeln!(text, "refused: {refusal}");
    }
    Ok(text)
}

/// Tells of pods: `UID:NAMESPACE:KEY=VALUE,...[:CONTAINER=REPOSITORY,...]`.
fn pods_told(session: &mut Session, pods: &[&str]) -> Result<String> {
    let mut told = BTreeMap::new();
    for pod in pods {
        let words: Vec<&str> = pod.split(':').collect();
        let (uid, namespace, labels, containers) = match words.as_slice() {
            [uid, namespace, labels] => (uid, namespace, labels, ""),
            [uid, namespace, labels, containers] => (uid, namespace, labels, *containers),
            _ => bail!("not a pod: {pod}"),
        };
        let pairs = |text: &str| {
            let pairs = text.split(',').filter_map(|pair| pair.split_once('='));
            pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
        };
        let labels = PodLabels { namespace: (*namespace).to_owned(), labels: pairs(labels) };
        told.insert((*uid).to_owned(), PodFacts { labels, containers: pairs(containers) });
    }
    session.numbers = session.engine.set_pods(&told)?;
    Ok(format!("{} pods", told.len()))
}

/// Tells whose the cgroup at `path` is: `host`, `unknown`, a pod's uid, or `UID/CONTAINER`.
fn place(session: &mut Session, path: &str, owner: &str) -> Result<String> {
    let id = std::fs::metadata(path).with_context(|| path.to_owned())?.ino();
    let number = match (owner, owner.split_once('/')) {
        ("host", _) => LICTOR_POD_HOST,
        ("unknown", _) => LICTOR_POD_UNKNOWN,
        (_, Some((uid, container))) => session.numbers.of(uid, Some(container)),
        (uid, None) => session.numbers.of(uid, None),
    };
    session.engine.place_cgroup(id, number)?;
    Ok(format!("cgroup {id}"))
}

fn adopt(session: &mut Session, files: &[&str]) -> Result<String> {
    let (plan, _) = session.plan(files)?;
    match session.adopt(&plan)? {
        Some(applied) => Ok(format!("revision {}", applied.revision)),
        None => bail!("the live revision was made from another plan"),
    }
}

/// Makes the sets live in turn. A set is a list of files with commas between them; `-` is the empty one.
fn switch(session: &mut Session, times: u32, pause_ms: u64, sets: &[&str]) -> Result<String> {
    let mut plans = Vec::new();
    for set in sets {
        let files: Vec<&str> = set.split(',').filter(|file| *file != "-").collect();
        let (plan, refusals) = session.plan(&files)?;
        if !refusals.is_empty() {
            bail!("{set}: {}", refusals.join("; "));
        }
        plans.push(plan);
    }
    let begin = Instant::now();
    for plan in plans.iter().cycle().take(times as usize) {
        session.apply(plan).map_err(|error| anyhow!(error_chain(&error)))?;
        std::thread::sleep(Duration::from_millis(pause_ms));
    }
    Ok(format!("switched {times} times in {:?}, revision {}", begin.elapsed(), live(session)?))
}

/// Number of the live revision; 0 = none.
fn live(session: &Session) -> Result<u32> {
    let live = session.engine.live().map_err(|error| anyhow!(error_chain(&error)))?;
    Ok(live.map_or(0, |live| live.number))
}

fn hooks(session: &Session) -> Result<String> {
    let mut text = String::new();
    for state in session.engine.hook_states()? {
        let _ = writeln!(
            text,
            "{} slot {} rules {} attached {}: {}",
            state.point, state.slot, state.rules, state.attached, state.reason
        );
    }
    Ok(text)
}

fn verified(session: &Session) -> String {
    session.engine.verified_instructions().iter().fold(
        String::new(),
        |mut text, (point, shape, instructions)| {
            let _ = writeln!(text, "{point} {shape} {instructions}");
            text
        },
    )
}

/// Every counter by its name: `stat path_hot`, `site read`, `policy NAME.denied`, `hook POINT.emitted`.
fn counts(session: &Session) -> Result<BTreeMap<String, u64>> {
    let mut all = BTreeMap::new();
    let mut named = |kind: &str, counts: Vec<NamedCount>| {
        for count in counts {
            all.insert(format!("{kind} {}", count.name), count.count);
        }
    };
    named("stat", session.engine.stat_counts()?);
    named("site", session.engine.site_counts()?);
    for (PolicyKey { name, .. }, counts) in session.engine.policy_counts()? {
        for (field, count) in [
            ("matched", counts.matched),
            ("posted", counts.posted),
            ("denied", counts.denied),
            ("signalled", counts.signalled),
            ("monitored", counts.monitored),
            ("limited", counts.limited),
            ("lost", counts.lost),
            ("unresolved", counts.unresolved),
        ] {
            all.insert(format!("policy {name}.{field}"), count);
        }
    }
    for state in session.engine.hook_states()? {
        for (field, count) in [
            ("matched", state.counts.matched),
            ("emitted", state.counts.emitted),
            ("lost", state.counts.lost),
            ("unresolved", state.counts.unresolved),
            ("missed", state.missed_runs),
        ] {
            all.insert(format!("hook {}.{field}", state.point), count);
        }
    }
    Ok(all)
}

fn events_of(session: &Session, policy: &str) -> Result<Vec<Event>> {
    session.settle()?;
    Ok(session.journal().events.iter().filter(|event| event.names(policy)).cloned().collect())
}

/// `events DUPLICATES DISORDER`: how many events of a policy there are, how many of them came twice (one thread does
/// one thing at one time), and how often a thread met an older revision after a newer one.
fn order(session: &Session, policy: &str) -> Result<String> {
    let mut events = events_of(session, policy)?;
    events.sort_by_key(|event| (event.tid, event.boot_ns));
    let pairs = || events.iter().zip(events.iter().skip(1)).filter(|(a, b)| a.tid == b.tid);
    let duplicates = pairs().filter(|(a, b)| a.boot_ns == b.boot_ns).count();
    let disorder = pairs().filter(|(a, b)| a.revision > b.revision).count();
    let mut revisions: Vec<u32> = events.iter().map(|event| event.revision).collect();
    revisions.sort_unstable();
    revisions.dedup();
    Ok(format!("{} {duplicates} {disorder} {}", events.len(), revisions.len()))
}
