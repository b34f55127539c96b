//! Metrics in the text format of Prometheus, made from a status document: a scrape shows what the kernel says at that
//! moment, and what a status shows is also a metric.

use crate::source::set::FileState;
use crate::status::{CallStatus, Status};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;
use std::collections::BTreeMap;
use std::fmt;

/// Policy files named in `lictor_policy_not_live`. How many there are is in `lictor_policy_files`.
pub const NOT_LIVE_MAX: usize = 1000;

/// All metrics of a status, one text.
pub fn encode(status: &Status) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Collected(metrics(status))));
    let mut out = String::new();
    text::encode(&mut out, &registry)?;
    Ok(out)
}

#[derive(Debug)]
struct Metric {
    /// Without `_total`, which counters get when they are written.
    name: String,
    help: &'static str,
    counter: bool,
    rows: Vec<(Vec<(&'static str, String)>, u64)>,
}

#[derive(Debug)]
struct Collected(Vec<Metric>);

impl Collector for Collected {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        for metric in &self.0 {
            let kind = if metric.counter { MetricType::Counter } else { MetricType::Gauge };
            let mut family = encoder.encode_descriptor(&metric.name, metric.help, None, kind)?;
            for (labels, value) in &metric.rows {
                if labels.is_empty() {
                    encode_value(&mut family, metric.counter, *value)?;
                } else {
                    encode_value(&mut family.encode_family(labels)?, metric.counter, *value)?;
                }
            }
        }
        Ok(())
    }
}

fn encode_value(encoder: &mut MetricEncoder<'_>, counter: bool, value: u64) -> Result<(), fmt::Error> {
    if counter {
        encoder.encode_counter::<NoLabelSet, _, u64>(&value, None)
    } else {
        encoder.encode_gauge(&value.cast_signed())
    }
}

fn gauge(name: &str, help: &'static str, value: u64) -> Metric {
    Metric { name: name.to_owned(), help, counter: false, rows: vec![(Vec::new(), value)] }
}

fn counter(name: &str, help: &'static str, value: u64) -> Metric {
    Metric { name: name.to_owned(), help, counter: true, rows: vec![(Vec::new(), value)] }
}

/// A counter with one label.
fn counters(name: &str, help: &'static str, label: &'static str, values: &BTreeMap<String, u64>) -> Metric {
    let rows = values.iter().map(|(value, count)| (vec![(label, value.clone())], *count)).collect();
    Metric { name: name.to_owned(), help, counter: true, rows }
}

fn metrics(status: &Status) -> Vec<Metric> {
    let mut metrics = of_node(status);
    metrics.extend(of_policies(status));
    metrics.extend(of_calls(status));
    metrics.extend(of_scopes(status));
    metrics.extend(of_hooks(status));
    metrics.extend(of_events(status));
    metrics
}

fn of_node(status: &Status) -> Vec<Metric> {
    let revision = status.revision.clone().unwrap_or_default();
    let build = vec![("version", status.agent.version.clone()), ("kernel", status.kernel.release.clone())];
    vec![
        Metric {
            name: "lictor_build_info".into(),
            help: "The node worker's version and its kernel",
            counter: false,
            rows: vec![(build, 1)],
        },
        gauge(
            "lictor_revision_live",
            "Number of the revision that the kernel holds; 0 = none",
            revision.number.into(),
        ),
        gauge("lictor_revision_policies", "Policies in the live revision", revision.policies.into()),
        gauge("lictor_revision_age_seconds", "Seconds that the live revision is live", revision.age_seconds),
        gauge(
            "lictor_problems",
            "Things that are wrong beside single policies",
            status.problems.len() as u64,
        ),
        gauge(
            "lictor_kernel_bpf_lsm",
            "1 = the kernel asks BPF LSM programs; 0 = denials take fmod_ret where they can",
            status.kernel.bpf_lsm.into(),
        ),
        gauge("lictor_uptime_seconds", "Seconds since the node worker began", status.agent.uptime_seconds),
        gauge("lictor_resident_bytes", "Memory of the node worker", status.agent.resident_bytes),
        gauge("lictor_kernel_memory_bytes", "Kernel memory of maps and programs", status.kernel_memory_bytes),
        counters("lictor_kernel_failures", "Failures in the kernel by site", "site", &status.failures),
        counters("lictor_engine", "Ways that the engine took in the kernel", "way", &status.stats),
        gauge("lictor_processes", "Processes in the process table", status.processes.kept),
        counters(
            "lictor_process_table",
            "Processes that the process table missed, forgot or could not take",
            "outcome",
            &status.processes.counts,
        ),
    ]
}

/// `GetUrl` and `DnsLookup`.
fn of_calls(status: &Status) -> Vec<Metric> {
    let urls =
        ["Calls of GetUrl by result", "Attempts of GetUrl after the first one", "Calls of GetUrl that wait"];
    let names = [
        "Calls of DnsLookup by result",
        "Attempts of DnsLookup after the first one",
        "Calls of DnsLookup that wait",
    ];
    let kinds = [("get_url", urls, &status.urls), ("dns_lookup", names, &status.names)];
    let of_kind = |(name, [result, retries, waiting], calls): (&str, [&'static str; 3], &CallStatus)| {
        let counts = [("ok", calls.ok), ("failed", calls.failed), ("dropped", calls.dropped)];
        let rows = counts.map(|(result, count)| (vec![("result", result.to_owned())], count)).into();
        [
            Metric { name: format!("lictor_{name}"), help: result, counter: true, rows },
            counter(&format!("lictor_{name}_retries"), retries, calls.retried),
            gauge(&format!("lictor_{name}_waiting"), waiting, calls.waiting),
        ]
    };
    kinds.into_iter().flat_map(of_kind).collect()
}

fn of_scopes(status: &Status) -> Vec<Metric> {
    let scopes = &status.scopes;
    let mut metrics = vec![
        gauge("lictor_pods", "Pods that the kernel knows", scopes.pods),
        gauge(
            "lictor_pods_refused",
            "Pods and containers judged as unknown ones, because there are too many",
            scopes.pods_refused,
        ),
        gauge("lictor_containers", "Containers that the kernel knows", scopes.containers),
        gauge(
            "lictor_pods_ending",
            "Pods deleted in the cluster whose processes are not all gone",
            scopes.pods_ending,
        ),
        gauge("lictor_cgroups", "Cgroups whose pod the kernel remembers", scopes.cgroups),
        gauge(
            "lictor_cgroups_nested",
            "Of these, cgroups that processes of pods have made",
            scopes.nested_cgroups,
        ),
        gauge("lictor_scopes", "Distinct scopes of the live policies", scopes.scopes),
        gauge(
            "lictor_scope_classes",
            "Classes of workloads that the live revision tells apart",
            scopes.classes,
        ),
    ];
    if let Some(assignment) = &status.assignment {
        metrics.push(gauge(
            "lictor_assignment_serial",
            "Serial of the cluster's assignment that the node holds",
            assignment.serial,
        ));
    }
    metrics
}

fn of_policies(status: &Status) -> Vec<Metric> {
    let not_live = status.policies.iter().filter(|policy| policy.state != FileState::Live).take(NOT_LIVE_MAX);
    let mut metrics = vec![
        Metric {
            name: "lictor_policy_files".into(),
            help: "Policy files by state",
            counter: false,
            rows: status
                .policies_by_state()
                .iter()
                .map(|(state, count)| (vec![("state", state.name().to_owned())], *count))
                .collect(),
        },
        Metric {
            name: "lictor_policy_rejected".into(),
            help: "Policy files that are not live as they are now; the status says why",
            counter: false,
            rows: not_live
                .map(|policy| {
                    let labels = vec![
                        ("file", policy.file.clone()),
                        ("policy", policy.policy.clone().unwrap_or_default()),
                        ("state", policy.state.name().to_owned()),
                    ];
                    (labels, 1)
                })
                .collect(),
        },
    ];
    for (count, help) in [
        ("matched", "Events that a rule of the policy matched"),
        ("posted", "Records made for the policy"),
        ("denied", "Operations denied"),
        ("signalled", "Signals sent"),
        ("monitored", "Verdicts that were only reported, in monitor mode"),
        ("limited", "Records held back by a rate limit"),
        ("lost", "Records lost because the ring was full"),
        ("unresolved", "Events judged without a value that could not be read"),
    ] {
        let rows = status.policies.iter().filter_map(|policy| {
            let labels =
                vec![("policy", policy.policy.clone()?), ("mode", policy.mode.clone().unwrap_or_default())];
            Some((labels, *policy.counts.get(count)?))
        });
        metrics.push(Metric {
            name: format!("lictor_policy_{count}"),
            help,
            counter: true,
            rows: rows.collect(),
        });
    }
    metrics
}

fn of_hooks(status: &Status) -> Vec<Metric> {
    let rows = |value: &dyn Fn(&crate::status::HookStatus) -> u64| {
        status.hooks.iter().map(|hook| (vec![("hook", hook.point.clone())], value(hook))).collect::<Vec<_>>()
    };
    let mut metrics = vec![
        Metric {
            name: "lictor_hook_attached".into(),
            help: "1 = a program is attached to the hook point",
            counter: false,
            rows: rows(&|hook| u64::from(hook.attached)),
        },
        Metric {
            name: "lictor_hook_rules".into(),
            help: "Rules of the live revision at the hook point",
            counter: false,
            rows: rows(&|hook| u64::from(hook.rules)),
        },
        Metric {
            name: "lictor_hook_missed_runs".into(),
            help: "Runs of the hook point's program that the kernel skipped",
            counter: true,
            rows: rows(&|hook| hook.missed_runs),
        },
    ];
    for (count, help) in [
        ("matched", "Events that some rule at the hook point matched"),
        ("emitted", "Records that the hook point's program wrote"),
        ("lost", "Records that did not fit into the ring"),
        ("unresolved", "Events with a value that could not be read"),
    ] {
        metrics.push(Metric {
            name: format!("lictor_hook_{count}"),
            help,
            counter: true,
            rows: rows(&|hook| hook.counts.get(count).copied().unwrap_or(0)),
        });
    }
    metrics
}

fn of_events(status: &Status) -> Vec<Metric> {
    let events = &status.events;
    vec![
        counter("lictor_records", "Records read from the kernel", events.records),
        counters(
            "lictor_records_undecodable",
            "Records that could not be decoded",
            "error",
            &events.undecodable,
        ),
        counter(
            "lictor_records_unknown_revision",
            "Records of a revision that was not known any more",
            events.unknown_revision,
        ),
        counter(
            "lictor_records_own",
            "Records that the export of events caused itself, which are not told",
            events.own,
        ),
        counter(
            "lictor_stacks_without_names",
            "Stacks told without names, since they could not be looked up in time",
            events.stacks_without_names,
        ),
        counter(
            "lictor_files_without_build_id",
            "Loaded files told without the build id that they may have, since they could not be looked up",
            events.files_without_build_id,
        ),
        counter(
            "lictor_events_without_hash",
            "Events whose file's hash was asked for and did not come, or could not be computed",
            events.events_without_hash,
        ),
        counter(
            "lictor_hashes_alone",
            "Hashes of files whose event had been told without, or was lost by a node worker that was killed",
            events.hashes_alone,
        ),
        counter("lictor_ring_read_errors", "Reads of the ring that failed", events.read_errors),
        gauge(
            "lictor_ring_waiting_bytes",
            "Bytes that waited in the ring after the last read",
            events.waiting_bytes,
        ),
        counters("lictor_events", "Event lines made", "type", &events.lines),
        counter("lictor_events_bytes", "Bytes of event lines made", events.bytes),
        counters(
            "lictor_events_lost",
            "Records lost in the kernel because the ring was full",
            "hook",
            &events.lost,
        ),
        counters("lictor_sink_lost", "Event lines that a sink could not take", "sink", &events.sinks_lost),
        gauge("lictor_event_clients", "Clients of the socket that read events", events.clients),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::{HookStatus, PolicyStatus};

    fn status() -> Status {
        let policy = |file: &str, state| PolicyStatus {
            cause: crate::status::PolicyCause::None,
            file: file.into(),
            policy: Some("a".into()),
            state,
            mode: Some("enforce".into()),
            enforces: true,
            reasons: Vec::new(),
            warnings: Vec::new(),
            counts: BTreeMap::from([("denied".into(), 7)]),
        };
        Status {
            policies: vec![policy("a.yaml", FileState::Live), policy("b \"x\".yaml", FileState::Rejected)],
            hooks: vec![HookStatus {
                point: "lsm/file_open".into(),
                attached: true,
                counts: BTreeMap::from([("lost".into(), 3)]),
                ..Default::default()
            }],
            ..Default::default()
        }
    }

    #[test]
    fn metrics_have_their_names_and_labels() {
        let text = encode(&status()).unwrap();
        for line in [
            "lictor_policy_files{state=\"live\"} 1",
            "lictor_policy_files{state=\"pending\"} 0",
            "lictor_policy_rejected{file=\"b \\\"x\\\".yaml\",policy=\"a\",state=\"rejected\"} 1",
            "lictor_policy_denied_total{policy=\"a\",mode=\"enforce\"} 7",
            "lictor_hook_lost_total{hook=\"lsm/file_open\"} 3",
            "lictor_hook_attached{hook=\"lsm/file_open\"} 1",
            "lictor_revision_live 0",
            "lictor_get_url_total{result=\"dropped\"} 0",
            "# TYPE lictor_records counter",
        ] {
            assert!(text.lines().any(|other| other == line), "{line} is not in\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn names_of_rejected_files_are_bounded() {
        let mut status = status();
        status.policies = vec![status.policies[1].clone(); NOT_LIVE_MAX + 5];
        let text = encode(&status).unwrap();
        assert_eq!(text.matches("lictor_policy_rejected{").count(), NOT_LIVE_MAX);
        assert!(text.contains(&format!("lictor_policy_files{{state=\"rejected\"}} {}", NOT_LIVE_MAX + 5)));
    }
}
