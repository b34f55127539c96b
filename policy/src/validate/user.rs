//! Places in programs and libraries.

use super::hook::name;
use super::report::{Report, quoted};
use crate::model::{DigestKind, FieldPath, FileDigest, FileVersions, FunctionName, HookTarget, UserPlace};
use crate::spec::{BINARY_BYTES_MAX, DIGESTS_MAX, Kind, PLACES_MAX, SYMBOL_BYTES_MAX, UprobeSpec, UsdtSpec};

/// Where the established implementation has the node's `/proc`; policies name processes of the node by it.
const NODE_PROC: &str = "/procRoot/";

/// Paths are those of the node, which whoever may write policies of one namespace has no business in.
pub(super) fn only_cluster_wide(kind: Kind, at: &FieldPath, report: &mut Report) {
    if kind == Kind::TracingPolicyNamespaced {
        let hint = "write a TracingPolicy; `podSelector` selects pods there too";
        let found = "a hook in a file of the node, in a TracingPolicyNamespaced";
        report.refuse_with(at, found, "hooks of the kernel", hint);
    }
}

/// The places that an uprobe names.
pub(super) fn functions(
    spec: &UprobeSpec,
    versions: &FileVersions,
    at: &FieldPath,
    report: &mut Report,
) -> Vec<HookTarget> {
    let path = path(&spec.path, &at.member("path"), report);
    let kinds =
        [("symbols", spec.symbols.len()), ("offsets", spec.offsets.len()), ("addrs", spec.addrs.len())];
    let given: Vec<(&str, usize)> = kinds.into_iter().filter(|(_, count)| *count > 0).collect();
    let [(kind, count)] = given[..] else {
        let found = match given.len() {
            0 => "no place".to_owned(),
            _ => given.iter().map(|(kind, _)| format!("`{kind}`")).collect::<Vec<_>>().join(" and "),
        };
        report.refuse(at, found, "one of `symbols`, `offsets`, `addrs`");
        return Vec::new();
    };
    if count > PLACES_MAX {
        report.refuse(&at.member(kind), format!("{count} places"), format!("at most {PLACES_MAX}"));
        return Vec::new();
    }
    let counters = counters(spec, count, at, report);
    let mut names: Vec<Option<FunctionName>> = Vec::with_capacity(count);
    for (place, text) in spec.symbols.iter().enumerate() {
        names.push(symbol(text, &at.member("symbols").index(place), report));
    }
    for (kind, numbers, named) in [
        ("offsets", &spec.offsets, FunctionName::Offset as fn(u64) -> FunctionName),
        ("addrs", &spec.addrs, FunctionName::Address),
    ] {
        for (place, number) in numbers.iter().enumerate() {
            let number = u64::try_from(*number).ok();
            if number.is_none() {
                report.refuse(&at.member(kind).index(place), "a number below 0", "0 and more");
            }
            names.push(number.map(named));
        }
    }
    twice(&names, &at.member(kind), report);
    if at_end(spec) {
        within(&names, &at.member(kind), report);
    }
    let types = types(spec.btf_path.as_deref(), at, report);
    let Some(path) = path else { return Vec::new() };
    let at_end = at_end(spec);
    let target = |(name, ref_counter): (Option<FunctionName>, u32)| {
        let place = UserPlace::Function { name: name?, ref_counter, at_end };
        Some(HookTarget::User { path: path.clone(), place, versions: versions.clone(), types: types.clone() })
    };
    names.into_iter().zip(counters).filter_map(target).collect()
}

/// Whether a hook's event is the end of its functions: something is asked for that is known only then.
pub(super) fn at_end(spec: &UprobeSpec) -> bool {
    spec.on_return || spec.args.iter().any(|arg| arg.return_copy)
}

/// The versions of the file that an uprobe is meant for.
pub(super) fn versions(spec: &UprobeSpec, at: &FieldPath, report: &mut Report) -> FileVersions {
    let place = at.member("binaryDigests");
    let mut digests: Vec<FileDigest> = Vec::with_capacity(spec.binary_digests.len().min(DIGESTS_MAX));
    if spec.binary_digests.len() > DIGESTS_MAX {
        let found = format!("{} digests", spec.binary_digests.len());
        report.refuse(&place, found, format!("at most {DIGESTS_MAX}"));
        return FileVersions::default();
    }
    for (number, text) in spec.binary_digests.iter().enumerate() {
        match FileDigest::parse(text) {
            Some(digest) if digests.contains(&digest) => {
                report.warn(&place.index(number), "a digest a second time", "it has no effect");
            }
            Some(digest) => digests.push(digest),
            None => report.refuse(&place.index(number), quoted(text), digest_allowed(text)),
        }
    }
    let ignore_others = spec.ignore.is_some_and(|ignore| ignore.digest_verification_failure);
    if spec.binary_digests.is_empty() && ignore_others {
        let at = at.member("ignore").member("digestVerificationFailure");
        report.warn(&at, "`digestVerificationFailure` without `binaryDigests`", "it has no effect alone");
    }
    FileVersions { digests, ignore_others }
}

