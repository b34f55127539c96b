//! The policies that users of the established language have written, on each kernel: where they attach or what refuses
//! them, and that what should trigger each does.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::baseline::Recorded;
use crate::engine;
use crate::lab::{CaseResult, KernelName, LabContext, LabTest, Options, Outcome, recorded_cases};
use crate::workloads::{self, Normal};

mod triggers;

use triggers::{EXPLAINED, PODS, Trigger};

/// The tests.
pub(crate) const TESTS: &[LabTest] =
    &[LabTest { name: "established", kernels: KernelName::ALL, run: established }];

/// Where the policies are, what the language says of each, and what is filled in where they are templates.
const DIRECTORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../policy/testdata/established");
/// What each kernel said of each, which docs/established-policies.md shows.
const ATTACHED: Recorded = Recorded { file: "established.json", case: "attaches" };
/// What triggered each on each kernel, and what came of it; shown there as well.
const TRIGGERED: Recorded = Recorded { file: "triggered.json", case: "triggered" };
/// The blank for the number of a process that does what the templates are about.
const MATCHED_PID: &str = "{{.MatchedPID}}";
/// Where policies look for programs with probes.
const PROBED: [&str; 2] = [
    "/home/jolsa/tetragon/contrib/tester-progs/usdt",
    "/home/jolsa/tetragon/contrib/tester-progs/usdt-override",
];
/// Where the policies of a round are in the guest.
const GUEST: &str = "/lab/established";

/// What `lictor policy explain` says, as far as this test needs it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Explanation {
    hook_points: Vec<HookPoint>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct HookPoint {
    hook_point: String,
    rules: Vec<Rule>,
}

#[derive(Debug, Deserialize)]
struct Rule {
    policy: String,
}

/// A policy as it is put into the guest, its blanks filled.
#[derive(Debug)]
struct Policy {
    trigger: Trigger,
    /// As it names itself.
    name: String,
    text: String,
}

/// What came of what should trigger a policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Trial {
    /// One event for each that must come.
    Events(Vec<Event>),
    /// None came, as none can, for this reason.
    None(String),
}

/// An event that came.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Event {
    /// The program that did it, with its arguments.
    by: String,
    /// Kind and place.
    place: String,
    action: String,
    /// The other members that a policy decides about.
    shows: String,
    /// The signal that ended the process, when the action is to end it.
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_by: Option<String>,
}

fn established(context: &LabContext) -> Result<Vec<CaseResult>> {
    let policies = policies()?;
    let options = Options { timeout: Duration::from_mins(10), turns: true, ..context.options.clone() };
    let lab = policies.iter().fold(workloads::lab(context, options), |lab, policy| {
        lab.text(format!("{GUEST}/{}", policy.guest_file()), 0o644, policy.text.clone())
    });
    let program = workloads::probed(context, "established")?;
    let lab = PROBED.iter().fold(lab, |lab, path| lab.file(&program, *path));
    let outcome = lab.run(&script(&policies)?)?;
    let mut cases = recorded_cases(&outcome);
    let mut attached = BTreeMap::new();
    let mut triggered = BTreeMap::new();
    for round in rounds(&policies) {
        let policies: Vec<&Policy> = policies.iter().filter(|policy| policy.trigger.round == round).collect();
        let refusals = file(&outcome, "refusals", round)?;
        let explanation: Explanation =
            serde_json::from_str(&file(&outcome, "explanation", round)?).with_context(|| refusals.clone())?;
        let said = said(&policies, &explanation, &refusals);
        if round != EXPLAINED {
            let live: Vec<&Policy> =
                policies.into_iter().filter(|policy| !is_refused(&said[&policy.trigger.file])).collect();
            let states = if round == PODS { String::new() } else { file(&outcome, "states", round)? };
            let events = file(&outcome, "events", round)?;
            for (policy, trial) in tried(round, &live, &events)? {
                let refused = policy.refused_on(context.kernel.as_str(), &states);
                if refused.is_none() && round != PODS {
                    cases.push(policy.is_live(&states));
                }
                let trial = refused.unwrap_or(trial);
                let name = &policy.trigger.file;
                match trial {
                    Ok(trial) => drop(triggered.insert(name.clone(), trial)),
                    Err(failure) => {
                        cases.push(CaseResult { name: format!("triggers {name}"), failure: Some(failure) });
                    }
                }
            }
        }
        attached.extend(said);
    }
    cases.extend(ATTACHED.compare(context.kernel, &attached)?);
    cases.extend(TRIGGERED.compare(context.kernel, &triggered)?);
    Ok(cases)
}

