//! The chart without kubelets: its objects and rights in a real API server, its programs beside it.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::ports::Port;
use super::{Client, Cluster, ClusterContext, Daemon, Ran, eventually};

/// How long the operator, the nodes and the API server may take to agree, on a busy machine.
pub(super) const SETTLE: Duration = Duration::from_mins(5);

/// Address of the webhook, as the API server asks for it.
const ENDPOINT: &str = "10.99.0.2:8443";

/// The chart and its programs.
pub(super) struct Chart<'a> {
    context: &'a ClusterContext,
    pub(super) cluster: &'a Cluster,
    /// Values of the chart, as arguments of helm.
    values: Vec<String>,
}

/// A running operator, and where it serves.
pub(super) struct Operator {
    pub(super) program: Daemon,
    webhook: Port,
    http: Port,
}

impl Operator {
    fn webhook(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.webhook.number()))
    }

    /// What it serves without TLS.
    pub(super) fn get(&self, path: &str) -> Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.http.number()))?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: operator\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        ensure!(answer.starts_with("HTTP/1.1 200 "), "{path}: {answer}");
        Ok(answer)
    }

    /// The value of a metric, named with its labels.
    pub(super) fn metric(&self, name: &str) -> Result<f64> {
        let text = self.get("/metrics")?;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.with_context(|| format!("no {name} in {text}"))?.trim().parse().context("no number")
    }

    /// The sum of the metrics whose name begins like this.
    pub(super) fn sum(&self, prefix: &str) -> Result<f64> {
        let text = self.get("/metrics")?;
        let values = text.lines().filter(|line| line.starts_with(prefix));
        let values = values.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
        Ok(values.sum())
    }

    /// Where it serves metrics and health.
    pub(super) fn http(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.http.number()))
    }

    /// Whether it says that it leads.
    pub(super) fn leads(&self) -> Result<bool> {
        Ok(self.metric("lictor_operator_leader")? > 0.5)
    }
}