/// What a digest looks like, by the algorithm that the text names.
fn digest_allowed(text: &str) -> String {
    let name = text.split_once(':').map_or(text, |(name, _)| name);
    match DigestKind::ALL.into_iter().find(|kind| kind.name() == name) {
        Some(DigestKind::BuildId) => {
            let most = 2 * DigestKind::BuildId.bytes().end();
            format!("`build-id:` and an even number of hexadecimal digits, at most {most}")
        }
        Some(kind) => format!("`{name}:` and {} hexadecimal digits", 2 * kind.bytes().end()),
        None => {
            let names = DigestKind::ALL.map(DigestKind::name);
            format!("`ALGORITHM:HEX` with one of the algorithms {}", names.join(", "))
        }
    }
}

/// The place of a USDT.
pub(super) fn probe(spec: &UsdtSpec, at: &FieldPath, report: &mut Report) -> Option<HookTarget> {
    let path = path(&spec.path, &at.member("path"), report);
    let provider = name(&spec.provider, "a probe's provider", &at.member("provider"), report);
    let probe = name(&spec.name, "a probe", &at.member("name"), report);
    let types = types(spec.btf_path.as_deref(), at, report);
    let place = UserPlace::Probe { provider: provider?, name: probe? };
    Some(HookTarget::User { path: path?, place, versions: FileVersions::default(), types })
}

/// The file that describes a program's structures.
fn types(given: Option<&str>, at: &FieldPath, report: &mut Report) -> Option<String> {
    path(given?, &at.member("btfPath"), report)
}

/// Two hooks at one place would report each event twice.
fn twice(names: &[Option<FunctionName>], at: &FieldPath, report: &mut Report) {
    for (place, name) in names.iter().enumerate() {
        if name.is_some() && names[..place].contains(name) {
            report.refuse(&at.index(place), "a place a second time", "each place once");
        }
    }
}

/// The end of a function is found by what its beginning has on the stack; further on, something else stands there.
fn within(names: &[Option<FunctionName>], at: &FieldPath, report: &mut Report) {
    for (place, name) in names.iter().enumerate() {
        if let Some(named @ FunctionName::Symbol { name, plus: 1.. }) = name {
            let found = format!("`{named}`, a place within a function, and `return: true` or `returnCopy`");
            let allowed = format!("the beginning of the function, `{name}`: the program would crash");
            report.refuse(&at.index(place), found, allowed);
        }
    }
}

/// The counter of each place.
fn counters(spec: &UprobeSpec, places: usize, at: &FieldPath, report: &mut Report) -> Vec<u32> {
    let given = &spec.ref_ctr_offsets;
    if given.is_empty() {
        return vec![0; places];
    }
    if given.len() != places {
        let found = format!("{} numbers for {places} places", given.len());
        report.refuse(&at.member("refCtrOffsets"), found, "one for each place; 0 = the place has no counter");
        return vec![0; places];
    }
    let counter = |(place, number): (usize, &i64)| {
        u32::try_from(*number).unwrap_or_else(|_| {
            let at = at.member("refCtrOffsets").index(place);
            report.refuse(&at, format!("`{number}`"), format!("0 to {}", u32::MAX));
            0
        })
    };
    given.iter().enumerate().map(counter).collect()
}

/// `NAME` or `NAME+OFFSET`, the offset in decimal or, after `0x`, in hexadecimal.
pub(super) fn symbol(text: &str, at: &FieldPath, report: &mut Report) -> Option<FunctionName> {
    let (name, plus) = match text.rsplit_once('+') {
        Some((name, plus)) => {
            let number = match plus.strip_prefix("0x") {
                Some(digits) => u64::from_str_radix(digits, 16).ok(),
                None => plus.parse().ok(),
            };
            (name, number)
        }
        None => (text, Some(0)),
    };
    let clean = !name.is_empty()
        && name.len() <= SYMBOL_BYTES_MAX
        && name.bytes().all(|byte| byte.is_ascii_graphic());
    let Some(plus) = plus.filter(|_| clean) else {
        report.refuse(at, quoted(text), "the name of a function, or NAME+OFFSET with the offset in bytes");
        return None;
    };
    Some(FunctionName::Symbol { name: name.to_owned(), plus })
}

/// The path of a file of the node, with the node's `/proc` as the node itself has it.
fn path(path: &str, at: &FieldPath, report: &mut Report) -> Option<String> {
    let clean = path.starts_with('/') && path.len() <= BINARY_BYTES_MAX && !path.contains(char::is_control);
    if !clean {
        let allowed = format!(
            "the whole path of a file on the node, beginning with `/`, at most {BINARY_BYTES_MAX} bytes"
        );
        report.refuse(at, quoted(path), allowed);
        return None;
    }
    Some(match path.strip_prefix(NODE_PROC) {
        Some(rest) => format!("/proc/{rest}"),
        None => path.to_owned(),
    })
}
