//! Places in programs and libraries: how hook points name them, and which program attaches there.

use super::attach::{Site, Wants};
use super::facts::{NodeFacts, UserProblem};
use super::fields::Reader;
use super::refusal::Problem;
use super::{Attach, EventKind, HookPoint, probe, writes};
use crate::model::{DigestKind, FileDigest, FunctionName, UserPlace};
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

/// A place in a file, as the kernel watches it.
///
/// As text, which is what hook points have: `PATH:OFFSET(COUNTER)@DEVICE:INODE`, where `(COUNTER)` is left out when it is 0.
/// The part before `@` is what tracefs takes in its `uprobe_events`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserSite {
    /// The file, as the policy names it.
    pub path: String,
    /// Bytes from the beginning of the file.
    pub offset: u64,
    /// Where in the file the program counts who watches; 0 = nowhere.
    pub ref_counter: u32,
    /// Which file it was: another one of the same name is another place.
    pub file: FileIdentity,
}

/// A place that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundPlace {
    /// Where it is.
    pub site: UserSite,
    /// The address that the file gives it.
    pub address: u64,
    /// Where the arguments of a probe stand, as the file says it (`-4@%edi 8@-16(%rbp)`); empty for functions.
    pub arguments: String,
}

/// What a file is recognised by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundDigest {
    /// Which file it was.
    pub file: FileIdentity,
    /// What was found; `None` = there is no such note in the file.
    pub digest: Option<FileDigest>,
}

/// A file, whatever its name is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileIdentity {
    /// Number of the device.
    pub device: u64,
    /// Number of the inode.
    pub inode: u64,
}

impl fmt::Display for UserSite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{:#x}", self.path, self.offset)?;
        if self.ref_counter != 0 {
            write!(f, "({:#x})", self.ref_counter)?;
        }
        write!(f, "@{:x}:{}", self.file.device, self.file.inode)
    }
}

/// The text is no place in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no place in a file: PATH:OFFSET(COUNTER)@DEVICE:INODE")]
pub struct NoUserSite;

impl FromStr for UserSite {
    type Err = NoUserSite;

    fn from_str(text: &str) -> Result<Self, NoUserSite> {
        let parts = || {
            let (place, file) = text.rsplit_once('@')?;
            let (device, inode) = file.split_once(':')?;
            let (path, place) = place.rsplit_once(':')?;
            let (offset, counter) = match place.strip_suffix(')') {
                Some(place) => place.split_once('(')?,
                None => (place, "0x0"),
            };
            let hexadecimal = |text: &str| u64::from_str_radix(text.strip_prefix("0x")?, 16).ok();
            Some(Self {
                path: path.to_owned(),
                offset: hexadecimal(offset)?,
                ref_counter: u32::try_from(hexadecimal(counter)?).ok()?,
                file: FileIdentity {
                    device: u64::from_str_radix(device, 16).ok()?,
                    inode: inode.parse().ok()?,
                },
            })
        };
        parts().ok_or(NoUserSite)
    }
}

/// The part of the text of a place, in a file or in a module, that says something to people. Other symbols have no `@`.
pub(super) fn shown(symbol: &str) -> &str {
    symbol.rsplit_once('@').map_or(symbol, |(place, _)| place)
}

/// Where `place` of the file at `path` attaches.
pub(super) fn sites(
    path: &str,
    place: &UserPlace,
    wants: &Wants,
    facts: &NodeFacts,
) -> Result<Vec<Site>, Problem> {
    let found = facts.symbols.user_places(path, place).map_err(|problem| missing(path, place, problem))?;
    let (attach, event) = match place {
        UserPlace::Function { at_end: false, .. } if wants.program.registers => {
            writes::check_kernel(facts)?;
            (Attach::UprobeRegisters, EventKind::Uprobe)
        }
        UserPlace::Function { at_end: false, .. } => (Attach::Uprobe, EventKind::Uprobe),
        UserPlace::Function { at_end: true, .. } if wants.program.arguments => {
            (Attach::UretprobeArguments, EventKind::Uprobe)
        }
        UserPlace::Function { at_end: true, .. } => (Attach::Uretprobe, EventKind::Uprobe),
        UserPlace::Probe { .. } => (Attach::Uprobe, EventKind::Usdt),
    };
    let wish = if wants.program.registers { "a rule writes registers" } else { wants.wish() };
    let reader = |arguments: &str| {
        let function = format!("{place} of {path}");
        match place {
            UserPlace::Function { .. } => Reader::User { function },
            UserPlace::Probe { .. } => {
                let arguments = probe::arguments(arguments).into_iter();
                Reader::Probe {
                    function,
                    arguments: arguments.map(|one| one.map_err(str::to_owned)).collect(),
                }
            }
        }
    };
    let site = |FoundPlace { site: user, arguments, .. }: FoundPlace| Site {
        point: HookPoint { attach, symbol: user.to_string() },
        reason: format!("{} on {}, {place} of {path}: {wish}", attach.name(), shown(&user.to_string())),
        flags: 0,
        argument_count: 0,
        reader: reader(&arguments),
        denies: false,
        function_name: place.to_string(),
        event,
        user: Some(user),
        called: None,
    };
    Ok(found.into_iter().map(site).collect())
}

