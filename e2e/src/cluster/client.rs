//! Talking to a cluster as its users do: with kubectl and helm.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::daemon::{Daemon, eventually};

/// Longest run of one command; a command that waits for something on purpose says how long by itself.
const LIMIT_SECONDS: u32 = 1000;

/// What a command did.
#[derive(Clone, Debug)]
pub struct Ran {
    /// Exit code; 124 when it took too long.
    pub code: i32,
    /// What it wrote to stdout.
    pub stdout: String,
    /// What it wrote to stderr.
    pub stderr: String,
}

impl Ran {
    /// Both outputs.
    pub fn text(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }

    /// The command must have failed, and have said so with these words.
    ///
    /// # Errors
    /// When it succeeded, or failed for another reason.
    pub fn refused(&self, words: &str) -> Result<()> {
        ensure!(self.code != 0, "it succeeded: {}", self.text());
        ensure!(self.text().contains(words), "expected `{words}`, found: {}", self.text());
        Ok(())
    }
}

/// One user of a cluster.
#[derive(Clone, Debug)]
pub struct Client {
    binaries: PathBuf,
    kubeconfig: PathBuf,
    /// For the caches of the programs.
    home: PathBuf,
}

impl Client {
    pub(super) fn new(binaries: PathBuf, kubeconfig: PathBuf, home: PathBuf) -> Self {
        Self { binaries, kubeconfig, home }
    }

    /// The file with address and credentials.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// The variables that make any program use this cluster, this user and these `kubectl` and `helm`.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let home = |name: &str| self.home.join(name).display().to_string();
        let path = std::env::var("PATH").unwrap_or_default();
        vec![
            ("KUBECONFIG", self.kubeconfig.display().to_string()),
            ("KUBECACHEDIR", home("kube-cache")),
            ("HELM_CACHE_HOME", home("helm-cache")),
            ("HELM_CONFIG_HOME", home("helm-config")),
            ("HELM_DATA_HOME", home("helm-data")),
            ("PATH", format!("{}:{path}", self.binaries.display())),
        ]
    }

    /// Runs kubectl, whatever its exit code.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn try_kubectl(&self, arguments: &[&str]) -> Result<Ran> {
        self.run("kubectl", arguments, "")
    }

    /// Runs kubectl and returns what it wrote to stdout.
    ///
    /// # Errors
    /// When it fails; the error holds what it said.
    pub fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        succeeded("kubectl", arguments, self.try_kubectl(arguments)?)
    }

    /// Runs kubectl with `-o json` and returns the object.
    ///
    /// # Errors
    /// When it fails, or its output is not JSON.
    pub fn json(&self, arguments: &[&str]) -> Result<Value> {
        let text = self.kubectl(&[arguments, &["-o", "json"]].concat())?;
        serde_json::from_str(&text).context("kubectl's output is not JSON")
    }

    /// Runs kubectl with a text at its stdin, whatever its exit code: `apply -f -` and the like.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn try_with_input(&self, arguments: &[&str], input: &str) -> Result<Ran> {
        self.run("kubectl", arguments, input)
    }

    /// `kubectl apply -f -` of these documents.
    ///
    /// # Errors
    /// When it fails.
    pub fn apply(&self, documents: &str) -> Result<String> {
        let arguments = ["apply", "-f", "-"];
        succeeded("kubectl", &arguments, self.try_with_input(&arguments, documents)?)
    }

    /// `kubectl apply --server-side -f -` as a field manager, whatever the outcome.
    ///
    /// # Errors
    /// When kubectl cannot be started.
    pub fn try_server_side_apply(&self, manager: &str, documents: &str) -> Result<Ran> {
        let manager = format!("--field-manager={manager}");
        self.try_with_input(&["apply", "--server-side", &manager, "-f", "-"], documents)
    }

    /// Runs helm and returns what it wrote to stdout.
    ///
    /// # Errors
    /// When it fails.
    pub fn helm(&self, arguments: &[&str]) -> Result<String> {
        succeeded("helm", arguments, self.run("helm", arguments, "")?)
    }

    /// A kubectl that goes on running, such as `port-forward`, `logs -f` or `get -w`; its output is in its log.
    pub fn kubectl_daemon(&self, name: &str, arguments: &[&str]) -> Daemon {
        let daemon = Daemon::new(name, self.binaries.join("kubectl"), &self.home);
        self.environment()
            .into_iter()
            .fold(daemon, |daemon, (name, value)| daemon.variable(name, value))
            .arguments(arguments.iter().copied())
    }

    /// Waits until an expression of `kubectl get ... -o jsonpath=EXPRESSION` has this value.
    ///
    /// # Errors
    /// When the time is up, with the last value or error.
    pub fn wait_for(&self, object: &[&str], expression: &str, wanted: &str, limit: Duration) -> Result<()> {
        let output = format!("jsonpath={expression}");
        let arguments = [&["get"], object, &["-o", &output]].concat();
        eventually(&format!("{}: {expression} = {wanted}", object.join(" ")), limit, || {
            let found = self.kubectl(&arguments)?;
            ensure!(found == wanted, "found `{found}`");
            Ok(())
        })
    }

    fn run(&self, program: &str, arguments: &[&str], input: &str) -> Result<Ran> {
        use std::io::{Seek as _, Write as _};
        // A file rather than a pipe: nobody has to write and read at the same time.
        let mut stdin = tempfile::tempfile().context("creating a file for a program's input")?;
        stdin.write_all(input.as_bytes())?;
        stdin.rewind()?;
        let mut command = Command::new("timeout");
        command.args(["--kill-after=5", &LIMIT_SECONDS.to_string()]).arg(self.binaries.join(program));
        command.args(arguments).envs(self.environment()).stdin(Stdio::from(stdin));
        let output = command.output().with_context(|| format!("starting {program}"))?;
        Ok(Ran {
            code: output.status.code().unwrap_or(128),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }
}

fn succeeded(program: &str, arguments: &[&str], ran: Ran) -> Result<String> {
    ensure!(
        ran.code == 0,
        "{program} {} ended with {}: {}",
        arguments.join(" "),
        ran.code,
        ran.text().trim_end()
    );
    Ok(ran.stdout)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_must_be_one_for_the_right_reason() {
        let ran = |code| Ran { code, stdout: String::new(), stderr: "denied: too loud".to_owned() };
        assert!(ran(1).refused("too loud").is_ok());
        assert!(ran(1).refused("too long").unwrap_err().to_string().contains("too loud"));
        assert!(ran(0).refused("too loud").is_err());
        assert!(
            succeeded("kubectl", &["get", "x"], ran(2)).unwrap_err().to_string().contains("kubectl get x")
        );
    }
}
