//! Which Debian mirror this machine uses.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// Releases whose presence in a source entry shows that its mirror is Debian's main archive.
const RELEASES: &[&str] =
    &["bullseye", "bookworm", "trixie", "forky", "duke", "sid", "stable", "testing", "unstable"];

/// The archives that Debian runs beside each other.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Archive {
    Main,
    Security,
}

/// The URI of the Debian mirror that this machine's own apt sources name.
pub(super) fn debian_mirror() -> Result<String> {
    find(Archive::Main).context(
        "no Debian mirror is known: none of the files under /etc/apt has an active `deb` entry for a Debian release; \
         add one to /etc/apt/sources.list",
    )
}

/// The URI of the mirror of Debian's security archive, where this machine uses one.
pub(super) fn security_mirror() -> Option<String> {
    find(Archive::Security)
}

fn find(archive: Archive) -> Option<String> {
    let mut sources = vec![PathBuf::from("/etc/apt/sources.list")];
    if let Ok(entries) = fs::read_dir("/etc/apt/sources.list.d") {
        let mut found: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        found.sort();
        sources.extend(found);
    }
    sources.iter().find_map(|path| mirror_in(path, &fs::read_to_string(path).ok()?, archive))
}

fn mirror_in(path: &Path, text: &str, archive: Archive) -> Option<String> {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("list") => text.lines().find_map(|line| one_line_entry(line, archive)),
        Some("sources") => text.split("\n\n").find_map(|stanza| deb822_entry(stanza, archive)),
        _ => None,
    }
}

/// An entry in one-line style: `deb [options] URI SUITE COMPONENT...`.
fn one_line_entry(line: &str, archive: Archive) -> Option<String> {
    let rest = line.trim().strip_prefix("deb ")?.trim_start();
    let rest = match rest.strip_prefix('[') {
        Some(options) => options.split_once(']')?.1,
        None => rest,
    };
    let mut words = rest.split_whitespace();
    let (uri, suite) = (words.next()?, words.next()?);
    usable(uri, &[suite], archive)
}

/// An entry in deb822 style.
fn deb822_entry(text: &str, archive: Archive) -> Option<String> {
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
    value("URIs")?.split_whitespace().find_map(|uri| usable(uri, &suites, archive))
}

/// The main archive has plain release names as suites, the security archive adds `-security` to them; other vendors'
/// repositories have neither.
fn usable(uri: &str, suites: &[&str], archive: Archive) -> Option<String> {
    let known = uri.contains("://") && !uri.starts_with("cdrom");
    let release = |suite: &&str| match archive {
        Archive::Main => RELEASES.contains(suite),
        Archive::Security => suite.strip_suffix("-security").is_some_and(|name| RELEASES.contains(&name)),
    };
    (known && suites.iter().any(release)).then(|| uri.trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mirror(file: &str, text: &str) -> Option<String> {
        mirror_in(Path::new(file), text, Archive::Main)
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
    fn the_security_archive_is_told_from_the_main_one() {
        let text = "deb http://m.example/debian bookworm main\ndeb http://s.example/security bookworm-security main\n";
        let found = |archive| mirror_in(Path::new("a.list"), text, archive).unwrap();
        assert_eq!(found(Archive::Main), "http://m.example/debian");
        assert_eq!(found(Archive::Security), "http://s.example/security");
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
