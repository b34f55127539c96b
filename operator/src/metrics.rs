//! Prometheus metrics. Labels take values from fixed lists only.

use lictor_crds::{ConditionStatus, condition};
use lictor_operator_core::index::{Index, ObjectContent};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use std::time::Duration;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WriteLabels {
    op: &'static str,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabels {
    state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct VerdictLabels {
    verdict: &'static str,
}

/// All metrics of the operator.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    writes: Family<WriteLabels, Counter>,
    policies: Family<StateLabels, Gauge>,
    nodes: Family<StateLabels, Gauge>,
    damaged: Gauge,
    kernels: Gauge,
    kernels_left_out: Gauge,
    leads: Gauge,
    certificate_ends: Gauge,
    reviews: Family<VerdictLabels, Counter>,
    review_seconds: Histogram,
    decision_seconds: Histogram,
    problems: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("lictor_operator");
        let times = || Histogram::new([0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0]);
        let metrics = Self {
            writes: Family::default(),
            policies: Family::default(),
            nodes: Family::default(),
            damaged: Gauge::default(),
            kernels: Gauge::default(),
            kernels_left_out: Gauge::default(),
            leads: Gauge::default(),
            certificate_ends: Gauge::default(),
            reviews: Family::default(),
            review_seconds: times(),
            decision_seconds: times(),
            problems: Gauge::default(),
            registry: Registry::default(),
        };
        registry.register(
            "writes",
            "Writes to the Kubernetes API, by what and outcome",
            metrics.writes.clone(),
        );
        registry.register("policies", "Policies: ready, pending, stalled", metrics.policies.clone());
        registry.register("nodes", "Nodes: live, pending, silent, unreported", metrics.nodes.clone());
        registry.register(
            "damaged_objects",
            "ConfigMaps of ours that hold something else; they are repaired",
            metrics.damaged.clone(),
        );
        registry.register(
            "kernels",
            "Different kernels whose names policies are checked against",
            metrics.kernels.clone(),
        );
        registry.register(
            "kernels_left_out",
            "Further kernels, which policies are not checked against",
            metrics.kernels_left_out.clone(),
        );
        registry.register("leader", "1 = this operator decides and writes", metrics.leads.clone());
        registry.register(
            "webhook_certificate_expiry_timestamp_seconds",
            "When the webhook's certificate ends, since 1970; 0 = there is none",
            metrics.certificate_ends.clone(),
        );
        registry.register("admission_reviews", "Answers of the webhook", metrics.reviews.clone());
        registry.register_with_unit(
            "admission_review",
            "Time that an answer took, waiting for its turn included",
            Unit::Seconds,
            metrics.review_seconds.clone(),
        );
        registry.register_with_unit(
            "decision",
            "Time to decide what is to be done",
            Unit::Seconds,
            metrics.decision_seconds.clone(),
        );
        registry.register(
            "problems",
            "What keeps nodes from getting their assignment",
            metrics.problems.clone(),
        );
        Self { registry, ..metrics }
    }
}

impl Metrics {
    /// All of them, in the text format of `OpenMetrics`.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }

    /// A write.
    pub fn wrote(&self, op: &'static str, outcome: &'static str) {
        self.writes.get_or_create(&WriteLabels { op, outcome }).inc();
    }

    /// An answer of the webhook.
    pub fn reviewed(&self, verdict: &'static str, took: Duration) {
        self.reviews.get_or_create(&VerdictLabels { verdict }).inc();
        self.review_seconds.observe(took.as_secs_f64());
    }

    /// Whether this operator leads.
    pub fn set_leads(&self, leads: bool) {
        self.leads.set(i64::from(leads));
    }

    /// When the webhook's certificate ends.
    pub fn set_certificate_ends(&self, seconds: i64) {
        self.certificate_ends.set(seconds);
    }

    /// A decision was made.
    pub fn decided(&self, took: Duration, problems: usize) {
        self.decision_seconds.observe(took.as_secs_f64());
        self.problems.set(i64::try_from(problems).unwrap_or(i64::MAX));
    }

    /// What is known of the cluster.
    pub fn set_index(&self, index: &Index, now: Duration) {
        let mut policies = [("ready", 0), ("pending", 0), ("stalled", 0)];
        for entry in index.policies().values() {
            let holds = |kind: &str| {
                let status =
                    entry.status.iter().filter(|status| status.observed_generation == entry.generation);
                let mut conditions = status.flat_map(|status| &status.conditions);
                conditions.any(|one| one.kind == kind && one.status == ConditionStatus::True)
            };
            let place = if holds(condition::STALLED) { 2 } else { usize::from(!holds(condition::READY)) };
            policies[place].1 += 1;
        }
        let mut nodes = [("live", 0), ("pending", 0), ("silent", 0), ("unreported", 0)];
        for name in index.nodes().keys() {
            let place = match index.reports().get(name) {
                None => 3,
                Some(report) if index.is_of_earlier_node(name, report) => 3,
                Some(report) if report.is_silent(now) => 2,
                Some(report) if report.is_live() => 0,
                Some(_) => 1,
            };
            nodes[place].1 += 1;
        }
        for (state, count) in policies {
            self.policies.get_or_create(&StateLabels { state }).set(count);
        }
        for (state, count) in nodes {
            self.nodes.get_or_create(&StateLabels { state }).set(count);
        }
        let damaged =
            index.objects().values().filter(|object| matches!(object.content, ObjectContent::Damaged(_)));
        self.damaged.set(i64::try_from(damaged.count()).unwrap_or(i64::MAX));
        self.kernels.set(i64::try_from(index.kernels().len()).unwrap_or(i64::MAX));
        self.kernels_left_out.set(i64::try_from(index.kernels_left_out()).unwrap_or(i64::MAX));
    }
}
