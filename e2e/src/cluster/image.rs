//! Container images made here, from files of this machine; no registry is asked.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::json;

use crate::digest::sha256;
use crate::lab::shared_libraries;

/// One layer and what is run in it. Written as a docker archive, which containerd imports.
#[derive(Clone, Debug)]
pub struct Image {
    reference: String,
    entrypoint: Vec<String>,
    entries: Vec<Entry>,
}

#[derive(Clone, Debug)]
struct Entry {
    /// Relative to the root.
    path: String,
    mode: u32,
    contents: Contents,
}

#[derive(Clone, Debug)]
enum Contents {
    Directory,
    Bytes(Vec<u8>),
    File(PathBuf),
    Link(String),
}

impl Image {
    /// An image without files, under a name with tag, such as `lictor.test/node:1`. An empty entry point leaves it to
    /// the pod to say what is run.
    pub fn new(reference: &str, entrypoint: &[&str]) -> Self {
        let entrypoint = entrypoint.iter().map(|word| (*word).to_owned()).collect();
        let image = Self { reference: reference.to_owned(), entrypoint, entries: Vec::new() };
        image.entry("tmp", 0o1777, Contents::Directory)
    }

    /// Its name with tag.
    pub fn reference(&self) -> &str {
        &self.reference
    }

    /// Adds a directory.
    #[must_use]
    pub fn directory(self, path: &str, mode: u32) -> Self {
        self.entry(path, mode, Contents::Directory)
    }

    /// Adds a file with these contents.
    #[must_use]
    pub fn text(self, path: &str, mode: u32, text: impl Into<Vec<u8>>) -> Self {
        self.entry(path, mode, Contents::Bytes(text.into()))
    }

    /// Adds a symbolic link.
    #[must_use]
    pub fn link(self, path: &str, target: &str) -> Self {
        self.entry(path, 0o777, Contents::Link(target.to_owned()))
    }

    /// Adds programs of this machine, each with the path it gets, and the libraries that they need.
    ///
    /// # Errors
    /// When this machine lacks one of them.
    pub fn programs(mut self, programs: &[(PathBuf, String)]) -> Result<Self> {
        let files: Vec<PathBuf> = programs.iter().map(|(file, _)| file.clone()).collect();
        for (file, path) in programs {
            self = self.entry(path, 0o755, Contents::File(file.clone()));
        }
        for library in shared_libraries(&files)? {
            let path = library.to_string_lossy().into_owned();
            self = self.entry(&path, 0o755, Contents::File(library));
        }
        Ok(self)
    }

    fn entry(mut self, path: &str, mode: u32, contents: Contents) -> Self {
        let path = path.trim_matches('/').to_owned();
        self.entries.retain(|entry| entry.path != path);
        self.entries.push(Entry { path, mode, contents });
        self
    }

    /// Writes the archive. The same files give the same bytes.
    ///
    /// # Errors
    /// When a file cannot be read, or the archive not be written.
    pub fn write(&self, archive: &Path) -> Result<()> {
        let layer = self.layer().with_context(|| format!("the layer of image {}", self.reference))?;
        let digest = sha256(&layer);
        let config = json!({
            "architecture": "amd64", "os": "linux",
            "config": { "Entrypoint": self.entrypoint, "Env": ["PATH=/usr/bin:/bin"] },
            "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{digest}")] },
        });
        let config = config.to_string().into_bytes();
        let (config_name, layer_name) = (format!("{}.json", sha256(&config)), format!("{digest}.tar"));
        let manifest =
            json!([{ "Config": config_name, "RepoTags": [self.reference], "Layers": [layer_name] }]);
        let file = File::create(archive).with_context(|| format!("creating {}", archive.display()))?;
        let mut tar = tar::Builder::new(BufWriter::new(file));
        append(&mut tar, &config_name, 0o644, &config)?;
        append(&mut tar, &layer_name, 0o644, &layer)?;
        append(&mut tar, "manifest.json", 0o644, manifest.to_string().as_bytes())?;
        tar.into_inner()?.flush().context("writing an image")
    }

    fn layer(&self) -> Result<Vec<u8>> {
        let mut entries: Vec<&Entry> = self.entries.iter().collect();
        entries.sort_by(|one, other| one.path.cmp(&other.path));
        let named: BTreeSet<&str> = entries.iter().map(|entry| entry.path.as_str()).collect();
        let mut made = BTreeSet::new();
        let mut tar = tar::Builder::new(Vec::new());
        for entry in entries {
            for (end, _) in entry.path.match_indices('/') {
                let parent = &entry.path[..end];
                if !named.contains(parent) && made.insert(parent) {
                    append_directory(&mut tar, parent, 0o755)?;
                }
            }
            match &entry.contents {
                Contents::Directory => append_directory(&mut tar, &entry.path, entry.mode)?,
                Contents::Bytes(bytes) => append(&mut tar, &entry.path, entry.mode, bytes)?,
                Contents::File(file) => {
                    let bytes = fs::read(file).with_context(|| format!("reading {}", file.display()))?;
                    append(&mut tar, &entry.path, entry.mode, &bytes)?;
                }
                Contents::Link(target) => {
                    let mut header = header(tar::EntryType::Symlink, 0o777, 0);
                    tar.append_link(&mut header, &entry.path, target)?;
                }
            }
        }
        Ok(tar.into_inner()?)
    }
}