/// What came of each policy of a round.
fn tried<'a>(
    round: u32,
    policies: &[&'a Policy],
    events: &str,
) -> Result<Vec<(&'a Policy, Result<Trial, String>)>> {
    if round == PODS {
        return Ok(policies.iter().map(|policy| (*policy, policy.driven(events))).collect());
    }
    let events: Vec<Normal> = events.lines().map(Normal::read).collect::<Result<_>>()?;
    Ok(policies.iter().map(|policy| (*policy, policy.tried(&events))).collect())
}

fn rounds(policies: &[Policy]) -> BTreeSet<u32> {
    policies.iter().map(|policy| policy.trigger.round).collect()
}

/// Explains the policies of each round, then has them triggered.
fn script(policies: &[Policy]) -> Result<String> {
    let blanks = blanks()?;
    let (_, pid) = blanks.iter().find(|(blank, _)| blank == MATCHED_PID).context("no process is matched")?;
    let explain = rounds(policies).into_iter().map(|round| {
        // Policies that this kernel cannot do make it fail; what it says of them is what is asked.
        format!(
            "lictor policy explain -o json {GUEST}/{round} >$LAB_OUT/explanation-{round} \
             2>$LAB_OUT/refusals-{round} || true"
        )
    });
    let explain = explain.collect::<Vec<_>>().join("\n");
    let triggers: Vec<&Trigger> = policies.iter().map(|policy| &policy.trigger).collect();
    Ok(workloads::script(&[
        &explain,
        &format!("MATCHED_PID={pid}"),
        engine::DRIVE,
        include_str!("rounds.sh"),
        &triggers::script(&triggers),
    ]))
}

/// What the guest left of a round.
fn file(outcome: &Outcome, name: &str, round: u32) -> Result<String> {
    let bytes = outcome.files.get(&format!("{name}-{round}"));
    let bytes = bytes.with_context(|| format!("no {name} of round {round}: {}", outcome.text()))?;
    Ok(String::from_utf8_lossy(bytes).into_owned())
}

/// What stands in templates, and what is filled in.
fn blanks() -> Result<Vec<(String, String)>> {
    let text = fs::read_to_string(Path::new(DIRECTORY).join("blanks.txt"))?;
    let line = |line: &str| {
        let (blank, value) = line.split_once(' ').with_context(|| format!("no value in {line}"))?;
        anyhow::Ok((blank.to_owned(), value.to_owned()))
    };
    text.lines().map(line).collect()
}

/// The policies in the order of their triggers.
fn policies() -> Result<Vec<Policy>> {
    let blanks = blanks()?;
    let read = |trigger: Trigger| {
        let path = Path::new(DIRECTORY).join(&trigger.file);
        let text = fs::read_to_string(&path).with_context(|| trigger.file.clone())?;
        let text = blanks.iter().fold(text, |text, (blank, value)| text.replace(blank, value));
        let name = text.lines().find_map(|line| line.strip_prefix("  name:"));
        let name = name.with_context(|| format!("{} has no name", trigger.file))?;
        Ok(Policy { name: name.trim().trim_matches('"').to_owned(), trigger, text })
    };
    triggers::triggers()?.into_iter().map(read).collect()
}

impl Policy {
    /// Below the directory of all of them, with an ending that the node worker reads.
    fn guest_file(&self) -> String {
        let file = self.trigger.file.replace('/', "-");
        let stem = file.trim_end_matches(".tmpl").trim_end_matches(".yaml").trim_end_matches(".yml");
        format!("{}/{stem}.yaml", self.trigger.round)
    }

    /// Its file in the folder of the node worker.
    fn file_name(&self) -> String {
        let file = self.guest_file();
        file.split_once('/').map_or(file.clone(), |(_, name)| name.to_owned())
    }

    /// Whether the node worker calls it live.
    fn is_live(&self, states: &str) -> CaseResult {
        let live = format!("{} live", self.file_name());
        CaseResult::new(
            format!("live {}", self.trigger.file),
            states.lines().any(|line| line == live),
            || states.to_owned(),
        )
    }

    /// If this kernel is known not to take it: that the node worker says so.
    fn refused_on(&self, kernel: &str, states: &str) -> Option<Result<Trial, String>> {
        let (_, why) = self.trigger.refused.as_ref().filter(|(refusing, _)| refusing == kernel)?;
        let why = format!("not live: {why}");
        let said = format!("{}: {why}", self.file_name());
        let is_said = states.lines().any(|line| line.ends_with(&said));
        Some(if is_said { Ok(Trial::None(why)) } else { Err(format!("not said: {said}\n{states}")) })
    }

