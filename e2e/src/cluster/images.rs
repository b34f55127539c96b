//! The images that every node of the tests has.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::image::Image;
use super::node::PAUSE_IMAGE;
use crate::lab::process;

/// An image with a shell and everyday programs, for test pods.
pub const TOOLBOX: &str = "lictor.test/toolbox:1";
/// The node worker and the CLI.
pub const NODE_WORKER: &str = "lictor.test/lictor-node:1";

/// Where Debian's busybox-static is.
const BUSYBOX: &str = "/bin/busybox";
/// Programs of the toolbox that are real ones: a policy tells them apart, while every applet is the same binary.
const REAL: &[&str] = &["bash", "cat", "dash", "head", "id", "ls", "sleep", "tee"];
/// Files that policies protect.
const SAMPLES: &[(&str, u32, &str)] = &[
    ("etc/passwd", 0o644, include_str!("../lab/etc/passwd")),
    ("etc/shadow", 0o640, include_str!("../lab/etc/shadow")),
    ("etc/group", 0o644, include_str!("../lab/etc/group")),
    ("etc/lsb-release", 0o644, "DISTRIB_ID=Toolbox\nDISTRIB_RELEASE=1\n"),
];

/// All of them; `programs` is the directory of this repository's programs.
pub(super) fn all(programs: &Path) -> Result<Vec<Image>> {
    let busybox = (PathBuf::from(BUSYBOX), "/bin/busybox".to_owned());
    let pause = Image::new(PAUSE_IMAGE, &["/bin/busybox", "sleep", "2147483647"])
        .programs(std::slice::from_ref(&busybox))?;
    let mut tools = vec![busybox.clone()];
    for name in REAL {
        let file = ["/usr/bin", "/bin"].map(|directory| Path::new(directory).join(name));
        let file =
            file.into_iter().find(|file| file.exists()).with_context(|| format!("there is no {name}"))?;
        tools.push((file, format!("/usr/bin/{name}")));
    }
    let mut toolbox = Image::new(TOOLBOX, &[]);
    for applet in process::capture(Command::new(BUSYBOX).arg("--list"))?.lines() {
        toolbox = toolbox.link(&format!("/bin/{applet}"), "busybox");
    }
    toolbox = toolbox.programs(&tools)?.link("/bin/sh", "/usr/bin/dash");
    for (path, mode, text) in SAMPLES {
        toolbox = toolbox.text(path, *mode, *text);
    }
    let ours = ["lictor-node", "lictor"].map(|name| (programs.join(name), format!("/usr/bin/{name}")));
    let node_worker = Image::new(NODE_WORKER, &["/usr/bin/lictor-node"])
        .programs(&[&ours[..], &[busybox]].concat())?
        .link("/bin/sh", "busybox")
        .directory("/etc/lictor/policies", 0o755);
    Ok(vec![pause, toolbox, node_worker])
}