fn header(kind: tar::EntryType, mode: u32, size: usize) -> tar::Header {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size as u64);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header
}

fn append<W: std::io::Write>(tar: &mut tar::Builder<W>, path: &str, mode: u32, bytes: &[u8]) -> Result<()> {
    let mut header = header(tar::EntryType::Regular, mode, bytes.len());
    tar.append_data(&mut header, path, bytes).with_context(|| format!("archiving {path}"))
}

fn append_directory<W: std::io::Write>(tar: &mut tar::Builder<W>, path: &str, mode: u32) -> Result<()> {
    let mut header = header(tar::EntryType::Directory, mode, 0);
    tar.append_data(&mut header, format!("{path}/"), std::io::empty())
        .with_context(|| format!("archiving {path}"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::Read as _;

    use super::*;

    fn members(bytes: &[u8]) -> BTreeMap<String, (u32, Vec<u8>)> {
        let mut archive = tar::Archive::new(bytes);
        let mut members = BTreeMap::new();
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let path = entry.path().unwrap().to_string_lossy().into_owned();
            let mode = entry.header().mode().unwrap();
            let mut contents = Vec::new();
            entry.read_to_end(&mut contents).unwrap();
            assert!(members.insert(path.clone(), (mode, contents)).is_none(), "{path} is there twice");
        }
        members
    }

    #[test]
    fn an_image_names_its_layer_and_its_configuration() {
        let directory = tempfile::tempdir().unwrap();
        let image = Image::new("lictor.test/x:1", &["/bin/x"])
            .text("/etc/passwd", 0o600, "root")
            .link("/bin/y", "x")
            .programs(&[(PathBuf::from("/bin/cat"), "/bin/x".to_owned())])
            .unwrap();
        let archive = directory.path().join("a.tar");
        image.write(&archive).unwrap();
        let bytes = fs::read(&archive).unwrap();
        image.write(&archive).unwrap();
        assert_eq!(fs::read(&archive).unwrap(), bytes, "the same files give the same bytes");

        let outer = members(&bytes);
        let manifest: serde_json::Value = serde_json::from_slice(&outer["manifest.json"].1).unwrap();
        let name = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        let config = &outer[&name(&manifest[0]["Config"])].1;
        let layer = &outer[&name(&manifest[0]["Layers"][0])].1;
        let config: serde_json::Value = serde_json::from_slice(config).unwrap();
        assert_eq!(config["rootfs"]["diff_ids"][0], format!("sha256:{}", sha256(layer)));
        assert_eq!(config["config"]["Entrypoint"][0], "/bin/x");
        let files = members(layer);
        assert_eq!(files["etc/passwd"], (0o600, b"root".to_vec()));
        assert_eq!(files["tmp/"].0, 0o1777);
        assert_eq!(files["bin/x"].1, fs::read("/bin/cat").unwrap());
        assert!(files.keys().any(|path| path.contains("libc.so")), "the libraries are missing");
    }
}