    /// What came of what should trigger it, or what is wrong with that.
    fn tried(&self, events: &[Normal]) -> Result<Trial, String> {
        let own = || events.iter().filter(|event| event.policy() == Some(&self.name));
        if let Some(why) = &self.trigger.none {
            return match own().next() {
                Some(event) => Err(format!("there can be no event ({why}), but: {}", event.text())),
                None => Ok(Trial::None(why.clone())),
            };
        }
        let found = |pattern: &String| {
            let event = own().find(|event| triggers::is_like(event.text(), pattern)).ok_or_else(|| {
                let others: Vec<&str> = own().take(20).map(Normal::text).collect();
                format!("no event like\n{pattern}\namong {}:\n{}", own().count(), others.join("\n"))
            })?;
            let parts = event.parts();
            let end = events.iter().find(|end| end.signal().is_some() && end.exec_id() == event.exec_id());
            let ended_by = end.and_then(Normal::signal);
            if parts.action == "SIGKILL" && ended_by != Some("SIGKILL") {
                return Err(format!("the process has not been killed: {}", event.text()));
            }
            Ok(Event {
                by: parts.program.clone(),
                place: format!("process_{} {}", parts.kind, parts.place),
                action: parts.action.clone(),
                shows: parts.members.clone(),
                ended_by: ended_by.map(str::to_owned),
            })
        };
        self.trigger.events.iter().map(found).collect::<Result<_, _>>().map(Trial::Events)
    }
}

impl Policy {
    /// As [`Policy::tried`], of the lines in which the engine's driver tells of events: `REVISION PROCESS THREAD TIME
    /// POLICY:SELECTOR PLACE verdict=ERROR signal=NUMBER unresolved=COLUMNS VALUES`.
    fn driven(&self, events: &str) -> Result<Trial, String> {
        let own = events.lines().filter_map(|line| {
            let (fired, event) = line.splitn(5, ' ').nth(4)?.split_once(' ')?;
            (fired.split_once(':')?.0 == self.name).then_some(event)
        });
        let found = |pattern: &String| {
            let event = own.clone().find(|event| triggers::is_like(event, pattern));
            let event = event.ok_or_else(|| format!("no event like\n{pattern}\namong\n{events}"))?;
            let (place, did) = event.split_once(' ').unwrap_or((event, ""));
            let (did, values) = did.split_once(" unresolved=0 ").unwrap_or((did, ""));
            Ok(Event {
                by: "a process of a pod".to_owned(),
                place: place.to_owned(),
                action: did.to_owned(),
                shows: values.to_owned(),
                ended_by: None,
            })
        };
        self.trigger.events.iter().map(found).collect::<Result<_, _>>().map(Trial::Events)
    }
}

const REFUSED: &str = "refused: ";
const NOTHING: &str = "nothing of it is in this kernel";

fn is_refused(said: &str) -> bool {
    said.starts_with(REFUSED) || said == NOTHING
}

/// A hook point; in a program without its place there, which is another in each build of the program.
fn anywhere(hook_point: &str) -> String {
    match hook_point.rsplit_once(":0x").filter(|_| hook_point.starts_with('u')) {
        Some((file, _)) => format!("{file}:OFFSET"),
        None => hook_point.to_owned(),
    }
}

/// Of each policy its hook points, or why the kernel refuses it.
fn said(policies: &[&Policy], explanation: &Explanation, refusals: &str) -> BTreeMap<String, String> {
    let of = |policy: &Policy| {
        let points = explanation.hook_points.iter();
        let points = points.filter(|point| point.rules.iter().any(|rule| rule.policy == policy.name));
        let mut points: Vec<String> = points.map(|point| anywhere(&point.hook_point)).collect();
        points.sort_unstable();
        if !points.is_empty() {
            return points.join(", ");
        }
        let begin = format!("{GUEST}/{}:", policy.guest_file());
        let of_policy = refusals.lines().filter_map(|line| line.strip_prefix(&begin)?.split_once(": "));
        let reasons: Vec<&str> = of_policy.map(|(_, reason)| reason).collect();
        if reasons.is_empty() { NOTHING.to_owned() } else { format!("{REFUSED}{}", reasons.join("; ")) }
    };
    policies.iter().map(|policy| (policy.trigger.file.clone(), of(policy))).collect()
}

#[cfg(test)]
mod tests;