impl<'a> Chart<'a> {
    /// Installs the chart with these values, each `NAME=VALUE` or an argument of helm.
    pub(super) fn install(
        context: &'a ClusterContext,
        cluster: &'a Cluster,
        values: &[&str],
    ) -> Result<Self> {
        let value = |value: &&str| {
            if value.starts_with("--") { (*value).to_owned() } else { format!("--set={value}") }
        };
        let chart = Self { context, cluster, values: values.iter().map(value).collect() };
        chart.helm("install", &["--create-namespace"])?;
        // A slice of our own beside the one of the selector, which has no pods.
        let slice = json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {"name": "lictor-operator-beside", "namespace": "lictor",
                         "labels": {"kubernetes.io/service-name": "lictor-operator"}},
            "endpoints": [{"addresses": ["10.99.0.2"], "conditions": {"ready": true}}],
            "ports": [{"name": "webhook", "port": 8443, "protocol": "TCP"}],
        });
        cluster.admin().apply(&slice.to_string())?;
        Ok(chart)
    }

    /// Installs or upgrades the chart.
    pub(super) fn helm(&self, verb: &str, further: &[&str]) -> Result<()> {
        let chart = concat!(env!("CARGO_MANIFEST_DIR"), "/../charts/lictor");
        let what = [verb, "lictor", chart, "--namespace", "lictor"];
        let values: Vec<&str> = self.values.iter().map(String::as_str).collect();
        self.cluster.admin().helm(&[&what[..], &values, further].concat()).map(drop)
    }

    /// An operator with the rights of its service account, which the API server asks from now on.
    pub(super) fn operator(&self, identity: &str) -> Result<Operator> {
        self.operator_with(identity, &[])
    }

    /// The same with variables of its environment.
    pub(super) fn operator_with(&self, identity: &str, variables: &[(&str, String)]) -> Result<Operator> {
        let account = ["-n", "lictor", "create", "token", "lictor-operator", "--duration=2h"];
        let token = self.admin().kubectl(&account)?;
        let user = self.cluster.user_with_token(identity, token.trim())?;
        let (webhook, http) = (Port::reserve()?, Port::reserve()?);
        let program = self.context.programs.join("lictor-operator");
        let program = Daemon::new(identity, program, self.cluster.directory())
            .arguments([
                "--namespace=lictor".to_owned(),
                format!("--identity={identity}"),
                format!("--webhook-address=127.0.0.1:{}", webhook.number()),
                format!("--http-address=127.0.0.1:{}", http.number()),
            ])
            .variable("KUBECONFIG", user.kubeconfig().display().to_string());
        let set = |program: Daemon, (name, value): &(&str, String)| program.variable(name, value.clone());
        let program = variables.iter().fold(program, set);
        let operator = Operator { program, webhook, http };
        self.ask(&operator);
        Ok(operator)
    }

    /// Has the API server ask this operator's webhook.
    pub(super) fn ask(&self, operator: &Operator) {
        self.cluster.route(ENDPOINT, operator.webhook());
    }

    pub(super) fn nodes(&self, arguments: &[&str]) -> Daemon {
        let kubeconfig = self.admin().kubeconfig().display().to_string();
        Daemon::new("nodes", self.context.programs.join("lictor-sim-nodes"), self.cluster.directory())
            .arguments(arguments.iter().copied())
            .variable("KUBECONFIG", kubeconfig)
    }

    pub(super) fn admin(&self) -> &Client {
        self.cluster.admin()
    }

    /// Asks for a policy to be checked, and nothing else.
    pub(super) fn dry_run(&self, policy: &Value) -> Result<Ran> {
        self.admin().try_with_input(&["apply", "--dry-run=server", "-f", "-"], &policy.to_string())
    }

    /// Applies a policy as soon as the webhook answers.
    pub(super) fn admit(&self, policy: &Value) -> Result<()> {
        eventually("the policy to be taken", SETTLE, || self.admin().apply(&policy.to_string())).map(drop)
    }

    pub(super) fn ready(&self, name: &str, summary: &str) -> Result<()> {
        self.condition(name, "Ready", "True", summary).map(drop)
    }

    /// Waits until a condition is about the current generation; its message.
    pub(super) fn condition(&self, name: &str, kind: &str, wanted: &str, summary: &str) -> Result<String> {
        self.condition_of(&["get", "tracingpolicy", name], kind, wanted, summary)
    }

    /// The same for an object that `kubectl get` names with these arguments.
    pub(super) fn condition_of(
        &self,
        object: &[&str],
        kind: &str,
        wanted: &str,
        summary: &str,
    ) -> Result<String> {
        eventually(&format!("{}: {kind}={wanted}, {summary}", object.join(" ")), SETTLE, || {
            let policy = self.admin().json(object)?;
            let status = &policy["status"];
            let found = status["conditions"].as_array();
            let found = found.and_then(|all| all.iter().find(|one| one["type"] == kind));
            let found = found.with_context(|| format!("no condition {kind}: {status}"))?;
            ensure!(status["observedGeneration"] == policy["metadata"]["generation"], "{status}");
            ensure!(found["observedGeneration"] == policy["metadata"]["generation"], "{status}");
            ensure!(found["status"] == wanted && status["nodes"]["summary"] == summary, "{status}");
            Ok(found["message"].as_str().unwrap_or_default().to_owned())
        })
    }

    /// Names of the operator's objects that begin with `prefix`.
    pub(super) fn objects(&self, prefix: &str) -> Result<Vec<String>> {
        let all = self.admin().kubectl(&["-n", "lictor", "get", "configmaps", "-o", "name"])?;
        let names = all.lines().filter_map(|name| name.strip_prefix("configmap/"));
        Ok(names.filter(|name| name.starts_with(prefix)).map(str::to_owned).collect())
    }
}

/// A policy that reports files.
pub(super) fn policy(name: &str, path: &str) -> Value {
    json!({
        "apiVersion": "lictor.io/v1alpha1", "kind": "TracingPolicy", "metadata": {"name": name},
        "spec": {"kprobes": [{"call": "fd_install", "syscall": false, "ignore": {"callNotFound": true},
            "args": [{"index": 1, "type": "file"}],
            "selectors": [{"matchArgs": [{"index": 1, "operator": "Prefix", "values": [path]}]}]}]},
    })
}

/// Whether a policy's status says that it is Ready in its current generation.
pub(super) fn is_ready(policy: &Value) -> bool {
    let (status, generation) = (&policy["status"], &policy["metadata"]["generation"]);
    let conditions = status["conditions"].as_array().into_iter().flatten();
    let mut ready = conditions.filter(|one| one["type"] == "Ready" && one["status"] == "True");
    ready.any(|one| one["observedGeneration"] == *generation) && status["observedGeneration"] == *generation
}

/// A policy about a function.
pub(super) fn call(name: &str, function: &str) -> Value {
    json!({
        "apiVersion": "lictor.io/v1alpha1", "kind": "TracingPolicy", "metadata": {"name": name},
        "spec": {"kprobes": [{"call": function, "syscall": false}]},
    })
}
