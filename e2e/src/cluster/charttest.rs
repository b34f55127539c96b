//! What the chart makes of its values. It needs helm, and no cluster.

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use super::{Cases, Client, ClusterContext, ClusterTest, Lane, binaries};
use crate::lab::CaseResult;

/// The tests of this module.
pub(crate) const TESTS: &[ClusterTest] = &[
    ClusterTest { name: "chart", lane: Lane::ControlPlane, anywhere: false, run: chart },
    ClusterTest { name: "manifests", lane: Lane::ControlPlane, anywhere: true, run: manifests },
];

const NAMESPACE: &str =
    r#"{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "lictor-manifests"}}"#;
const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../charts/lictor");

/// What `helm template` writes.
struct Rendered(String);

impl Rendered {
    /// The manifest of an object.
    fn object(&self, kind: &str, name: &str) -> Result<&str> {
        let (kind, name) = (format!("\nkind: {kind}\n"), format!("\n  name: {name}\n"));
        let mut found = self.objects().filter(|text| text.contains(&kind) && text.contains(&name));
        let object = found.next().with_context(|| format!("no {kind}{name}"))?;
        ensure!(found.next().is_none(), "several {kind}{name}");
        Ok(object)
    }

    fn objects(&self) -> impl Iterator<Item = &str> {
        self.0.split("\n---\n")
    }

    /// How many objects of a kind.
    fn count(&self, kind: &str) -> usize {
        let kind = format!("\nkind: {kind}\n");
        self.objects().filter(|text| text.contains(&kind)).count()
    }
}

fn chart(context: &ClusterContext) -> Result<Vec<CaseResult>> {
    let binaries = binaries::obtain(context.options.report)?;
    let home = tempfile::tempdir()?;
    let helm = Client::new(binaries, home.path().join("none"), home.path().to_path_buf());
    let render = |values: &[&str]| -> Result<Rendered> {
        let values: Vec<String> = values.iter().map(|value| format!("--set={value}")).collect();
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        let template = ["template", "lictor", CHART, "--namespace", "security"];
        Ok(Rendered(helm.helm(&[&template[..], &values].concat())?))
    };
    let mut cases = Cases::default();
    cases.run("lint", || helm.helm(&["lint", "--strict", CHART]).map(drop));
    cases.run("defaults", || defaults(&render(&[])?));
    cases.run("no-right-is-a-wildcard", || {
        let all = render(&[])?;
        let roles = all
            .objects()
            .filter(|text| text.contains("\nkind: ClusterRole\n") || text.contains("\nkind: Role\n"));
        for role in roles {
            ensure!(!role.contains('*'), "{role}");
        }
        Ok(())
    });
    cases.run("certificates", || certificates(&render));
    cases.run("what-is-switched-off-is-not-there", || switched_off(&render));
    cases.run("monitoring", || monitoring(&render));
    cases.run("node-labels-reach-the-operator", || {
        let all = render(&["nodeWorker.nodeSelector.pool=a"])?;
        let operator = all.object("Deployment", "lictor-operator")?;
        for label in ["--node-label=pool=a", "--node-label=kubernetes.io/os=linux"] {
            ensure!(operator.contains(&format!("- {label}\n")), "{label} is missing: {operator}");
        }
        ensure!(
            all.object("DaemonSet", "lictor-node-worker")?.contains("pool: a\n"),
            "the selector is missing"
        );
        Ok(())
    });
    cases.run("wrong-values-are-refused-by-name", || wrong_values(&render));
    Ok(cases.done())
}

/// A cluster would take what `helm template` writes, for those without Helm.
fn manifests(context: &ClusterContext) -> Result<Vec<CaseResult>> {
    let cluster = context.any_cluster()?;
    let _namespace = cluster.create(NAMESPACE)?;
    let mut cases = Cases::default();
    for (name, values) in [
        ("defaults", &[][..]),
        ("dashboards", &["--set=monitoring.dashboards.enabled=true"]),
        ("without-webhook", &["--set=webhook.enabled=false"]),
    ] {
        cases.run(name, || {
            let template = ["template", "lictor", CHART, "--namespace", "lictor-manifests"];
            let text = cluster.admin().helm(&[&template[..], values].concat())?;
            let apply = ["apply", "--server-side", "--dry-run=server", "--namespace", "lictor-manifests"];
            let ran = cluster.admin().try_with_input(&[&apply[..], &["-f", "-"]].concat(), &text)?;
            ensure!(ran.code == 0 && !ran.stderr.contains("Warning"), "{}", ran.text());
            let (taken, objects) = (ran.stdout.lines().count(), Rendered(text).0.matches("\nkind: ").count());
            ensure!(taken == objects, "{taken} of {objects}: {}", ran.stdout);
            Ok(())
        });
    }
    Ok(cases.done())
}

fn switched_off(render: &impl Fn(&[&str]) -> Result<Rendered>) -> Result<()> {
    let off = [
        "webhook.enabled",
        "tenancy.clusterScope",
        "tenancy.enforce",
        "protection.nodeReports",
        "protection.objects",
        "networkPolicy.enabled",
        "crds.install",
    ];
    let off: Vec<String> = off.iter().map(|value| format!("{value}=false")).collect();
    let off: Vec<&str> = off.iter().map(String::as_str).collect();
    let all = render(&off)?;
    for kind in [
        "ValidatingWebhookConfiguration",
        "ValidatingAdmissionPolicy",
        "NetworkPolicy",
        "CustomResourceDefinition",
    ] {
        ensure!(all.count(kind) == 0, "there is a {kind}");
    }
    let operator = all.object("Deployment", "lictor-operator")?;
    ensure!(operator.contains("name: LICTOR_WEBHOOK_CONFIGURATION\n          value: \"\"\n"), "{operator}");
    Ok(())
}

