//! The programs of a control plane and how they are started.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::daemon::Daemon;
use super::egress::Egress;
use super::pki::{Pki, Subject};
use super::ports::Port;

/// This machine, as a guest sees it through QEMU's user network. It becomes the endpoint of the Service `kubernetes`.
pub(super) const HOST_FROM_GUEST: &str = "10.0.2.2";
/// Addresses of Services.
const SERVICES: &str = "10.96.0.0/16";
/// The first of them is the API server's.
pub(super) const API_SERVICE: &str = "10.96.0.1";

/// One of the programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Component {
    /// The database.
    Etcd,
    /// `kube-apiserver`.
    ApiServer,
    /// `kube-controller-manager`.
    ControllerManager,
    /// `kube-scheduler`.
    Scheduler,
}

impl Component {
    /// Every component, in the order in which they are started.
    pub(super) const ALL: [Self; 4] = [Self::Etcd, Self::ApiServer, Self::ControllerManager, Self::Scheduler];
}

/// The ports of a control plane, all on 127.0.0.1.
#[derive(Debug)]
pub(super) struct Ports {
    etcd: Port,
    etcd_peer: Port,
    api: Port,
}

impl Ports {
    pub(super) fn reserve() -> Result<Self> {
        Ok(Self { etcd: Port::reserve()?, etcd_peer: Port::reserve()?, api: Port::reserve()? })
    }

    /// The port of the API server.
    pub(super) fn api(&self) -> u16 {
        self.api.number()
    }
}

/// What all components are made from.
pub(super) struct Plan<'a> {
    pub(super) binaries: &'a Path,
    /// State, logs and configuration.
    pub(super) directory: &'a Path,
    pub(super) pki: &'a Pki,
    pub(super) ports: &'a Ports,
    pub(super) egress: &'a Egress,
    /// Further arguments of the API server.
    pub(super) api_arguments: &'a [String],
}

