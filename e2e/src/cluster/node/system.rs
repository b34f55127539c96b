//! What a node's guest holds: Debian's containerd and what it needs, kubelet, and what makes it this node.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::Settings;
use crate::cluster::control::API_SERVICE;
use crate::lab::{Contents, Kernel, Packages, Tree, add_modules, shared_libraries};

/// The node's programs come from one suite, whatever this machine runs: a node is the same everywhere.
pub(super) const PACKAGES: Packages = Packages {
    name: "node",
    suite: "bookworm",
    packages: &[
        "bash",
        "busybox-static",
        "containerd",
        "containernetworking-plugins",
        "coreutils",
        "iptables",
        "mount",
        "runc",
        "util-linux",
    ],
    with_dependencies: true,
};

/// Modules of the cloud kernel that a node uses: disk, network card, container file systems, pod network.
const MODULES: &[&str] = &[
    "virtio_blk",
    "virtio_net",
    "overlay",
    "bridge",
    "br_netfilter",
    "veth",
    "nf_tables",
    "nft_compat",
    "nft_chain_nat",
    "nf_conntrack",
    "xt_addrtype",
    "xt_comment",
    "xt_conntrack",
    "xt_mark",
    "xt_MASQUERADE",
    "xt_multiport",
    "xt_nat",
    "xt_tcpudp",
];

/// Directories whose files are programs or libraries.
const PROGRAM_DIRECTORIES: &[&str] = &[
    "bin",
    "sbin",
    "usr/bin",
    "usr/sbin",
    "lib64",
    "lib/x86_64-linux-gnu",
    "usr/lib/x86_64-linux-gnu",
    "usr/lib/x86_64-linux-gnu/xtables",
];
/// Files in them that are large and not used.
const LEFT_OUT: &[&str] = &["containerd-stress", "containerd-shim", "containerd-shim-runc-v1", "gpgv"];
/// The network plugins that `cni.json` names, and the one that every pod has.
const PLUGINS: &[&str] = &["bridge", "host-local", "loopback", "portmap"];
/// Names of programs that Debian makes in a package's scripts.
const ALTERNATIVES: &[(&str, &str)] = &[
    ("usr/sbin/iptables", "xtables-nft-multi"),
    ("usr/sbin/ip6tables", "xtables-nft-multi"),
    ("usr/sbin/iptables-save", "xtables-nft-multi"),
    ("usr/sbin/iptables-restore", "xtables-nft-multi"),
    ("usr/bin/sh", "bash"),
];
/// Applets of busybox for which no package is fetched.
const APPLETS: &[&str] =
    &["insmod", "ip", "nc", "hostname", "ps", "sed", "grep", "find", "wget", "vi", "ping", "awk"];

/// Everything that a node is made from.
pub(super) struct Parts<'a> {
    pub(super) kernel: &'a Kernel,
    /// The unpacked [`PACKAGES`].
    pub(super) packages: &'a Path,
    /// Directory of `kubelet`.
    pub(super) binaries: &'a Path,
    /// Directory of `lictor-lab`.
    pub(super) programs: &'a Path,
    /// Archives of images.
    pub(super) images: &'a [PathBuf],
    pub(super) settings: &'a Settings,
}

