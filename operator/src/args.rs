//! Command line.

use clap::Parser;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Lictor's operator.
#[derive(Debug, Clone, Parser)]
#[command(name = "lictor-operator", version, about)]
pub struct Args {
    /// Namespace for the operator's own objects
    #[arg(long, env = "LICTOR_NAMESPACE", default_value = "lictor")]
    pub namespace: String,
    /// This operator's name among its replicas; the pod's name, most often
    #[arg(long, env = "LICTOR_IDENTITY")]
    pub identity: Option<String>,
    /// Labels of the nodes that node workers run on, as KEY=VALUE; all must be there. Without, all Linux nodes
    #[arg(long = "node-label", env = "LICTOR_NODE_LABELS", value_delimiter = ',', value_parser = label)]
    pub node_labels: Vec<(String, String)>,
    /// Address of the webhook
    #[arg(long, env = "LICTOR_WEBHOOK_ADDRESS", default_value = "0.0.0.0:8443")]
    pub webhook_address: SocketAddr,
    /// Address for metrics and health
    #[arg(long, env = "LICTOR_HTTP_ADDRESS", default_value = "0.0.0.0:8080")]
    pub http_address: SocketAddr,
    /// Name of the `ValidatingWebhookConfiguration` that is told our certificate authority; empty = there is none
    #[arg(long, env = "LICTOR_WEBHOOK_CONFIGURATION", default_value = "lictor")]
    pub webhook_configuration: String,
    /// Names of the webhook's service, for its certificate; without, those of the service lictor-operator
    #[arg(long = "webhook-name", env = "LICTOR_WEBHOOK_NAMES", value_delimiter = ',')]
    pub webhook_names: Vec<String>,
    /// Directory with tls.crt and tls.key for the webhook, kept fresh by somebody else (cert-manager); without, the
    /// operator makes its own
    #[arg(long, env = "LICTOR_TLS_DIRECTORY")]
    pub tls_directory: Option<PathBuf>,
    /// Log lines as JSON
    #[arg(long, env = "LICTOR_LOG_JSON")]
    pub log_json: bool,
}

impl Args {
    /// Labels that every node must have to count.
    pub fn labels(&self) -> BTreeMap<String, String> {
        self.node_labels.iter().cloned().collect()
    }

    /// Names of the webhook's service.
    pub fn names(&self) -> Vec<String> {
        if !self.webhook_names.is_empty() {
            return self.webhook_names.clone();
        }
        let name = format!("lictor-operator.{}.svc", self.namespace);
        vec![name.clone(), format!("{name}.cluster.local")]
    }
}

fn label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(format!("found `{text}`; allowed: KEY=VALUE")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_read() {
        let args = Args::parse_from(["lictor-operator", "--node-label", "pool=a,zone=", "--namespace", "x"]);
        assert_eq!(args.labels().len(), 2);
        assert_eq!(args.names()[0], "lictor-operator.x.svc");
        let error =
            Args::try_parse_from(["lictor-operator", "--node-label", "pool"]).unwrap_err().to_string();
        assert!(error.contains("found `pool`; allowed: KEY=VALUE"), "{error}");
    }
}