impl Plan<'_> {
    /// Writes the certificates, kubeconfigs and configuration files that the components read.
    pub(super) fn prepare(&self) -> Result<()> {
        let pki = self.pki;
        pki.signing_key("sa")?;
        let api = [
            "localhost",
            "kubernetes",
            "kubernetes.default",
            "kubernetes.default.svc",
            "kubernetes.default.svc.cluster.local",
            "127.0.0.1",
            HOST_FROM_GUEST,
            API_SERVICE,
        ];
        pki.issue_files("apiserver", &Subject::server("kube-apiserver", &api))?;
        pki.issue_files("etcd", &Subject::server("etcd", &["localhost", "127.0.0.1"]))?;
        pki.issue_files("etcd-client", &Subject::client("kube-apiserver", &[]))?;
        pki.issue_files("kubelet-client", &Subject::client("kube-apiserver", &["system:masters"]))?;
        pki.issue_files("front-proxy", &Subject::client("front-proxy-client", &[]))?;
        let url = format!("https://127.0.0.1:{}", self.ports.api());
        for (file, user) in
            [("controller-manager", "system:kube-controller-manager"), ("scheduler", "system:kube-scheduler")]
        {
            let kubeconfig = pki.kubeconfig(&url, &Subject::client(user, &[]))?;
            pki.write(&format!("{file}.kubeconfig"), &kubeconfig)?;
        }
        let egress = serde_json::json!({
            "apiVersion": "apiserver.k8s.io/v1beta1",
            "kind": "EgressSelectorConfiguration",
            "egressSelections": [{
                "name": "cluster",
                "connection": {
                    "proxyProtocol": "HTTPConnect",
                    "transport": { "uds": { "udsName": self.egress.socket() } },
                },
            }],
        });
        fs::write(self.directory.join("egress.json"), egress.to_string()).context("writing egress.json")
    }

    /// A component, not started.
    pub(super) fn daemon(&self, component: Component) -> Daemon {
        let (name, arguments) = match component {
            Component::Etcd => ("etcd", self.etcd()),
            Component::ApiServer => ("kube-apiserver", self.api_server()),
            Component::ControllerManager => ("kube-controller-manager", self.controller_manager()),
            Component::Scheduler => ("kube-scheduler", self.scheduler()),
        };
        Daemon::new(name, self.binaries.join(name), self.directory).arguments(arguments)
    }

    fn etcd(&self) -> Vec<String> {
        let client = format!("https://127.0.0.1:{}", self.ports.etcd.number());
        let peer = format!("http://127.0.0.1:{}", self.ports.etcd_peer.number());
        vec![
            "--name=lictor".to_owned(),
            format!("--data-dir={}", self.directory.join("etcd").display()),
            // Nothing here has to survive the machine.
            "--unsafe-no-fsync".to_owned(),
            format!("--listen-client-urls={client}"),
            format!("--advertise-client-urls={client}"),
            format!("--listen-peer-urls={peer}"),
            format!("--initial-advertise-peer-urls={peer}"),
            format!("--initial-cluster=lictor={peer}"),
            format!("--cert-file={}", self.pki.path("etcd.crt")),
            format!("--key-file={}", self.pki.path("etcd.key")),
            "--client-cert-auth".to_owned(),
            format!("--trusted-ca-file={}", self.pki.path("ca.crt")),
            "--log-level=warn".to_owned(),
        ]
    }

    fn api_server(&self) -> Vec<String> {
        let file = |name: &str| self.pki.path(name);
        let mut arguments = vec![
            "--bind-address=127.0.0.1".to_owned(),
            format!("--secure-port={}", self.ports.api()),
            format!("--advertise-address={HOST_FROM_GUEST}"),
            format!("--etcd-servers=https://127.0.0.1:{}", self.ports.etcd.number()),
            format!("--etcd-cafile={}", file("ca.crt")),
            format!("--etcd-certfile={}", file("etcd-client.crt")),
            format!("--etcd-keyfile={}", file("etcd-client.key")),
            format!("--tls-cert-file={}", file("apiserver.crt")),
            format!("--tls-private-key-file={}", file("apiserver.key")),
            format!("--client-ca-file={}", file("ca.crt")),
            format!("--kubelet-client-certificate={}", file("kubelet-client.crt")),
            format!("--kubelet-client-key={}", file("kubelet-client.key")),
            format!("--kubelet-certificate-authority={}", file("ca.crt")),
            "--kubelet-preferred-address-types=Hostname".to_owned(),
            "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
            format!("--service-account-key-file={}", file("sa.pub")),
            format!("--service-account-signing-key-file={}", file("sa.key")),
            "--authorization-mode=Node,RBAC".to_owned(),
            "--enable-admission-plugins=NodeRestriction".to_owned(),
            format!("--service-cluster-ip-range={SERVICES}"),
            "--allow-privileged=true".to_owned(),
            "--endpoint-reconciler-type=lease".to_owned(),
            format!("--requestheader-client-ca-file={}", file("ca.crt")),
            "--requestheader-allowed-names=front-proxy-client".to_owned(),
            "--requestheader-username-headers=X-Remote-User".to_owned(),
            "--requestheader-group-headers=X-Remote-Group".to_owned(),
            "--requestheader-extra-headers-prefix=X-Remote-Extra-".to_owned(),
            format!("--proxy-client-cert-file={}", file("front-proxy.crt")),
            format!("--proxy-client-key-file={}", file("front-proxy.key")),
            format!("--egress-selector-config-file={}", self.directory.join("egress.json").display()),
            // Services are asked for by the addresses of their endpoints, which the proxy can tell apart.
            "--enable-aggregator-routing=true".to_owned(),
        ];
        arguments.extend(self.api_arguments.iter().cloned());
        arguments
    }

    fn controller_manager(&self) -> Vec<String> {
        let file = |name: &str| self.pki.path(name);
        vec![
            format!("--kubeconfig={}", file("controller-manager.kubeconfig")),
            // Serves nothing: nobody asks it.
            "--secure-port=0".to_owned(),
            "--use-service-account-credentials=true".to_owned(),
            format!("--service-account-private-key-file={}", file("sa.key")),
            format!("--root-ca-file={}", file("ca.crt")),
            format!("--cluster-signing-cert-file={}", file("ca.crt")),
            format!("--cluster-signing-key-file={}", file("ca.key")),
            "--allocate-node-cidrs=false".to_owned(),
            // An emulated node may be slow to tell that it lives.
            "--node-monitor-grace-period=90s".to_owned(),
            // There is one of it.
            "--leader-elect=false".to_owned(),
        ]
    }

    fn scheduler(&self) -> Vec<String> {
        vec![
            format!("--kubeconfig={}", self.pki.path("scheduler.kubeconfig")),
            "--secure-port=0".to_owned(),
            "--leader-elect=false".to_owned(),
        ]
    }
}