fn wrong_values(render: &impl Fn(&[&str]) -> Result<Rendered>) -> Result<()> {
    for (value, words) in [
        ("operator.replicas=0", "at '/operator/replicas': minimum: got 0, want 1"),
        ("nodeWorker.stateDir=x", "at '/nodeWorker': additional properties 'stateDir' not allowed"),
        (
            "webhook.certificates=mine",
            "at '/webhook/certificates': value must be one of 'own', 'cert-manager'",
        ),
        ("webhook.certificates=cert-manager", "at '/webhook/certManager/issuerRef/name'"),
        ("image.pullPolicy=Sometimes", "at '/image/pullPolicy'"),
    ] {
        match render(&[value]) {
            Ok(_) => bail!("{value} was taken"),
            Err(error) => ensure!(format!("{error:#}").contains(words), "{value}: {error:#}"),
        }
    }
    Ok(())
}

fn defaults(all: &Rendered) -> Result<()> {
    let operator = all.object("Deployment", "lictor-operator")?;
    for line in [
        "replicas: 2",
        "runAsNonRoot: true",
        "readOnlyRootFilesystem: true",
        "allowPrivilegeEscalation: false",
        "capabilities: {drop: [ALL]}",
        "seccompProfile: {type: RuntimeDefault}",
    ] {
        ensure!(operator.contains(line), "the operator is without `{line}`: {operator}");
    }
    let worker = all.object("DaemonSet", "lictor-node-worker")?;
    for line in ["privileged: false", "drop: [ALL]", "- operator: Exists", "hostPID: true"] {
        ensure!(worker.contains(line), "the node worker is without `{line}`: {worker}");
    }
    ensure!(!all.0.contains("privileged: true"), "something is privileged");
    ensure!(all.object("PodDisruptionBudget", "lictor-operator")?.contains("minAvailable: 1"), "no budget");
    let webhook = all.object("ValidatingWebhookConfiguration", "lictor")?;
    for line in ["failurePolicy: Fail", "sideEffects: None", "apiGroups: [lictor.io]", "namespace: security"]
    {
        ensure!(webhook.contains(line), "the webhook is without `{line}`: {webhook}");
    }
    for (kind, wanted) in
        [("CustomResourceDefinition", 3), ("ValidatingAdmissionPolicy", 4), ("NetworkPolicy", 2)]
    {
        ensure!(all.count(kind) == wanted, "{} of {kind}, not {wanted}", all.count(kind));
    }
    for definition in all.objects().filter(|text| text.contains("\nkind: CustomResourceDefinition\n")) {
        ensure!(definition.contains("helm.sh/resource-policy: keep"), "helm would delete: {definition}");
    }
    Ok(())
}

fn certificates(render: &impl Fn(&[&str]) -> Result<Rendered>) -> Result<()> {
    let own = render(&[])?;
    ensure!(
        own.object("Role", "lictor-operator")?.contains("lictor-webhook-authority"),
        "no right to its Secret"
    );
    ensure!(own.count("Certificate") == 0, "there is a Certificate");
    let other = render(&["webhook.certificates=cert-manager", "webhook.certManager.issuerRef.name=ours"])?;
    let operator = other.object("Deployment", "lictor-operator")?;
    ensure!(operator.contains("- --tls-directory=/etc/lictor/tls\n"), "{operator}");
    ensure!(!other.object("Role", "lictor-operator")?.contains("secrets"), "it needs no right to Secrets");
    let certificate = other.object("Certificate", "lictor-webhook")?;
    ensure!(certificate.contains("lictor-operator.security.svc\n"), "{certificate}");
    let webhook = other.object("ValidatingWebhookConfiguration", "lictor")?;
    ensure!(webhook.contains("cert-manager.io/inject-ca-from: security/lictor-webhook"), "{webhook}");
    Ok(())
}

fn monitoring(render: &impl Fn(&[&str]) -> Result<Rendered>) -> Result<()> {
    ensure!(render(&[])?.count("PodMonitor") == 0, "there is a PodMonitor");
    let all = render(&["monitoring.podMonitor.enabled=true", "monitoring.dashboards.enabled=true"])?;
    ensure!(all.count("PodMonitor") == 2, "{} of PodMonitor", all.count("PodMonitor"));
    let map = all.object("ConfigMap", "lictor-dashboards")?;
    ensure!(map.contains("grafana_dashboard: \"1\""), "{map}");
    // The file itself is JSON, and stands in the object as it is, four spaces to the right.
    let text = include_str!("../../../charts/lictor/dashboards/lictor.json");
    let dashboard: Value = serde_json::from_str(text)?;
    ensure!(dashboard["uid"].is_string() && dashboard["panels"].is_array(), "it is no dashboard");
    let lines: Vec<&str> = map.lines().map(str::trim).collect();
    for line in text.lines() {
        ensure!(lines.contains(&line.trim()), "`{line}` is missing");
    }
    Ok(())
}
