//! The schemas of the types beside the language: what the API server says of a policy without the webhook.
//!
//! A schema cannot say everything that the language refuses. What it can say it has to say as the language does, and it
//! must not refuse what the language accepts. The documents are those that the language itself is tested with.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use super::{Cases, Client, ClusterContext, ClusterTest, Lane, eventually};
use crate::lab::CaseResult;

/// The tests of this module.
pub(crate) const TESTS: &[ClusterTest] =
    &[ClusterTest { name: "schema", lane: Lane::ControlPlane, anywhere: true, run: schema }];

/// Documents of the language's own tests, each with the outcome that it has to have.
const DOCUMENTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../policy/testdata");
/// What the language says of the policies that exist, a line each.
const OUTCOMES: &str = include_str!("../../../policy/testdata/established/outcomes.expected");
/// Documents that the language refuses for something that no schema can say, and why.
const BEYOND: &str = include_str!("../../../policy/testdata/reject/beyond-the-schema.txt");
/// The types.
const TYPES: &[&str] = &[
    include_str!("../../../crds/tracingpolicies.lictor.io.yaml"),
    include_str!("../../../crds/tracingpoliciesnamespaced.lictor.io.yaml"),
];
/// Files without an object, or with more than one: kubectl asks about none, or about a part of the file.
const NOT_ONE_OBJECT: &[&str] =
    &["empty-file", "json-trailing-text", "null-document", "only-comments", "two-documents"];
/// Documents for files only: in a file upper and lower case of fields may differ, as in the established implementation.
const FILES_ONLY: &[&str] = &["other-spellings-of-fields"];
/// What the documents say about the namespace that they are in.
const NAMESPACES: &str = r#"
{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}
{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "ignored"}}
"#;
/// How long the API server may take to serve new types.
const SETTLE: std::time::Duration = std::time::Duration::from_mins(1);

fn schema(context: &ClusterContext) -> Result<Vec<CaseResult>> {
    let cluster = context.any_cluster()?;
    let directory = cluster.directory().join("documents");
    fs::create_dir(&directory)?;
    let good = [files("accept", FILES_ONLY)?, established()?].concat();
    let bad = files("reject", NOT_ONE_OBJECT)?;
    ensure!(good.len() > 85 && bad.len() > 200, "{} and {} documents", good.len(), bad.len());
    for file in good.iter().chain(&bad) {
        fs::write(directory.join(name(file)?), text(file)?)?;
    }
    let _namespaces = cluster.create(NAMESPACES)?;
    let _types = TYPES.iter().map(|types| cluster.create(types)).collect::<Result<Vec<_>>>()?;
    eventually("the types", SETTLE, || {
        cluster.admin().kubectl(&["get", "tracingpolicies,tracingpoliciesnamespaced"])
    })?;
    let answer = Answer::of(cluster.admin(), &directory)?;
    let mut cases = Cases::default();
    cases.run("every-document-has-an-answer", || {
        let expected = good.len() + bad.len() - answer.refused.len();
        ensure!(answer.created == expected, "{} were taken, {expected} not refused", answer.created);
        Ok(())
    });
    cases.run("what-the-language-accepts-is-accepted", || {
        let names = good.iter().map(|file| name(file)).collect::<Result<BTreeSet<_>>>()?;
        let wrong: Vec<String> =
            names.intersection(&answer.refused).map(|name| answer.of_document(name)).collect();
        ensure!(wrong.is_empty(), "{} are refused:\n{}", wrong.len(), wrong.join("\n"));
        Ok(())
    });
    cases.run("what-the-language-refuses-is-refused-unless-no-schema-can-say-it", || {
        let beyond: BTreeSet<String> = BEYOND
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .map(|line| format!("reject-{}.yaml", line.split(':').next().unwrap_or_default()))
            .collect();
        let names: BTreeSet<String> = bad.iter().map(|file| name(file)).collect::<Result<_>>()?;
        let taken: BTreeSet<String> = names.difference(&answer.refused).cloned().collect();
        let list =
            |left: &BTreeSet<String>, right| left.difference(right).cloned().collect::<Vec<_>>().join(" ");
        ensure!(taken == beyond, "taken: {}; refused: {}", list(&taken, &beyond), list(&beyond, &taken));
        Ok(())
    });
    Ok(cases.done())
}

/// What the API server says.
struct Answer {
    /// Names of the files that it refuses.
    refused: BTreeSet<String>,
    /// How many objects it would create.
    created: usize,
    errors: String,
}

impl Answer {
    /// Of all documents of a directory, none of which is stored.
    fn of(admin: &Client, directory: &Path) -> Result<Self> {
        let path = directory.display().to_string();
        let ran = admin.try_kubectl(&["create", "--dry-run=server", "--validate=strict", "-f", &path])?;
        let before = format!("{path}/");
        let refused =
            ran.stderr.split(&before).skip(1).filter_map(|rest| rest.split_inclusive(".yaml").next());
        Ok(Self {
            refused: refused.map(str::to_owned).collect(),
            created: ran.stdout.lines().filter(|line| line.ends_with(" created (server dry run)")).count(),
            errors: ran.stderr,
        })
    }

    /// The lines about a document.
    fn of_document(&self, name: &str) -> String {
        self.errors.lines().filter(|line| line.contains(name)).collect::<Vec<_>>().join("\n")
    }
}

/// The policies that exist and load.
fn established() -> Result<Vec<PathBuf>> {
    let directory = Path::new(DOCUMENTS).join("established");
    let names = OUTCOMES.lines().filter_map(|line| line.strip_suffix(": accepted"));
    let files = names.map(|name| directory.join(name));
    // Templates are no documents.
    let files: Vec<PathBuf> = files.filter(|file| file.extension().is_some_and(|is| is != "tmpl")).collect();
    ensure!(files.len() > 30, "{} policies", files.len());
    Ok(files)
}

/// The documents of a directory, but not these.
fn files(directory: &str, left_out: &[&str]) -> Result<Vec<PathBuf>> {
    let directory = Path::new(DOCUMENTS).join(directory);
    let mut files = Vec::new();
    for entry in fs::read_dir(&directory).with_context(|| format!("reading {}", directory.display()))? {
        let path = entry?.path();
        let stem = path.file_stem().unwrap_or_default();
        let wanted = !left_out.iter().any(|name| stem == *name);
        if wanted && path.extension().is_some_and(|extension| extension == "yaml") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// A name that tells directory and file.
fn name(file: &Path) -> Result<String> {
    let path = file.strip_prefix(DOCUMENTS)?.with_extension("yaml").display().to_string();
    Ok(path.replace('/', "-"))
}

/// The document as an object of our types: those of the established group have another one, as after `convert`.
fn text(file: &Path) -> Result<Vec<u8>> {
    let bytes = fs::read(file).with_context(|| format!("reading {}", file.display()))?;
    match String::from_utf8(bytes) {
        Ok(text) => Ok(text.replace("cilium.io/v1alpha1", "lictor.io/v1alpha1").into_bytes()),
        Err(error) => Ok(error.into_bytes()),
    }
}
