//! The command line of `lictor-node`. Every option can also be given in the environment.

use crate::sinks::file::FileLimits;
use crate::socket::SOCKET_PATH;
use clap::{Parser, ValueEnum};
use std::net::SocketAddr;
use std::path::PathBuf;

/// Permission bits of the event file: what programs did on the machine is not for everybody.
const EVENT_FILE_MODE: u32 = 0o600;

/// Enforces policies in the kernel of this machine and reports events.
#[derive(Debug, Clone, Parser)]
#[command(name = "lictor-node", version, about, max_term_width = 110)]
pub struct Args {
    /// Folder of policies (*.yaml, *.yml, *.json); changes are applied while running.
    #[arg(
        long,
        env = "LICTOR_POLICY_DIR",
        value_name = "DIR",
        required_unless_present = "cluster",
        conflicts_with = "cluster"
    )]
    pub policy_dir: Option<PathBuf>,

    /// Take policies and pods from the Kubernetes cluster that this node is part of, and report to it. The cluster is
    /// found by the pod's service account, or by KUBECONFIG.
    #[arg(long, env = "LICTOR_CLUSTER")]
    pub cluster: bool,

    /// Namespace of the operator's objects.
    #[arg(
        long,
        env = "LICTOR_CLUSTER_NAMESPACE",
        value_name = "NAME",
        default_value = "lictor",
        requires = "cluster"
    )]
    pub cluster_namespace: String,

    /// Where the default cgroup hierarchy (cgroup2) of the machine is mounted.
    #[arg(long, env = "LICTOR_CGROUP_ROOT", value_name = "DIR", default_value = crate::enrich::proc_scan::CGROUP_ROOT)]
    pub cgroup_root: PathBuf,

    /// Append events to this file, one JSON object per line.
    #[arg(long, env = "LICTOR_EXPORT_FILENAME", value_name = "FILE")]
    pub export_filename: Option<PathBuf>,

    /// Size at which the event file is rotated.
    #[arg(long, env = "LICTOR_EXPORT_FILE_MAX_SIZE_MB", value_name = "MIB", default_value_t = 10,
        value_parser = clap::value_parser!(u64).range(1..=1_048_576))]
    pub export_file_max_size_mb: u64,

    /// Rotated event files that are kept.
    #[arg(long, env = "LICTOR_EXPORT_FILE_MAX_BACKUPS", value_name = "N", default_value_t = 5,
        value_parser = clap::value_parser!(u32).range(0..=1000))]
    pub export_file_max_backups: u32,

    /// Write no events to standard output.
    #[arg(long, env = "LICTOR_NO_STDOUT")]
    pub no_stdout: bool,

    /// Address for /metrics, /healthz and /readyz, or "off".
    #[arg(long, env = "LICTOR_HTTP_ADDRESS", value_name = "ADDRESS", default_value = "127.0.0.1:2112")]
    pub http_address: HttpAddress,

    /// Socket for `lictor node` and `lictor events`.
    #[arg(long, env = "LICTOR_SOCKET", value_name = "PATH", default_value = SOCKET_PATH)]
    pub socket: PathBuf,

    /// Folder for what outlives the process: the policies that are live.
    #[arg(long, env = "LICTOR_STATE_DIR", value_name = "DIR", default_value = "/var/lib/lictor")]
    pub state_dir: PathBuf,

    /// Folder in a BPF file system for what outlives the process in the kernel.
    #[arg(long, env = "LICTOR_PIN_DIR", value_name = "DIR", default_value = crate::kernel::PIN_ROOT)]
    pub pin_dir: PathBuf,

    /// Size of the ring of event records, a power of two.
    #[arg(long, env = "LICTOR_RING_BYTES", value_name = "BYTES", default_value_t = crate::kernel::RING_BYTES,
        value_parser = parse_ring_bytes)]
    pub ring_bytes: u32,

    /// Name of this node in events; the host name when not given.
    #[arg(long, env = "NODE_NAME", value_name = "NAME")]
    pub node_name: Option<String>,

    /// Where the proc file system of the machine is mounted.
    #[arg(long, env = "LICTOR_PROCFS", value_name = "DIR", default_value = "/proc")]
    pub procfs: PathBuf,

    /// Show the addresses of stacks in events. They tell where the kernel and programs are in memory, which is otherwise kept
    /// from those who read events.
    #[arg(long, env = "LICTOR_EXPOSE_STACK_ADDRESSES")]
    pub expose_stack_addresses: bool,

    /// What is logged to standard error: error, warn, info, debug, trace, or a filter by module.
    #[arg(long, env = "LICTOR_LOG", value_name = "FILTER", default_value = "info")]
    pub log: String,

    /// Form of the log.
    #[arg(long, env = "LICTOR_LOG_FORMAT", value_name = "FORM", default_value = "text")]
    pub log_format: LogFormat,
}

/// Form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object per line.
    Json,
}

/// Where HTTP is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HttpAddress {
    /// Nowhere.
    Off,
    /// There.
    At(SocketAddr),
}

impl std::str::FromStr for HttpAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "off" {
            return Ok(Self::Off);
        }
        let address = text.parse();
        address
            .map(Self::At)
            .map_err(|_| "must be an address with a port, as 127.0.0.1:2112, or off".to_owned())
    }
}

fn parse_ring_bytes(text: &str) -> Result<u32, String> {
    // A record has at most 24 KiB and the kernel wants pages; 1 GiB is what an array of the ring can address.
    let allowed = 65_536..=1 << 30;
    match text.parse::<u32>() {
        Ok(bytes) if bytes.is_power_of_two() && allowed.contains(&bytes) => Ok(bytes),
        _ => Err(format!("must be a power of two from {} to {}", allowed.start(), allowed.end())),
    }
}

impl Args {
    /// How the event file is kept; `None` = there is none.
    pub fn file_limits(&self) -> Option<FileLimits> {
        self.export_filename.clone().map(|path| FileLimits {
            path,
            rotate_bytes: self.export_file_max_size_mb << 20,
            backups: self.export_file_max_backups,
            mode: EVENT_FILE_MODE,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    fn parse(words: &[&str]) -> Result<Args, String> {
        let words = ["lictor-node", "--policy-dir", "/p"].iter().chain(words);
        Args::try_parse_from(words).map_err(|error| error.to_string())
    }

    #[test]
    fn the_definition_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn defaults_and_limits() {
        let args = parse(&[]).unwrap();
        assert_eq!(args.http_address, HttpAddress::At("127.0.0.1:2112".parse().unwrap()));
        assert_eq!(args.file_limits(), None);
        let args = parse(&["--export-filename", "/e", "--http-address", "off"]).unwrap();
        assert_eq!(args.http_address, HttpAddress::Off);
        assert_eq!(args.file_limits().unwrap().rotate_bytes, 10 << 20);
    }

    #[test]
    fn values_out_of_range_are_refused_with_what_is_allowed() {
        assert!(parse(&["--ring-bytes", "100000"]).unwrap_err().contains("power of two from 65536"));
        assert!(parse(&["--http-address", "here"]).unwrap_err().contains("or off"));
        assert!(parse(&["--export-file-max-size-mb", "0"]).is_err());
        assert!(Args::try_parse_from(["lictor-node"]).is_err());
        assert!(parse(&["--cluster"]).is_err(), "policies come from one place");
        let cluster = Args::try_parse_from(["lictor-node", "--cluster"]).unwrap();
        assert_eq!((cluster.policy_dir, cluster.cluster_namespace.as_str()), (None, "lictor"));
    }
}
