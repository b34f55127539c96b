//! The archive format of an initramfs ("newc"), written only.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _, Write};
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};

/// Where a file's contents come from.
#[derive(Clone, Debug)]
pub enum Contents {
    /// A file of this machine, read when the archive is written.
    Path(PathBuf),
    /// These bytes.
    Bytes(Vec<u8>),
}

#[derive(Clone, Debug)]
enum Node {
    Directory,
    File(u32, Contents),
    Link(String),
    CharDevice(u32, u32),
}

/// A tree of files, keyed by path without the leading slash.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tree {
    nodes: BTreeMap<String, Node>,
}

impl Tree {
    /// Adds a directory and its parents.
    pub(crate) fn directory(&mut self, path: &str) {
        self.insert(path, Node::Directory);
    }

    /// Adds a file and its parents; `mode` holds the permission bits. A file that is already there is replaced.
    pub(crate) fn file(&mut self, path: &str, mode: u32, contents: Contents) {
        self.insert(path, Node::File(mode, contents));
    }

    /// Adds a symbolic link and the parents of its path.
    pub(crate) fn link(&mut self, path: &str, target: &str) {
        self.insert(path, Node::Link(target.to_owned()));
    }

    /// Adds a character device.
    pub(crate) fn char_device(&mut self, path: &str, major: u32, minor: u32) {
        self.insert(path, Node::CharDevice(major, minor));
    }

    /// Whether something is at this path.
    pub(crate) fn contains(&self, path: &str) -> bool {
        self.nodes.contains_key(&self.resolve(path))
    }

    fn insert(&mut self, path: &str, node: Node) {
        let path = self.resolve(path);
        for (end, _) in path.match_indices('/') {
            self.nodes.entry(path[..end].to_owned()).or_insert(Node::Directory);
        }
        match (self.nodes.get(&path), &node) {
            (Some(Node::Directory | Node::Link(_)), Node::Directory) => {}
            _ => drop(self.nodes.insert(path, node)),
        }
    }

    /// Drops the leading slash and follows links in the path's directories, so that `bin/x` is stored as `usr/bin/x`
    /// when `bin` is a link to `usr/bin`.
    fn resolve(&self, path: &str) -> String {
        let mut parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
        let name = parts.pop().unwrap_or_default();
        let mut done = String::new();
        for part in parts {
            let joined = if done.is_empty() { part.to_owned() } else { format!("{done}/{part}") };
            done = match self.nodes.get(&joined) {
                Some(Node::Link(target)) if target.starts_with('/') => self.resolve(&format!("{target}/.")),
                Some(Node::Link(target)) if done.is_empty() => target.clone(),
                Some(Node::Link(target)) => format!("{done}/{target}"),
                _ => joined,
            };
        }
        match (done.is_empty(), name) {
            (_, "") => done,
            (true, name) => name.to_owned(),
            (false, name) => format!("{done}/{name}"),
        }
    }

    /// Writes the archive.
    ///
    /// # Errors
    /// When a file of this machine cannot be read or is 4 GiB or more, or the output cannot be written.
    pub(crate) fn write(&self, out: &mut impl Write) -> Result<()> {
        let mut inode = 1;
        for (path, node) in &self.nodes {
            inode += 1;
            let (mode, data, device) = match node {
                Node::Directory => (0o040_755, Vec::new(), (0, 0)),
                Node::File(mode, contents) => (0o100_000 | mode, read(contents)?, (0, 0)),
                Node::Link(target) => (0o120_777, target.clone().into_bytes(), (0, 0)),
                Node::CharDevice(major, minor) => (0o020_600, Vec::new(), (*major, *minor)),
            };
            member(out, path, inode, mode, &data, device).with_context(|| format!("archiving {path}"))?;
        }
        Ok(member(out, "TRAILER!!!", 0, 0, &[], (0, 0))?)
    }
}

fn read(contents: &Contents) -> Result<Vec<u8>> {
    let path = match contents {
        Contents::Bytes(bytes) => return Ok(bytes.clone()),
        Contents::Path(path) => path,
    };
    let mut data = Vec::new();
    File::open(path)
        .and_then(|mut file| file.read_to_end(&mut data))
        .with_context(|| format!("reading {}", path.display()))?;
    ensure!(u32::try_from(data.len()).is_ok(), "{} is too large for an initramfs", path.display());
    Ok(data)
}

fn member(
    out: &mut impl Write,
    name: &str,
    inode: u32,
    mode: u32,
    data: &[u8],
    device: (u32, u32),
) -> io::Result<()> {
    // Owner, group and time stay 0; a link count of 1 makes every file independent of the others.
    let (size, name_size) = (data.len(), name.len() + 1);
    let (major, minor) = device;
    write!(
        out,
        "070701{inode:08x}{mode:08x}{0:08x}{0:08x}{1:08x}{0:08x}{size:08x}{0:08x}{0:08x}{major:08x}{minor:08x}\
         {name_size:08x}{0:08x}{name}\0",
        0, 1
    )?;
    pad(out, 110 + name_size)?;
    out.write_all(data)?;
    pad(out, size)
}

/// Headers and data are each padded to four bytes.
fn pad(out: &mut impl Write, written: usize) -> io::Result<()> {
    out.write_all(&[0; 3][..written.next_multiple_of(4) - written])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(tree: &Tree) -> Vec<&str> {
        tree.nodes.keys().map(String::as_str).collect()
    }

    #[test]
    fn parents_come_first_and_links_are_followed() {
        let mut tree = Tree::default();
        tree.link("/bin", "usr/bin");
        tree.file("/bin/tool", 0o755, Contents::Bytes(b"x".to_vec()));
        assert_eq!(paths(&tree), ["bin", "usr", "usr/bin", "usr/bin/tool"]);
        assert!(tree.contains("/bin/tool") && !tree.contains("/bin/other"));
    }

    #[test]
    fn a_directory_never_replaces_a_link() {
        let mut tree = Tree::default();
        tree.link("/lib", "usr/lib");
        tree.directory("/lib");
        assert!(matches!(tree.nodes["lib"], Node::Link(_)));
    }

    #[test]
    fn members_are_aligned_and_the_trailer_ends_them() {
        let mut tree = Tree::default();
        tree.file("/a", 0o644, Contents::Bytes(b"hello".to_vec()));
        let mut out = Vec::new();
        tree.write(&mut out).unwrap();
        assert_eq!(out.len() % 4, 0);
        assert_eq!(&out[..14], b"07070100000002");
        assert_eq!(&out[14..22], b"000081a4");
        assert_eq!(&out[54..62], b"00000005");
        assert_eq!(&out[110..117], b"a\0hello");
        assert_eq!(out.iter().position(|byte| *byte == b'T').unwrap() % 4, 110 % 4);
        assert!(out.windows(10).any(|window| window == b"TRAILER!!!"));
    }

    #[test]
    fn a_missing_file_is_an_error() {
        let mut tree = Tree::default();
        tree.file("/a", 0o644, Contents::Path(PathBuf::from("/no/such/file")));
        assert!(tree.write(&mut Vec::new()).unwrap_err().to_string().contains("/no/such/file"));
    }
}