/// Whether a file is one of those that a policy is meant for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Recognised {
    /// It is, and is this file.
    Yes(FileIdentity),
    /// It is another one.
    Other(Problem),
    /// It cannot be read; asking for a place in it tells why.
    Unknown,
}

/// Looks for a digest of the file at `path` among those `allowed`. `answer` tells what the file has of a kind.
pub(super) fn recognise(
    path: &str,
    allowed: &[FileDigest],
    mut answer: impl FnMut(DigestKind) -> Result<FoundDigest, UserProblem>,
) -> Recognised {
    let kinds: BTreeSet<DigestKind> = allowed.iter().map(|digest| digest.kind).collect();
    let mut found = Vec::with_capacity(kinds.len());
    for kind in kinds {
        match answer(kind) {
            Ok(FoundDigest { file, digest: Some(digest) }) if allowed.contains(&digest) => {
                return Recognised::Yes(file);
            }
            Ok(FoundDigest { digest: Some(digest), .. }) => found.push(format!("`{digest}`")),
            Ok(FoundDigest { digest: None, .. }) => found.push(format!("no {}", kind.name())),
            Err(UserProblem::Unreadable(why)) => {
                return Recognised::Other(Problem::new(format!("the file `{path}`, which {why}"), A_PROGRAM));
            }
            Err(
                UserProblem::Untold | UserProblem::NoFile | UserProblem::NoPlace(_) | UserProblem::MovesStack,
            ) => {
                return Recognised::Unknown;
            }
        }
    }
    let mut shown: Vec<String> =
        allowed.iter().take(DIGESTS_SHOWN).map(|digest| format!("`{digest}`")).collect();
    if allowed.len() > DIGESTS_SHOWN {
        shown.push(format!("{} more", allowed.len() - DIGESTS_SHOWN));
    }
    Recognised::Other(
        Problem::new(format!("the file `{path}` with {}", found.join(" and ")), shown.join(", "))
            .other_file()
            .hint(
                "`ignore.digestVerificationFailure: true` leaves the hook out where the file is another one",
            ),
    )
}

/// Digests that a refusal names.
const DIGESTS_SHOWN: usize = 3;

const A_PROGRAM: &str = "programs and libraries in the format ELF for this machine";

/// Its next version is asked about soon: what was asked has changed.
pub(super) fn replaced(path: &str) -> Problem {
    let found = format!("the file `{path}`, which was replaced while it was read");
    Problem::new(found, "a file that stays the same")
}

pub(super) fn missing(path: &str, place: &UserPlace, problem: UserProblem) -> Problem {
    let what = match place {
        UserPlace::Function { .. } => "place",
        UserPlace::Probe { .. } => "probe",
    };
    match problem {
        UserProblem::Untold => Problem::new(
            format!("{what} `{place}` of the file `{path}`"),
            "hooks of the kernel, where no files of the node can be read",
        ),
        UserProblem::NoFile => Problem::missing(format!("the file `{path}`"), "files of the node")
            .hint("paths are those of the node, not of a container"),
        UserProblem::Unreadable(why) => Problem::new(format!("the file `{path}`, which {why}"), A_PROGRAM),
        UserProblem::MovesStack => Problem::new(
            format!("the end of `{place}`, a Go function of the file `{path}`"),
            "the beginnings of Go functions: Go moves stacks, and a program whose return addresses are others crashes",
        )
        .hint("leave out `return: true`"),
        UserProblem::NoPlace(near) => {
            let allowed = match place {
                UserPlace::Function { name: FunctionName::Symbol { .. }, .. } => {
                    "functions that the file has among its symbols"
                }
                UserPlace::Function { .. } => "places in the code of the file",
                UserPlace::Probe { .. } => "probes of the file, as `readelf -n` shows them",
            };
            let problem = Problem::missing(format!("{what} `{place}` of the file `{path}`"), allowed);
            match place {
                UserPlace::Function { name: FunctionName::Symbol { .. }, .. } if near.is_empty() => {
                    problem.hint("a stripped file has no symbols, unless it is a Go program: name the place by `offsets` or `addrs`")
                }
                UserPlace::Probe { .. } if near.is_empty() => problem.hint("this file has none"),
                UserPlace::Function { .. } | UserPlace::Probe { .. } => problem.nearest(&near),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_written_and_read() {
        let file = FileIdentity { device: 0xfe00, inode: 12 };
        for (path, offset, ref_counter, text) in [
            ("/bin/bash", 0x31f40, 0, "/bin/bash:0x31f40@fe00:12"),
            ("/a:b@c(d)", 0, 0x10, "/a:b@c(d):0x0(0x10)@fe00:12"),
        ] {
            let site = UserSite { path: path.to_owned(), offset, ref_counter, file };
            assert_eq!(site.to_string(), text);
            assert_eq!(text.parse(), Ok(site));
            assert_eq!(Some(shown(text)), text.strip_suffix("@fe00:12"));
        }
        for text in ["", "/bin/bash", "/bin/bash:0x1", "/bin/bash:1@0:1", "/bin/bash:0x1)@0:1", "/b:0x1@0"] {
            assert_eq!(text.parse::<UserSite>(), Err(NoUserSite), "{text}");
        }
    }
}
