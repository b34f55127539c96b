//! Which Debian mirror this machine uses.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

/// Releases whose presence in a source entry shows that its mirror is Debian's main archive.
const RELEASES: &[&str] =
    &["bullseye", "bookworm", "trixie", "forky", "duke", "sid", "stable", "testing", "unstable"];

/// The URI of the Debian mirror that this machine's own apt sources name.
pub(super) fn debian_mirror() -> Result<String> {
    let mut sources = vec![PathBuf::from("/etc/apt/sources.list")];
    if let Ok(entries) = fs::read_dir("/etc/apt/sources.list.d") {
        let mut found: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        found.sort();
        sources.extend(found);
    }
    for path in &sources {
        let Ok(text) = fs::read_to_string(path) else { continue };
        if let Some(uri) = mirror_in(path, &text) {
            return Ok(uri);
        }
    }
    bail!(
        "no Debian mirror is known: none of the files under /etc/apt has an active `deb` entry for a Debian release; \
         add one to /etc/apt/sources.list"
    )
}

fn mirror_in(path: &Path, text: &str) -> Option<String> {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("list") => text.lines().find_map(one_line_entry),
        Some("sources") => text.split("\n\n").find_map(stanza),
        _ => None,
    }
}

/// An entry in one-line style: `deb [options] URI SUITE COMPONENT...`.
fn one_line_entry(line: &str) -> Option<String> {
    let rest = line.trim().strip_prefix("deb ")?.trim_start();
    let rest = match rest.strip_prefix('[') {
        Some(options) => options.split_once(']')?.1,
        None => rest,
    };
    let mut words = rest.split_whitespace();
    let (uri, suite) = (words.next()?, words.next()?);
    usable(uri, &[suite])
}

/// An entry in deb822 style.
fn stanza(text: &str) -> Option<String> {
    let value = |name: &str| {
        text.lines()
            .find_map(|line| line.split_once(':').filter(|(key, _)| key.eq_ignore_ascii_case(name)))
            .map(|(_, value)| value.trim())
    };
    if value("Enabled").is_some_and(|enabled| enabled.eq_ignore_ascii_case("no")) {
        return None;
    }
    if !value("Types")?.split_whitespace().any(|kind| kind == "deb") {
        return None;
    }
    let suites: Vec<&str> = value("Suites")?.split_whitespace().collect();
    value("URIs")?.split_whitespace().find_map(|uri| usable(uri, &suites))
}

/// The main archive has plain release names; the security archive and other vendors' repositories do not.
fn usable(uri: &str, suites: &[&str]) -> Option<String> {
    let known = uri.contains("://") && !uri.starts_with("cdrom");
    (known && suites.iter().any(|suite| RELEASES.contains(suite)) && !uri.contains("security"))
        .then(|| uri.trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mirror(file: &str, text: &str) -> Option<String> {
        mirror_in(Path::new(file), text)
    }

    #[test]
    fn both_styles_are_read() {
        let one_line = "# deb http://old.example/debian bookworm main\n\
                        deb http://security.example/debian-security bookworm-security main\n\
                        deb [arch=amd64 signed-by=/x] http://mirror.example/debian/ bookworm main\n";
        assert_eq!(mirror("a.list", one_line).as_deref(), Some("http://mirror.example/debian"));
        let deb822 = "# mirror\nTypes: deb deb-src\nURIs: https://mirror.example/debian\nSuites: trixie trixie-updates\n\
                      Components: main\n";
        assert_eq!(mirror("a.sources", deb822).as_deref(), Some("https://mirror.example/debian"));
    }

    #[test]
    fn other_repositories_are_not_mirrors() {
        assert_eq!(mirror("a.list", "deb https://vendor.example/apt nodistro main\n"), None);
        assert_eq!(mirror("a.list", "deb cdrom:[Debian]/ bookworm main\n"), None);
        let off = "Enabled: no\nTypes: deb\nURIs: https://mirror.example/debian\nSuites: trixie\n";
        assert_eq!(mirror("a.sources", off), None);
        assert_eq!(
            mirror("a.sources.disabled", "Types: deb\nURIs: http://m.example/debian\nSuites: sid\n"),
            None
        );
    }
}