impl Parts<'_> {
    pub(super) fn tree(&self) -> Result<Tree> {
        let mut tree = Tree::default();
        for (link, target) in
            [("bin", "usr/bin"), ("sbin", "usr/sbin"), ("lib", "usr/lib"), ("lib64", "usr/lib64")]
        {
            tree.link(link, target);
        }
        for directory in [
            "dev",
            "etc",
            "mnt",
            "node/images",
            "opt",
            "proc",
            "root",
            "run",
            "sys",
            "tmp",
            "var/lib",
            "var/log/pods",
        ] {
            tree.directory(directory);
        }
        tree.char_device("dev/console", 5, 1);
        for (path, text) in [
            (
                "etc/passwd",
                "root:x:0:0:root:/root:/usr/bin/bash\nnobody:x:65534:65534::/:/usr/sbin/nologin\n",
            ),
            ("etc/group", "root:x:0:\nnogroup:x:65534:\n"),
            ("etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\n"),
            ("etc/resolv.conf", ""),
            ("etc/os-release", "PRETTY_NAME=\"Lictor test node\"\nID=debian\nVERSION_ID=\"12\"\n"),
        ] {
            tree.file(path, 0o644, Contents::Bytes(text.into()));
        }
        self.programs(&mut tree)?;
        self.identity(&mut tree);
        add_modules(&mut tree, self.kernel, MODULES, "node/modules")?;
        Ok(tree)
    }

    fn programs(&self, tree: &mut Tree) -> Result<()> {
        for directory in PROGRAM_DIRECTORIES {
            add_directory(tree, &self.packages.join(directory), directory)?;
        }
        for plugin in PLUGINS {
            let file = self.packages.join("usr/lib/cni").join(plugin);
            tree.file(&format!("usr/lib/cni/{plugin}"), 0o755, Contents::Path(file));
        }
        for (link, target) in ALTERNATIVES {
            tree.link(link, target);
        }
        for applet in APPLETS {
            let path = format!("usr/bin/{applet}");
            if !tree.contains(&path) && !tree.contains(&format!("usr/sbin/{applet}")) {
                tree.link(&path, "busybox");
            }
        }
        tree.file("usr/bin/kubelet", 0o755, Contents::Path(self.binaries.join("kubelet")));
        // It was linked on this machine, whose libraries are not the node's.
        let relay = self.programs.join("lictor-lab");
        for library in shared_libraries(std::slice::from_ref(&relay))? {
            let name = library.file_name().context("a library has no name")?.to_string_lossy().into_owned();
            let name = if name.starts_with("ld-linux") { "loader".to_owned() } else { name };
            tree.file(&format!("node/relay/{name}"), 0o755, Contents::Path(library));
        }
        tree.file("node/relay/lictor-lab", 0o755, Contents::Path(relay));
        Ok(())
    }

    fn identity(&self, tree: &mut Tree) {
        let settings = self.settings;
        let variables = format!(
            "NODE='{}'\nAPI_SERVICE='{API_SERVICE}'\nAPI_ADDRESS='{}'\nPAUSE_IMAGE='{}'\nLABELS='{}'\n",
            settings.name, settings.api_address, settings.pause_image, settings.labels
        );
        for (path, mode, text) in [
            ("init", 0o755, include_str!("init.sh")),
            ("node/containerd.toml", 0o644, include_str!("containerd.toml")),
            ("node/cni/10-bridge.conflist", 0o644, include_str!("cni.json")),
            ("node/kubelet.json", 0o644, include_str!("kubelet.json")),
            ("node/settings", 0o644, &variables),
            ("node/kubelet.kubeconfig", 0o600, &settings.kubeconfig),
            ("node/pki/ca.crt", 0o644, &settings.ca),
            ("node/pki/kubelet.crt", 0o644, &settings.serving.certificate),
            ("node/pki/kubelet.key", 0o600, &settings.serving.key),
        ] {
            tree.file(path, mode, Contents::Bytes(text.as_bytes().to_vec()));
        }
        for (position, image) in self.images.iter().enumerate() {
            let path = format!("node/images/{position}.tar");
            tree.file(&path, 0o644, Contents::Path(image.clone()));
        }
    }
}

/// Adds the files and links of a directory, but not what is in directories below it.
fn add_directory(tree: &mut Tree, directory: &Path, guest: &str) -> Result<()> {
    let Ok(entries) = fs::read_dir(directory) else { return Ok(()) };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if LEFT_OUT.contains(&name.as_str()) {
            continue;
        }
        let (path, kind) = (format!("{guest}/{name}"), entry.file_type()?);
        if kind.is_symlink() {
            tree.link(&path, &fs::read_link(entry.path())?.to_string_lossy());
        } else if kind.is_file() {
            tree.file(&path, 0o755, Contents::Path(entry.path()));
        }
    }
    Ok(())
}
