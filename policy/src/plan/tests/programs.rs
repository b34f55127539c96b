//! Hooks in programs and libraries.

use super::policy;
use crate::plan::testing::facts;
use crate::plan::*;

/// What came of a policy with these uprobes: refusals, warnings, hook points.
fn outcome(spec: &str) -> (Vec<String>, Vec<String>, Vec<String>) {
    let compiled = compile(&[policy("p", spec)], &facts());
    let refusals = compiled.refusals.iter().map(ToString::to_string).collect();
    let warnings = compiled.warnings.iter().map(ToString::to_string).collect();
    (refusals, warnings, compiled.plan.hooks.iter().map(|hook| hook.point.to_string()).collect())
}

/// An uprobe at two places of the made-up program, whose digests have the number 7 in each byte.
fn meant_for(digests: &[&str], more: &str) -> String {
    format!(
        "  uprobes:\n  - {{path: /bin/program, symbols: [run, run+4], binaryDigests: [{}]{more}}}\n",
        digests.join(", ")
    )
}

#[test]
fn one_digest_of_several_is_enough() {
    let (seven, eight) = ("07".repeat(32), "08".repeat(32));
    let spec = meant_for(&[&format!("'sha256:{eight}'"), &format!("'sha256:{seven}'"), "'build-id:01'"], "");
    let (refusals, warnings, points) = outcome(&spec);
    assert_eq!((refusals, warnings), (vec![], vec![]));
    assert_eq!(points, ["uprobe//bin/program:0x1000", "uprobe//bin/program:0x1004"]);
    let sha1 = format!("'sha1:{}'", "07".repeat(20));
    assert_eq!(outcome(&meant_for(&["'build-id:07'", &sha1], "")).2.len(), 2, "an algorithm of two");
}

#[test]
fn another_file_is_refused_once_and_by_name() {
    let eight = "08".repeat(20);
    let spec = meant_for(&[&format!("'sha1:{eight}'"), "'build-id:07'"], "");
    let (refusals, warnings, points) = outcome(&spec);
    let seven = "07".repeat(20);
    let wanted = format!(
        "policy p: spec.uprobes[0].binaryDigests: found the file `/bin/program` with `sha1:{seven}` and no build-id; \
         allowed: `sha1:{eight}`, `build-id:07`; \
         `ignore.digestVerificationFailure: true` leaves the hook out where the file is another one"
    );
    assert_eq!((refusals, warnings, points), (vec![wanted], vec![], vec![]));
    let many: Vec<String> = (0..5).map(|number| format!("'build-id:0{number}'")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert!(outcome(&meant_for(&many, "")).0[0].contains("`build-id:02`, 2 more"));
}

#[test]
fn another_file_may_be_passed_over() {
    let other = meant_for(&["'build-id:07'"], ", ignore: {digestVerificationFailure: true}");
    let spec = format!("{other}  - {{path: /bin/program, offsets: [16]}}\n");
    let (refusals, warnings, points) = outcome(&spec);
    assert_eq!((refusals, points), (vec![], vec!["uprobe//bin/program:0x10".to_owned()]));
    assert_eq!(
        warnings,
        ["policy p: spec.uprobes[0].binaryDigests: found the file `/bin/program` with no build-id; \
          it is none of those that are meant: the hook is passed over"]
    );
    // That no file is there is another matter, and so is a function that the right file does not have.
    let none = other.replace("/bin/program", "/bin/none");
    assert!(outcome(&none).0[0].contains("the file `/bin/none`"), "{:?}", outcome(&none));
    let seven = format!("'sha1:{}'", "07".repeat(20));
    let no_place =
        meant_for(&[&seven], ", ignore: {digestVerificationFailure: true}").replace("run,", "runn,");
    assert!(outcome(&no_place).0[0].contains("place `runn`"), "{:?}", outcome(&no_place));
}

/// The made-up node, whose files have no digests any more.
#[derive(Debug)]
struct Changed;
impl Symbols for Changed {
    fn function(&self, _: &str) -> Option<Signature> {
        None
    }
    fn probeable(&self, _: &str) -> bool {
        false
    }
    fn fitting_functions(&self, _: &crate::model::FunctionPattern) -> Vec<String> {
        Vec::new()
    }
    fn nearest_functions(&self, _: &str, _: usize) -> Vec<String> {
        Vec::new()
    }
    fn tracepoint(&self, _: &str, _: &str) -> Option<Vec<TracepointField>> {
        None
    }
    fn raw_tracepoint(&self, _: &str) -> Option<Signature> {
        None
    }
    fn nearest_tracepoints(&self, _: &str, _: &str, _: usize) -> Vec<String> {
        Vec::new()
    }
    fn user_places(
        &self,
        path: &str,
        place: &crate::model::UserPlace,
    ) -> Result<Vec<FoundPlace>, UserProblem> {
        facts().symbols.user_places(path, place)
    }
    fn file_digest(&self, path: &str, kind: crate::model::DigestKind) -> Result<FoundDigest, UserProblem> {
        facts().symbols.file_digest(path, kind).map(|found| FoundDigest { digest: None, ..found })
    }
    fn member(&self, structure: &str, path: &crate::model::MemberPath) -> Result<Way, NoWay> {
        facts().symbols.member(structure, path)
    }
}

#[test]
fn a_file_with_another_content_is_asked_about_again() {
    let seven = format!("'sha1:{}'", "07".repeat(20));
    let compiled = compile(&[policy("p", &meant_for(&[&seven], ""))], &facts());
    assert!(!compiled.files.have_changed(&*facts().symbols));
    assert!(compiled.files.have_changed(&Changed));
}
